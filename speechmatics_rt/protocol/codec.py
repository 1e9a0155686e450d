"""Encodes and decodes messages as JSON.

Messages are plain dictionaries; :mod:`speechmatics_rt.messages` describes their fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Optional, Union

from ..exceptions import ConfigurationError, shown

__all__ = ["NAMES", "SPEECH", "MessageError", "decode", "encode", "peek"]

SPEECH = {"AddTranscript", "AddPartialTranscript", "AddTranslation", "AddPartialTranslation"}
NAMES = {name.encode("ascii"): name for name in (*SPEECH, "AudioAdded")}  # all that peek() knows


class MessageError(ValueError):
    """A payload is not a message: not JSON, not an object, or without a string ``message``."""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def encode(message: Mapping[str, Any]) -> bytes:
    """Turn a message into compact UTF-8 JSON; enums of strings become their values.

    Raises:
        ConfigurationError: A value has no JSON form (bytes, NaN, infinity, half a surrogate pair,
            nesting too deep), or there is no string ``message``. The text names the field.

    Example:
        >>> encode({"message": "EndOfStream", "last_seq_no": 3})
        b'{"message":"EndOfStream","last_seq_no":3}'
    """
    if not isinstance(message, Mapping) or not isinstance(message.get("message"), str):
        raise ConfigurationError(f"a message is a mapping with a string 'message', not {shown(message, 60)}")
    try:
        return _ENCODER.encode(message).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as exc:
        where = _culprit(message, "")
        raise ConfigurationError(f"{message['message']} can't be sent: {where or exc}") from exc


def _culprit(value: Any, path: str, depth: int = 0) -> Optional[str]:
    """Name the first value that has no JSON form, and why; None if there is no such value."""
    if depth > 50:
        return f"{path[:60]}... is nested too deeply"
    if isinstance(value, Mapping):
        parts = [(f"{path}.{key}" if path else str(key), part) for key, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    else:
        try:
            _ENCODER.encode(value).encode("utf-8")
        except (TypeError, ValueError) as exc:
            return f"{path} is {shown(value, 60)}: {exc}"
        return None
    return next(filter(None, (_culprit(part, where, depth + 1) for where, part in parts)), None)


_Loads = Callable[[Any], Any]


_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


# Escapes in JSON, each as a whole; in the group half a surrogate pair, without its other half.
_ESCAPES = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def _loads(payload: Any) -> Any:
    # json.loads(bytes) lets surrogates through, so UTF-8 is decoded first, strictly.
    text = str(payload, "utf-8")
    # Half a pair can't be printed, nor written to a file. One character is found in a tenth of the time.
    if "\\" in text and ("\\ud" in text or "\\uD" in text):
        text = _ESCAPES.sub(lambda found: r"\ufffd" if found[1] else found[0], text)
    try:
        value, end = _scan(text, 0)  # faster than json.loads(), which first skips white space
    except (StopIteration, json.JSONDecodeError):
        end = -1
    whole = end == len(text) or (end > 0 and not text[end:].strip(" \t\r\n"))
    return value if whole else json.loads(text)


try:
    import orjson
except ImportError:
    _load: _Loads = _loads
else:
    _DIGITS = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(256))
    _LONG = b"0" * 19  # an integer beyond 64 bits becomes a float in orjson, and stays an int in json
    _EVERY = 6  # look at each 6th byte first, in a third of the time: any _LONG has three of them

    def _load(payload: Any, loads: _Loads = orjson.loads) -> Any:
        payload = bytes(payload)
        zeros = payload[::_EVERY].translate(_DIGITS).rfind(b"000")  # not `in`, which takes twice as long
        if zeros >= 0 and _LONG in payload.translate(_DIGITS):
            return _loads(payload)
        try:
            return loads(payload)
        except ValueError:
            return _loads(payload)  # json is the reference: it raises its own error, or accepts


_KNOWN = re.compile(
    rb'\s*\{\s*"message"\s*:\s*"(?:(Add(?:Partial)?(?:Transcript|Translation))"'
    rb'|(AudioAdded)"\s*,\s*"seq_no"\s*:\s*(?:0|[1-9][0-9]{0,17})\s*\}\s*\Z)'
)


def peek(payload: bytes) -> Optional[str]:
    """Return the name of a transcript, translation or acknowledgement without decoding the payload.

    None if it may be something else. The reader needs only the name of these, the most frequent messages;
    they are decoded where they are handled. The name is taken only from the first key, where it can't be
    mistaken, and that of an acknowledgement only if it has no other keys than ``seq_no``.

    Example:
        >>> peek(b'{"message":"AddTranscript","results":[]}')
        'AddTranscript'
        >>> peek(b'{"message": "AudioAdded", "seq_no": 17}')
        'AudioAdded'
        >>> peek(b'{"results":[],"message":"AddTranscript"}')
    """
    found = _KNOWN.match(payload)
    return NAMES[found[found.lastindex or 0]] if found else None


def decode(payload: Union[bytes, bytearray, memoryview]) -> dict[str, Any]:
    """Turn the payload of a frame into a message. With orjson installed this is faster, with the same result.

    Half a surrogate pair, which JSON can escape and no text can hold, becomes U+FFFD.

    Raises:
        MessageError: It is not JSON, not an object, or has no string ``message``.
        UnicodeDecodeError: It is not UTF-8, for example because of surrogates.
        RecursionError, ValueError: It is nested too deeply, or has an integer of thousands of digits.

    Example:
        >>> decode(b'{"message": "AudioAdded", "seq_no": 17}')
        {'message': 'AudioAdded', 'seq_no': 17}
    """
    try:
        message = _load(payload)
    except json.JSONDecodeError as exc:
        raise MessageError(f"not JSON ({exc}): {str(bytes(payload[:60]))[:60]}") from exc
    if type(message) is not dict:
        raise MessageError(f"not a JSON object: {shown(message, 60)}")
    if type(message.get("message")) is not str:
        raise MessageError(f"an object without a string 'message': {shown(message, 60)}")
    return message
