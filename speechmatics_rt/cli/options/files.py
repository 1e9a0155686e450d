"""Reads the text files that are named on the command line, whatever editor has written them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple, Optional

from ...exceptions import ConfigurationError

__all__ = ["Settings", "parse_json", "read_settings", "read_text"]


def read_text(option: str, path: str) -> str:
    """Read a file in UTF-8, or in what editors and shells of Windows make of it: with a mark, or UTF-16.

    Raises:
        ConfigurationError: It can't be read, or is no text.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as exc:
        raise ConfigurationError(f"can't read {option} {path!r}: {exc.strerror or exc}") from exc
    try:
        return data.decode(json.detect_encoding(data)).replace("\r\n", "\n")
    except ValueError as exc:
        raise ConfigurationError(
            f"{option} {path!r} is neither UTF-8 nor UTF-16 text; save it as UTF-8"
        ) from exc


def parse_json(text: str) -> Any:
    """Read JSON in which no key stands twice: of two values, one would be lost without a word.

    Raises:
        ValueError: A key does, and where; or it is no JSON.
        RecursionError: It is nested too deep.

    Example:
        >>> parse_json('{"a": [{"b": 1, "b": 2}]}')
        Traceback (most recent call last):
        ValueError: its a[0] has 'b' twice
    """
    twice: list[tuple[dict[str, Any], str]] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            keys = [key for key, _ in pairs]
            twice.append((value, next(key for key in keys if keys.count(key) > 1)))
        return value

    parsed = json.loads(text, object_pairs_hook=once)
    if twice:
        value, key = twice[-1]  # which is in no other that was lost
        place = next(place for place, found in _places(parsed) if found is value)
        raise ValueError(f"{f'its {place}' if place else 'it'} has {key!r} twice")
    return parsed


def _places(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Give all that is in it, with its place."""
    yield place, value
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _places(one, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _places(one, f"{place}[{number}]")


class Settings(NamedTuple):
    """What ``--config`` says, as it stands there."""

    transcription_config: dict[str, Any]
    audio_format: Optional[dict[str, Any]] = None
    translation_config: Optional[dict[str, Any]] = None
    audio_events_config: Optional[dict[str, Any]] = None


_KIND = {"message": "StartRecognition", "type": "transcription"}


def read_settings(path: Optional[str]) -> Settings:
    """Read ``--config``: the fields of a transcription_config, alone or as a part of the whole.

    The whole is what the service's documentation prints (a StartRecognition message, the configuration of
    a job), and what the former command took, which had the others beside the fields.

    Raises:
        ConfigurationError: The file can't be read, or holds something else.
    """
    if path is None:
        return Settings({})
    where = f"--config {path!r}"
    text = read_text("--config", path)
    try:
        given = parse_json(text)
    except (json.JSONDecodeError, RecursionError) as exc:
        raise ConfigurationError(f"{where} is not JSON: {exc}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"{where}: {exc}") from exc
    fields = _object(given, where)
    for key, kind in _KIND.items():
        if fields.pop(key, kind) != kind:
            raise ConfigurationError(f"{where}: its {key!r} is not {kind!r}, so it is another kind of file")
    parts = {
        key: _object(part, f"{where}: its {key!r}")
        for key in Settings._fields
        if (part := fields.pop(key, None)) is not None
    }
    parts["transcription_config"] = {**fields, **parts.get("transcription_config", {})}
    return Settings(**parts)


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} holds {_named(value)}, not a JSON object")
    return value


def _named(value: Any) -> str:
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
