"""What the preview model, melia-1, does not support yet. Pure.

The service documents which features are missing, and that their fields should be left out, but not what
happens to a session that has them. Here a field whose results would never come is refused, since a test that
waits for them can't pass with the service; a field that only tunes is ignored, with a Warning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

__all__ = ["heeded", "ignored", "is_preview", "lacking"]

_MODEL = "melia-1"
_IGNORED = ("max_delay", "max_delay_mode", "language_hints", "language_hints_strict")
_MISSING = {  # fields of the config, and what they would need; their values that ask for nothing pass
    "additional_vocab": "custom dictionary",
    "speaker_diarization_config": "speaker diarization",
    "enable_entities": "entities",
    "audio_filtering_config": "filtering of audio",
    "transcript_filtering_config": "filtering of words",
}


def is_preview(config: Mapping[str, Any]) -> bool:
    """Tell whether a ``transcription_config`` asks for the preview model, by either name of the field.

    Example:
        >>> is_preview({"language": "multi", "operating_point": "melia-1"}), is_preview({"language": "en"})
        (True, False)
    """
    return bool(config.get("model", config.get("operating_point")) == _MODEL)


def lacking(message: Mapping[str, Any]) -> Optional[str]:
    """Say what a StartRecognition or SetRecognitionConfig asks for that the preview doesn't have.

    Example:
        >>> lacking({"transcription_config": {"additional_vocab": ["Oslo"]}})
        'melia-1 has no custom dictionary yet: leave out additional_vocab'
    """
    config = message["transcription_config"]
    asked = {
        name: what for name, what in _MISSING.items() if name in config and config[name] not in ([], False)
    }
    if "speaker" in config.get("diarization", ""):
        asked["diarization"] = "speaker diarization"
    if config.get("conversation_config", {}).get("end_of_utterance_silence_trigger"):
        asked["conversation_config"] = "end of utterance"
    for name, what in (("translation_config", "translation"), ("audio_events_config", "audio events")):
        if name in message:
            asked[name] = what
    return next((f"{_MODEL} has no {what} yet: leave out {name}" for name, what in asked.items()), None)


def ignored(config: Mapping[str, Any]) -> list[str]:
    """Say which fields of a config the preview ignores."""
    return [f"{_MODEL} has no {name} yet; it is ignored" for name in _IGNORED if name in config]


def heeded(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the fields that the preview does not ignore."""
    return {name: value for name, value in config.items() if name not in _IGNORED}
