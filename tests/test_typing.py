"""What type checkers make of a user's program: that it passes, and that mistakes in it are found.

The checkers belong to the extra ``dev``; what runs them is marked ``typing``.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Callable, get_args

import pytest
from typing_extensions import NotRequired, get_type_hints

from speechmatics_rt import ServerMessageType
from speechmatics_rt.messages import handlers
from speechmatics_rt.messages import types as messages

ROOT = Path(__file__).parent.parent
USER = ROOT / "tests" / "typing" / "user_program.py"
WRONG = ROOT / "tests" / "typing" / "wrong.py"


OURS = {"Reconnecting", "Resumed", "SessionEnded", "Utterance"}


def signatures() -> list[dict[str, Any]]:
    """The overloads of HandlerDecorator, evaluated: the types of event, callback and what they return."""
    tree = ast.parse(inspect.getsource(handlers.HandlerDecorator))
    names = vars(handlers)

    def read(node: ast.expr) -> Any:
        return eval(ast.unparse(node), dict(names))

    return [
        {**{arg.arg: read(arg.annotation) for arg in node.args.args[1:]}, "return": read(node.returns)}
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]


def name_in(message: type) -> str:
    """The string that a message of this type has under ``message``."""
    name, *_ = get_args(get_type_hints(message, localns={"NotRequired": NotRequired})["message"])
    return name


@pytest.mark.parametrize("kind", ServerMessageType, ids=lambda kind: kind.value)
def test_every_server_message_has_its_two_signatures(kind: ServerMessageType) -> None:
    decorator, call = [s for s in signatures() if get_args(s["event"]) == (kind.value, kind)]
    (message,), _ = get_args(call["callback"])
    assert name_in(message) == kind.value
    (taken,), given = get_args(decorator["return"])
    assert taken is given
    assert get_args(taken.__bound__) == (Callable[[message], Any], Callable[[dict[str, Any]], Any])


def test_the_signatures_cover_the_union_of_all_server_messages_and_no_more() -> None:
    kinds = {name_in(message) for message in get_args(messages.ServerMessage)}
    assert kinds == {kind.value for kind in ServerMessageType} | OURS
    assert len(signatures()) == 2 * len(kinds) + 3


def test_importing_the_package_does_not_import_the_signatures() -> None:
    program = (
        "import sys, speechmatics_rt.aio.client; print('speechmatics_rt.messages.handlers' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout == "False\n"


def test_the_signatures_change_nothing_about_the_methods() -> None:
    from speechmatics_rt import Client, EventEmitter

    for method in (Client.on, Client.once, EventEmitter.on):
        assert list(inspect.signature(method).parameters) == ["self", "event", "callback"]
        assert inspect.isfunction(method)
        assert method.__doc__


# -- with the checkers -------------------------------------------------------------------------------

Refused = dict[int, set[str]]  # line: the rules it breaks


def mypy(program: Path) -> Refused:
    out = check("mypy", "--strict", "--no-error-summary", "--hide-error-context", program)
    found = re.findall(r"^(\S+?):(\d+): error: .*\[([\w-]+)\]$", out, re.M)
    assert len(found) == out.count(": error: "), out
    return by_line((file, int(line), rule) for file, line, rule in found)


def pyright(program: Path) -> Refused:
    out = json.loads(check("pyright", "--outputjson", "--pythonpath", sys.executable, program))
    assert out["summary"]["filesAnalyzed"] == 1, out
    return by_line(
        (one["file"], one["range"]["start"]["line"] + 1, one.get("rule", "syntax"))
        for one in out["generalDiagnostics"]
    )


def by_line(found: Iterable[tuple[str, int, str]]) -> Refused:
    rules: Refused = {}
    for file, line, rule in found:
        assert Path(file).name in (USER.name, WRONG.name), f"{file}:{line}: {rule}"
        rules.setdefault(line, set()).add(rule)
    return rules


def check(*command: object) -> str:
    """Run a type checker as a module of this interpreter, at the root of the source."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


CHECKERS = pytest.mark.parametrize("checker", [mypy, pyright], ids=lambda checker: checker.__name__)


@pytest.mark.typing
@CHECKERS
def test_nothing_is_found_in_a_right_program(checker: Callable[[Path], Refused]) -> None:
    assert checker(USER) == {}


@pytest.mark.typing
@CHECKERS
def test_every_mistake_is_found_and_nothing_else(checker: Callable[[Path], Refused]) -> None:
    expected = {}
    for number, line in enumerate(WRONG.read_text(encoding="utf-8").splitlines(), 1):
        if "# no: " in line:
            of_mypy, of_pyright = line.split("# no: ")[1].split(" | ")
            expected[number] = of_mypy if checker is mypy else of_pyright
    seen = {number: rule for number, rule in expected.items() if rule != "-"}
    found = checker(WRONG)
    assert sorted(found) == sorted(seen)
    assert {number: found[number] for number, rule in seen.items() if rule not in found[number]} == {}


@pytest.mark.typing
def test_the_newest_mypy_knows_a_message_by_its_name(tmp_path: Path) -> None:
    """Newer ones don't run on all Pythons that the package does, nor pass over all that is known of older."""
    tool = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tmp_path / "tool"), "mypy"]
    subprocess.run(tool, check=True)
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        from speechmatics_rt import Client, transcribe_many
        with Client() as client, client.stream("audio.wav") as messages:
            for message in messages:
                if message["message"] == "AddTranscript":
                    text: str = message["metadata"]["transcript"]
                elif message["message"] == "Error":
                    reason: str = message["reason"]
                elif message["message"] == "SessionEnded":
                    print(message["error"], message["metadata"])
        for outcome in transcribe_many(["audio.wav"]):
            print(outcome.source, outcome.transcript or f"failed: {outcome.error}")
        """)
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", "--strict", "--no-error-summary", str(program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "tool")},
    )
    (found,) = [line for line in done.stdout.splitlines() if program.name in line] or [done.stderr]
    assert 'TypedDict "SessionEndedMessage" has no key "metadata"' in found


@pytest.mark.typing
def test_asyncio_is_typed_like_the_blocking_clients(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
        from speechmatics_rt.aio.client import AsyncClient
        async def main() -> None:
            client = AsyncClient()
            text: str = (await client.transcribe(b"", timeout=3)).text
            await client.transcribe(b"", timeuot=3)
        """)
    )
    out = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(program)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    errors = [line for line in out.splitlines() if "program.py" in line and "error:" in line]
    assert len(errors) == 1, out
    assert "timeuot" in errors[0]
