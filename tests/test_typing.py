"""What type checkers make of a user's program: that it passes, and that mistakes in it are found.

The checkers belong to the extra ``dev``; what runs them is marked ``typing``.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Callable, get_args

import pytest
from typing_extensions import NotRequired, get_type_hints

from speechmatics_rt import ServerMessageType, messages, registration

ROOT = Path(__file__).parent.parent
USER = ROOT / "tests" / "typing" / "user_program.py"
WRONG = ROOT / "tests" / "typing" / "wrong.py"


def signatures() -> list[dict[str, Any]]:
    """The overloads of Registration, evaluated: the types of ``event``, ``callback`` and what they return."""
    tree = ast.parse(inspect.getsource(registration.Registration))
    names = vars(registration)

    def read(node: ast.expr) -> Any:
        return eval(ast.unparse(node), dict(names))

    return [
        {**{arg.arg: read(arg.annotation) for arg in node.args.args[1:]}, "return": read(node.returns)}
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]


def name_in(message: type) -> str:
    """The string that a message of this type has under ``message``."""
    (name,) = get_args(get_type_hints(message, localns={"NotRequired": NotRequired})["message"])
    return name


@pytest.mark.parametrize("kind", ServerMessageType, ids=lambda kind: kind.value)
def test_every_server_message_has_its_two_signatures(kind: ServerMessageType) -> None:
    call, decorator = [s for s in signatures() if get_args(s["event"]) == (kind.value, kind)]
    (message,), _ = get_args(call["callback"])
    assert name_in(message) == kind.value
    (taken,), given = get_args(decorator["return"])
    assert taken is given
    assert get_args(taken.__bound__) == (Callable[[message], Any], Callable[[dict[str, Any]], Any])


def test_the_signatures_cover_the_union_of_all_server_messages_and_no_more() -> None:
    kinds = {name_in(message) for message in get_args(messages.ServerMessage)}
    assert kinds == {kind.value for kind in ServerMessageType}
    assert len(signatures()) == 2 * len(kinds) + 3


def test_importing_the_package_does_not_import_the_signatures() -> None:
    program = "import sys, speechmatics_rt.aio; print('speechmatics_rt.registration' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"


def test_the_signatures_change_nothing_about_the_methods() -> None:
    from speechmatics_rt import Client, EventEmitter

    for method in (Client.on, Client.once, EventEmitter.on):
        assert list(inspect.signature(method).parameters) == ["self", "event", "callback"]
        assert inspect.isfunction(method)
        assert method.__doc__
