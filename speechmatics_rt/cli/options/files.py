"""Reads the text files that are named on the command line, whatever editor has written them."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Optional

from ...exceptions import ConfigurationError

__all__ = ["Settings", "read_settings", "read_text"]


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


class Settings(NamedTuple):
    """What ``--config`` says, as it stands there."""

    transcription_config: dict[str, Any]
    audio_format: Optional[dict[str, Any]] = None
    translation_config: Optional[dict[str, Any]] = None
    audio_events_config: Optional[dict[str, Any]] = None


_KIND = {"message": "StartRecognition", "type": "transcription"}


def read_settings(path: str) -> Settings:
    """Read ``--config``: the fields of a transcription_config, alone or as a part of the whole.

    The whole is what the service's documentation prints (a StartRecognition message, the configuration of
    a job), and what the former command took, which had the others beside the fields.

    Raises:
        ConfigurationError: The file can't be read, or holds something else.
    """
    where = f"--config {path!r}"
    text = read_text("--config", path)
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{where} is not JSON: {exc}") from exc
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
