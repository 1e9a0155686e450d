"""The README and the pages it leads to, executed: every block runs as printed, and what they say is so."""

from __future__ import annotations

import configparser
import dataclasses
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import speechmatics_rt
from speechmatics_rt.local import LocalServer

from .cli.command import in_words, run_program

pytestmark = pytest.mark.timeout(180)  # some have the recogniser compute for seconds, and others may, too

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
AUDIO = Path("examples", "audio", "librivox_3_sentences.wav")
HEADER = 44  # bytes of the recording's WAV header


EXAMPLES = ROOT / "examples"
PAGES = [
    README,
    *sorted((EXAMPLES / "reference").glob("*.md")),
    *(EXAMPLES / "moving" / f"{name}.md" for name in ("former_command", "official_sdk")),
]


class Block(NamedTuple):
    page: str
    line: int
    language: str
    code: str


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = [
        Block(page.stem, text[: match.start()].count("\n") + 1, match[1], match[2])
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
    assert 2 * len(found) == len(re.findall(r"^\s*```", text, re.MULTILINE)), "a fence of another form"
    return found


BLOCKS = [block for page in PAGES for block in blocks(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
SHELL = [block for block in BLOCKS if block.language == "sh"]
OUTPUT, TREE = (block for block in BLOCKS if block.language == "text")  # a third one has no test yet
LINES = [line for block in SHELL for line in block.code.splitlines()]


def test_every_block_is_executed_or_compared() -> None:
    assert {block.language for block in BLOCKS} == {"python", "sh", "text"}
    assert OUTPUT.code.startswith("And Mr. John Dashwood")
    assert TREE.code.startswith("SpeechmaticsError\n")


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


@pytest.fixture
def variables(server: LocalServer, folder: Path) -> dict[str, str]:
    """What leads whatever is run there to the local server."""
    return {
        "PATH": os.pathsep.join([str(folder / "bin"), os.environ["PATH"]]),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # all others that are installed here take a second
        "SPEECHMATICS_API_KEY": "any-key",
        "SPEECHMATICS_RT_URL": server.url,
        "SM_MANAGEMENT_PLATFORM_URL": f"http://127.0.0.1:{server.port}",
    }


@pytest.fixture
def run(folder: Path, variables: dict[str, str]) -> Callable[..., str]:
    """Run a command in the folder, to its end, against the local server; gives what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **variables}

    def to_its_end(*command: str) -> str:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=170,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return to_its_end


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the README speaks of, and what its commands call."""
    import trustme

    (tmp_path / AUDIO.parent).mkdir(parents=True)
    shutil.copy(ROOT / AUDIO, tmp_path / AUDIO)
    for name in ("audio.wav", "agent.wav", "caller.wav"):
        shutil.copy(ROOT / AUDIO, tmp_path / name)
    (tmp_path / "audio.raw").write_bytes((ROOT / AUDIO).read_bytes()[HEADER:])
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "my-ca.pem"))
    return tmp_path


# -- python ------------------------------------------------------------------------------------------------

_CALL_OF_THE_VIEW = """
class Request:
    stream = open("audio.wav", "rb")

with Request.stream:
    print(transcribe_upload(Request))
"""


@pytest.mark.usefixtures("programs_are_forked")
@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"{block.page}, line {block.line}")
def test_a_python_block_runs_as_printed(server, folder, variables, run, block: Block) -> None:
    count = len(server.sessions)
    if "def test_" in block.code:
        path = folder / "test_block.py"
        path.write_text(block.code, encoding="utf-8")
        plugin = ("-p", "speechmatics_rt.pytest_plugin")
        assert "1 passed" in run(sys.executable, "-m", "pytest", "-q", *plugin, str(path))
        return
    call = _CALL_OF_THE_VIEW if "def transcribe_upload(request)" in block.code else ""
    printed, _ = run_program(block.code + call, cwd=folder, env=variables, patience=170)
    new = [record for record in server.sessions[count:] if record.status == 101]  # not for temporary keys
    recordings = 2 if "transcribe_many" in block.code else 1  # of three, one is not there
    assert len(new) == (
        0 if "client = Client(url=" in block.code else recordings
    )  # only says how to get there
    for record in new:
        record.wait_closed()
        assert record.said("EndOfTranscript") or "break" in block.code
    if "print(" in block.code:
        assert "Good" in printed


# -- shell -------------------------------------------------------------------------------------------------


@pytest.fixture
def shell(folder: Path, programs_are_forked: None) -> Path:
    """Lay the commands that a line may call first in the path: ours, and recorders of pip and pytest."""
    (folder / "bin").mkdir()
    ours = f'exec {in_words()} "$@"'
    for name, does in (
        ("speechmatics-rt", ours),
        ("pip", 'printf "%s\\n" "$@" > pip.txt'),
        ("pytest", "touch pytest.txt"),
    ):
        command = folder / "bin" / name
        command.write_text(f"#!/bin/sh\n{does}\n", encoding="utf-8")
        command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.mark.skipif(os.name == "nt", reason="the lines are those of a POSIX shell")
@pytest.mark.parametrize(
    "line", [pytest.param(line, marks=[pytest.mark.speech] if "--local" in line else []) for line in LINES]
)
def test_a_shell_line_runs_as_printed(server, shell, run, line: str) -> None:
    if "--local" in line:
        pytest.importorskip("ctranslate2")
    count = len(server.sessions)
    printed = run("sh", "-c", line)
    if "pip install" in line:
        check_install((shell / "pip.txt").read_text(encoding="utf-8").split())
    if line.endswith("pytest"):
        assert (shell / "pytest.txt").exists()
    elif "--local" in line:
        assert distance(words(OUTPUT.code), words(printed)) <= 2
        assert len(printed.splitlines()) == len(OUTPUT.code.splitlines())
    elif " doctor" in line:
        assert re.search(r"all is well|it works|\bsession +ready|\"check\": \"session\"", printed)
    else:
        assert len(server.sessions) == count + (2 if "transcribe-many" in line else 1)
        written = shell / ("out/agent.srt" if "transcribe-many" in line else "audio.srt")
        assert printed or "welcome" in written.read_text(encoding="utf-8")


def check_install(arguments: list[str]) -> None:
    """Only this project is installed, with an extra that it has."""
    command, what = arguments
    assert command == "install"
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    assert re.fullmatch(r"\.\[(.+)\]", what)[1] in config["options.extras_require"]


def test_the_documented_output_is_what_is_said_in_the_recording() -> None:
    said = (ROOT / AUDIO).with_name("librivox.txt").read_text(encoding="utf-8")
    assert distance(words(said.replace("mister", "mr")), words(OUTPUT.code)) <= 2


def test_the_first_two_lines_are_what_the_continuous_integration_runs_from_a_fresh_clone() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for line in LINES[:2]:
        assert "pip install" in line
        assert line in script


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def distance(expected: list[str], found: list[str]) -> int:
    """The least number of words to insert, delete or replace."""
    row = list(range(len(found) + 1))
    for above, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], above
        for place, other in enumerate(found, 1):
            step = min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
            diagonal, row[place] = row[place], step
    return row[-1]


# -- tables and names --------------------------------------------------------------------------------------


def section(title: str, page: Path = README) -> str:
    text = page.read_text(encoding="utf-8")
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_tree_of_errors_is_the_real_one() -> None:
    path: list[str] = []
    shown = {}
    for line in TREE.code.splitlines():
        indent, name = re.match(r"([│├└─ ]*)(\w+)", line).groups()
        path[len(indent) // 4 :] = [name]
        shown[name] = path[-2] if len(path) > 1 else "Exception"
    real = {
        name: kind.__bases__[0].__name__
        for name, kind in vars(speechmatics_rt).items()
        if isinstance(kind, type) and issubclass(kind, speechmatics_rt.SpeechmaticsError)
    }
    assert shown == real


def test_the_table_of_timeouts_has_every_option_with_its_default() -> None:
    limits = section("Timeouts and limits", EXAMPLES / "reference" / "connections.md")
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", limits, re.MULTILINE)
    options = dataclasses.fields(speechmatics_rt.ConnectionConfig)
    numbers = {option.name: option.default for option in options if isinstance(option.default, int)}
    assert {name: int(default) for name, default in rows} == numbers


FEATURES = [
    [cell.strip() for cell in row.strip("| ").split(" | ")]
    for row in README.read_text(encoding="utf-8").split("### More to ask for")[1].split("###")[0].splitlines()
    if row.startswith("| ") and "---" not in row
][1:]


@pytest.mark.parametrize(("wanted", "asked", "comes"), FEATURES, ids=[row[0][:30] for row in FEATURES])
def test_what_can_be_asked_for_is_asked_for_as_printed(folder, wanted: str, asked: str, comes: str) -> None:
    (code,) = re.findall(r"`([^`]+)`", asked)
    with LocalServer() as server, speechmatics_rt.Client(url=server.url) as client:
        known: dict[str, Any] = {**vars(speechmatics_rt), "threading": threading, "client": client}
        known["AudioFormat"], known["transcribe_many"] = (
            speechmatics_rt.AudioFormat,
            speechmatics_rt.transcribe_many,
        )
        known["source"], known["recordings"] = str(folder / "audio.wav"), [str(folder / "audio.wav")]
        if "get_speakers" in wanted:
            client.start_session(
                audio_format=speechmatics_rt.AudioFormat("pcm_s16le", 16000),
                transcription_config={"diarization": "speaker"},
            )
            client.send_audio((folder / "audio.raw").read_bytes())
            client.force_end_of_utterance()
            known["voice"] = client.get_speakers()["speakers"][0]
            client.stop_session()
        if code.startswith("transcribe_many"):
            code = code.replace("recordings,", f"recordings, url={server.url!r},")
            assert all(outcome.ok for outcome in eval(code, known))
        else:
            if "mulaw" in code:
                known["source"] = bytes(8000 * 5)
            known["transcript"] = eval(f"client.transcribe(source, {code})", known)
            assert known["transcript"].words
    for snippet in re.findall(r"`([^`]+)`", comes):
        if re.fullmatch("[A-Z][A-Za-z]+", snippet):
            assert snippet == "Progress" or speechmatics_rt.ServerMessageType(snippet)
        elif "audio_events" not in snippet:  # there is no music in the recording
            assert eval(snippet, known)


def anchor(heading: str) -> str:
    """Write a heading as links to it do."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_files_it_links_to_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
    headings = set(map(anchor, re.findall(r"^#+ (.*)$", text, re.MULTILINE)))
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_its_contents_name_every_section() -> None:
    text = README.read_text(encoding="utf-8")
    (contents,) = (line for line in text.splitlines() if line.startswith("**Contents**"))
    assert re.findall(r"\[([^]]+)\]", contents) == re.findall(r"^## (.*)$", text, re.MULTILINE)


def test_every_page_is_led_to_from_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert f"]({page.relative_to(ROOT).as_posix()})" in text


def test_the_extras_are_all_named() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    (said,) = re.findall(
        r"^The core needs .* Extras: (.*)$", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    extras = set(config["options.extras_require"]) - {"test", "dev"}
    assert extras <= set(re.findall(r"`([\w-]+)`", said))


def test_it_is_short_enough_to_be_read() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) < 400
