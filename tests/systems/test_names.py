"""Nothing of the standard library is used that Windows or macOS lack, but where that is asked for first.

That the question is the right one (``sys.platform`` and not its contrary) is what mypy says, run for each
system; this needs no mypy, so it holds wherever the tests run.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import speechmatics_rt

from ..offenders import each_of
from . import stubs

PACKAGE = Path(speechmatics_rt.__file__).parent
MISSING = json.loads(stubs.MISSING.read_text(encoding="utf-8"))
ASKS = ("sys.platform", "os.name", "hasattr(")


class Uses(ast.NodeVisitor):
    """Names that are used unasked: by ``if``, ``and`` or ``try``, or after one that leaves the function."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}  # by the name they have here
        self.found: list[tuple[int, str, str]] = []
        self._asked = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.modules[alias.asname or alias.name.partition(".")[0]] = alias.name
            if not self._asked:
                self.found.append((node.lineno, alias.name, ""))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if not self._asked and node.level == 0 and node.module:
            self.found += [(node.lineno, node.module, alias.name) for alias in node.names]

    def visit_Attribute(self, node: ast.Attribute) -> None:
        module = self.modules.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if module is not None and not self._asked:
            self.found.append((node.lineno, module, node.attr))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._visit_asked([*node.body, *node.orelse], asks(node.test))

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        self._visit_asked([node.body, node.orelse], asks(node.test))

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        self._visit_asked(node.values[1:], asks(node.values[0]))

    def visit_Try(self, node: ast.Try) -> None:
        caught = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
        self._visit_asked(node.body, "ImportError" in caught or "AttributeError" in caught)
        for part in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(part)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for at, statement in enumerate(node.body):
            self.visit(statement)
            leaves = isinstance(statement, ast.If) and isinstance(statement.body[-1], (ast.Return, ast.Raise))
            if leaves and asks(statement.test):  # type: ignore[attr-defined]
                self._visit_asked(node.body[at + 1 :], True)
                break

    def _visit_asked(self, nodes: list[ast.stmt] | list[ast.expr], asked: bool) -> None:
        self._asked += asked
        for node in nodes:
            self.visit(node)
        self._asked -= asked


def asks(test: ast.expr) -> bool:
    return any(question in ast.unparse(test) for question in ASKS)


def wrong(source: str) -> Iterator[str]:
    uses = Uses()
    uses.visit(ast.parse(source))
    for line, module, name in uses.found:
        for system, absent in MISSING.get(module, {}).items():
            if name in absent or (not name and module in WHOLE[system]):
                yield f"line {line}: {module}.{name} is not on {system}".replace(". ", " ")


# Modules of which nothing is there.
WHOLE = {
    system: {"fcntl", "termios", "resource", "tty", "pty", "pwd", "grp", "syslog"} for system in ("win32",)
}
WHOLE["darwin"] = set()


@each_of(sorted(PACKAGE.rglob("*.py")), within=PACKAGE)
def test_nothing_is_used_that_another_system_lacks(path: Path) -> None:
    assert list(wrong(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os\nos.fork()", ["line 2: os.fork is not on win32"]),
        (
            "import select\nselect.epoll()",
            ["line 2: select.epoll is not on win32", "line 2: select.epoll is not on darwin"],
        ),
        ("import fcntl", ["line 1: fcntl is not on win32"]),
        ("from signal import SIGHUP", ["line 1: signal.SIGHUP is not on win32"]),
        ("import os as o\ndef f():\n    return o.getuid()", ["line 3: os.getuid is not on win32"]),
        ("import os, sys\nif sys.platform != 'win32':\n    os.fork()", []),
        ("import select\nx = hasattr(select, 'epoll') and select.epoll()", []),
        ("import os\nx = os.fork() if hasattr(os, 'fork') else 0", []),
        ("try:\n    import fcntl\nexcept ImportError:\n    pass", []),
        ("import os, sys\ndef f():\n    if sys.platform == 'win32':\n        return\n    os.fork()", []),
        ("import os\ntry:\n    os.fork()\nexcept OSError:\n    pass", ["line 3: os.fork is not on win32"]),
    ],
)
def test_the_checker_finds_what_is_used_unasked(source: str, found: list[str]) -> None:
    assert list(wrong(source)) == found


def test_the_list_is_that_of_the_stubs() -> None:
    known = stubs.table()
    if known is None:
        pytest.skip("mypy brings the stubs (extra: dev)")
    assert known == MISSING, "python -m tests.systems.stubs brings it up to date"
