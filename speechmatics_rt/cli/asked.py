"""What ``speechmatics-rt transcribe`` is asked for: all that can be wrong in it is wrong here, before any I/O
but a look at the files."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional, Union

from ..audio import open_source
from ..config import AudioEventsConfig, AudioFormat, TranscriptionConfig, TranslationConfig
from ..exceptions import ConfigurationError

__all__ = ["Asked", "asked", "transcription_config"]


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
    ):
        if wrong:
            raise ConfigurationError(why)
    files = _channels(arguments.channel or [])
    options: dict[str, Any] = {
        "transcription_config": TranscriptionConfig.from_dict(
            transcription_config(arguments, channels=list(files))
        ),
        "audio_format": None,
        "speed": arguments.speed,
        "timeout": arguments.timeout,
    }
    if arguments.raw is not None:
        options["audio_format"] = AudioFormat(arguments.raw, arguments.sample_rate)
        options["audio_format"].check()
    if arguments.translate:
        options["translation_config"] = TranslationConfig(arguments.translate, arguments.partials)
    if arguments.audio_events:
        types = None if "all" in arguments.audio_events else arguments.audio_events
        options["audio_events_config"] = AudioEventsConfig(types)
    if files:
        durations = [_duration(file, options["audio_format"], label) for label, file in files.items()]
        return Asked({label: _source(file) for label, file in files.items()}, options, durations)
    source = _source(arguments.file)
    return Asked(source, options, [_duration(arguments.file, options["audio_format"])])


# -- the configuration -------------------------------------------------------------------------------------


def transcription_config(arguments: argparse.Namespace, *, channels: Sequence[str] = ()) -> dict[str, Any]:
    """Read ``--config`` and lay the options over it; inside of what is nested, too.

    Raises:
        ConfigurationError: The file can't be read, or holds no JSON object.
    """
    config = _read_config(arguments.config) if arguments.config is not None else {}
    if arguments.model is not None:
        config.pop("operating_point", None)  # the same setting by its former name
    for name in (
        "language",
        "model",
        "domain",
        "output_locale",
        "max_delay",
        "diarization",
        "enable_entities",
        "enable_partials",
        "additional_vocab",
        "speaker_diarization_config.max_speakers",
        "punctuation_overrides.permitted_marks",
        "conversation_config.end_of_utterance_silence_trigger",
    ):
        value = getattr(arguments, _OPTIONS.get(name, name))
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


_OPTIONS = {
    "enable_entities": "entities",
    "enable_partials": "partials",
    "additional_vocab": "vocab",
    "speaker_diarization_config.max_speakers": "max_speakers",
    "punctuation_overrides.permitted_marks": "punctuation",
    "conversation_config.end_of_utterance_silence_trigger": "end_of_utterance",
}


def _read_config(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except OSError as exc:
        raise ConfigurationError(f"can't read --config {path!r}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"--config {path!r} is no JSON: {exc}") from exc
    if not isinstance(config, dict):
        raise ConfigurationError(f"--config {path!r} holds {type(config).__name__}, not a JSON object")
    return config


# -- the audio ---------------------------------------------------------------------------------------------


def _channels(given: list[str]) -> dict[str, str]:
    """Read ``label=file`` as often as it stands there."""
    files: dict[str, str] = {}
    for text in given:
        label, equals, file = text.partition("=")
        if not equals or not label.strip() or not file:
            raise ConfigurationError(f"--channel {text!r}: write LABEL=FILE, as in left=left.wav")
        if label in files:
            raise ConfigurationError(f"--channel {text!r}: there is a channel {label!r} already")
        files[label] = file
    if list(files.values()).count("-") > 1:
        raise ConfigurationError("--channel: only one of them can be standard input")
    return files


def _source(file: str) -> Any:
    if file != "-":
        return file
    if sys.stdin is None or sys.stdin.isatty():
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
