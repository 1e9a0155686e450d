"""An exception in a handler is seen by a program that has configured no logging; and once."""

from __future__ import annotations

import asyncio
import bdb
import functools
import gc
import io
import logging
import pdb
import signal
import sys
import textwrap
import threading
import time
import warnings
import weakref
from collections.abc import AsyncIterator, Iterator

import pytest

from speechmatics_rt import AsyncClient, Client, ConnectionConfig
from speechmatics_rt.exceptions import NotRunningError
from speechmatics_rt.local import Fault

from .cli.command import run_program
from .looks import settled

pytestmark = pytest.mark.usefixtures("programs_are_forked")

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
    out, err = run_program(program)
    assert out == ""
    return err


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


@pytest.mark.parametrize("call", ["at_once", "in_a_loop"])
def test_a_logger_that_a_config_disables_by_default_is_no_wish_for_silence(
    call: str,
) -> None:
    by_default = "import logging.config; logging.config.dictConfig({'version': 1%s})"
    assert stderr_of(by_default % "", call).count("ValueError: the page is gone") == 1
    handlers = ", 'handlers': {'h': {'class': 'logging.StreamHandler'}}, 'root': {'handlers': ['h']}"
    assert stderr_of(by_default % handlers, call).count("ValueError: the page is gone") == 1
    file = "; logging.getLogger().addHandler(logging.StreamHandler(io.StringIO()))"
    assert stderr_of(by_default % "" + file, call) == ""


@pytest.mark.parametrize(
    "also",
    [
        "logging.getLogger('speechmatics_rt').setLevel(logging.CRITICAL)",
        "logging.getLogger('speechmatics_rt').propagate = False",
        "logging.getLogger('speechmatics_rt.events').addFilter(lambda record: False)",
        "logging.disable()",
    ],
)
def test_silence_that_is_asked_for_beside_a_config_is_kept(also: str) -> None:
    assert stderr_of(f"import logging.config; logging.config.dictConfig({{'version': 1}}); {also}") == ""


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
    _, err = run_program(program)
    assert err == ""


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
    assert caplog.text.count("a handler of AddTranscript failed: ") == 1
    assert 1 < len(seen) < 10


@pytest.mark.parametrize("how", ["transcribe", "aio", "aio, awaited"])
def test_an_error_that_comes_with_each_message_is_logged_once_and_then_as_its_number_grows(
    serve, client_of, caplog, how
) -> None:
    """An hour of speech would otherwise be eight thousand tracebacks."""
    server = serve(faults=[Fault.flood(150, after_seconds=1)])

    def broken(message):
        return message["result"]

    async def awaited(message):
        return broken(message)

    raw = {"type": "raw", **RAW}

    async def main():
        config = ConnectionConfig(ssl_context=server.ssl_context)
        async with AsyncClient(url=server.url, conn_config=config) as client:
            client.on("AddTranscript", awaited if how == "aio, awaited" else broken)
            for _ in range(2):
                await client.transcribe(bytes(64000), audio_format=raw)

    if how == "transcribe":
        client = client_of(server)
        client.on("AddTranscript", broken)
        for _ in range(2):
            client.transcribe(bytes(64000), audio_format=raw)
    else:
        asyncio.run(main())
    assert caplog.text.count("Traceback") == 2  # one in each session
    told = [record.getMessage() for record in caplog.records if record.name == "speechmatics_rt.events"]
    assert len(told) == 2 * 3, told
    for session in (told[:3], told[3:]):
        assert [text.partition(" [")[0] for text in session[1:]] == [
            f"a handler of AddTranscript failed for the {number}th time at that line: KeyError('result')"
            for number in (10, 100)
        ]


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


# -- what is raised ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["at_once", "by_hand", "in_a_loop", "in_a_loop_awaited"])
def test_what_is_raised_shows_the_line_of_the_handler_to_who_has_configured_nothing(call: str) -> None:
    strict = (
        "from functools import partial\n"
        "Client, AsyncClient = (partial(kind, handler_errors='raise') for kind in (Client, AsyncClient))"
    )
    program = (
        textwrap.dedent(HEAD)
        + f"\n{strict}\nwith LocalServer() as server:\n    try: {call}(server.url)\n"
        + "    except ValueError:\n"
        + "        import traceback; print(traceback.format_exc())\n"
    )
    out, err = run_program(program)
    assert "in broken" in out
    assert out.count("ValueError: the page is gone") == 1
    if call == "at_once":  # raised while it is handled
        assert err == ""
    else:  # told at once, since it is raised at the end of the session, if at all
        assert err.startswith("a handler failed; stop_session(), or the end of the loop, raises the")
        assert "in broken" in err


def test_by_hand_the_first_error_is_raised_with_its_frames_and_every_other_is_told(
    serve, client_of, caplog
) -> None:
    client, seen = client_of(serve(), handler_errors="raise"), []

    def fails(message: object) -> None:
        number = len(seen)
        seen.append(message)
        raise KeyError(number)

    client.on("AddTranscript", fails)
    client.start_session(audio_format={"type": "raw", **RAW})
    client.send_audio(bytes(64000))
    with pytest.raises(KeyError, match="0") as caught:
        client.stop_session()
    frame = caught.traceback[-1].frame
    assert (frame.code.name, frame.f_locals["number"]) == ("fails", 0)
    assert len(seen) > 1
    told = [record for record in caplog.records if record.exc_info]
    assert [str(record.exc_info[1]) for record in told] == [str(number) for number in range(len(seen))]
    assert all(record.of_a_handler for record in told)
    client.stop_session()  # which raises it once


@pytest.fixture
def unlogged() -> Iterator[None]:
    """No log keeps an error alive."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
def test_a_client_that_keeps_an_error_is_collected_and_so_is_all_that_the_handler_had(serve, ended) -> None:
    server = serve()

    class Page:
        pass

    def drop() -> weakref.ref[Page]:
        page, failed = Page(), threading.Event()
        config = ConnectionConfig(ssl_context=server.ssl_context)
        client = Client(url=server.url, conn_config=config, handler_errors="raise")

        @client.once("AddTranscript")
        def fails(message: object) -> None:
            assert client.is_connected
            assert page
            failed.set()
            raise KeyError

        client.start_session(audio_format={"type": "raw", **RAW})
        client.send_audio(bytes(64000))
        assert failed.wait(10)
        if ended:
            client.close()
        return weakref.ref(page)

    dropped, deadline = drop(), time.monotonic() + 10
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        while dropped() is not None and time.monotonic() < deadline:  # a listener holds it while it delivers
            gc.collect()
            time.sleep(0.01)
    assert dropped() is None
    assert [each.category for each in seen if each.category is ResourceWarning] == [ResourceWarning][ended:]
    assert server.sessions[-1].wait_closed(5)


@pytest.mark.usefixtures("unlogged")
@pytest.mark.parametrize("how", ["transcribe", "by hand"])
def test_an_error_that_was_raised_and_handled_is_gone_without_a_collection(serve, client_of, how) -> None:
    client = client_of(serve(), handler_errors="raise")

    class Failure(Exception):
        pass

    kept: list[weakref.ref[Failure]] = []

    @client.once("AddTranscript")
    def fails(message: object) -> None:
        error = Failure()
        kept.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    raw = {"type": "raw", **RAW}
    gc.collect()
    gc.disable()
    try:
        try:
            if how == "transcribe":
                client.transcribe(bytes(64000), audio_format=raw)
            else:
                client.start_session(audio_format=raw)
                client.send_audio(bytes(64000))
                client.stop_session()
        except Failure:
            pass
        assert not settled(lambda: kept[0]() is not None, 5)  # the thread that raised it may be about to end
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["stream", "utterances"])
def test_an_error_of_this_package_that_a_handler_raises_does_not_end_the_iteration(
    serve, client_of, how
) -> None:
    client = client_of(serve(), handler_errors="raise")

    @client.once("AddPartialTranscript")
    def asks_too_late(message: object) -> None:
        Client().send_audio(b"")

    config = {"enable_partials": True}
    raw = {"type": "raw", **RAW}
    with getattr(client, how)(bytes(128000), audio_format=raw, transcription_config=config) as items:
        with pytest.raises(NotRunningError) as caught:
            list(items)
        assert "asks_too_late" in [entry.name for entry in caught.traceback]
        assert list(items)
        assert items.transcript.text.startswith("Good morning")


@pytest.mark.parametrize("how", ["stream", "utterances"])
def test_it_does_not_end_an_iteration_in_an_event_loop_either(serve, how) -> None:
    server = serve()

    async def main() -> None:
        config = ConnectionConfig(ssl_context=server.ssl_context)
        async with AsyncClient(url=server.url, conn_config=config, handler_errors="raise") as client:

            @client.once("AddPartialTranscript")
            async def asks_too_late(message: object) -> None:
                Client().send_audio(b"")

            options = {
                "audio_format": {"type": "raw", **RAW},
                "transcription_config": {"enable_partials": True},
                "speed": 8.0,
            }
            async with getattr(client, how)(io.BytesIO(bytes(128000)), **options) as items:
                with pytest.raises(NotRunningError) as caught:
                    async for _ in items:
                        pass
                assert "asks_too_late" in [entry.name for entry in caught.traceback]
                assert [item async for item in items]
                assert items.transcript.text.startswith("Good morning")

    asyncio.run(main())
    assert sum(server.sessions[0].frames) == 128000  # the source was not rewound meanwhile


@pytest.mark.parametrize("how", ["stream", "utterances"])
def test_an_iterator_that_runs_out_in_a_handler_does_not_end_the_loop_over_messages(
    serve, client_of, how
) -> None:
    client = client_of(serve(), handler_errors="raise")
    words = iter(["one"])
    client.on("AddTranscript", lambda message: next(words))
    items = getattr(client, how)(bytes(128000), audio_format={"type": "raw", **RAW})
    with items, pytest.raises(RuntimeError, match="raised StopIteration") as caught:
        list(items)
    assert isinstance(caught.value.__cause__, StopIteration)


@pytest.mark.parametrize("how", ["stream", "utterances"])
def test_nor_does_an_asynchronous_one(serve, how) -> None:
    server = serve()

    async def nothing() -> AsyncIterator[str]:
        return
        yield ""

    async def main() -> None:
        config = ConnectionConfig(ssl_context=server.ssl_context)
        async with AsyncClient(url=server.url, conn_config=config, handler_errors="raise") as client:
            words = nothing()

            @client.on("AddTranscript")
            async def show(message: object) -> None:
                await words.__anext__()

            async with getattr(client, how)(bytes(128000), audio_format={"type": "raw", **RAW}) as items:
                with pytest.raises(RuntimeError, match="raised StopAsyncIteration"):
                    async for _ in items:
                        pass

    asyncio.run(main())
