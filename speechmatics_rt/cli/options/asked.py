"""What ``speechmatics-rt transcribe`` is asked for: all that can be wrong in it is wrong here, before any I/O
but a look at the files."""

from __future__ import annotations

import argparse
import io
import os
import sys
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Optional, Union

from ...audio import open_source
from ...config import (
    AudioEventsConfig,
    AudioFormat,
    TranscriptionConfig,
    TranslationConfig,
)
from ...exceptions import ConfigurationError
from ..outputs.output import CAPTIONS
from ..shell import of_option
from .files import Settings, read_settings

__all__ = ["Asked", "asked"]


class Asked(NamedTuple):
    """A session to be had.

    Attributes:
        sources: The audio; of several channels a mapping by label.
        options: What ``Client.stream`` and ``MultiChannelClient.stream`` take besides.
        durations: Seconds of audio of each source, as far as they can be known before they are heard.
    """

    sources: Union[Any, dict[str, Any]]
    options: dict[str, Any]
    durations: list[Optional[float]]

    @property
    def channels(self) -> list[str]:
        return list(self.sources) if isinstance(self.sources, dict) else []


def asked(arguments: argparse.Namespace) -> Asked:
    """Turn the command line into a session.

    Raises:
        ConfigurationError: It does not fit together, or an option is wrong.
        AudioError: A file is missing, empty, or not what it is said to be.
    """
    for wrong, why in (
        ((arguments.raw is None) != (arguments.sample_rate is None), "--raw and --sample-rate go together"),
        (arguments.engine is not None and not arguments.local, "--engine goes with --local"),
        (arguments.local and arguments.api_key is not None, "--local needs no --api-key"),
        (arguments.drop_every is not None and not arguments.local, "--drop-every goes with --local"),
        (
            arguments.drop_every is not None
            and not arguments.drop_every >= 2,  # or nothing new is ever heard
            "--drop-every takes 2 seconds or more",
        ),
        (arguments.file is None and not arguments.channel, "name a FILE, or - for standard input"),
        (arguments.file is not None and arguments.channel, "name a FILE or --channel, not both"),
        (arguments.channel and arguments.diarization == "none", "--channel needs no --diarization none"),
    ):
        if wrong:
            raise ConfigurationError(why)
    files = _channels(arguments.channel or [])
    settings = Settings({}) if arguments.config is None else read_settings(arguments.config)
    options: dict[str, Any] = {
        **_recognition(arguments, settings, channels=list(files)),
        "speed": arguments.speed,
        "timeout": arguments.timeout,
    }
    _check_format(arguments.format, options)
    given = options["audio_format"] = _given_format(arguments, settings, list(files.values()))
    if files:
        durations = [_duration(file, given, label) for label, file in files.items()]
        return Asked({label: _source(file) for label, file in files.items()}, options, durations)
    return Asked(_source(arguments.file), options, [_duration(arguments.file, given)])


# -- the configuration -------------------------------------------------------------------------------------

_OPTIONS = {
    "language": "language",
    "model": "model",
    "domain": "domain",
    "output_locale": "output_locale",
    "max_delay": "max_delay",
    "diarization": "diarization",
    "enable_entities": "entities",
    "enable_partials": "partials",
    "additional_vocab": "vocab",
    "speaker_diarization_config.max_speakers": "max_speakers",
    "punctuation_overrides.permitted_marks": "punctuation",
    "conversation_config.end_of_utterance_silence_trigger": "end_of_utterance",
}
_OTHERS = {"target_languages": "translate", "encoding": "raw", "sample_rate": "sample_rate"}


def _recognition(
    arguments: argparse.Namespace, settings: Settings, *, channels: Sequence[str]
) -> dict[str, Any]:
    """Lay the options over ``--config``, inside of what is nested, too, and check the whole.

    Raises:
        ConfigurationError: A value is wrong; says by its option, or that it stands in the file.
    """
    translation, events = settings.translation_config, settings.audio_events_config
    if arguments.translate:
        translation = {**(translation or {}), "target_languages": arguments.translate}
    if arguments.partials and translation is not None:
        translation = {**translation, "enable_partials": True}
    if arguments.audio_events:
        events = {} if "all" in arguments.audio_events else {"types": arguments.audio_events}
    with _told_by_option(arguments), warnings.catch_warnings():
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


def _transcription_config(
    arguments: argparse.Namespace, given: Mapping[str, Any], channels: Sequence[str]
) -> dict[str, Any]:
    config = dict(given)
    if arguments.model is not None:
        config.pop("operating_point", None)  # the same setting by its former name
    for name, option in _OPTIONS.items():
        value = getattr(arguments, option)
        if value is None:
            continue
        if name == "punctuation_overrides.permitted_marks":
            value = list(value)
        outer, _, inner = name.rpartition(".")
        if outer:
            nested = config.get(outer)
            config[outer] = {**(nested if isinstance(nested, Mapping) else {}), inner: value}
        else:
            config[name] = value
    if channels and config.get("diarization") == "speaker":
        config.update(diarization="channel_and_speaker", channel_diarization_labels=list(channels))
    return config


@contextmanager
def _told_by_option(arguments: argparse.Namespace) -> Iterator[None]:
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
        why = _wrong_in(value)
        if why is not None and (field.startswith("additional_vocab") or why is _NO_TEXT):
            raise ConfigurationError(f"{field} is {value!r}; {why}")


def _check_format(form: str, options: Mapping[str, Any]) -> None:
    """Refuse a format that would drop what was asked for."""
    for part, option, what in (
        ("translation_config", "--translate", "translations"),
        ("audio_events_config", "--audio-events", "sounds"),
    ):
        if part in options and form in CAPTIONS:
            raise ConfigurationError(
                f"{option} and --format {form}: captions hold no {what}; take text, json or jsonl, "
                f"and --captions for a file of captions beside it"
            )


def _given_format(
    arguments: argparse.Namespace, settings: Settings, channels: Sequence[str]
) -> Optional[AudioFormat]:
    """Return what the audio is said to be, if it is, and does not say so itself."""
    form = settings.audio_format or {}
    if arguments.raw is not None:
        form = {"encoding": arguments.raw, "sample_rate": arguments.sample_rate}
    with _told_by_option(arguments):
        given = AudioFormat.from_dict(form)
    if given.encoding is None:
        return None
    if arguments.raw is None and any(_is_wav(file) for file in channels or [arguments.file]):
        return None  # --config may have been written for other audio
    return given


def _is_wav(file: str) -> bool:
    if file == "-" or not os.path.isfile(file):
        return False
    try:
        with open(file, "rb") as audio:
            head = audio.read(12)
    except OSError:
        return False  # who opens it to send it will say why
    return head[:4] == b"RIFF" and head[8:] == b"WAVE"


# -- the audio ---------------------------------------------------------------------------------------------


_NO_TEXT = "it is no text in UTF-8"


def _wrong_in(text: str) -> Optional[str]:
    """Say why a word or a name can't be one."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        return _NO_TEXT
    if not text.strip():
        return "it is blank"
    if any(unicodedata.category(character) == "Cc" for character in text):
        return "it holds a control character, such as a line end"
    return None


def _channels(given: list[str]) -> dict[str, str]:
    """Read ``label=file`` as often as it stands there."""
    files: dict[str, str] = {}
    for text in given:
        label, equals, file = text.partition("=")
        if not equals or not label.strip() or not file:
            raise ConfigurationError(f"--channel {text!r}: write LABEL=FILE, as in left=left.wav")
        if label in files:
            raise ConfigurationError(f"--channel {text!r}: there is a channel {label!r} already")
        why = _wrong_in(label)
        if why is not None:
            raise ConfigurationError(f"--channel: the label is {label!r}; {why}")
        files[label] = file
    if list(files.values()).count("-") > 1:
        raise ConfigurationError("--channel: only one of them can be standard input")
    return files


def _source(file: str) -> Any:
    if file != "-":
        return file
    if sys.stdin is None or sys.stdin.closed:
        raise ConfigurationError("standard input is closed; pipe audio in, or name a file")
    if sys.stdin.isatty():
        raise ConfigurationError("standard input is a terminal; pipe audio in, or name a file")
    # Not sys.stdin.buffer: a thread waiting in there holds a lock that the interpreter wants when it exits.
    return io.FileIO(sys.stdin.fileno(), "rb", closefd=False)


def _duration(
    file: str, audio_format: Optional[AudioFormat], channel: Optional[str] = None
) -> Optional[float]:
    """Find that a file can be read, and how long it sounds, if that can be known before it is heard."""
    if file == "-" or (os.path.exists(file) and not os.path.isfile(file)):
        return None  # a pipe gives what it has only once
    source = open_source(file, audio_format, channel=channel, may_be_empty=channel is not None)
    source.close()
    return source.duration if audio_format is None else source.seconds(os.path.getsize(file))
