"""What the service documents of its messages, as JSON Schema, and checks of sessions against it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Callable

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from speechmatics_rt.local import LocalServer, SessionRecord

try:
    import jsonschema_rs
except ImportError:  # no wheel for this machine: all is left to jsonschema, which takes forty times as long
    jsonschema_rs = None

__all__ = ["check_client", "check_record", "check_server", "check_sessions"]

_HERE = Path(__file__).parent
_FORMATS = FormatChecker(["uuid"])


def check_server(message: Mapping[str, Any], *, preview: bool = False) -> None:
    """Fail if the service documents no such message.

    Args:
        message: What the server said.
        preview: The session's model is melia-1, which gives no confidence.
    """
    _check("preview" if preview else "server", message)


def check_client(message: Mapping[str, Any]) -> None:
    """Fail if the service documents no such message of a client."""
    _check("client", message)


def check_record(record: SessionRecord, *, strange: bool = False) -> None:
    """Fail unless both sides of a session kept to the schemas.

    Args:
        record: The session, as the local server wrote it down.
        strange: The server was made to say strange things; only the client is checked.

    A message of the client's that breaks them is in order if the server refused it with an Error.
    """
    config = (record.start or {}).get("transcription_config") or {}
    preview = "melia-1" in (config.get("model"), config.get("operating_point"))
    for message in _first([] if strange else record.sent):
        check_server(message, preview=preview)
    refused = any(error["type"] in _REFUSALS for error in record.said("Error"))
    for message in _first(record.messages):
        try:
            _check_recorded(message)
        except AssertionError:
            if not refused:
                raise


def check_sessions(server: LocalServer) -> None:
    """Fail unless all sessions of a local server kept to the schemas; a fault may have it say anything."""
    for record in server.sessions:
        kinds = {fault.kind for fault in server.faults if fault.applies(record.index)}
        check_record(record, strange=not kinds.isdisjoint(_STRANGE))


# The kinds of faults that say what the service would not.
_STRANGE = frozenset(["message", "unknown", "unknown_field", "info", "warning", "double_start"])
_REFUSALS = frozenset(
    [
        "invalid_message",
        "invalid_config",
        "invalid_language",
        "invalid_model",
        "invalid_audio_type",
        "protocol_error",
    ]
)
_MOST = 300  # messages of a kind in a session that are checked; one takes up to half a millisecond


def _first(messages: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the first messages of each kind, in order."""
    seen: Counter[Any] = Counter()
    for message in list(messages):
        seen[message.get("message")] += 1
        if seen[message.get("message")] <= _MOST:
            yield message


def _check_recorded(message: Mapping[str, Any]) -> None:
    """Check a client's message as it stands in the record, where a size is in the place of audio."""
    if message.get("message") == "AddAudio":
        assert message.keys() == {"message", "size"}
    elif message.get("message") == "AddChannelAudio":
        check_client({**{key: value for key, value in message.items() if key != "size"}, "data": ""})
    else:
        check_client(message)


def _check(side: str, message: Mapping[str, Any]) -> None:
    _check_text(side, json.dumps(message))


@cache  # sessions are much alike: most messages have been checked before
def _check_text(side: str, text: str) -> None:
    message = json.loads(text)
    kind = message.get("message")
    if not isinstance(kind, str) or kind not in _definitions(side):
        raise AssertionError(f"no message ({side}) is called {kind!r}: {message}")
    if _quick(side, kind)(message):
        return
    error = best_match(_validator(side, kind).iter_errors(message))
    if error is not None:
        raise AssertionError(f"{kind} breaks its schema at {error.json_path}: {error.message}")


@cache
def _quick(side: str, kind: str) -> Callable[[Any], bool]:
    """Return what says of a message that it keeps to its schema, or that :func:`_validator` is to look."""
    if jsonschema_rs is None:
        return lambda _: False
    validator = jsonschema_rs.Draft202012Validator(_definitions(side)[kind], validate_formats=True)

    def found(message: Any) -> bool:
        try:
            return bool(validator.is_valid(message))
        except ValueError:  # the last version for Python 3.9 knows no numbers of hundreds of digits
            return False

    return found


@cache
def _validator(side: str, kind: str) -> Draft202012Validator:
    """Return what has the last word on a kind of message, and says what is wrong."""
    return Draft202012Validator(_definitions(side)[kind], format_checker=_FORMATS)


@cache
def _definitions(side: str) -> dict[str, Any]:
    """Return the schema of each message: the definitions whose names begin with a capital."""
    name = "client" if side == "client" else "server"
    schema = json.loads((_HERE / f"{name}.json").read_text(encoding="utf-8"))
    if side == "preview":
        schema["$defs"]["alternatives"]["items"]["required"] = ["content"]
    definitions = schema["$defs"]
    return {name: _whole(part, definitions) for name, part in definitions.items() if name[0].isupper()}


def _whole(part: Any, definitions: Mapping[str, Any]) -> Any:
    """Put each definition in the place of its reference: to look them up takes half of the time."""
    if isinstance(part, list):
        return [_whole(item, definitions) for item in part]
    if not isinstance(part, dict):
        return part
    rest = {key: _whole(value, definitions) for key, value in part.items() if key != "$ref"}
    if "$ref" not in part:
        return rest
    there = _whole(definitions[part["$ref"].removeprefix("#/$defs/")], definitions)
    return {**rest, "allOf": [*rest.get("allOf", []), there]} if rest else there
