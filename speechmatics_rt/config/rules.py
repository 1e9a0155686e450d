"""What an option may be: small rules, and the options that carry them.

A rule takes the name of an option and its plain value, and raises :class:`ConfigurationError`, which says
the name, the value given and what is accepted. Rules are checked on the plain form, the one that goes on
the wire, so that a dataclass, a mapping and a change by assignment are all checked alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from numbers import Integral, Real
from typing import Any, ClassVar, Optional, TypeVar, Union, cast

from ..exceptions import ConfigurationError

__all__ = [
    "FLAG",
    "MAPPING",
    "STRING",
    "TEXT",
    "Fields",
    "Options",
    "Rule",
    "a_list",
    "number",
    "one_of",
    "plain",
    "refused",
    "rule",
]

Rule = Callable[[str, Any], None]  # (name of the option, its plain value); raises ConfigurationError


def refused(name: str, value: Any, accepted: str) -> ConfigurationError:
    shown = repr(value)
    return ConfigurationError(
        f"{name} is {shown if len(shown) <= 80 else shown[:77] + '...'}; accepted: {accepted}"
    )


def rule(accepted: str, test: Callable[[Any], bool]) -> Rule:
    def accept(name: str, value: Any) -> None:
        if not test(value):
            raise refused(name, value, accepted)

    return accept


def number(low: float, high: float = math.inf, unit: str = "", whole: bool = False) -> Rule:
    kind = int if whole else (int, float)
    words = f"{'a whole number' if whole else 'a number'}{unit and f' of {unit}'}, "
    words += (
        f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g} (the range the service documents)"
    )

    def test(value: Any) -> bool:
        return (
            isinstance(value, kind)
            and not isinstance(value, bool)
            and low <= value <= high
            and value != math.inf
        )

    return rule(words, test)


def one_of(names: Iterable[str]) -> Rule:
    names = tuple(names)
    return rule(", ".join(map(repr, names)), lambda value: isinstance(value, str) and value in names)


def a_list(each: Rule, least: int = 0, most: Optional[int] = None, different: bool = False) -> Rule:
    words = f"a list{' without repetitions' if different else ''}"
    if most is not None:
        words += f" of {least} to {most}"
    elif least:
        words += f" of {least} or more"

    def accept(name: str, value: Any) -> None:
        if not isinstance(value, list) or len(value) < least or (most is not None and len(value) > most):
            raise refused(name, value, words)
        for index, item in enumerate(value):
            each(f"{name}[{index}]", item)
        if different and len(set(value)) < len(value):
            raise refused(name, value, words)

    return accept


class Fields:
    """A mapping with known keys, each with its rule."""

    def __init__(self, rules: Mapping[str, Rule], required: Sequence[str] = ()) -> None:
        self.rules = rules
        self.required = required

    def __call__(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise refused(name, value, f"a mapping of {', '.join(self.rules)}")
        self.known(name, value)
        for key in self.required:
            if key not in value:
                raise ConfigurationError(f"{name + '.' if name else ''}{key} is missing")
        for key, part in value.items():
            self.rules[key](f"{name}.{key}" if name else key, part)

    def known(self, name: str, keys: Iterable[str]) -> None:
        """Refuse the keys that are not known, by name, with the nearest that is."""
        for key in keys:
            if key not in self.rules:
                from difflib import get_close_matches  # only a mistake needs it

                near = get_close_matches(str(key), self.rules, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"accepted: {', '.join(self.rules)}"
                raise ConfigurationError(f"{key!r} is no field of {name or 'this message'}; {hint}")


TEXT = rule("a non-empty string", lambda value: isinstance(value, str) and value != "")
STRING = rule("a string", lambda value: isinstance(value, str))
FLAG = rule("True or False", lambda value: isinstance(value, bool))
MAPPING = rule("a mapping", lambda value: isinstance(value, Mapping))


def plain(value: Any) -> Any:
    """Copy a value in its wire form: dataclasses and mappings as dict without None, enums as their values."""
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        value = {item.name: getattr(value, item.name) for item in fields(value)}
    if isinstance(value, Mapping):
        return {plain(key): plain(part) for key, part in value.items() if part is not None}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Integral):  # numpy's numbers have no JSON form
        return int(value)
    return float(value) if isinstance(value, Real) else value


_Self = TypeVar("_Self", bound="Options")


class Options:
    """What the configs share: where they come from, their check, their wire form."""

    _fields: ClassVar[Fields]

    @classmethod
    def from_dict(cls: type[_Self], data: Mapping[str, Any]) -> _Self:
        """Build from a plain mapping, and check it.

        Raises:
            ConfigurationError: A key is not known (the nearest known one is named), or a value is wrong.
        """
        cls._fields.known(cls.__name__, data)
        for key in cls._fields.required:
            if key not in data and not hasattr(cls, key):  # a default is an attribute of the class
                raise ConfigurationError(f"{cls.__name__}.{key} is missing")
        config = cls(**data)
        config.check()
        return config

    @classmethod
    def of(cls: type[_Self], value: Union[_Self, Mapping[str, Any]]) -> _Self:
        """Take what a caller gave: one of these as it is, or a mapping."""
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls.from_dict(value)
        raise ConfigurationError(
            f"{value!r} is no {cls.__name__}; accepted: a {cls.__name__}, or a mapping of its fields"
        )

    def check(self) -> None:
        """Raise ConfigurationError, naming the option, the value and what is accepted, if one is wrong."""
        self._fields("", plain(self))

    def to_dict(self) -> dict[str, Any]:
        """Check, and give a fresh copy in wire form."""
        self.check()
        return cast("dict[str, Any]", plain(self))
