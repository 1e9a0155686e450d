"""The rules that options are checked by, and the base class of the configs.

A rule takes the name of an option and its plain value, and raises :class:`ConfigurationError` with the
name, the value and what is accepted. Rules are checked on the plain form, the one that goes on the wire, so
that a dataclass, a mapping and a change by assignment are all checked alike.
"""

from __future__ import annotations

import copy
import functools
import math
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple, Optional, TypeVar, Union, cast

from ..exceptions import ConfigurationError, a_kind, shown

__all__ = [
    "ABOVE_ZERO",
    "Caller",
    "FLAG",
    "MAPPING",
    "STRING",
    "TEXT",
    "Fields",
    "Options",
    "Rule",
    "a_list",
    "above_zero",
    "checked",
    "explained",
    "hinted",
    "kept",
    "number",
    "one_of",
    "plain",
    "refused",
    "rule",
]

_T = TypeVar("_T")
_Init = TypeVar("_Init", bound=Callable[..., None])
Rule = Callable[[str, Any], None]  # (name of the option, its plain value); raises ConfigurationError


def refused(name: str, value: Any, accepted: str) -> ConfigurationError:
    return ConfigurationError(f"{name} is {shown(value, 80)}; accepted: {accepted}")


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
            and low <= value <= min(high, sys.float_info.max)  # a greater int overflows in sums
        )

    def accept(name: str, value: Any) -> None:
        if not test(value):
            too_great = isinstance(value, int) and value > sys.float_info.max and high == math.inf
            raise refused(name, value, f"{words}, up to 1.8e308" if too_great else words)

    return accept


def above_zero(note: str = "", most: float = sys.float_info.max) -> Rule:
    def test(value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= most

    return rule(f"a number above 0{note}", test)


ABOVE_ZERO = above_zero(most=1e9)


def checked(name: str, value: Any, accept: Rule) -> Any:
    """Return an option in its plain form; None stays None, and is always accepted."""
    value = plain(value)
    if value is not None:
        accept(name, value)
    return value


def one_of(names: Iterable[str]) -> Rule:
    names = tuple(names)
    return rule(", ".join(map(repr, names)), lambda value: isinstance(value, str) and value in names)


def a_list(each: Rule, least: int = 0, different: bool = False) -> Rule:
    words = f"a list{' without repetitions' if different else ''}"
    if least:
        words += f" of {least} or more"

    def accept(name: str, value: Any) -> None:
        if not isinstance(value, list) or len(value) < least:
            raise refused(name, value, words)
        for index, item in enumerate(value):
            each(f"{name}[{index}]", item)
        if different and len(set(value)) < len(value):
            raise refused(name, value, words)

    return accept


class Fields:
    """A mapping with known keys, each with its rule.

    Unknown keys are left to the server to judge, since servers differ and grow; but one that is nearly a
    known key is refused as a typing error, and one that belongs into a nested mapping, or elsewhere, as
    misplaced.

    Args:
        rules: The rule of each key.
        required: Which keys must be present.
        closed: Refuse every unknown key, for mappings that are not sent to a server.
        elsewhere: What to do with keys that belong elsewhere.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        required: Sequence[str] = (),
        closed: bool = False,
        elsewhere: Optional[Mapping[str, str]] = None,
    ) -> None:
        self.rules = rules
        self.required = required
        self._closed = closed
        self._elsewhere = elsewhere or {}

    def __call__(self, name: str, value: Any) -> None:
        if not isinstance(value, Mapping):
            raise refused(name, value, f"a mapping of {', '.join(self.rules)}")
        self.unknown(name, value)
        self.known(name, value)

    def known(self, name: str, values: Mapping[str, Any]) -> None:
        """Check the known keys; a value may also be one of the configs, with its ``extra``."""
        for key in self.required:
            if key not in values:
                raise ConfigurationError(f"{name + '.' if name else ''}{key} is missing")
        for key, value in values.items():
            accept, where = self.rules.get(key), f"{name}.{key}" if name else key
            if isinstance(value, Options) and isinstance(accept, Fields):
                if accept is not value._fields:
                    raise refused(where, value, f"a mapping of {', '.join(accept.rules)}")
                accept.known(where, value._own())
            elif accept is not None:
                accept(where, plain(value))

    def unknown(self, name: str, keys: Iterable[Any]) -> list[str]:
        """Return the unknown keys; refuse those that look misspelt or misplaced, and say what is meant."""
        unknown = [key for key in keys if key not in self.rules]
        for key in unknown:
            hint = self.hint(key) if isinstance(key, str) else "fields are strings"
            if hint:
                raise ConfigurationError(f"{key!r} is not a field of {name or 'this message'}; {hint}")
        return unknown

    def hint(self, key: str) -> str:
        """Say what may be meant by an unknown key; nothing if that may be known to a server."""
        place = self._place_of(key)
        if place:
            return place
        from difflib import get_close_matches  # only needed for unknown keys

        near = get_close_matches(key, self.rules, 1, 0.6 if self._closed else 0.75)
        if near:
            return f"did you mean {near[0]!r}?"
        return f"accepted: {', '.join(self.rules)}" if self._closed else ""

    def _place_of(self, key: str) -> str:
        """Say where a key belongs that is unknown here; nothing if nobody knows."""
        within = [
            name for name, accept in self.rules.items() if isinstance(accept, Fields) and key in accept.rules
        ]
        if len(within) == 1:
            return f"put it into {within[0]}"
        return self._elsewhere.get(key, "")

    def beyond(self, name: str, value: Any) -> Iterator[str]:
        """Yield the unknown fields of a checked mapping, nested ones included."""
        for key, part in value.items():
            accept = self.rules.get(key)
            if accept is None:
                yield f"{name}.{key}"
            elif isinstance(accept, Fields):
                yield from accept.beyond(f"{name}.{key}", part)


TEXT = rule("a non-empty string", lambda value: isinstance(value, str) and value != "")
STRING = rule("a string", lambda value: isinstance(value, str))
FLAG = rule("True or False", lambda value: isinstance(value, bool))
MAPPING = rule("a mapping", lambda value: isinstance(value, Mapping))


def plain(value: Any) -> Any:
    """Copy a value in its wire form: dataclasses and mappings as dict without None, enums as their values."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Options):
        value = value._as_mapping()
    elif is_dataclass(value) and not isinstance(value, type):
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


def kept(value: _T) -> _T:
    """Copy options, with all mappings and lists in them: what their owner changes later is not meant here.

    Other objects are as they are, such as a TLS context.

    Example:
        >>> given = {"additional_vocab": ["Bergen"]}
        >>> copy_of_it = kept(given)
        >>> given["additional_vocab"].append("Oslo")
        >>> copy_of_it
        {'additional_vocab': ['Bergen']}
    """
    result: Any = value
    if isinstance(value, Options):
        result = copy.copy(value)
        for item in fields(cast("Any", value)):
            setattr(result, item.name, kept(getattr(value, item.name)))
    elif isinstance(value, Mapping):
        result = {key: kept(part) for key, part in value.items()}
    elif isinstance(value, (list, tuple)):
        result = [kept(part) for part in value]
    return cast("_T", result)


class Caller(NamedTuple):
    """The line of the program that called this package, as :func:`warnings.warn_explicit` takes it."""

    file: str
    line: int
    module: str
    registry: dict[Any, Any]

    @classmethod
    def find(cls) -> Caller:
        """Find it in the stack of this thread."""
        package = __name__.partition(".")[0] + "."
        frame = sys._getframe(1)
        while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith(package):
            frame = frame.f_back
        known = frame.f_globals
        registry = known.setdefault("__warningregistry__", {})
        return cls(frame.f_code.co_filename, frame.f_lineno, known.get("__name__") or "<unknown>", registry)

    def warn(self, text: str, category: type[Warning] = UserWarning) -> None:
        warnings.warn_explicit(text, category, *self)


def explained(init: _Init, hint: Callable[[str], str]) -> _Init:
    """Return a constructor that says what is meant by a keyword it does not have; with the same signature.

    Args:
        init: The constructor.
        hint: Gets the keyword, and returns what ends the sentence.
    """
    code = cast("Any", init).__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @functools.wraps(init)
    def explain(self: Any, *args: Any, **options: Any) -> None:
        for name in options:
            if name not in known:
                text = f"{type(self).__name__}() got an unexpected keyword argument {name!r}"
                raise TypeError(f"{text}{hint(name)}")
        init(self, *args, **options)

    return cast("_Init", explain)


_Self = TypeVar("_Self", bound="Options")
_Class = TypeVar("_Class", bound="type[Options]")


def hinted(config: _Class) -> _Class:
    """Have the constructor of a config say what is meant by an unknown field."""

    def hint(name: str) -> str:
        return f"; {config._fields.hint(name) or config._instead(name)}"

    config.__init__ = explained(config.__init__, hint)  # type: ignore[method-assign]
    return config


class Options:
    """The base class of the configs: building, checking and converting to the wire form.

    Configs that are sent to the server have an attribute ``extra``, a mapping of fields that the class does
    not have. They are compared and shown by the methods here, since those that ``dataclass`` makes for each
    class take as long to make as half of the rest of it.
    """

    _fields: ClassVar[Fields]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        names = [item.name for item in fields(cast("Any", self))]
        return [getattr(self, name) for name in names] == [getattr(other, name) for name in names]

    __hash__ = None  # type: ignore[assignment]  # its options may be assigned

    def __repr__(self) -> str:
        shown = [item.name for item in fields(cast("Any", self)) if item.repr]
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    @classmethod
    def from_dict(cls: type[_Self], data: Mapping[str, Any]) -> _Self:
        """Build from a plain mapping, and check it; unknown fields go to ``extra``.

        Raises:
            ConfigurationError: A key looks like a misspelt known one, or is unknown and there is no
                ``extra``; or a value is wrong.
        """
        data = dict(data)
        extra = data.pop("extra", None) if hasattr(cls, "extra") else None
        unknown = {key: data.pop(key) for key in cls._fields.unknown(cls.__name__, data)}
        for key in cls._fields.required:
            if key not in data and not hasattr(cls, key):  # a default is an attribute of the class
                raise ConfigurationError(f"{cls.__name__}.{key} is missing")
        if unknown and not hasattr(cls, "extra"):
            raise _no_field(cls, next(iter(unknown)))
        if unknown or extra is not None:
            data["extra"] = {**unknown, **_extra_of(cls, extra)}
        config = cls(**data)
        config.check()
        return config

    @classmethod
    def of(cls: type[_Self], value: Union[_Self, Mapping[str, Any]], name: str = "it") -> _Self:
        """Return an instance as it is, or build one from a mapping; ``name`` is the option, for errors."""
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            return cls.from_dict(value)
        raise refused(name, value, f"{a_kind(cls)}, or a mapping of its fields")

    def check(self) -> None:
        """Raise ConfigurationError if an option is wrong, with its value and what is accepted."""
        self._check_names()
        self._fields.known("", self._own())

    def _check_names(self) -> None:
        """Refuse what was assigned and is no field, since it would not be sent; a subclass may keep it."""
        known = {item.name for item in fields(cast("Any", self))}
        assigned = [name for name in vars(self) if name not in known and not name.startswith("_")]
        unknown = self._fields.unknown(type(self).__name__, assigned)
        if unknown and type(self).__module__.startswith(__name__.partition(".")[0] + "."):
            raise _no_field(type(self), unknown[0])

    @classmethod
    def _instead(cls, name: str) -> str:
        """Say where a field belongs that looks like none of this class."""
        if hasattr(cls, "extra"):
            return f"what this package does not know is sent from extra={{{name!r}: ...}}"
        return f"accepted: {', '.join(cls._fields.rules)}"

    def to_dict(self) -> dict[str, Any]:
        """Check the options, and return a fresh copy in wire form."""
        self.check()
        return cast("dict[str, Any]", plain(self))

    def _own(self) -> dict[str, Any]:
        """Return the known fields that are set, as they are; ``extra`` is only checked."""
        values = {item.name: getattr(self, item.name) for item in fields(cast("Any", self))}
        _extra_of(type(self), values.pop("extra", None))
        return {name: value for name, value in values.items() if value is not None}

    def _as_mapping(self) -> dict[str, Any]:
        return {**self._own(), **_extra_of(type(self), getattr(self, "extra", None))}


def _no_field(cls: type[Options], name: str) -> ConfigurationError:
    return ConfigurationError(f"{name!r} is not a field of {cls.__name__}; {cls._instead(name)}")


def _extra_of(cls: type[Options], extra: Any) -> Mapping[str, Any]:
    if extra is None:
        return {}
    if not isinstance(extra, Mapping):
        raise refused("extra", extra, f"a mapping of fields that {cls.__name__} does not have")
    for key in extra:
        if key in cls._fields.rules or not isinstance(key, str):
            raise ConfigurationError(
                f"extra contains {key!r}; accepted: names of fields that {cls.__name__} does not have"
            )
    return extra
