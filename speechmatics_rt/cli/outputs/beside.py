"""What a JSON transcript has besides words: translations and sounds, if they were asked for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["Beside"]


class Beside:
    """Collects what was asked for, in the shape that the service gives transcripts of files.

    Args:
        asked: The options of the session.

    Example:
        >>> beside = Beside({"translation_config": ...})
        >>> beside.add({"message": "AddTranslation", "language": "fr", "results": [{"content": "Bonjour."}]})
        >>> beside.to_dict()
        {'translations': {'fr': [{'content': 'Bonjour.'}]}}
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self._parts: dict[str, Any] = {}
        if "translation_config" in asked:
            self._parts["translations"] = {}
        if "audio_events_config" in asked:
            self._parts["audio_events"] = []

    def add(self, message: Mapping[str, Any]) -> None:
        """Take a server message; all that is not beside the words is ignored."""
        kind = message["message"]
        if kind == "AddTranslation" and "translations" in self._parts:
            said = self._parts["translations"].setdefault(str(message.get("language")), [])
            said += message.get("results", [])
        elif kind in ("AudioEventStarted", "AudioEventEnded") and "audio_events" in self._parts:
            self._add_event(kind, message)

    def _add_event(self, kind: str, message: Mapping[str, Any]) -> None:
        event = dict(message.get("event", {}))
        if "channel" in message:
            event["channel"] = message["channel"]
        if kind == "AudioEventEnded":
            for begun in reversed(self._parts["audio_events"]):
                same = all(begun.get(key) == event.get(key) for key in ("type", "channel"))
                if same and "end_time" not in begun:
                    begun.update(event)
                    return
        self._parts["audio_events"].append(event)

    def to_dict(self) -> dict[str, Any]:
        """Give what there is, fit for JSON."""
        return self._parts
