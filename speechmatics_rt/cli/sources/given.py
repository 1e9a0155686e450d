"""The audio that was named: what it is, how long it lasts, and how to open it."""

from __future__ import annotations

import argparse
import io
import os
import sys
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Optional

from ...audio import mix_channels, open_source, split_channels
from ...config import AudioFormat
from ...exceptions import ConfigurationError
from ..outputs import WavFile
from .microphone import MicrophoneInput, find_device

__all__ = ["MICROPHONE", "NO_TEXT", "Given", "channels_of", "check_label", "given", "labels_of", "wrong_in"]

MICROPHONE = "mic"  # a file of that name is ./mic
NO_TEXT = "it is not UTF-8 text"


class Given(NamedTuple):
    """Audio to transcribe.

    Attributes:
        open: Gives the source; of several channels a mapping by label.
        durations: Seconds of each source, as far as they are known before the session.
        channels: Their labels, if there are several.
        audio_format: What the audio is, if it does not say so itself.
        recording: The microphone, if it is one. It has to be started, and says its format then.
        awaited: The sources that may have nothing to give yet, as pipes do.
    """

    open: Callable[[], Any]
    durations: list[Optional[float]]
    channels: list[str]
    audio_format: Optional[AudioFormat] = None
    recording: Optional[MicrophoneInput] = None
    awaited: tuple[str, ...] = ()


def given(
    arguments: argparse.Namespace,
    channels: Mapping[str, str],
    labels: list[str],
    form: AudioFormat,
    saved: Optional[WavFile],
) -> Given:
    """Look at what was named, and open nothing that can be read only once.

    Args:
        channels: The files of ``--channel``, by label.
        labels: Those of ``--split``, if there are any.
        form: What the audio is said to be.
        saved: Where a microphone's audio is to be kept.

    Raises:
        ConfigurationError: It can't be a source.
        AudioError: A file is missing, empty, or not what it is said to be.
    """
    if arguments.file == MICROPHONE:
        device = find_device(arguments.device)
        recording = MicrophoneInput(device, arguments.sample_rate, saved)
        return Given(lambda: recording, [None], [], None, recording)
    if labels:
        return _split(arguments.file, labels)
    if arguments.mix:
        return _mixed(arguments.file)
    said = _said(arguments, form, list(channels.values()))
    if MICROPHONE in channels.values():
        return _beside_microphone(arguments, channels, said, saved)
    if channels:
        durations = [_duration(file, said, label) for label, file in channels.items()]
        sources = {label: _source(file) for label, file in channels.items()}
        awaited = _awaited(*channels.values())
        return Given(lambda: sources, durations, list(channels), said, None, awaited)
    source = _source(arguments.file)
    durations = [_duration(arguments.file, said)]
    return Given(lambda: source, durations, [], said, None, _awaited(arguments.file))


def _beside_microphone(
    arguments: argparse.Namespace,
    channels: Mapping[str, str],
    said: Optional[AudioFormat],
    saved: Optional[WavFile],
) -> Given:
    """Let one channel be the microphone, which records as the others are: channels share one format."""
    durations = [
        None if file == MICROPHONE else _duration(file, said, label) for label, file in channels.items()
    ]
    files = [file for file in channels.values() if file != MICROPHONE]
    rate = arguments.sample_rate or next(filter(None, map(_rate, files)), None)
    recording = MicrophoneInput(find_device(arguments.device), rate, saved)

    def sources() -> dict[str, Any]:
        return {
            label: open_source(recording, recording.audio_format, channel=label)
            if file == MICROPHONE
            else _source(file)
            for label, file in channels.items()
        }

    return Given(sources, durations, list(channels), said, recording)


def _rate(file: str) -> Optional[int]:
    """Return the samples a second of a WAV."""
    if not _is_wav(file):
        return None
    source = open_source(file, may_be_empty=True)
    source.close()
    return source.audio_format.sample_rate if source.audio_format.encoding else None


def _split(file: str, labels: list[str]) -> Given:
    """Make channels of one recording."""
    if _is_stream(file):
        source = _source(file)
        durations: list[Optional[float]] = [None] * len(labels)
        return Given(lambda: split_channels(source, labels), durations, labels, None, None, _awaited(file))
    opened = split_channels(file, labels)
    for source in opened.values():
        source.close()
    durations = [source.duration for source in opened.values()]
    return Given(lambda: split_channels(file, labels), durations, labels)


def _mixed(file: str) -> Given:
    """Make one channel of all."""
    if _is_stream(file):
        source = _source(file)
        return Given(lambda: mix_channels(source), [None], [], None, None, _awaited(file))
    opened = mix_channels(file)
    opened.close()
    return Given(lambda: mix_channels(file), [opened.duration], [])


def labels_of(text: str) -> list[str]:
    """Read the labels of ``--split``.

    Raises:
        ConfigurationError: One is no label, or stands there twice.
    """
    labels = [label.strip() for label in text.split(",")]
    for label in labels:
        check_label("--split", label)
    if len(set(labels)) < len(labels):
        raise ConfigurationError(f"--split {text!r}: each channel needs a label of its own")
    return labels


def channels_of(texts: list[str]) -> dict[str, str]:
    """Read ``label=file`` as often as it stands there.

    Raises:
        ConfigurationError: One of them is something else.
    """
    files: dict[str, str] = {}
    for text in texts:
        label, equals, file = text.partition("=")
        if not equals or not label.strip() or not file:
            raise ConfigurationError(f"--channel {text!r}: write LABEL=FILE, as in left=left.wav")
        if label in files:
            raise ConfigurationError(f"--channel {text!r}: there already is a channel {label!r}")
        check_label("--channel", label)
        files[label] = file
    for name, what in (("-", "standard input"), (MICROPHONE, "the microphone")):
        if list(files.values()).count(name) > 1:
            raise ConfigurationError(f"--channel: only one of them can be {what}")
    return files


def check_label(option: str, label: str) -> None:
    why = wrong_in(label)
    if why is not None:
        raise ConfigurationError(f"{option}: the label is {label!r}; {why}")


def wrong_in(text: str) -> Optional[str]:
    """Say why a word or a name can't be one."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        return NO_TEXT
    if not text.strip():
        return "it is blank"
    if any(unicodedata.category(character) == "Cc" for character in text):
        return "it holds a control character, such as a line end"
    return None


def _said(arguments: argparse.Namespace, form: AudioFormat, channels: list[str]) -> Optional[AudioFormat]:
    """Return what the audio is said to be, if it is, and does not say so itself."""
    if form.encoding is None:
        return None
    if arguments.raw is None and any(_is_wav(file) for file in channels or [arguments.file]):
        return None  # --config may have been written for other audio
    return form


def _is_stream(file: str) -> bool:
    return file == "-" or (os.path.exists(file) and not os.path.isfile(file))


def _awaited(*files: str) -> tuple[str, ...]:
    return tuple("standard input" if file == "-" else repr(file) for file in files if _is_stream(file))


def _is_wav(file: str) -> bool:
    if file == "-" or not os.path.isfile(file):
        return False
    try:
        with open(file, "rb") as audio:
            head = audio.read(12)
    except OSError:
        return False  # who opens it to send it will say why
    return head[:4] == b"RIFF" and head[8:] == b"WAVE"


def _source(file: str) -> Any:
    if file != "-":
        return file
    if sys.stdin is None or sys.stdin.closed:
        raise ConfigurationError("standard input is closed; pipe audio in, or name a file")
    if sys.stdin.isatty():
        raise ConfigurationError("standard input is a terminal; pipe audio in, name a file, or mic")
    # Not sys.stdin.buffer: a thread waiting in there holds a lock that the interpreter wants when it exits.
    return io.FileIO(sys.stdin.fileno(), "rb", closefd=False)


def _duration(
    file: str, audio_format: Optional[AudioFormat], channel: Optional[str] = None
) -> Optional[float]:
    """Check that a file can be read, and return its duration, if that is known before the session."""
    if _is_stream(file):
        return None  # a pipe gives what it has only once
    source = open_source(file, audio_format, channel=channel, may_be_empty=channel is not None)
    source.close()
    return source.duration
