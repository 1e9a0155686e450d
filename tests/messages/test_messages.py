"""Names, JSON in, JSON out."""

from __future__ import annotations

import json
import math
import sys
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.messages import types as messages
from speechmatics_rt.messages.types import ClientMessageType, ServerMessageType
from speechmatics_rt.protocol import codec
from speechmatics_rt.protocol.codec import MessageError, decode, encode

from ..samples import tried


@pytest.fixture(params=["json", "orjson"], autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run every test of this module with either JSON library behind decode()."""
    if request.param == "json":
        monkeypatch.setattr(codec, "_load", codec._loads)
    else:
        pytest.importorskip("orjson")
    return str(request.param)


def test_enums_are_the_strings_on_the_wire() -> None:
    assert encode({"message": ClientMessageType.GET_SPEAKERS}) == b'{"message":"GetSpeakers"}'
    assert decode(b'{"message":"Info"}')["message"] == ServerMessageType.INFO


def test_a_string_names_its_enum_member_and_an_unknown_one_does_not() -> None:
    assert ServerMessageType("AddTranscript") is ServerMessageType.ADD_TRANSCRIPT
    with pytest.raises(ValueError, match="Tomorrow"):
        ServerMessageType("Tomorrow")


def test_every_message_name_has_its_shape() -> None:
    shapes = {name for name in messages.__all__ if name.endswith("Message")}
    for kind in (*ClientMessageType, *ServerMessageType):
        if kind is not ClientMessageType.ADD_AUDIO:  # a binary frame
            assert f"{kind.value}Message" in shapes


def test_json_is_compact_utf_8() -> None:
    assert (
        encode({"message": "M", "a": ["é", 1.5, None, True]})
        == '{"message":"M","a":["é",1.5,null,true]}'.encode()
    )


def test_any_mapping_can_be_sent_at_any_depth() -> None:
    message = MappingProxyType({"message": "M", "config": MappingProxyType({"x": (1, 2)})})
    assert decode(encode(message)) == {"message": "M", "config": {"x": [1, 2]}}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"abc", "bytes has no JSON form"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        ({1, 2}, "set has no JSON form"),
        ("\ud800", "surrogates not allowed"),
    ],
)
def test_what_json_cannot_say_is_refused_by_the_name_of_its_field(value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        encode({"message": "SetRecognitionConfig", "a": {"b": [0, value]}})
    assert "SetRecognitionConfig can't be sent: a.b[1]" in str(caught.value)
    assert said in str(caught.value)


def test_a_message_that_holds_itself_is_refused() -> None:
    message: dict[str, Any] = {"message": "M"}
    message["again"] = message
    with pytest.raises(ConfigurationError, match="nested too deeply"):
        encode(message)


def test_a_key_that_is_no_string_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="keys must be"):
        encode({"message": "M", "a": {(1, 2): 3}})


@pytest.mark.parametrize("nothing", [{}, {"message": 3}, [], None, "M"])
def test_only_a_mapping_with_a_string_message_can_be_sent(nothing: Any) -> None:
    with pytest.raises(ConfigurationError, match="string 'message'"):
        encode(nothing)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_kind_of_payload_is_read(kind: Any) -> None:
    assert decode(kind(b' {"message": "X"} ')) == {"message": "X"}


def test_a_slice_of_a_receive_buffer_is_read() -> None:
    assert decode(memoryview(bytearray(b'...{"message":"X"}...'))[3:-3]) == {"message": "X"}


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "not JSON"),
        (b'{"message": "X"', "not JSON"),
        (b'{"message": "X"} x', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "without a string 'message'"),
        (b'{"message": null}', "without a string 'message'"),
    ],
)
def test_what_is_no_message_is_told_apart(payload: bytes, said: str) -> None:
    with pytest.raises(MessageError, match=said):
        decode(payload)


@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xff", b"\xc3", b"\xc0\xaf"])
def test_utf_8_is_strict(raw: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decode(b'{"message": "' + raw + b'"}')


@pytest.mark.parametrize(
    ("escaped", "read"),
    [
        (r"\ud800", "\ufffd"),
        (r"no\uDE00pe", "no\ufffdpe"),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\uD83D\uDE00\uD83D", "\U0001f600\ufffd"),
        (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (r"\ude00\ud83d", "\ufffd\ufffd"),
        (r"\\ud800\\\ud800", "\\ud800\\\ufffd"),
        (r"\ud7ff\ue000", "\ud7ff\ue000"),
    ],
)
def test_half_a_surrogate_pair_becomes_a_sign_that_any_text_can_hold(escaped: str, read: str) -> None:
    message = decode(f'{{"message":"X","{escaped}":["{escaped}"]}}'.encode())
    assert message == {"message": "X", read: [read]}
    assert read.encode("utf-8")


@pytest.mark.parametrize("escaped", [r"\ud8", r"\ud8zz", r"\Ud800", "\\ud800\\"])
def test_what_is_no_escape_in_json_is_none_beside_surrogates_either(escaped: str) -> None:
    with pytest.raises(MessageError, match="not JSON"):
        decode(rf'{{"message":"\ud800{escaped}"}}'.encode())


def test_very_deep_nesting_is_left_to_the_reader() -> None:
    depth = 200_000
    with pytest.raises(RecursionError):
        decode(b'{"message":"X","a":' + b"[" * depth + b"]" * depth + b"}")


@pytest.mark.skipif(
    not hasattr(sys, "get_int_max_str_digits"), reason="this Python reads integers of any length"
)
def test_absurd_integers_are_left_to_the_reader() -> None:
    with pytest.raises(ValueError, match="digits") as caught:
        decode(b'{"message":"X","a":' + b"9" * 5000 + b"}")
    assert not isinstance(caught.value, MessageError)


@pytest.mark.parametrize(
    "number", ["18446744073709551616", "-9223372036854775809", "1e400", "-0", "NaN", "Infinity"]
)
def test_numbers_at_the_edge_are_read_as_json_reads_them(number: str) -> None:
    value = decode(f'{{"message":"X","n":{number}}}'.encode())["n"]
    assert repr(value) == repr(json.loads(number))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@tried(200)
@given(st.dictionaries(st.text(), _JSON, max_size=5), st.booleans())
def test_both_libraries_read_the_same(fields: dict[str, Any], ascii_only: bool) -> None:
    pytest.importorskip("orjson")
    payload = json.dumps({**fields, "message": "X"}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert _outcome(codec._load, payload) == _outcome(codec._loads, payload)


@tried(200)
@given(
    st.binary(max_size=40)
    | st.text(alphabet='{}[]":,0123456789.eE-+ntfalsru\\dD', max_size=40).map(str.encode)
)
def test_both_libraries_refuse_the_same(payload: bytes) -> None:
    pytest.importorskip("orjson")
    assert _outcome(codec._load, payload) == _outcome(codec._loads, payload)


def _outcome(load: Any, payload: bytes) -> str:
    try:
        return repr(load(payload))
    except ValueError as exc:
        return f"{type(exc).__name__}: {exc}"


@tried(100)
@given(st.dictionaries(st.text(), _JSON, max_size=5))
def test_what_is_sent_is_what_is_read(fields: dict[str, Any]) -> None:
    message = {**fields, "message": "X"}
    finite = "Infinity" not in json.dumps(message)
    if finite:
        assert decode(encode(message)) == message
