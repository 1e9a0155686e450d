"""An exception in a handler is seen by a program that has configured no logging; and once."""

from __future__ import annotations

import bdb
import functools
import io
import pdb
import signal
import subprocess
import sys
import textwrap

import pytest

RAW = {"encoding": "pcm_s16le", "sample_rate": 16000}
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


# -- what a signal handler raises --------------------------------------------------------------------------


class Limit(Exception):
    """As that of Celery and rq: an Exception, raised by a signal handler wherever the main thread is."""

    def over(self, *_: object) -> None:
        raise Limit

    def __call__(self, *_: object) -> None:
        raise Limit


def over(*_: object) -> None:
    raise Limit


def over_named(signum: int, frame: object) -> None:
    signum = signal.Signals(signum)
    raise Limit(signum, [frame for _ in range(1)])  # in a cell, before Python 3.12


def over_without_arguments(signum: int, frame: object) -> None:
    del signum, frame
    raise Limit


def over_without_any(*given: object) -> None:
    del given
    raise Limit


def over_once(signum: int, *_: object) -> None:
    signal.signal(signum, signal.SIG_DFL)  # so that a second one ends the process
    raise Limit


LIMITS = {
    "function": over,
    "method": Limit().over,
    "object": Limit(),
    "partial": functools.partial(lambda what, *_: over(what), "stop"),
    "named": over_named,
    "arguments deleted": over_without_arguments,
    "all deleted": over_without_any,
    "registered no more": over_once,
}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("handler", LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("errors", ["log", "raise"])
def test_a_limit_on_time_that_falls_into_a_handler_ends_the_call(serve, client_of, handler, errors) -> None:
    client = client_of(serve(), handler_errors=errors)
    before = signal.signal(signal.SIGUSR1, handler)
    ended = []
    client.on("SessionEnded", lambda event: ended.append(event["message"]))
    client.once("AddTranscript", lambda _: signal.raise_signal(signal.SIGUSR1))
    try:
        with pytest.raises(Limit):
            client.transcribe(bytes(320000), audio_format={"type": "raw", **RAW})
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert ended == ["SessionEnded"]
    assert not client.is_connected
    assert client.transcribe(bytes(320000), audio_format={"type": "raw", **RAW}).text


def test_quitting_the_debugger_in_a_handler_ends_the_call(serve, client_of) -> None:
    client = client_of(serve())
    stops = io.StringIO()

    @client.on("AddTranscript")
    def stops_in_pdb(message: object) -> None:
        pdb.Pdb(stdin=io.StringIO("message\nquit\n"), stdout=stops).set_trace()
        assert message

    with pytest.raises(bdb.BdbQuit):
        client.transcribe(bytes(320000), audio_format={"type": "raw", **RAW})
    assert stops.getvalue().count("'message': 'AddTranscript'") == 1
    assert not client.is_connected


def test_what_a_handler_raises_itself_is_logged_although_signals_have_handlers(
    serve, client_of, caplog
) -> None:
    client = client_of(serve())

    @client.on("AddTranscript")
    def fails(message: object) -> None:
        raise Limit

    assert client.transcribe(bytes(320000), audio_format={"type": "raw", **RAW}).text
    assert "a handler of AddTranscript failed" in caplog.text


class App:
    """A program whose handler of SIGUSR1 is also called by its callbacks."""

    def stop(self, signum: object = None, frame: object = None) -> None:
        raise KeyError("the page is gone")

    def __call__(self, *_: object) -> None:
        self.stop()


def stop(*_: object) -> None:
    raise KeyError("the page is gone")


SHARED = {
    "function": (stop, stop),
    "method": (App().stop, App().stop),
    "method without arguments": (App().stop, lambda _: App().stop()),
    "method with a signal's number": (App().stop, lambda _: App().stop(signal.SIGTERM, None)),
    "object": (App(), App()),
}


@pytest.mark.parametrize("how", ["transcribe", "by hand"])
@pytest.mark.parametrize(("registered", "called"), SHARED.values(), ids=SHARED)
def test_what_a_handler_of_a_signal_raises_when_a_callback_calls_it_is_a_callbacks_error(
    serve, client_of, caplog, registered, called, how
) -> None:
    client, seen = client_of(serve()), []
    client.on("AddTranscript", called)
    client.on("AddTranscript", seen.append)
    raw = {"type": "raw", **RAW}
    before = signal.signal(signal.SIGTERM, registered)
    try:
        if how == "transcribe":
            assert client.transcribe(bytes(64000), audio_format=raw).text
        else:
            client.start_session(audio_format=raw)
            client.send_audio(bytes(64000))
            client.stop_session()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen
    assert caplog.text.count("a handler of AddTranscript failed") == len(seen)


def test_off_the_main_thread_nothing_is_taken_for_a_signals(serve, client_of, caplog) -> None:
    client = client_of(serve())
    client.once("AddTranscript", over_without_any)
    before = signal.signal(signal.SIGTERM, over_without_any)
    try:
        client.start_session(audio_format={"type": "raw", **RAW})
        client.send_audio(bytes(64000))
        client.stop_session()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "a handler of AddTranscript failed" in caplog.text
