"""Names of a package that are imported on first access, so that no program waits for what it does not use."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Callable

__all__ = ["LateModule", "imported_late"]


class LateModule:
    """A module that is imported once something of it is asked for, by who evaluates an annotation for one.

    Example:
        >>> ssl = LateModule("ssl")
        >>> ssl.SSLContext.__name__
        'SSLContext'
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


def imported_late(
    package: str, modules: Mapping[str, Iterable[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and the ``__dir__`` of a package, which lists all of its names in ``__all__``.

    They belong under ``if not TYPE_CHECKING``, since a checker would take any misspelt name for one of these.

    Args:
        package: Its ``__name__``.
        modules: The modules that are imported late, each with the names that come from it.

    Example:
        >>> import speechmatics_rt.messages
        >>> "AddTranscriptMessage" in dir(speechmatics_rt.messages)
        True
        >>> speechmatics_rt.messages.AddTranscriptMessage.__module__
        'speechmatics_rt.messages.types'
    """
    homes = {name: module for module, names in modules.items() for name in names}
    namespace = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name in modules:
            return import_module(f".{name}", package)
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = namespace[name] = getattr(import_module(f".{homes[name]}", package), name)
        return value

    def names() -> list[str]:
        return sorted({*namespace, *namespace["__all__"]})

    return get, names
