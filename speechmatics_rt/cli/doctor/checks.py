"""Checks, their findings, and running a list of them. Pure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ...exceptions import SpeechmaticsError
from ..options import ExitCode
from ..shell import in_shell_words

__all__ = ["Check", "Finding", "State", "examine", "exit_code_of", "failed", "ok", "skipped", "warning"]


class State(enum.Enum):
    """How a check went."""

    OK = "ok"
    WARNING = "warning"  # it works, and could work better
    FAILED = "failed"
    SKIPPED = "skipped"  # there was nothing to look at
    UNTRIED = "untried"  # what it builds on has failed


class Finding(NamedTuple):
    """What a check has found.

    Attributes:
        text: What is, in a sentence.
        advice: What to do; "" if there is nothing.
        code: What the command ends with, if this has failed.
        facts: Figures and names, fit for JSON.
    """

    state: State
    text: str
    advice: str = ""
    code: ExitCode = ExitCode.OK
    facts: Mapping[str, Any] = {}


def ok(text: str, **facts: Any) -> Finding:
    return Finding(State.OK, text, facts=facts)


def warning(text: str, advice: str, **facts: Any) -> Finding:
    return Finding(State.WARNING, text, advice, facts=facts)


def skipped(text: str) -> Finding:
    return Finding(State.SKIPPED, text)


def failed(text: str, advice: str, code: ExitCode = ExitCode.CONNECTION, **facts: Any) -> Finding:
    return Finding(State.FAILED, text, advice, code, facts)


class Check(NamedTuple):
    """One thing to look at.

    Attributes:
        name: A word.
        look: Looks, at what it is given; None if there is nothing to look at. What it raises of this package
            is what it has found.
        needs: Checks that must not have failed, or it is not tried.
    """

    name: str
    look: Callable[[Any], Optional[Finding]]
    needs: tuple[str, ...] = ()


def examine(checks: Sequence[Check], case: Any) -> Iterator[tuple[str, Finding]]:
    """Look at all of it, in order; give each finding as soon as it is there.

    Example:
        >>> for name, found in examine([
        ...     Check("name", lambda case: failed(f"{case} is unknown", "spell it right")),
        ...     Check("way", lambda case: ok("it answers"), needs=("name",)),
        ... ], "nowhere.example"):
        ...     print(name, found.state.value, found.text)
        name failed nowhere.example is unknown
        way untried not tried, since name failed
    """
    missing: dict[str, str] = {}  # what can't be built upon, and what has failed there
    for check in checks:
        lacking = next((need for need in check.needs if need in missing), None)
        if lacking is not None:
            missing[check.name] = missing[lacking]
            yield check.name, Finding(State.UNTRIED, f"not tried, since {missing[lacking]} failed")
            continue
        try:
            found = check.look(case)
        except SpeechmaticsError as exc:
            found = failed(in_shell_words(exc.text), "", ExitCode.of(exc))
        except OSError as exc:  # what answered before may be gone by now
            found = failed(exc.strerror or str(exc), "")
        if found is None:
            continue
        if found.state is State.FAILED:
            missing[check.name] = check.name
        yield check.name, found


def exit_code_of(findings: Iterable[Finding]) -> ExitCode:
    """Return the code of the first that has failed: those after it may well be its doing."""
    return next((each.code for each in findings if each.state is State.FAILED), ExitCode.OK)
