"""What was pickled when the modules stood side by side loads into today's folders."""

from __future__ import annotations

import base64
import pickle

import pytest

import speechmatics_rt

PICKLED = {
    "TranscriptionConfig": (
        "gAJjc3BlZWNobWF0aWNzX3J0LmNvbmZpZwpUcmFuc2NyaXB0aW9uQ29uZmlnCnEAKYFxAX1xAihYCAAAAGxhbmd1YWdlcQNY"
        "AgAAAGRlcQRYBQAAAG1vZGVscQVjc3BlZWNobWF0aWNzX3J0LmNvbmZpZwpNb2RlbApxBlgIAAAAZW5oYW5jZWRxB4VxCFJx"
        "CVgNAAAAb3V0cHV0X2xvY2FsZXEKTlgLAAAAZGlhcml6YXRpb25xC05YEAAAAGFkZGl0aW9uYWxfdm9jYWJxDE5YFQAAAHB1"
        "bmN0dWF0aW9uX292ZXJyaWRlc3ENTlgGAAAAZG9tYWlucQ5OWA8AAABlbmFibGVfZW50aXRpZXNxD05YFgAAAGF1ZGlvX2Zp"
        "bHRlcmluZ19jb25maWdxEE5YGwAAAHRyYW5zY3JpcHRfZmlsdGVyaW5nX2NvbmZpZ3ERTlgJAAAAbWF4X2RlbGF5cRJOWA4A"
        "AABtYXhfZGVsYXlfbW9kZXETTlgPAAAAZW5hYmxlX3BhcnRpYWxzcRROWBoAAABzcGVha2VyX2RpYXJpemF0aW9uX2NvbmZp"
        "Z3EVY3NwZWVjaG1hdGljc19ydC5jb25maWcKU3BlYWtlckRpYXJpemF0aW9uQ29uZmlnCnEWKYFxF31xGChYDAAAAG1heF9z"
        "cGVha2Vyc3EZSwNYEwAAAHNwZWFrZXJfc2Vuc2l0aXZpdHlxGk5YFgAAAHByZWZlcl9jdXJyZW50X3NwZWFrZXJxG05YCAAA"
        "AHNwZWFrZXJzcRxOWAwAAABnZXRfc3BlYWtlcnNxHU51YlgOAAAAc3RyZWFtaW5nX21vZGVxHk5YEwAAAGNvbnZlcnNhdGlv"
        "bl9jb25maWdxH2NzcGVlY2htYXRpY3NfcnQuY29uZmlnCkNvbnZlcnNhdGlvbkNvbmZpZwpxICmBcSF9cSJYIAAAAGVuZF9v"
        "Zl91dHRlcmFuY2Vfc2lsZW5jZV90cmlnZ2VycSNHP+AAAAAAAABzYlgEAAAAY3RybHEkTlgaAAAAY2hhbm5lbF9kaWFyaXph"
        "dGlvbl9sYWJlbHNxJU5YDwAAAG9wZXJhdGluZ19wb2ludHEmTlgOAAAAbGFuZ3VhZ2VfaGludHNxJ05YFQAAAGxhbmd1YWdl"
        "X2hpbnRzX3N0cmljdHEoTnViLg=="
    ),
    "AudioFormat": (
        "gAJjc3BlZWNobWF0aWNzX3J0LmNvbmZpZwpBdWRpb0Zvcm1hdApxACmBcQF9cQIoWAgAAABlbmNvZGluZ3EDY3NwZWVjaG1h"
        "dGljc19ydC5jb25maWcKQXVkaW9FbmNvZGluZwpxBFgJAAAAcGNtX3MxNmxlcQWFcQZScQdYCwAAAHNhbXBsZV9yYXRlcQhN"
        "gD5YCgAAAGNodW5rX3NpemVxCU0AEHViLg=="
    ),
    "ConnectionConfig": (
        "gAJjc3BlZWNobWF0aWNzX3J0LmxpbWl0cwpDb25uZWN0aW9uQ29uZmlnCnEAKYFxAX1xAihYDAAAAG9wZW5fdGltZW91dHED"
        "SwNYDQAAAHN0YXJ0X3RpbWVvdXRxBEseWAwAAABzZW5kX3RpbWVvdXRxBUt4WAsAAABlbmRfdGltZW91dHEGSzxYDQAAAGNs"
        "b3NlX3RpbWVvdXRxB0sFWA0AAABwaW5nX2ludGVydmFscQhLFFgMAAAAcGluZ190aW1lb3V0cQlLPFgIAAAAbWF4X3NpemVx"
        "CkoAAAABWAkAAABtYXhfcXVldWVxC03oA1gNAAAAd2luZG93X2ZyYW1lc3EMTfQBWA4AAAB3aW5kb3dfc2Vjb25kc3ENSwpY"
        "CwAAAHNzbF9jb250ZXh0cQ5OWAUAAABwcm94eXEPTlgKAAAAcmVhZF9saW1pdHEQTlgLAAAAd3JpdGVfbGltaXRxEU51Yi4="
    ),
    "ResumePolicy": (
        "gAJjc3BlZWNobWF0aWNzX3J0LmxpbWl0cwpSZXN1bWVQb2xpY3kKcQApgXEBfXECKFgMAAAAbWF4X2F0dGVtcHRzcQNLA1gJ"
        "AAAAbWluX2RlbGF5cQRHP+AAAAAAAABYCQAAAG1heF9kZWxheXEFSx5YCgAAAGJ1c3lfZGVsYXlxBksFWAoAAABtYXhfb3V0"
        "YWdlcQdNLAFYDgAAAGJ1ZmZlcl9zZWNvbmRzcQhNWAJYDAAAAHJlcGxheV9zcGVlZHEJSwR1Yi4="
    ),
    "TranslationConfig": (
        "gAJjc3BlZWNobWF0aWNzX3J0LmNvbmZpZwpUcmFuc2xhdGlvbkNvbmZpZwpxACmBcQF9cQIoWBAAAAB0YXJnZXRfbGFuZ3Vh"
        "Z2VzcQNdcQRYAgAAAGRlcQVhWA8AAABlbmFibGVfcGFydGlhbHNxBk51Yi4="
    ),
    "AudioEventsConfig": (
        "gAJjc3BlZWNobWF0aWNzX3J0LmNvbmZpZwpBdWRpb0V2ZW50c0NvbmZpZwpxACmBcQF9cQJYBQAAAHR5cGVzcQNdcQRYBQAA"
        "AG11c2ljcQVhc2Iu"
    ),
    "ConnectionError": (
        "gAJjc3BlZWNobWF0aWNzX3J0LmV4Y2VwdGlvbnMKX3JlYnVpbGQKcQBjc3BlZWNobWF0aWNzX3J0LmV4Y2VwdGlvbnMKQ29u"
        "bmVjdGlvbkVycm9yCnEBWAQAAABsb3N0cQKFcQN9cQQoWAUAAABzdGFnZXEFWAkAAABzdHJlYW1pbmdxBlgGAAAAc3RhdHVz"
        "cQdOWAsAAAByZXRyeV9hZnRlcnEITlgEAAAAY29kZXEJTe4DWAYAAAByZWFzb25xCk5YCgAAAHJlcXVlc3RfaWRxC1gBAAAA"
        "cnEMWAoAAAB0cmFuc2NyaXB0cQ1jX19idWlsdGluX18KZ2V0YXR0cgpxDmNzcGVlY2htYXRpY3NfcnQudHJhbnNjcmlwdApU"
        "cmFuc2NyaXB0CnEPWAkAAABmcm9tX2RpY3RxEIZxEVJxEn1xEyhYEgAAAGxhbmd1YWdlX3BhY2tfaW5mb3EUfXEVWAkAAABs"
        "YW5ndWFnZXNxFl1xF1gIAAAAZW5kX3RpbWVxGEc/8AAAAAAAAFgHAAAAcmVzdWx0c3EZXXEaKH1xGyhYBAAAAHR5cGVxHFgE"
        "AAAAd29yZHEdWAoAAABzdGFydF90aW1lcR5HP7mZmZmZmZpoGEc/4AAAAAAAAFgMAAAAYWx0ZXJuYXRpdmVzcR9dcSB9cSEo"
        "WAcAAABjb250ZW50cSJYBQAAAEhlbGxvcSNYCgAAAGNvbmZpZGVuY2VxJEc/7MzMzMzMzXVhdX1xJShoHFgLAAAAcHVuY3R1"
        "YXRpb25xJmgeRz/gAAAAAAAAaBhHP+AAAAAAAABYCwAAAGF0dGFjaGVzX3RvcSdYCAAAAHByZXZpb3VzcShYBgAAAGlzX2Vv"
        "c3EpiGgfXXEqfXErKGgiWAEAAAAucSxoJEsBdWF1ZXWFcS1ScS51h3EvUnEwLg=="
    ),
    "Transcript": (
        "gAJjX19idWlsdGluX18KZ2V0YXR0cgpxAGNzcGVlY2htYXRpY3NfcnQudHJhbnNjcmlwdApUcmFuc2NyaXB0CnEBWAkAAABm"
        "cm9tX2RpY3RxAoZxA1JxBH1xBShYEgAAAGxhbmd1YWdlX3BhY2tfaW5mb3EGfXEHWAkAAABsYW5ndWFnZXNxCF1xCVgIAAAA"
        "ZW5kX3RpbWVxCkc/8AAAAAAAAFgHAAAAcmVzdWx0c3ELXXEMKH1xDShYBAAAAHR5cGVxDlgEAAAAd29yZHEPWAoAAABzdGFy"
        "dF90aW1lcRBHP7mZmZmZmZpoCkc/4AAAAAAAAFgMAAAAYWx0ZXJuYXRpdmVzcRFdcRJ9cRMoWAcAAABjb250ZW50cRRYBQAA"
        "AEhlbGxvcRVYCgAAAGNvbmZpZGVuY2VxFkc/7MzMzMzMzXVhdX1xFyhoDlgLAAAAcHVuY3R1YXRpb25xGGgQRz/gAAAAAAAA"
        "aApHP+AAAAAAAABYCwAAAGF0dGFjaGVzX3RvcRlYCAAAAHByZXZpb3VzcRpYBgAAAGlzX2Vvc3EbiGgRXXEcfXEdKGgUWAEA"
        "AAAucR5oFksBdWF1ZXWFcR9ScSAu"
    ),
    "Word": (
        "gAJjc3BlZWNobWF0aWNzX3J0LndvcmRzCldvcmQKcQApgXEBfXECKFgHAAAAY29udGVudHEDWAUAAABIZWxsb3EEWAoAAABz"
        "dGFydF90aW1lcQVHP7mZmZmZmZpYCAAAAGVuZF90aW1lcQZHP+AAAAAAAABYBAAAAHRleHRxB1gGAAAASGVsbG8ucQhYCQAA"
        "AGRlbGltaXRlcnEJWAAAAABxClgEAAAAdHlwZXELWAQAAAB3b3JkcQxYCgAAAGNvbmZpZGVuY2VxDUc/7MzMzMzMzVgHAAAA"
        "c3BlYWtlcnEOTlgHAAAAY2hhbm5lbHEPTlgIAAAAbGFuZ3VhZ2VxEE5YBgAAAGlzX2Vvc3ERiFgEAAAAdGFnc3ESKVgMAAAA"
        "ZW50aXR5X2NsYXNzcRNOWAYAAAB2b2x1bWVxFE51Yi4="
    ),
    "Paragraph": (
        "gAJjc3BlZWNobWF0aWNzX3J0LndvcmRzClBhcmFncmFwaApxACmBcQF9cQJYBQAAAHdvcmRzcQNjc3BlZWNobWF0aWNzX3J0"
        "LndvcmRzCldvcmQKcQQpgXEFfXEGKFgHAAAAY29udGVudHEHWAUAAABIZWxsb3EIWAoAAABzdGFydF90aW1lcQlHP7mZmZmZ"
        "mZpYCAAAAGVuZF90aW1lcQpHP+AAAAAAAABYBAAAAHRleHRxC1gGAAAASGVsbG8ucQxYCQAAAGRlbGltaXRlcnENWAAAAABx"
        "DlgEAAAAdHlwZXEPWAQAAAB3b3JkcRBYCgAAAGNvbmZpZGVuY2VxEUc/7MzMzMzMzVgHAAAAc3BlYWtlcnESTlgHAAAAY2hh"
        "bm5lbHETTlgIAAAAbGFuZ3VhZ2VxFE5YBgAAAGlzX2Vvc3EViFgEAAAAdGFnc3EWKVgMAAAAZW50aXR5X2NsYXNzcRdOWAYA"
        "AAB2b2x1bWVxGE51YoVxGXNiLg=="
    ),
    "SessionStats": (
        "gAJjc3BlZWNobWF0aWNzX3J0LnN0YXRzClNlc3Npb25TdGF0cwpxACmBcQF9cQIoWAwAAABzZWNvbmRzX3NlbnRxA0dAAAAA"
        "AAAAAFgUAAAAc2Vjb25kc19hY2tub3dsZWRnZWRxBEcAAAAAAAAAAFgTAAAAc2Vjb25kc190cmFuc2NyaWJlZHEFRwAAAAAA"
        "AAAAWAMAAABsYWdxBkcAAAAAAAAAAFgPAAAAcGFydGlhbF9sYXRlbmN5cQdOWA0AAABmaW5hbF9sYXRlbmN5cQhjc3BlZWNo"
        "bWF0aWNzX3J0LnN0YXRzCkxhdGVuY3kKcQkpgXEKfXELKFgDAAAAcDUwcQxHP7mZmZmZmZpYAwAAAHA5MHENRz/JmZmZmZma"
        "WAMAAABwOTlxDkc/0zMzMzMzM1gFAAAAY291bnRxD0sEdWJYCwAAAGZyYW1lc19zZW50cRBLAFgVAAAAdW5hY2tub3dsZWRn"
        "ZWRfZnJhbWVzcRFLAFgKAAAAYnl0ZXNfc2VudHESSwBYEQAAAG1lc3NhZ2VzX3JlY2VpdmVkcRNLAFgQAAAAbWVzc2FnZXNf"
        "c2tpcHBlZHEUSwBYCwAAAHF1ZXVlX2RlcHRocRVLAFgHAAAAc2lsZW5jZXEWRwAAAAAAAAAAWAoAAAByZWNvbm5lY3RzcRdL"
        "AFgQAAAAcmVwbGF5ZWRfc2Vjb25kc3EYRwAAAAAAAAAAdWIu"
    ),
    "TranscriptResult": (
        "gAJjc3BlZWNobWF0aWNzX3J0LnJlc3VsdHMKVHJhbnNjcmlwdFJlc3VsdApxACmBcQF9cQIoWAgAAABtZXRhZGF0YXEDY3Nw"
        "ZWVjaG1hdGljc19ydC5yZXN1bHRzClJlY29nbml0aW9uTWV0YWRhdGEKcQQpgXEFfXEGKFgKAAAAc3RhcnRfdGltZXEHSwBY"
        "CAAAAGVuZF90aW1lcQhLAVgKAAAAdHJhbnNjcmlwdHEJWAYAAABIZWxsby5xClgFAAAAZXh0cmFxC31xDHViWAcAAAByZXN1"
        "bHRzcQ1dcQ5YBgAAAGZvcm1hdHEPTlgIAAAAaXNfZmluYWxxEIhYBwAAAGNoYW5uZWxxEU5YBgAAAGZvcmNlZHESTmgLfXET"
        "dWIu"
    ),
    "ServerMessageType": (
        "gAJjc3BlZWNobWF0aWNzX3J0Lm1lc3NhZ2VzClNlcnZlck1lc3NhZ2VUeXBlCnEAWA0AAABBZGRUcmFuc2NyaXB0cQGFcQJScQMu"
    ),
    "Model": ("gAJjc3BlZWNobWF0aWNzX3J0LmNvbmZpZwpNb2RlbApxAFgIAAAAZW5oYW5jZWRxAYVxAlJxAy4="),
}


@pytest.mark.parametrize("name", PICKLED)
def test_a_pickle_from_before_the_folders_loads(name: str) -> None:
    loaded = pickle.loads(base64.b64decode(PICKLED[name]))
    known = getattr(speechmatics_rt, name, None) or getattr(speechmatics_rt.transcript, name)
    assert isinstance(loaded, known)
    assert pickle.loads(pickle.dumps(loaded)) == loaded or name in ("ConnectionError", "Transcript")


def test_what_was_heard_before_the_folders_can_be_read() -> None:
    error = pickle.loads(base64.b64decode(PICKLED["ConnectionError"]))
    assert (error.transcript.text, error.code, error.request_id) == ("Hello.", 1006, "r")


@pytest.mark.parametrize(
    "former", ["limits", "results", "words", "config", "auth", "messages", "audio", "aio"]
)
def test_a_dotted_import_from_before_the_folders_works(former: str) -> None:
    __import__(f"speechmatics_rt.{former}")
