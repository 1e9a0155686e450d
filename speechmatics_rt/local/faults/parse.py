"""Parses a fault from the text of a command line."""

from __future__ import annotations

import difflib
import inspect
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from ...exceptions import ConfigurationError
from .kind import KINDS, WHEN

__all__ = ["check_option", "default_of", "read_fault", "unknown"]

_DECODER = json.JSONDecoder()
_ACCEPTED: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "bytes": (bytes, bytearray),
}
_NEVER_SENT = (1006, 1015)  # they stand for what is no close frame
_WORDS = {"list[int]": "an integer, or a list like [0,2]", "bool": "true or false"}


def read_fault(text: str) -> tuple[str, dict[str, Any]]:
    """Split ``kind:name=value,name=value`` into the kind and its keywords.

    Raises:
        ConfigurationError: The text is none, or names what there is not; says what was probably meant.
    """
    kind, colon, rest = text.partition(":")
    kind = kind.strip().replace("-", "_")
    if kind not in KINDS:
        raise unknown("fault", kind, KINDS)
    types = KINDS[kind].types
    keywords: dict[str, Any] = {}
    if colon and not rest.strip():
        raise ConfigurationError(f"the fault {text!r} ends where an option is due: name=value")
    while rest:
        name, equals, rest = rest.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ConfigurationError(f"the fault {text!r} needs name=value after the colon, not {name!r}")
        if name not in types:
            raise ConfigurationError(f"the fault {kind} takes no {name!r}{_meant(name, types)}")
        if name in keywords:
            raise ConfigurationError(f"the fault {text!r} has {name!r} twice")
        raw, rest = _cut(rest)
        value = keywords[name] = _value(raw, types[name])
        check_option(kind, name, value, raw)
    return kind, keywords


def check_option(kind: str, name: str, value: Any, given: Any) -> None:
    """Raise ConfigurationError if a fault of this kind can't have that value, shown as it was ``given``."""
    type = KINDS[kind].types[name]
    if type.startswith("Optional["):
        if value is None:
            return
        type = type[len("Optional[") : -1]
    if not _is(value, type):
        raise ConfigurationError(f"{kind}:{name} must be {_WORDS.get(type, type)}, not {given!r}")
    if name == "code" and (value in _NEVER_SENT or not 0 <= value <= 0xFFFF):
        raise ConfigurationError(
            f"{kind}:code must be one that a close frame can have, not {given!r}; an end without a "
            "close frame, which 1006 stands for, is the fault fin"
        )
    if name in WHEN or type == "float":  # a moment, or how long it takes
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if not isinstance(number, str) and number < 0:
                raise ConfigurationError(f"{kind}:{name} must be 0 or more, not {given!r}")


def default_of(option: inspect.Parameter) -> str:
    """Write an option as the command line takes it: its name and what it is if not given."""
    if option.default is inspect.Parameter.empty:
        return f"{option.name}=..."
    return option.name if option.default is None else f"{option.name}={option.default!r}"


def unknown(what: str, name: str, known: Iterable[str]) -> ConfigurationError:
    """Say that there is no such thing, and what was probably meant."""
    return ConfigurationError(f"no {what} is called {name!r}{_meant(name, known)}")


def _meant(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = [each for each in names if name and each.startswith(name)] or difflib.get_close_matches(
        name, names, 3
    )
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {', '.join(sorted(names))}"


def _cut(text: str) -> tuple[str, str]:
    """Cut a value off: JSON with brackets or quotes as a whole, anything else up to the next comma."""
    if text[:1] in ("{", "[", '"'):
        try:
            _, end = _DECODER.raw_decode(text)
        except (ValueError, RecursionError):
            end = -1
        if end == len(text) or text[end : end + 1] == ",":
            return text[:end], text[end + 1 :]
    value, _, rest = text.partition(",")
    return value, rest


def _value(raw: str, type: str) -> Any:
    """Read a value as the option's annotation wants it, as far as it is one."""
    optional = type.startswith("Optional[")
    plain = type[len("Optional[") : -1] if optional else type
    if plain == "bytes":
        return raw.encode().decode("unicode_escape").encode("latin-1", "replace")
    if optional and raw in ("", "none", "null"):
        return None
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = raw
    if plain == "str":
        return value if isinstance(value, str) else raw
    if plain == "list[int]" and _is(value, "int"):
        value = [value]
    return value


def _is(value: Any, type: str) -> bool:
    if type == "list[int]":
        return isinstance(value, (list, tuple)) and all(_is(item, "int") for item in value)
    if type.startswith("Mapping"):
        return isinstance(value, Mapping)
    if type not in _ACCEPTED:
        return True  # Any
    if isinstance(value, float) and not math.isfinite(value):
        return False
    return isinstance(value, _ACCEPTED[type]) and isinstance(value, bool) == (type == "bool")
