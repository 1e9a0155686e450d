"""What a server says commands no terminal: words, labels and reasons are text, whatever is in them."""

from __future__ import annotations

import pytest

from speechmatics_rt.local import Fault, LocalServer, Script, ScriptedEngine

from .command import SPEECH, run
from .terminal import in_terminal

HOSTILE = "It \x1b[31mrained\x1b]0;owned\x07 in \x9b2JBergen."
COMMANDS = ("\x1b[31m", "\x1b]0", "\x07", "\x9b")


@pytest.fixture(scope="module")
def hostile():
    with LocalServer(ScriptedEngine(Script.from_text(HOSTILE))) as server:
        yield server


@pytest.mark.parametrize("format", ["txt", "srt", "vtt", "tsv", "json", "jsonl"])
def test_words_with_escape_sequences_do_not_reach_a_terminal_as_such(hostile, format) -> None:
    options = ("--format", format, "--color", "never")
    code, received = in_terminal("transcribe", SPEECH, "--url", hostile.url, *options)
    assert code == 0
    assert "rained" in received
    assert [command for command in COMMANDS if command in received] == []


def test_nor_do_they_reach_a_file_of_text_that_somebody_may_show(hostile) -> None:
    code, out, _ = run("transcribe", SPEECH, "--url", hostile.url)
    assert (code, out) == (0, "It \ufffd[31mrained\ufffd]0;owned\ufffd in \ufffd2JBergen.\n")


@pytest.mark.parametrize("verbose", [[], ["-v"], ["-vv"]], ids=lambda value: "".join(value))
def test_a_reason_with_escape_sequences_is_told_without_them(verbose) -> None:
    fault = Fault.error("invalid_model", "no \x1b]0;owned\x07 such", at="start")
    with LocalServer(faults=[fault]) as server:
        code, received = in_terminal("transcribe", SPEECH, "--url", server.url, "--color", "never", *verbose)
    assert code == 1
    assert "no \ufffd]0;owned\ufffd such" in received
    assert [command for command in COMMANDS if command in received] == []
