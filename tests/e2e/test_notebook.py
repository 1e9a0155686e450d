"""The notebook as its readers run it: from top to bottom in a kernel, and stopped in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebook.ipynb"
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RUN = """
import sys, nbformat, nbclient
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=200, resources={"metadata": {"path": sys.argv[2]}}).execute()
nbformat.write(notebook, sys.argv[3])
"""


def run(program: str, *arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def outputs(path: Path) -> list[list[dict[str, Any]]]:
    """What stands under each cell of code, in order."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell["outputs"] for cell in cells if cell["cell_type"] == "code"]


def kinds(path: Path) -> list[set[str]]:
    """What kinds of things stand under each cell."""
    return [
        {kind for output in cell for kind in (output["output_type"], *output.get("data", ()))}
        for cell in outputs(path)
    ]


def html(path: Path) -> str:
    given = (output.get("data", {}).get("text/html", "") for cell in outputs(path) for output in cell)
    return "".join("".join(part) for part in given)


@pytest.mark.speech
def test_it_runs_from_top_to_bottom_and_shows_what_is_stored_in_it(tmp_path) -> None:
    for package in ("nbclient", "pandas", "matplotlib", "ctranslate2"):
        pytest.importorskip(package)
    run(RUN, NOTEBOOK, NOTEBOOK.parent, tmp_path / "run.ipynb")
    assert kinds(tmp_path / "run.ipynb") == kinds(NOTEBOOK)
    for page in (html(tmp_path / "run.ipynb"), html(NOTEBOOK)):
        assert "agent</b>" in page
        assert "caller</b>" in page
        assert "respectable than he was" in page
        assert 'src="data:audio/wav;base64,' in page
    printed = outputs(tmp_path / "run.ipynb")
    assert "the same again: True" in "".join(printed[-2][0]["text"])
    assert "connected: False" in "".join(text for output in printed[-1] for text in output["text"])


def test_its_outputs_have_no_place_of_whoever_ran_it() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert all(word not in text for word in ("/tmp/", "/home/", "/root/", "Traceback"))
    assert NOTEBOOK.stat().st_size < 1_000_000


# A program of its own: what a kernel's client leaves open is no leak of ours.
STOPS = """
import os
from jupyter_client.manager import start_new_kernel
from speechmatics_rt.local import LocalServer

ITERATES = '''
from speechmatics_rt import AudioFormat, Client

client = Client()
endless = iter(lambda: bytes(3200), None)
for message in client.stream(endless, audio_format=AudioFormat("pcm_s16le", 16000), speed=1.0):
    print(message["message"], flush=True)
'''
AFTERWARDS = '''
print("connected:", client.is_connected)
print(client.transcribe(bytes(64000), audio_format=AudioFormat("pcm_s16le", 16000)))
'''

def until(field, wanted):
    while True:
        found = str(client.get_iopub_msg(timeout=60)["content"].get(field, ""))
        if wanted in found:
            return found

with LocalServer() as server:
    os.environ["SPEECHMATICS_RT_URL"] = server.url
    kernel, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute(ITERATES)
        until("text", "RecognitionStarted")
        assert not server.sessions[0].closed.is_set()
        kernel.interrupt_kernel()
        until("ename", "KeyboardInterrupt")
        until("execution_state", "idle")
        server.sessions[0].wait_closed(30)
        client.execute(AFTERWARDS)
        assert "connected: False" in until("text", "connected:")
        until("execution_state", "idle")
        assert server.sessions[1].said("EndOfTranscript")
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
"""


def test_the_stop_button_ends_the_session_and_the_next_cell_starts_another() -> None:
    pytest.importorskip("jupyter_client")
    run(STOPS)


# A shell of its own: it patches what it likes in the process.
FAILS = '''
import re
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.io import capture_output

shell = InteractiveShell.instance()

def shown(cell):
    with capture_output() as seen:
        shell.run_cell(cell)
    return re.sub("\\x1b\\[[0-9;]*m", "", seen.stdout + seen.stderr)

shown("from speechmatics_rt import AudioFormat, Client")
refused = shown("""
with Client(api_key="k", url="ws://localhost:9") as client:
    client.transcribe(bytes(3200), audio_format=AudioFormat("pcm_s16le", 16000))
""")
assert "----> 2     client.transcribe" in refused, refused
assert "ConnectionError: could not connect to localhost:9" in refused, refused
assert "speechmatics-rt doctor" in refused, refused
assert len(refused.splitlines()) < 12, refused

failed = shown("""
def chunks():
    yield bytes(10)
    return 1 / 0

from speechmatics_rt.local import LocalServer
with LocalServer() as server, Client(url=server.url) as client:
    client.transcribe(chunks(), audio_format=AudioFormat("pcm_s16le", 16000))
""")
assert re.search("-> 3 +return 1 / 0", failed), failed
assert "direct cause" in failed, failed
assert "----> 7     client.transcribe" in failed, failed
assert "after 10 bytes: ZeroDivisionError" in failed, failed
assert len(failed.splitlines()) < 35, failed

handled = shown("""
def strict(message):
    client.send_audio("text")
    client.stop_session()

with LocalServer() as server, Client(url=server.url, handler_errors="raise") as client:
    client.on("RecognitionStarted", strict)
    client.transcribe(bytes(3200), audio_format=AudioFormat("pcm_s16le", 16000))
""")
assert "----> 7     client.transcribe" in handled, handled
assert re.search("-> 2 +client.send_audio", handled), handled
'''


def test_an_error_in_a_cell_shows_the_readers_lines_and_not_those_of_this_package() -> None:
    pytest.importorskip("IPython")
    run(FAILS)
