"""An exception in a handler is seen by a program that has configured no logging; and once."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

HEAD = """
    import asyncio, io, logging, sys
    from speechmatics_rt import AsyncClient, Client
    from speechmatics_rt.local import LocalServer

    PCM = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}

    def broken(message):
        raise ValueError("the page is gone")

    async def broken_later(message):
        raise ValueError("the page is gone")

    def at_once(url):
        with Client(url=url) as client:
            client.on("RecognitionStarted", broken)
            client.transcribe(bytes(3200), audio_format=PCM)

    def by_hand(url):
        with Client(url=url) as client:
            client.on("RecognitionStarted", broken)
            client.start_session(audio_format=PCM)
            client.stop_session()

    def in_a_loop(url, handler=broken):
        async def main():
            async with AsyncClient(url=url) as client:
                client.on("RecognitionStarted", handler)
                await client.start_session(audio_format=PCM)
                await client.stop_session()

        asyncio.run(main())

    def in_a_loop_awaited(url):
        in_a_loop(url, broken_later)
"""


def stderr_of(configure: str, call: str = "at_once") -> str:
    program = (
        textwrap.dedent(HEAD) + f"\n{configure}\nwith LocalServer() as server:\n    {call}(server.url)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("call", ["at_once", "by_hand", "in_a_loop", "in_a_loop_awaited"])
def test_with_nothing_configured_it_is_printed_once_with_its_traceback(call: str) -> None:
    printed = stderr_of("", call)
    assert printed.count("ValueError: the page is gone") == 1
    assert printed.startswith("a handler of RecognitionStarted failed: <function broken")
    assert "Traceback" in printed
    assert "in broken" in printed


def test_a_program_that_configures_logging_has_it_in_its_log_alone() -> None:
    assert stderr_of("logging.basicConfig(stream=io.StringIO())") == ""
    assert stderr_of("logging.basicConfig()").count("ValueError: the page is gone") == 1
    own = "logging.getLogger('speechmatics_rt').addHandler(logging.StreamHandler())"
    assert stderr_of(own).count("ValueError: the page is gone") == 1


@pytest.mark.parametrize(
    "silence",
    [
        "logging.getLogger('speechmatics_rt').setLevel(logging.CRITICAL)",
        "logging.getLogger('speechmatics_rt').propagate = False",
        "logging.getLogger().addHandler(logging.NullHandler())",
        "logging.lastResort = None",
        "logging.disable()",
    ],
)
def test_a_program_that_wants_silence_has_it(silence: str) -> None:
    assert stderr_of(silence) == ""


def test_nothing_else_is_printed_when_nothing_is_configured() -> None:
    program = (
        "from speechmatics_rt import Client, SpeechmaticsError\n"
        "from speechmatics_rt.local import Fault, LocalServer\n"
        "with LocalServer(faults=[Fault.error('job_error', after_seconds=0.1)]) as server:\n"
        "    with Client(url=server.url) as client:\n"
        "        try: client.transcribe(bytes(32000), audio_format={'type': 'raw', 'encoding': 'pcm_s16le',"
        " 'sample_rate': 16000})\n"
        "        except SpeechmaticsError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stderr == ""
