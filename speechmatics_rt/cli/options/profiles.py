"""Profiles: options from ``~/.config/speechmatics-rt/config.toml``, with a table for each profile.

They are parsed by the parser of the command itself, so they are checked, and errors reported, like options.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ...exceptions import ConfigurationError
from .files import read_text

__all__ = ["add_profile", "arguments_of", "config_path", "fitting", "is_exposed", "read_profile", "requested"]

_DEFAULT = "default"
_OTHERS_MAY_READ = 0o077
_SECRET = ("api-key", "auth-token", "header")

# An option of a profile, and what leaves it no place on a command line where it is typed.
_GIVES_WAY = {
    "output": ("output_dir",),
    "output_dir": ("output",),
    "split": ("mix", "channel", "raw"),
    "mix": ("split", "channel", "raw"),
    "raw": ("split", "mix"),
    "model": ("operating_point",),
    "operating_point": ("model",),
    "url": ("local",),
    "api_key": ("local",),
    "temporary_key": ("local",),
    "ssl_mode": ("local", "temporary_key"),
    "local": ("url", "api_key", "temporary_key"),
    "quiet": ("verbose",),
    "verbose": ("quiet",),
}


def add_profile(group: argparse._ActionsContainer, *, help: str) -> None:
    """Add what is taken of a profile."""
    group.add_argument("--profile", metavar="NAME", help=help)
    group.add_argument(
        "--without",
        action=_Without,
        metavar="OPTION",
        help="leave this option of the profile out (or these: partials,translate); repeatable",
    )


class _Without(argparse.Action):
    """Collect what options set, by their names."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        left_out = list(getattr(namespace, self.dest) or [])
        for name in values.split(","):
            known = parser._option_string_actions.get(f"--{_option(name.strip())}")
            if known is None:
                raise argparse.ArgumentError(self, f"there is no option --{name}")
            left_out.append(known.dest)
        setattr(namespace, self.dest, left_out)


def config_path() -> str:
    """Tell where the file is, or would be."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(home, "speechmatics-rt", "config.toml")


def requested(argv: Sequence[str]) -> Optional[str]:
    """Find ``--profile`` in a command line that is not read yet.

    Example:
        >>> requested(["transcribe", "a.wav", "--profile=work"]), requested(["serve"])
        ('work', None)
    """
    for number, word in enumerate(argv):
        if word == "--":
            break
        if word == "--profile" and number + 1 < len(argv):
            return argv[number + 1]
        if word.startswith("--profile="):
            return word.partition("=")[2]
    return None


def read_profile(name: Optional[str]) -> dict[str, Any]:
    """Read a profile; without a name the one called ``default``, if there is one.

    Raises:
        ConfigurationError: The file can't be read, is not TOML, or has no such profile.
    """
    path = config_path()
    if not os.path.exists(path):
        if name is None:
            return {}
        raise ConfigurationError(f"--profile {name!r}: there is no {path}; write [{name}] and options in it")
    profiles = _parsed(path)
    loose = [key for key, value in profiles.items() if not isinstance(value, dict)]
    if loose:  # it would be as if they were not there
        raise ConfigurationError(f"{path}: {', '.join(loose)}: not in a profile; write [{_DEFAULT}] above")
    found = profiles.get(_DEFAULT if name is None else name)
    if found is None and name is None:
        return {}
    if not isinstance(found, dict):
        there = ", ".join(key for key, value in profiles.items() if isinstance(value, dict))
        raise ConfigurationError(f"--profile {name!r} is not in {path}, which has {there or 'no profiles'}")
    return found


def _parsed(path: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as exc:
            raise ConfigurationError(
                f"{path} needs one more package on Python {sys.version_info[0]}.{sys.version_info[1]}: "
                "pip install 'speechmatics-rt-sync[cli]'"
            ) from exc
    try:
        parsed: dict[str, Any] = tomllib.loads(read_text("the file of profiles", path))
    except tomllib.TOMLDecodeError as exc:
        raise ConfigurationError(f"{path} is not TOML: {exc}") from exc
    return parsed


def is_exposed(profile: Mapping[str, Any]) -> bool:
    """Tell whether it holds a key, in a file that others may read."""
    holds = any(_option(key) in _SECRET for key in profile)
    return holds and os.name != "nt" and bool(os.stat(config_path()).st_mode & _OTHERS_MAY_READ)


def _option(key: str) -> str:
    return key.replace("_", "-")


def arguments_of(profile: Mapping[str, Any], where: str) -> list[str]:
    """Write a profile as a command line.

    Raises:
        ConfigurationError: A value is no option's.

    Example:
        >>> arguments_of({"language": "de", "partials": True, "vocab": ["a", "b"]}, "")
        ['--language=de', '--partials', '--vocab=a', '--vocab=b']
    """
    words: list[str] = []
    written: dict[str, str] = {}
    for key, value in profile.items():
        other = written.setdefault(_option(key), key)
        if other != key:
            raise ConfigurationError(f"{where}: {other} and {key} are one option; leave one of them out")
        for one in value if isinstance(value, list) else [value]:
            if one is True:
                words.append(f"--{_option(key)}")
            elif isinstance(one, (str, int, float)) and one is not False:
                words.append(f"--{_option(key)}={one}")
            elif one is not False:
                raise ConfigurationError(
                    f"{where}: {key} is not a string, number, true, false or a list of these"
                )
    return words


def fitting(profile: Mapping[str, Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options of a profile that have a place beside what is typed.

    A profile is for many command lines: what goes with a microphone, with headerless audio, with telling
    speakers apart or with ``--local`` waits until that is asked for.

    Example:
        >>> fitting({"split": "left,right", "device": "2", "language": "de"}, {"file": "a.wav", "mix": True})
        {'language': 'de'}
    """
    fits = {
        name: value
        for name, value in profile.items()
        if not any(other in typed for other in _GIVES_WAY.get(name, ()))
    }
    all_of = {**fits, **typed}
    recorded = typed.get("file") == "mic"
    microphone = recorded or any(each.endswith("=mic") for each in all_of.get("channel", ()))
    unfit = {"raw", "speed", "split", "mix"} if recorded else set()
    unfit |= set() if microphone else {"device", "save"}
    unfit |= set() if microphone or "raw" in all_of else {"sample_rate"}
    unfit |= set() if "local" in all_of else {"engine", "drop_every"}
    if all_of.get("diarization") != "speaker" and "config" not in all_of:  # which may say so, too
        unfit |= {"max_speakers", "speaker_sensitivity", "prefer_current_speaker"}
    return {name: value for name, value in fits.items() if name not in unfit}
