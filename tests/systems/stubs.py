"""Which names of the standard library are on Linux, and not on Windows or macOS: read off typeshed's stubs.

``python -m tests.systems.stubs`` writes ``missing.json`` anew, from the stubs that mypy brings along.
"""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

MISSING = Path(__file__).parent / "missing.json"
SYSTEMS = ("win32", "darwin")
VERSION = (3, 13)  # of the names; what is younger than our oldest Python mypy finds
_COMPARE = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def holds(test: ast.expr, system: str) -> bool:
    """Evaluate a condition of a stub; one about anything else holds."""
    if isinstance(test, ast.BoolOp):
        parts = [holds(part, system) for part in test.values]
        return all(parts) if isinstance(test.op, ast.And) else any(parts)
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return not holds(test.operand, system)
    if not isinstance(test, ast.Compare):
        return True
    known: dict[str, Any] = {"sys.platform": system, "sys.version_info": VERSION}
    left = known.get(ast.unparse(test.left))
    if left is None:
        return True
    return bool(_COMPARE[type(test.ops[0])](left, ast.literal_eval(test.comparators[0])))


def names(body: list[ast.stmt], system: str) -> Iterator[str]:
    """Give what a stub defines on a system."""
    for node in body:
        if isinstance(node, ast.If):
            yield from names(node.body if holds(node.test, system) else node.orelse, system)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def missing(stub: Path) -> dict[str, list[str]]:
    """Give what is missing by system; ``""`` where of the whole module nothing is there."""
    body = ast.parse(stub.read_text(encoding="utf-8")).body
    imports = {
        name for node in body if isinstance(node, (ast.Import, ast.ImportFrom)) for name in names([node], "")
    }
    here = set(names(body, "linux")) - imports
    absent = {}
    for system in SYSTEMS:
        there = set(names(body, system)) - imports
        if here - there:
            absent[system] = sorted(here - there) + ([] if there else [""])
    return absent


def table() -> Optional[dict[str, Any]]:
    """Read the stubs; None where there is no mypy."""
    try:
        import mypy
    except ImportError:
        return None
    folder = Path(mypy.__file__).parent / "typeshed" / "stdlib"
    found = {}
    for stub in sorted(folder.rglob("*.pyi")):
        module = ".".join(stub.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        if not module.startswith(("_", "distutils", "lib2to3", "asyncio.")) and (absent := missing(stub)):
            found[module] = absent
    return found


def main() -> None:
    found = table()
    if found is None:
        raise SystemExit("mypy brings the stubs: pip install -e '.[dev]'")
    lines = [f"{json.dumps(module)}: {json.dumps(absent)}" for module, absent in found.items()]
    MISSING.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
