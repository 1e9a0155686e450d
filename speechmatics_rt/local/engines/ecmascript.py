"""Translates regular expressions of ECMAScript to Python's. Pure.

What is written the same and means something else is translated: ``$`` is the very end, ``.`` and ``\\s`` know
JavaScript's line ends and spaces, ``\\d``, ``\\w`` and ``\\b`` are ASCII, ``[]`` is nothing and ``[^]``
anything, a reference to a group that took no part is empty, and what is an escape in Python alone (``\\A``)
is a letter. What Python alone has (``(?P<a>)``, ``a++``, ``(?#)``) is refused, as JavaScript does.

What differs still: a look-behind has to be of one length; a group inside a repetition keeps what it took in
an earlier round, and may end one round sooner or later if it takes nothing; characters count as code points,
not as UTF-16 units. There are no flags.

Example:
    >>> year = Expression(r"(?<century>\\d\\d)(\\d\\d)$")
    >>> year.matches("1984"), year.replace("1984", "$2/$<century>")
    (True, '84/19')
    >>> Expression("a++")
    Traceback (most recent call last):
    ValueError: no regular expression: nothing to repeat at place 2
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["Expression"]

_LINE_ENDS = "\\n\\r\\u2028\\u2029"
_SPACES = "\\t\\n\\x0b\\x0c\\r \\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff"
_NO_SPACES = (
    "\\x00-\\x08\\x0e-\\x1f!-\\x9f\\xa1-\\u167f\\u1681-\\u1fff\\u200b-\\u2027\\u202a-\\u202e\\u2030-\\u205e"
    "\\u2060-\\u2fff\\u3001-\\ufefe\\uff00-\\U0010ffff"
)
_SETS = {"s": _SPACES, "S": _NO_SPACES, "d": "\\d", "D": "\\D", "w": "\\w", "W": "\\W"}  # inside of a class
_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
_NOTHING, _EMPTY = "(?!)", "(?:)"
_GROUP = re.compile(r"\?(?::|=|!|<=|<!|<(?P<name>[^\W\d]\w*|[$_][\w$]*)>)")
_TIMES = re.compile(r"\{(\d+)(,(\d*))?\}")
_SUBSTITUTE = re.compile(r"\$(?:([$&`'])|<([^>]*)>|(\d\d?))")


class Expression:
    """A regular expression, from what stands between the slashes.

    Raises:
        ValueError: It is none, or one that Python can't say.
    """

    def __init__(self, source: str) -> None:
        translation = _Translation(source)
        try:
            self._pattern = re.compile(translation.text, re.ASCII)
        except (re.error, OverflowError, RecursionError) as exc:
            raise ValueError(f"a regular expression that this server can't say: {exc}") from exc
        self._names = translation.names

    def matches(self, text: str) -> bool:
        """Tell whether it matches somewhere."""
        return self._pattern.search(text) is not None

    def replace(self, text: str, to: str) -> str:
        """Replace each match; ``to`` may hold ``$1``, ``$<name>``, ``$&``, ``$$`` and the parts beside it."""
        pieces, at, kept = [], 0, 0
        while at <= len(text) and (match := self._pattern.search(text, at)):
            pieces += [text[kept : match.start()], self._instead(match, to)]
            kept = match.end()
            at = kept + (not match[0])  # after an empty match JavaScript goes on one character behind it
        return "".join(pieces) + text[kept:]

    def _instead(self, match: re.Match[str], to: str) -> str:
        return _SUBSTITUTE.sub(lambda way: self._part(way, match), to)

    def _part(self, way: re.Match[str], match: re.Match[str]) -> str:
        sign, name, number = way.groups()
        if sign:
            before, after = match.string[: match.start()], match.string[match.end() :]
            return {"$": "$", "&": match[0], "`": before, "'": after}[sign]
        if name is not None:
            if not self._names:
                return way[0]
            return (match[self._names[name]] or "") if name in self._names else ""
        for digits in (number, number[:1]):  # of $12 the 2 is text if there are no twelve groups
            if 1 <= int(digits) <= match.re.groups:
                return (match[int(digits)] or "") + number[len(digits) :]
        return way[0]


class _Translation:
    """Reads one expression from left to right.

    Attributes:
        text: The same, for ``re.compile`` with ``re.ASCII``.
        names: The number of each group that has a name.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._groups, self._named = _groups_of(source)
        self.names: dict[str, int] = {}
        self._opened: list[tuple[int, bool]] = []  # of each group its number, or 0; whether it may repeat
        self._closed: set[int] = set()
        self._count = 0
        self._repeatable = False  # whether a quantifier may come
        self.text = "".join(self._pieces())
        if self._opened:
            raise ValueError("no regular expression: a group is not closed")

    def _pieces(self) -> Iterator[str]:
        while self._at < len(self._source):
            char = self._source[self._at]
            times = _TIMES.match(self._source, self._at) if char == "{" else None
            if char in "*+?" or times:
                yield self._quantifier(char if times is None else times[0])
                self._repeatable = False
                continue
            self._at += 1
            self._repeatable = char not in "(|^$"
            if char == "(":
                yield self._open()
            elif char == ")":
                yield self._close()
            else:
                yield self._atom(char)

    @property
    def _next(self) -> str:
        """The next character; empty at the end."""
        return self._source[self._at : self._at + 1]

    def _wrong(self, what: str) -> ValueError:
        return ValueError(f"no regular expression: {what} at place {self._at}")

    # -- groups and quantifiers ----------------------------------------------------------------------

    def _quantifier(self, sign: str) -> str:
        if not self._repeatable:
            raise self._wrong("nothing to repeat")
        bounds = [int(number) for number in re.findall(r"\d+", sign)]
        if bounds != sorted(bounds):
            raise self._wrong("numbers out of order")
        self._at += len(sign)
        if self._next == "?":
            self._at += 1
            return sign + "?"
        return sign

    def _open(self) -> str:
        kind = _GROUP.match(self._source, self._at)
        if kind is None:
            if self._next == "?":
                raise self._wrong("an unknown kind of group")
            self._count += 1
            self._opened.append((self._count, True))
            return "("
        self._at = kind.end()
        name = kind["name"]
        if name is None:
            self._opened.append((0, not kind[0].startswith("?<")))
            return f"({kind[0]}"
        if name in self.names:
            raise self._wrong(f"a second group {name}")
        self._count += 1
        self.names[name] = self._count
        self._opened.append((self._count, True))
        return "("

    def _close(self) -> str:
        if not self._opened:
            raise self._wrong("a bracket closes nothing")
        number, self._repeatable = self._opened.pop()
        self._closed.add(number)
        return ")"

    def _reference(self, number: int) -> str:
        """Refer to a group; one that is not closed yet, or took no part, is empty."""
        return f"(?({number})\\{number}|)" if number in self._closed else _EMPTY

    # -- single characters and classes ---------------------------------------------------------------

    def _atom(self, char: str) -> str:
        if char == ".":
            return f"[^{_LINE_ENDS}]"
        if char == "$":
            return "\\Z"
        if char in "^|":
            return char
        if char == "[":
            return self._class()
        return re.escape(char) if char != "\\" else self._escape()

    def _escape(self) -> str:
        char = self._next
        if char in _SETS and char:
            self._at += 1
            return f"[{_SETS[char]}]"
        if char in ("b", "B"):
            self._at += 1
            self._repeatable = False
            return "\\b" if char == "b" else "(?!\\b)"  # Python's \B is never in an empty text
        if char == "k" and self._named:
            name = re.compile(r"k<([^>]*)>").match(self._source, self._at)
            if name is None or name[1] not in self._named:
                raise self._wrong("a reference to no group")
            self._at = name.end()
            return self._reference(self._named[name[1]])
        number = re.compile(r"[1-9]\d*").match(self._source, self._at)
        if number is not None and int(number[0]) <= self._groups:
            self._at = number.end()
            return self._reference(int(number[0]))
        return re.escape(self._character())

    def _class(self) -> str:
        """Read a class, behind its opening bracket."""
        no = "^" if self._next == "^" else ""
        self._at += len(no)
        parts: list[str] = []
        while self._next != "]":
            first = self._member()
            if self._next != "-" or self._source[self._at + 1 : self._at + 2] in ("]", ""):
                parts.append(_escaped(first))
                continue
            self._at += 1
            last = self._member()
            if len(first) > 1 or len(last) > 1:  # no range: a set, a dash and what follows
                parts += [_escaped(first), "\\-", _escaped(last)]
            elif first > last:
                raise self._wrong("a range out of order")
            else:
                parts.append(f"{_escaped(first)}-{_escaped(last)}")
        self._at += 1
        if not parts:
            return f"[{_SPACES}{_NO_SPACES}]" if no else _NOTHING
        return f"[{no}{''.join(parts)}]"

    def _member(self) -> str:
        """Read one character of a class, or a set: that is longer."""
        if self._at >= len(self._source):
            raise self._wrong("a class is not closed")
        char = self._source[self._at]
        self._at += 1
        if char != "\\":
            return char
        escaped = self._next
        if escaped in _SETS and escaped:
            self._at += 1
            return _SETS[escaped]
        if escaped == "b":
            self._at += 1
            return "\b"
        return self._character()

    def _character(self) -> str:
        """Read what follows a backslash and stands for one character."""
        rest = self._source[self._at :]
        if not rest:
            raise self._wrong("a backslash escapes nothing")
        found = re.match(r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}", rest)
        if found:
            self._at += len(found[0])
            high, low = int(found[0][1:5], 16), int(found[0][7:], 16)
            return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
        found = re.match(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})", rest)
        if found:
            self._at += len(found[0])
            return chr(int(found[1] or found[2], 16))
        found = re.match(r"[0-3][0-7]{0,2}|[4-7][0-7]?", rest)
        if found:
            self._at += len(found[0])
            return chr(int(found[0], 8))
        found = re.match(r"c([A-Za-z])", rest)
        if found:
            self._at += 2
            return chr(ord(found[1]) % 32)
        if rest[0] == "c":
            return "\\"  # and the c for itself
        self._at += 1
        return _CONTROLS.get(rest[0], rest[0])


def _escaped(member: str) -> str:
    """Write a member of a class: a character, or a set as it stands."""
    return member if len(member) > 1 else re.escape(member)


def _groups_of(source: str) -> tuple[int, dict[str, int]]:
    """Count the groups that take something, and number those with names; a reference may come before them."""
    count, names, inside, at = 0, {}, False, 0
    while at < len(source):
        char = source[at]
        if char == "\\":
            at += 1
        elif char in "[]":
            inside = char == "["
        elif char == "(" and not inside:
            kind = _GROUP.match(source, at + 1)
            if kind is not None and kind["name"]:
                names[kind["name"]] = count + 1
            count += source[at + 1 : at + 2] != "?" or bool(kind is not None and kind["name"])
        at += 1
    return count, names
