"""The transcription config: the options of the command, over a file of settings."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..config import AudioEventsConfig, TranscriptionConfig, TranslationConfig
from ..exceptions import ConfigurationError
from .options import Settings, read_replacements, read_vocabulary
from .shell import of_option
from .sources import NO_TEXT, wrong_in

__all__ = ["recognition", "told_by_option"]

_OPTIONS = {
    "language": "language",
    "model": "model",
    "domain": "domain",
    "output_locale": "output_locale",
    "operating_point": "operating_point",
    "max_delay": "max_delay",
    "max_delay_mode": "max_delay_mode",
    "diarization": "diarization",
    "enable_entities": "entities",
    "enable_partials": "partials",
    "additional_vocab": "vocab",
    "audio_filtering_config.volume_threshold": "volume_threshold",
    "transcript_filtering_config.remove_disfluencies": "remove_disfluencies",
    "transcript_filtering_config.replacements": "replace",
    "speaker_diarization_config.max_speakers": "max_speakers",
    "speaker_diarization_config.speaker_sensitivity": "speaker_sensitivity",
    "speaker_diarization_config.prefer_current_speaker": "prefer_current_speaker",
    "punctuation_overrides.permitted_marks": "punctuation",
    "punctuation_overrides.sensitivity": "punctuation_sensitivity",
    "conversation_config.end_of_utterance_silence_trigger": "end_of_utterance",
}
_OF_SPEAKERS = ("max_speakers", "speaker_sensitivity", "prefer_current_speaker")
_TELLS_SPEAKERS = ("speaker", "channel_and_speaker")  # values of diarization
_OTHERS = {"target_languages": "translate", "encoding": "raw", "sample_rate": "sample_rate"}


def recognition(
    arguments: argparse.Namespace, settings: Settings, *, channels: Sequence[str]
) -> dict[str, Any]:
    """Lay the options over ``--config``, inside of what is nested, too, and check the whole.

    Raises:
        ConfigurationError: A value is wrong; says by its option, or that it stands in the file. Or an option
            would have no effect.
    """
    _check_speakers(arguments, settings)
    translation, events = settings.translation_config, settings.audio_events_config
    if arguments.translate:
        translation = {**(translation or {}), "target_languages": arguments.translate}
    if arguments.partials and translation is not None:
        translation = {**translation, "enable_partials": True}
    if arguments.audio_events:
        events = {} if "all" in arguments.audio_events else {"types": arguments.audio_events}
    with told_by_option(arguments), warnings.catch_warnings():
        # A former name is taken as it is: older containers know no other.
        warnings.simplefilter("ignore", DeprecationWarning)
        options: dict[str, Any] = {
            "transcription_config": TranscriptionConfig.from_dict(
                _transcription_config(arguments, settings.transcription_config, channels)
            )
        }
        if translation is not None:
            options["translation_config"] = TranslationConfig.from_dict(translation)
        if events is not None:
            options["audio_events_config"] = AudioEventsConfig.from_dict(events)
        for part in options.values():
            _check_text(part.to_dict())
    return options


def _check_speakers(arguments: argparse.Namespace, settings: Settings) -> None:
    if (arguments.diarization or settings.transcription_config.get("diarization")) in _TELLS_SPEAKERS:
        return
    for option in _OF_SPEAKERS:
        if getattr(arguments, option) is not None:
            raise ConfigurationError(f"--{option.replace('_', '-')} goes with --diarization speaker")


def _transcription_config(
    arguments: argparse.Namespace, given: Mapping[str, Any], channels: Sequence[str]
) -> dict[str, Any]:
    config = dict(given)
    if arguments.model is not None or arguments.operating_point is not None:
        for name in ("model", "operating_point"):  # two names of one setting
            config.pop(name, None)
    for name, option in _OPTIONS.items():
        value = _value(arguments, option)
        if value is None:
            continue
        if name == "punctuation_overrides.permitted_marks":
            value = ["all"] if value == "all" else [mark for mark in value if not mark.isspace()]
        outer, _, inner = name.rpartition(".")
        if outer:
            nested = config.get(outer)
            config[outer] = {**(nested if isinstance(nested, Mapping) else {}), inner: value}
        else:
            config[name] = value
    if channels and config.get("diarization") == "speaker":
        config.update(diarization="channel_and_speaker", channel_diarization_labels=list(channels))
    return config


def _value(arguments: argparse.Namespace, option: str) -> Any:
    """Return what an option says, with what its file holds."""
    value = getattr(arguments, option)
    file = getattr(arguments, f"{option}_file", None)
    if file is None:
        return value
    read = read_vocabulary if option == "vocab" else read_replacements
    return [*(value or []), *read(file)]


@contextmanager
def told_by_option(arguments: argparse.Namespace) -> Iterator[None]:
    """Have an error name the option at fault, or the file."""
    given = {
        field: "--" + option.replace("_", "-")
        for field, option in {**_OPTIONS, **_OTHERS}.items()
        if getattr(arguments, option) is not None
    }
    where = "" if arguments.config is None else f"--config {arguments.config!r}"
    try:
        yield
    except ConfigurationError as exc:
        raise ConfigurationError(of_option(exc.text, given, where)) from exc


def _check_text(value: Any, field: str = "") -> None:
    """Refuse text that can't be sent, or that nobody can have meant."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            _check_text(part, f"{field}.{key}" if field else str(key))
    elif isinstance(value, list):
        for part in value:
            _check_text(part, field)
    elif isinstance(value, str):
        why = wrong_in(value)
        if why is not None and (field.startswith("additional_vocab") or why is NO_TEXT):
            raise ConfigurationError(f"{field} is {value!r}; {why}")
