"""``--version``: the version of the package, and the optional parts that are installed."""

from __future__ import annotations

import argparse
import platform
import sys
from typing import Any, NamedTuple, Optional

from ..._version import __version__

__all__ = ["Part", "Version", "installed_parts", "version_text"]

# What it is for, the distribution, its module, and our extra.
_PARTS = (
    ("connections", "websocket-client", "websocket", ""),
    ("fast decoding", "orjson", "orjson", "fast"),
    ("microphone", "sounddevice", "sounddevice", "mic"),
    ("proxies", "python-socks", "python_socks", "proxy"),
    ("temporary keys", "pyjwt", "jwt", "jwt"),
    ("local server", "wsproto", "wsproto", "server"),
    ("recogniser", "ctranslate2", "ctranslate2", "local"),
    ("its mp3, m4a, ...", "av", "av", "local-file"),
)


class Part(NamedTuple):
    """A package that does something for us; ``version`` is None if it is not installed."""

    what: str
    name: str
    extra: str
    version: Optional[str]


def installed_parts() -> list[Part]:
    """Look which are installed."""
    return [Part(what, name, extra, _version_of(name, module)) for what, name, module, extra in _PARTS]


def version_text(prog: str) -> str:
    """Write them, a line a part; the first line is for programs."""
    width = max(len(what) for what, *_ in _PARTS)
    lines = [f"{prog} {__version__}", f"  {'Python':<{width}}  {platform.python_version()}"]
    for what, name, extra, found in installed_parts():
        if found is None:
            state = f"missing: pip install 'speechmatics-rt-sync[{extra}]'" if extra else "missing"
        else:
            state = f"{name} {found}{_portaudio() if extra == 'mic' else ''}"
        lines.append(f"  {what:<{width}}  {state}")
    return "\n".join(lines) + "\n"


def _version_of(name: str, module: str) -> Optional[str]:
    from importlib.metadata import PackageNotFoundError, version
    from importlib.util import find_spec

    try:
        return version(name)
    except PackageNotFoundError:  # in a program made by PyInstaller or zipapp, metadata may be left out
        return "of unknown version" if find_spec(module) is not None else None


def _portaudio() -> str:
    """Say whether the library is there that the package for the microphone needs; other wheels bring it."""
    from ctypes.util import find_library

    if sys.platform == "linux" and find_library("portaudio") is None:
        return ", but no PortAudio: apt install libportaudio2"
    return ", with PortAudio"


class Version(argparse.Action):
    """Print it, and leave."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        parser._print_message(version_text(parser.prog), sys.stdout)
        parser.exit()
