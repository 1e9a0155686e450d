"""What ``speechmatics-rt transcribe`` is asked for: all that can be wrong in it is wrong here, before any I/O
but a look at the files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ..config import AudioFormat, header_line
from ..exceptions import ConfigurationError
from .options import Settings, form_of, read_settings
from .outputs import WORDS_ALONE, Place, WavFile, places_in
from .recognition import recognition, told_by_option
from .sources import MICROPHONE, Given, channels_of, given, labels_of

__all__ = ["Asked", "asked", "said_format", "session_options", "settings_read"]


class Asked(NamedTuple):
    """A session to run.

    Attributes:
        audio: What to transcribe.
        options: More arguments of ``Client.stream`` and ``MultiChannelClient.stream``.
        documents: The forms of the transcript, and where each goes.
    """

    audio: Given
    options: dict[str, Any]
    documents: list[tuple[str, Place]]

    @property
    def languages(self) -> list[str]:
        """Those it is translated into."""
        translation = self.options.get("translation_config")
        return [] if translation is None else list(translation.target_languages)


def asked(arguments: argparse.Namespace, saved: Optional[WavFile] = None) -> Asked:
    """Turn the command line into a session.

    Args:
        saved: Where ``--save`` keeps the audio of a microphone.

    Raises:
        ConfigurationError: It does not fit together, or an option is wrong.
        AudioError: A file is missing, empty, or not what it is said to be.
    """
    for wrong, why in _contradictions(arguments):
        if wrong:
            raise ConfigurationError(why)
    channels = channels_of(arguments.channel or [])
    labels = [] if arguments.split is None else labels_of(arguments.split)
    settings = read_settings(arguments.config)
    options = session_options(arguments, settings, list(channels) or labels)
    documents = _documents(arguments, channels or labels)
    _check_forms(documents, options)
    audio = given(arguments, channels, labels, said_format(arguments, settings), saved)
    return Asked(audio, {**options, "audio_format": audio.audio_format}, documents)


def session_options(
    arguments: argparse.Namespace, settings: Settings, channels: Sequence[str]
) -> dict[str, Any]:
    """Turn what is asked of the service into the options of a call.

    Raises:
        ConfigurationError: It does not fit together, or an option is wrong.
    """
    for wrong, why in _contradictions_of_any(arguments):
        if wrong:
            raise ConfigurationError(why)
    return {
        **recognition(arguments, settings, channels=channels),
        "speed": arguments.speed,
        "timeout": arguments.timeout,
        "ws_headers": _headers(arguments.header or []),
    }


def _contradictions(arguments: argparse.Namespace) -> Iterator[tuple[bool, str]]:
    """List what can't be asked for together, and whether it is."""
    recorded = arguments.file == MICROPHONE
    for option in ("raw", "speed", "split", "mix"):
        yield (
            getattr(arguments, option) not in (None, False) and recorded,
            f"a microphone takes no --{option}",
        )
    channels = [each.partition("=")[2] for each in arguments.channel or []]
    nowhere = not recorded and MICROPHONE not in channels
    for option in ("device", "save"):
        given = getattr(arguments, option) is not None
        yield given and nowhere, f"--{option} goes with {MICROPHONE}, the microphone"
    for option in ("split", "mix"):
        given = getattr(arguments, option) not in (None, False)
        yield given and arguments.file is None, f"--{option} goes with FILE, a WAV of several channels"
        yield given and arguments.raw is not None, f"--{option} takes a WAV, not --raw"
    raw, rate = arguments.raw is not None, arguments.sample_rate is not None
    yield raw != rate and not recorded, "--raw and --sample-rate go together"
    unnamed = arguments.file is None and not arguments.channel
    yield unnamed, "name a FILE, - for standard input, or mic for the microphone"
    yield bool(arguments.file is not None and arguments.channel), "name a FILE or --channel, not both"
    only = arguments.diarization == "none"
    yield bool(arguments.channel) and only, "--channel needs no --diarization none"


def _contradictions_of_any(arguments: argparse.Namespace) -> Iterator[tuple[bool, str]]:
    """List what can be asked for together neither of one recording nor of many."""
    split = arguments.split is not None
    yield split and arguments.mix, "use --split or --mix, not both"
    yield split and arguments.diarization == "none", "--split needs no --diarization none"
    yield arguments.engine is not None and not arguments.local, "--engine goes with --local"
    insecure = arguments.ssl_mode == "insecure"
    yield arguments.local and insecure, "--local needs no --ssl-mode"
    yield arguments.local and arguments.temporary_key, "--local needs no --temporary-key"
    # Anybody in between could read the key itself.
    yield insecure and arguments.temporary_key, "--temporary-key takes no --ssl-mode insecure"
    two = arguments.model is not None and arguments.operating_point is not None
    yield two, "use --model or --operating-point, its former name, not both"
    yield arguments.local and arguments.api_key is not None, "--local needs no --api-key"
    drops = arguments.drop_every is not None
    yield drops and not arguments.local, "--drop-every goes with --local"
    # Or nothing new is ever heard.
    yield drops and not arguments.drop_every >= 2, "--drop-every takes 2 seconds or more"


def _headers(texts: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` as often as it stands there."""
    headers: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError(f"--header {text!r}: write NAME=VALUE")
        header_line(name, value)
        if name.casefold() in map(str.casefold, headers):
            raise ConfigurationError(f"--header {name!r} is given twice")
        headers[name] = value
    return headers


def _documents(arguments: argparse.Namespace, labels: Iterable[str]) -> list[tuple[str, Place]]:
    """Say what goes where: one form to stdout or to ``-o``, any number into ``--output-dir``."""
    forms: list[str] = arguments.format or [form_of(arguments.output or "") or "text"]
    if arguments.output_dir is not None:
        if arguments.output is not None:
            raise ConfigurationError("use -o or --output-dir, not both")
        places = places_in(arguments.output_dir, _stem(arguments.file, labels), forms)
        return list(places.items())
    if len(forms) > 1:
        raise ConfigurationError("several formats need --output-dir")
    if arguments.output is None:
        return [(forms[0], Place("standard output", "", 1))]
    return [(forms[0], Place.of("-o", arguments.output, standard=1))]


def _stem(file: Optional[str], labels: Iterable[str]) -> str:
    """Name the output files after the audio."""
    if file is None:
        return "-".join(labels).replace("/", "_").replace(os.sep, "_")
    if file == "-":
        return "stdin"
    return os.path.splitext(os.path.basename(file))[0]


def _check_forms(documents: Sequence[tuple[str, Place]], options: Mapping[str, Any]) -> None:
    """Refuse a form that would drop what was asked for, if no other one holds it."""
    forms = [form for form, _ in documents]
    if not all(form in WORDS_ALONE for form in forms):
        return
    if "translation_config" in options and documents[0][1].descriptor is not None:
        raise ConfigurationError(
            f"--translate and --format {forms[0]}: each language goes to a file of its own; name the first "
            "with -o, or their folder with --output-dir; or take text, json or jsonl"
        )
    if "audio_events_config" in options:
        raise ConfigurationError(
            f"--audio-events and --format {','.join(forms)}: it holds no sounds; take text, json or jsonl "
            "(and --captions for a file of captions beside it)"
        )


def said_format(arguments: argparse.Namespace, settings: Settings) -> AudioFormat:
    """Return what the audio is said to be."""
    form = settings.audio_format or {}
    if arguments.raw is not None:
        form = {"encoding": arguments.raw, "sample_rate": arguments.sample_rate}
    with told_by_option(arguments):
        return AudioFormat.from_dict(form)


def settings_read(arguments: argparse.Namespace) -> list[Place]:
    """List the files that options are read from, which must not be written over."""
    read = (
        ("--config", arguments.config),
        ("--vocab-file", arguments.vocab_file),
        ("--replace-file", arguments.replace_file),
    )
    return [Place.of(option, name, standard=0) for option, name in read if name is not None]
