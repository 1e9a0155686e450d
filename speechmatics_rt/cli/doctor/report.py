"""Writes findings as lines, as JSON, and as a report for a support ticket. Pure."""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..text import Token
from .checks import Finding, State, exit_code_of

__all__ = ["as_json", "as_report", "lines_of", "redacted", "summary"]

_STYLES = {
    State.OK: "38;5;28",
    State.WARNING: "38;5;130",
    State.FAILED: "38;5;161",
    State.SKIPPED: "38;5;243",
}
_MARGIN = 22  # columns before what is said: the state and the name
_LEAST = 30  # columns for what is said; with less, it goes below the name
_HIDDEN = "***"

Named = tuple[str, Finding]


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Remove secrets from a text; a short one only where it is a word of its own.

    Example:
        >>> redacted("the key k3y-of-mine of ann, who plans", ["k3y-of-mine", "ann", ""])
        'the key *** of ***, who plans'
    """
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])", _HIDDEN, text)
    return text


def lines_of(name: str, found: Finding, columns: int, secrets: Iterable[str]) -> list[Token]:
    """Write a finding: its state, its name, what is, and beneath it what to do.

    What was not tried is not worth a line: what has failed stands above.
    """
    if found.state is State.UNTRIED:
        return []
    narrow = columns - _MARGIN < _LEAST
    head = f"  {name}\n" if narrow else f"  {name:<12} "
    tokens = [Token(f"{found.state.value:<7}", _STYLES[found.state]), Token(head)]
    margin = " " * (4 if narrow else _MARGIN)
    room = max(_LEAST, columns) - len(margin) - 1
    for number, line in enumerate(_wrapped(found.text, room, secrets)):
        tokens += [Token(margin if number or narrow else ""), Token(line), Token("\n")]
    for number, line in enumerate(_wrapped(found.advice, room - 3, secrets)):
        lead = "   " if number else "-> "
        tokens += [Token(margin), Token(lead + line, _STYLES[State.WARNING]), Token("\n")]
    return tokens


def _wrapped(text: str, columns: int, secrets: Iterable[str]) -> list[str]:
    return textwrap.wrap(redacted(text, secrets), columns, break_on_hyphens=False, break_long_words=False)


def summary(findings: Sequence[Named]) -> str:
    """Say how it went, in a sentence."""
    wrong = [name for name, found in findings if found.state is State.FAILED]
    odd = [name for name, found in findings if found.state is State.WARNING]
    untried = sum(found.state is State.UNTRIED for _, found in findings)
    if wrong:
        more = f"; {untried} more check{'s' * (untried > 1)} not tried" if untried else ""
        return f"failed: {', '.join(wrong)}{more}"
    return f"it works; look at {', '.join(odd)}" if odd else "all is well"


def as_json(findings: Sequence[Named], beside: Mapping[str, Any], secrets: Iterable[str]) -> str:
    """Write them for a program; what a check knows in figures stands beside its sentence."""
    document = {
        **beside,
        "exit_code": int(exit_code_of(found for _, found in findings)),
        "checks": [
            {
                "check": name,
                "state": found.state.value,
                "text": found.text,
                "advice": found.advice or None,
                **_finite(found.facts),
            }
            for name, found in findings
        ],
    }
    hidden = _hidden(document, list(secrets))
    return json.dumps(hidden, ensure_ascii=False, indent=2) + "\n"


def as_report(findings: Sequence[Named], beside: Mapping[str, Any], secrets: Iterable[str]) -> str:
    """Write them for a ticket, without keys, passwords, and names of persons and machines."""
    facts = [f"{name}: {_listed(value)}" for name, value in beside.items()]
    rows = []
    for name, found in findings:
        rows.append(f"{found.state.value:<7}  {name:<12} {found.text}")
        rows += [f"{'':<{_MARGIN}}-> {found.advice}"] if found.advice else []
        ids = found.facts.get("ids") or found.facts.get("request_id")
        rows += [f"{'':<{_MARGIN}}{ids}"] if ids else []
    return redacted("\n".join(["speechmatics-rt doctor", *facts, "", *rows]) + "\n", secrets)


def _listed(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {part or 'missing'}" for key, part in value.items())
    return ", ".join(value) if isinstance(value, list) else str(value)


def _hidden(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _hidden(part, secrets) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_hidden(part, secrets) for part in value]
    return redacted(value, secrets) if isinstance(value, str) else value


def _finite(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Cut figures to what was measured; JSON has no infinity."""
    return {
        key: (round(value, 4) if math.isfinite(value) else None) if isinstance(value, float) else value
        for key, value in facts.items()
    }
