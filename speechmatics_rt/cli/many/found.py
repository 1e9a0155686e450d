"""Finds the recordings that were named, and names their transcripts."""

from __future__ import annotations

import collections
import os
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ...audio import meant_by
from ...exceptions import ConfigurationError
from ..options import PROG

__all__ = ["Found", "FoundRecording", "find_recordings", "folds_case", "is_stream", "named", "shown"]

# The formats that the service accepts, by the usual extensions.
_ENDINGS = {"aac", "amr", "flac", "m4a", "mka", "mov", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "opus"}
_ENDINGS |= {"wav", "wave", "webm"}
_HEADERLESS = {"f32", "f32le", "mulaw", "pcm", "raw", "s16", "s16le", "sln", "ul", "ulaw"}
# Other audio and video formats.
_OTHERS = {"3gp", "ac3", "aif", "aifc", "aiff", "alac", "alaw", "ape", "asf", "au", "avi", "caf", "dss"}
_OTHERS |= {"dts", "flv", "gsm", "m4b", "m4v", "mkv", "mp2", "ra", "rf64", "rm", "snd", "spx", "vox", "w64"}
_OTHERS |= {"wma", "wmv", "wv"}


_A_LOOK = 4096  # bytes


class FoundRecording(NamedTuple):
    """One recording.

    Attributes:
        stem: The name of its results without their endings, relative to ``--output``.
        name: Its own below the folder that was given: the stem, or what the stem lacks an extension of.
    """

    path: str
    stem: str
    name: str


class Found(NamedTuple):
    """The recordings; and messages about what was skipped, and how to include it."""

    recordings: list[FoundRecording]
    skipped: list[str]


def shown(name: str) -> str:
    """Make a name safe to print on one line of a terminal, whatever characters it has.

    Example:
        >>> shown("calls/a\\x1b[2J.wav")
        'calls/a\ufffd[2J.wav'
    """
    return "".join(character if character.isprintable() else "\ufffd" for character in name)


def is_stream(path: str) -> bool:
    """Whether what has that name can't be read twice, and perhaps is waited for without end."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # to open it says why
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def find_recordings(given: Sequence[str], output: str, *, headerless: bool = False) -> Found:
    """Find the recordings in folders, files, and ``-`` for names on standard input.

    Args:
        output: The folder of the results, which is not searched.
        headerless: Whether files of headerless samples count as recordings.

    Raises:
        ConfigurationError: A name does not exist, or there are no recordings.
    """
    names: dict[str, tuple[str, str]] = {}  # the path, and the name below the folder that was given
    others: dict[str, str] = {}  # other audio files in folders: the path, and the extension
    shut: list[str] = []
    wanted = _ENDINGS | _HEADERLESS if headerless else _ENDINGS
    for one in given:
        chosen = one == "-" or not os.path.isdir(one)  # named by the user, whatever its extension
        for path, name in _names_on_standard_input() if one == "-" else _below(one, output, shut):
            if chosen or _ending(name) in wanted:
                names.setdefault(os.path.abspath(path), (path, name))  # named twice, it counts once
            else:
                others[os.path.abspath(path)] = _ending(name)
    counts = collections.Counter(ending for path, ending in others.items() if path not in names)
    skipped = [_message(counts), *shut] if counts else shut
    if not names:
        raise ConfigurationError(
            "; ".join([f"no recordings found in {', '.join(map(repr, given))}", *skipped])
        )
    return Found(named(names.values(), folds=folds_case(output)), skipped)


def _message(counts: Mapping[str, int]) -> str:
    """Say which kinds of audio files were skipped, and how to include them.

    Example:
        >>> _message({"pcm": 2})
        'skipped in folders: .pcm (2); headerless samples need --raw and --sample-rate'
    """
    kinds = sorted(counts)
    others = [kind for kind in kinds if kind not in _HEADERLESS]
    ways = []
    if others:
        how = f"convert them, for example with 'ffmpeg -i NAME.{others[0]} NAME.wav'"
        ways.append(f"{how}, or name each file to send it as it is")
    if len(others) < len(kinds):
        ways.append("headerless samples need --raw and --sample-rate")
    named = ", ".join(f".{kind} ({counts[kind]})" for kind in kinds)
    return f"skipped in folders: {named}; {'; '.join(ways)}"


def named(names: Iterable[tuple[str, str]], *, folds: bool = False) -> list[FoundRecording]:
    """Name the results after the recordings, with their extensions where names differ in nothing else.

    On a file system that ``folds`` case, names that differ only in case are the same.

    Example:
        >>> [one.stem for one in named([("d/a.wav", "a.wav"), ("d/b.wav", "b.wav"), ("d/b.mp3", "b.mp3")])]
        ['a', 'b.wav', 'b.mp3']
    """
    names = list(names)
    stems = [os.path.splitext(name)[0] for _, name in names]
    same = str.casefold if folds else os.path.normcase
    counts = collections.Counter(map(same, stems))
    taken: dict[str, str] = {}
    recordings = []
    for (path, name), stem in zip(names, stems):
        unique = stem if counts[same(stem)] == 1 else name
        other = taken.setdefault(same(unique), path)
        if other != path:
            raise ConfigurationError(
                f"{other!r} and {path!r} would be written to the same place; name the folder they are both "
                "below, or transcribe them to folders of their own"
            )
        recordings.append(FoundRecording(path, unique, name))
    return recordings


def folds_case(folder: str) -> bool:
    """Whether names that differ only in case are the same in a folder, as on most Macs.

    Tries the name of the folder, or of the nearest one above it that exists.
    """
    folder = os.path.realpath(folder)
    while not os.path.exists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    above, name = os.path.split(folder)
    other = os.path.join(above, name.swapcase())
    return other != folder and os.path.exists(other) and os.path.samefile(other, folder)


def _ending(name: str) -> str:
    return os.path.splitext(name)[1][1:].lower()


def _below(given: str, output: str, shut: list[str]) -> Iterator[tuple[str, str]]:
    """Yield what looks like audio; messages about folders that are not entered go into ``shut``."""

    def unread(exc: OSError) -> None:
        shut.append(f"{exc.filename!r} can't be read: {exc.strerror or exc}")

    if not os.path.isdir(given):
        if not os.path.exists(given):
            meant = meant_by(given)
            raise ConfigurationError(f"there is no {given!r}{f'; {meant}' if meant else ''}")
        _refuse_list(given)
        yield given, os.path.basename(given)
        return
    results = os.path.realpath(output)
    for folder, folders, files in os.walk(given, onerror=unread):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(folder, name)) != results
        )
        for name in folders:
            path = os.path.join(folder, name)
            if os.path.islink(path):  # it may lead back here
                shut.append(f"{path!r} is a link to a folder and is not followed; name it to include it")
        for name in sorted(files):
            if not name.startswith(".") and _ending(name) in _ENDINGS | _HEADERLESS | _OTHERS:
                path = os.path.join(folder, name)
                # Reading a pipe or a socket could block for ever. A broken link is reported as a failure.
                if os.path.isfile(path) or not os.path.exists(path):
                    yield path, os.path.relpath(path, given)


def _refuse_list(path: str) -> None:
    """Refuse a file of names of recordings, and say how they are given."""
    if _ending(path) in _ENDINGS | _HEADERLESS | _OTHERS or not os.path.isfile(path):
        return
    try:
        with open(path, "rb") as file:
            names = [os.fsdecode(line.rstrip(b"\r")) for line in file.read(_A_LOOK).split(b"\n")]
    except OSError:  # as a recording it fails with the reason
        return
    folder = os.path.dirname(path)
    for where in dict.fromkeys(("", folder)):
        if any(os.path.isfile(os.path.join(where, name)) for name in names):
            there = f"cd {shlex.quote(where)} && " if where else ""
            name = shlex.quote(os.path.relpath(path, where) if where else path)
            raise ConfigurationError(
                f"{path!r} holds names of recordings, and is none; give the names on standard input: "
                f"{there}{PROG} transcribe-many - < {name}, and the other options"
            )


def _names_on_standard_input() -> Iterator[tuple[str, str]]:
    if sys.stdin is None or sys.stdin.closed:
        raise ConfigurationError("standard input is closed; pipe names in, or give a folder")
    if sys.stdin.isatty():
        raise ConfigurationError("standard input is a terminal; pipe names in, or give a folder")
    with open(sys.stdin.fileno(), "rb", closefd=False) as stream:
        data = stream.read()
    for line in data.split(b"\0" if b"\0" in data else b"\n"):
        name = os.fsdecode(line.rstrip(b"\r"))
        if name:
            yield name, _inside(name)


def _inside(name: str) -> str:
    """Turn a path into one below ``--output``; its folders are kept if they are below the current one.

    Example:
        >>> _inside("./calls/may/a.wav"), _inside("/srv/calls/a.wav"), _inside("../a.wav")
        ('calls/may/a.wav', 'a.wav', 'a.wav')
    """
    name = os.path.normpath(name)
    outside = os.path.isabs(name) or name.split(os.sep)[0] == os.pardir or bool(os.path.splitdrive(name)[0])
    return os.path.basename(name) if outside else name
