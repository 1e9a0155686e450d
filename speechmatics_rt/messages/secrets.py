"""Hides keys in texts and messages that repeat them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Optional

__all__ = ["Secrets"]

_SHORTEST = 8  # characters: anything shorter is not hidden in messages, as it may be part of a word
_LONGEST = 64 * 1024  # bytes searched for escaped spellings: 0.1 us each, while all threads wait
_INSTEAD = "***"


class Secrets:
    """The secrets that a client has sent to a server. Not even the repr of this shows them.

    Example:
        >>> secrets = Secrets(["k3y-0f-mine"])
        >>> secrets
        Secrets('***')
        >>> secrets.hide_in("there is no key k3y-0f-mine")
        'there is no key ***'
        >>> secrets.hide(b'{"message":"Error","reason":"no k3y-0f-mine, nor k3y-0f\\\\u002Dmine"}')
        b'{"message":"Error","reason":"no ***, nor ***"}'
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = sorted({value for value in values if value}, key=len, reverse=True)
        self._long = [value for value in self._values if len(value) >= _SHORTEST]
        self._escaped: Optional[re.Pattern[bytes]] = None  # compiled on first use, which is rare

    def __repr__(self) -> str:
        return f"Secrets('{_INSTEAD}')"

    def hide_in(self, text: str) -> str:
        """Return a text with the secrets replaced."""
        for value in self._values:
            text = text.replace(value, _INSTEAD)
        return text

    def hide(self, payload: bytes) -> bytes:
        """Return the JSON of a message with the secrets replaced, however they are escaped in it."""
        if self._long and len(payload) <= _LONGEST and b"\\" in payload:
            return self._spelled().sub(lambda found: _INSTEAD.encode() if found[1] else found[0], payload)
        for value in self._long:
            payload = payload.replace(value.encode(), _INSTEAD.encode())
        return payload

    def _spelled(self) -> re.Pattern[bytes]:
        if self._escaped is None:
            spelled = "|".join("".join(map(_spellings, value)) for value in self._long)
            # Other escapes are matched as a whole, so that no match begins in the middle of one.
            self._escaped = re.compile(rf"(?s)({spelled})|\\(?:u[0-9a-fA-F]{{4}}|.)".encode())
        return self._escaped


def _spellings(char: str) -> str:
    """Return a pattern of all spellings of a character in JSON."""
    plain = "" if char in '"\\' else f"{re.escape(char)}|"
    behind = rf"\\{re.escape(char)}|" if char in '"\\/' else ""
    return rf"(?:{plain}{behind}\\u(?i:{ord(char):04x}))"
