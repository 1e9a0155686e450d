"""Write captions for a recording, or the part so far if the session fails.

Run ``python captions.py FILE [LANGUAGE]``: writes ``.srt`` and ``.vtt`` files, named after the recording.
"""

from __future__ import annotations

import sys
from pathlib import Path

from speechmatics_rt import Client, SpeechmaticsError, TranscriptionConfig


def main(name: str, language: str = "en") -> None:
    config = TranscriptionConfig(language=language, diarization="speaker")
    failure = None
    with Client(resume=Path(name).suffix == ".wav") as client:  # resume needs raw audio
        try:
            transcript = client.transcribe(name, transcription_config=config)
        except SpeechmaticsError as error:
            failure, transcript = error, error.transcript
    if transcript is not None:  # None: nothing could have been heard
        Path(name).with_suffix(".srt").write_text(transcript.to_srt(), encoding="utf-8")
        Path(name).with_suffix(".vtt").write_text(transcript.to_vtt(columns=37), encoding="utf-8")
    if failure is not None:
        until = "" if transcript is None else f"; the captions end at {transcript.end_time:.0f} s"
        sys.exit(f"{name}: {failure}{until}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python captions.py FILE [LANGUAGE]")
    try:
        main(*sys.argv[1:])
    except OSError as error:  # of the captions
        sys.exit(f"failed: {error}")
