"""One test of a rule that holds for many files: all that break it are named at once.

To be tested for itself each would cost more than the check: a millisecond and a half, of a thousandth.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable

__all__ = ["each_of"]


def each_of(paths: Iterable[Path], within: Path) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Make a test of a check of one file; ``within`` is the folder in which the files are named."""
    files = list(paths)

    def all_at_once(check: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            assert files, "there is nothing to check"
            wrong = {
                str(path.relative_to(within)): said for path in files if (said := complaint(check, path))
            }
            assert not wrong, "\n".join(f"{name}: {said}" for name, said in wrong.items())

        test.__name__ = test.__qualname__ = check.__name__
        test.__module__, test.__doc__ = check.__module__, check.__doc__
        return test

    return all_at_once


def complaint(check: Callable[[Path], Any], path: Path) -> str:
    try:
        check(path)
    except AssertionError as exc:
        return str(exc) or "is wrong"
    return ""
