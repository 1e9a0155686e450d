"""What is asked of the recordings: the same of all, but that only some have channels to split or to mix."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ...audio import count_channels, mix_channels, split_channels
from ...config import TranscriptionConfig
from ...exceptions import AudioError, ConfigurationError, SpeechmaticsError
from ..asked import said_format, session_options
from ..options import PROG, read_settings
from ..sources import labels_of
from .found import is_stream, shown
from .manifest import fingerprint

__all__ = ["AS_IT_IS", "RunOptions", "Failing"]

AS_IT_IS, SPLIT, MIX = "", "split", "mix"  # the ways in which a recording is heard

_FORMS = ("text", "json", "srt", "vtt", "tsv")


class RunOptions:
    """The options of a run, checked.

    Attributes:
        session: Those of each session; of a recording that is split, the library makes them those of its
            channels.
        option: The one that is for some recordings only, if it was given.

    Raises:
        ConfigurationError: They do not fit together, or one is wrong.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        for wrong, why in _contradictions(arguments):
            if wrong:
                raise ConfigurationError(why)
        self._labels = [] if arguments.split is None else labels_of(arguments.split)
        self._mix = bool(arguments.mix)
        self.option = "--split" if self._labels else "--mix" if self._mix else ""
        settings = read_settings(arguments.config)
        session = session_options(arguments, settings, ())
        if "audio_events_config" in session and "json" not in arguments.format:
            raise ConfigurationError(
                f"--audio-events and --format {','.join(arguments.format)}: of many recordings, json alone "
                "holds sounds; add json"
            )
        if self._labels:
            session["transcription_config"] = _of_one_channel(session["transcription_config"], self._labels)
        form = said_format(arguments, settings)
        session["audio_format"] = None if arguments.raw is None else form
        self.session = session
        self._marks = {way: _mark(arguments, session, way) for way in (AS_IT_IS, SPLIT, MIX)}

    def way(self, path: str) -> str:
        """Return how a recording is heard: ``--split`` and ``--mix`` are for WAVs of several channels."""
        if not self.option or is_stream(path):
            return AS_IT_IS
        channels = count_channels(path) or 0
        if channels > 1:
            return MIX if self._mix else SPLIT
        return SPLIT if channels == len(self._labels) == 1 else AS_IT_IS

    def mark(self, way: str) -> str:
        """Return the fingerprint of all options that a transcript depends on."""
        return self._marks[way]

    def source(self, path: str, way: str) -> Any:
        """Open a recording, or give what fails as it does when it is read."""
        if is_stream(path):
            return Failing(
                AudioError(
                    f"{shown(path)!r} is a pipe or a device, and no file, which can be read again; "
                    f"{PROG} transcribe takes it"
                )
            )
        if way == AS_IT_IS:
            return path
        try:
            return split_channels(path, self._labels) if way == SPLIT else mix_channels(path)
        except SpeechmaticsError as exc:
            return Failing(exc)


def _contradictions(arguments: argparse.Namespace) -> Iterator[tuple[bool, str]]:
    """List what can't be asked for together, and whether it is."""
    for form in arguments.format:
        yield form not in _FORMS, f"--format {form}: for many recordings, use {', '.join(_FORMS)}"
    yield (
        arguments.output == "-",
        "--output - is standard output, which takes no folder; name a folder, or transcribe one recording "
        f"with {PROG} transcribe",
    )
    several = arguments.split is not None or arguments.mix
    yield bool(several and arguments.raw), "--split and --mix are for WAVs, not --raw"
    together = (arguments.raw is None) == (arguments.sample_rate is None)
    yield not together, "--raw and --sample-rate go together"


def _of_one_channel(config: TranscriptionConfig, labels: list[str]) -> TranscriptionConfig:
    """Take the channels out of the config of ``--config``, for recordings that have but one."""
    named = config.channel_diarization_labels
    if named is not None and set(named) != set(labels):
        raise ConfigurationError(
            f"channel_diarization_labels of --config are {sorted(named)}, but --split {','.join(labels)}; "
            "leave them out of the file"
        )
    modes: dict[Any, Any] = {"channel": None, "channel_and_speaker": "speaker"}
    mode = modes.get(config.diarization, config.diarization)
    return replace(config, diarization=mode, channel_diarization_labels=None)


def _mark(arguments: argparse.Namespace, session: dict[str, Any], way: str) -> str:
    looks = (arguments.timestamps, arguments.caption_width, arguments.caption_lines)
    heard = (way, arguments.split if way == SPLIT else None, arguments.raw, arguments.sample_rate)
    names = ("transcription_config", "translation_config", "audio_events_config")
    configs = {name: session[name].to_dict() for name in names if name in session}
    offline = {"engine": arguments.engine or "whisper"} if arguments.local else {}
    return fingerprint({**configs, **offline, "looks": looks, "heard": heard})


class Failing:
    """A source that could not be opened: reading it raises the error."""

    def __init__(self, error: SpeechmaticsError) -> None:
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        raise self._error
