"""The hard cases of a threaded client, one test a row: interruptions, handlers, forks, garbage, exits."""

from __future__ import annotations

import contextvars
import functools
import gc
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from speechmatics_rt import AudioFormat, Client, SessionError, TranscriptionConfig
from speechmatics_rt.local import Fault

from ..conftest import threads
from ..interrupts import ctrl_c_in

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


def endless():
    while True:
        yield SECOND[:3200]


@pytest.mark.parametrize("where", ["transcribe", "stream", "send_audio", "stop_session", "start_session"])
def test_ctrl_c_lands_in_every_wait_of_the_caller_at_once(serve, client_of, where) -> None:
    faults = {
        "send_audio": [Fault.no_acks()],
        "stop_session": [Fault.silence(at="drain")],
        "start_session": [Fault.late_start(30)],
    }
    client = client_of(serve(faults=faults.get(where, [])))
    place = "__next__" if where == "stream" else where
    with pytest.raises(KeyboardInterrupt), client, ctrl_c_in(place) as pressed:
        if where == "transcribe":
            client.transcribe(endless(), audio_format=PCM, speed=1)
        elif where == "stream":
            for _ in client.stream(endless(), audio_format=PCM, speed=1):
                pass
        else:
            client.start_session(audio_format=PCM)
            while where == "send_audio":
                client.send_audio(SECOND)
            client.send_audio(SECOND)
            client.stop_session()
    assert time.monotonic() - pressed[0] < 2
    assert not client.is_connected


def test_system_exit_in_a_handler_passes_and_leaves_nothing(serve, client_of) -> None:
    def leave(message):
        raise SystemExit(3)

    with pytest.raises(SystemExit), client_of(serve()) as client:
        client.on("AddTranscript", leave)
        client.transcribe(endless(), audio_format=PCM)


def test_a_failing_handler_is_logged_with_its_traceback_and_the_next_one_runs(
    serve, client_of, caplog
) -> None:
    seen = []
    with client_of(serve()) as client:
        client.on("AddTranscript", lambda message: 1 // 0)
        client.on("AddTranscript", seen.append)
        client.transcribe(SECOND * 3, audio_format=PCM)
    assert seen
    failures = [r for r in caplog.records if r.name == "speechmatics_rt.events"]
    assert failures
    assert failures[0].exc_info[0] is ZeroDivisionError


@pytest.mark.parametrize("how", ["transcribe", "stream", "by hand"])
def test_with_handler_errors_raise_it_is_raised_and_the_next_one_ran(serve, client_of, how) -> None:
    seen = []
    client = client_of(serve(), handler_errors="raise")
    client.on("AddTranscript", lambda message: 1 // 0)
    client.on("AddTranscript", seen.append)
    with pytest.raises(ZeroDivisionError), client:
        if how == "transcribe":
            client.transcribe(SECOND * 3, audio_format=PCM)
        elif how == "stream":
            for _ in client.stream(SECOND * 3, audio_format=PCM):
                pass
        else:
            client.start_session(audio_format=PCM)
            client.send_audio(SECOND * 3)
            client.stop_session()
    assert seen


def test_a_handler_may_stop_the_session_and_the_rest_is_still_delivered(serve, client_of) -> None:
    kinds = []
    with client_of(serve()) as client:
        client.once("AddTranscript", lambda message: client.stop_session())
        client.on_any(lambda message: kinds.append(message["message"]))
        client.transcribe(endless(), audio_format=PCM, speed=20)
    assert kinds[-1] == "EndOfTranscript"


def test_a_handler_of_the_listener_thread_may_stop_and_send(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        done = threading.Event()

        @client.once("AddTranscript")
        def more(message):
            client.send_audio(SECOND)
            client.force_end_of_utterance()
            client.stop_session()

        client.on("EndOfTranscript", lambda message: done.set())
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)
        assert done.wait(10)
    assert server.sessions[0].frames == [32000, 32000]


@pytest.mark.parametrize("how", ["transcribe", "by hand"])
def test_a_handler_may_close_the_session(serve, client_of, how) -> None:
    client = client_of(serve())
    client.once("AddTranscript", lambda message: client.close())
    if how == "transcribe":
        with pytest.raises(SessionError, match="closed"), client:
            client.transcribe(endless(), audio_format=PCM)
    else:
        with client:
            client.start_session(audio_format=PCM)
            with pytest.raises(SessionError):
                while True:
                    client.send_audio(SECOND[:3200])


def test_a_handler_may_start_the_next_session_when_the_transcript_has_ended(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        done = threading.Event()

        def again(message):
            client.once("EndOfTranscript", lambda message: done.set())
            client.start_session(audio_format=PCM)
            client.send_audio(SECOND)

        client.once("EndOfTranscript", again)
        client.transcribe(SECOND, audio_format=PCM)
        client.stop_session()
        assert done.wait(5)
    assert len(server.sessions) == 2


def test_close_from_another_thread_releases_whoever_waits_with_session_error(serve, client_of) -> None:
    client = client_of(serve())
    with client.stream(endless(), audio_format=PCM, speed=1) as messages:
        closer = threading.Timer(0.2, client.close)
        closer.start()
        with pytest.raises(SessionError, match="closed"):
            for _ in messages:
                pass
        closer.join()


def test_close_does_not_wait_for_a_server_that_says_nothing(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.stop_reading(), Fault.silence()]), close_timeout=0.3)
    client.start_session(audio_format=PCM)
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 1.5


def test_a_second_stop_waits_for_the_first(serve, client_of) -> None:
    with client_of(serve()) as client:
        slow = threading.Event()
        client.on("EndOfTranscript", lambda message: slow.wait(0.5))
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)
        order = []
        first = threading.Thread(target=lambda: (client.stop_session(), order.append("first")))
        first.start()
        client.stop_session()
        order.append("second")
        first.join()
    assert sorted(order) == ["first", "second"]


def test_break_inside_with_ends_the_session(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client, client.stream(endless(), audio_format=PCM) as messages:
        for message in messages:
            if message["message"] == "AddTranscript":
                break
    assert server.sessions[0].closed.wait(5)
    assert not client.is_connected


def test_a_dropped_iterator_ends_the_session_and_says_so(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    messages = client.stream(endless(), audio_format=PCM, speed=1)
    next(messages)
    with pytest.warns(ResourceWarning, match="stream"):
        del messages
        gc.collect()
    assert server.sessions[0].closed.wait(5)
    assert client.transcribe(SECOND, audio_format=PCM).text


def _stats_of(client, message):
    return client.stats


@pytest.mark.parametrize("with_handlers", [False, True])
def test_a_dropped_client_is_collected_and_its_session_ends(serve, with_handlers) -> None:
    server = serve()
    from speechmatics_rt import ConnectionConfig

    client = Client(url=server.url, conn_config=ConnectionConfig(ssl_context=server.ssl_context))
    if with_handlers:
        client.on("AddTranscript", client.transcript.add)
        client.on("AddTranscript", functools.partial(_stats_of, client))  # a circle through the handler
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    deadline = time.monotonic() + 5
    with pytest.warns(ResourceWarning, match="client") as seen:
        del client
        while not seen and time.monotonic() < deadline:
            gc.collect()  # a message being delivered keeps the client alive for a moment
    assert server.sessions[0].closed.wait(5)


def test_context_variables_reach_the_source_and_the_handlers(serve, client_of) -> None:
    tenant = contextvars.ContextVar("tenant", default="nobody")
    seen = []

    def source():
        seen.append(("first chunk", tenant.get()))
        yield SECOND
        seen.append(("sender", tenant.get()))
        yield SECOND

    tenant.set("radio")
    with client_of(serve()) as client:
        client.transcribe(source(), audio_format=PCM)
        client.on("EndOfTranscript", lambda message: seen.append(("listener", tenant.get())))
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)
    assert seen == [("first chunk", "radio"), ("sender", "radio"), ("listener", "radio")]


def test_the_late_return_of_a_stuck_source_cannot_feed_the_next_session(serve, client_of) -> None:
    release, stuck = threading.Event(), threading.Event()

    def source():
        yield SECOND
        stuck.set()
        if not release.wait(30):
            release.set()  # whoever has waited for this has waited too long
        yield b"\x01\x00" * 16000

    server = serve()
    with client_of(server) as client:
        messages = client.stream(source(), audio_format=PCM)
        assert stuck.wait(5)
        try:
            messages.close()
            assert not release.is_set()
            client.start_session(audio_format=PCM)
        finally:
            release.set()
        client.send_audio(SECOND)
        client.stop_session()
    assert server.sessions[1].audio == SECOND


def test_a_slow_consumer_pauses_the_sender_but_not_the_messages(serve, client_of) -> None:
    server = serve(faults=[Fault.flood(500, after_seconds=1)])
    gate = threading.Event()
    with client_of(server, max_queue=100) as client:
        client.once("AddTranscript", lambda message: gate.wait(10))
        feeding = client.stream(SECOND * 120, audio_format=PCM)
        worker = threading.Thread(target=lambda: [None for _ in feeding])
        worker.start()
        deadline = time.monotonic() + 10
        while client.stats.queue_depth <= 100 and time.monotonic() < deadline:
            time.sleep(0.01)
        before = -1
        while client.audio_bytes_sent > before:  # a chunk may be on its way when the sender is told to pause
            before = client.audio_bytes_sent
            time.sleep(0.3)
        assert client.audio_bytes_sent == before < len(SECOND) * 120
        gate.set()
        worker.join(30)
    assert client.audio_bytes_sent == len(SECOND) * 120


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_after_a_fork_the_child_is_refused_and_harms_nothing(serve, client_of) -> None:
    with client_of(serve()) as client:
        client.start_session(audio_format=PCM)
        client.send_audio(SECOND)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                client.send_audio(SECOND)
            except SessionError as exc:
                status = 0 if "fork" in str(exc) else 2
            try:
                client.close()
            except BaseException:
                status = 3
            os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        client.send_audio(SECOND)
        client.stop_session()
        assert client.transcript.text == "Good morning, and welcome"


def test_an_interpreter_that_exits_with_a_session_open_neither_hangs_nor_complains() -> None:
    program = """
        from speechmatics_rt import AudioFormat, Client
        from speechmatics_rt.local import LocalServer
        server = LocalServer().start()
        client = Client(url=server.url)
        client.start_session(audio_format=AudioFormat("pcm_s16le", 16000))
        client.send_audio(bytes(32000))
        print("bye")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "bye\n", "")


def test_at_the_end_of_the_interpreter_a_finaliser_waits_for_no_lock_of_a_thread_that_is_gone() -> None:
    program = """
        import threading
        from speechmatics_rt import AudioFormat, Client
        from speechmatics_rt.local import LocalServer
        server = LocalServer().start()
        class Recording:
            def __init__(self):
                self.client = Client(url=server.url)
                self.client.start_session(audio_format=AudioFormat("pcm_s16le", 16000))
            def __del__(self):
                self.client.stats
                self.client.transcript.text
                self.client.close()
                print("closed")
        space = {}
        exec("def hold(lock, held, never):\\n with lock:\\n  held.set()\\n  never.wait()", space)
        recording = Recording()
        client, session = recording.client, recording.client._session
        locks = session.connection._lock, session._meter_lock, client.transcript._lock, client._current_lock
        for lock in locks:
            held = threading.Event()
            threading.Thread(target=space["hold"], args=(lock, held, threading.Event()), daemon=True).start()
            held.wait()
        del client, session, lock, locks
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")


def test_hundreds_of_sessions_leave_no_thread_and_no_descriptor(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        for number in range(100):
            if number % 2:
                client.transcribe(SECOND, audio_format=PCM)
            else:
                client.start_session(audio_format=PCM)
                client.close()
    assert [name for name in threads() if "local" not in name] == []


def test_many_threads_may_send_at_once_and_every_byte_arrives(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        client.start_session(audio_format=PCM)

        def send(number):
            for _ in range(50):
                client.send_audio(bytes([number, 0]) * 800)

        workers = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        client.stop_session()
    audio = server.sessions[0].audio
    assert len(server.sessions[0].frames) == 400
    assert sorted(audio[i] for i in range(0, len(audio), 1600)) == sorted(
        n for n in range(8) for _ in range(50)
    )
    assert all(len(set(audio[i : i + 1600 : 2])) == 1 for i in range(0, len(audio), 1600))


def test_sixteen_clients_in_sixteen_threads_do_not_disturb_one_another(serve, client_of) -> None:
    server = serve()
    clients = [client_of(server) for _ in range(16)]
    texts: list[str] = []

    def run(client):
        texts.append(client.transcribe(SECOND * 5, audio_format=PCM).text)

    workers = [threading.Thread(target=run, args=(client,)) for client in clients]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(texts) == 16
    assert len(set(texts)) == 1


def test_a_deep_backlog_of_undelivered_messages_pauses_the_reader_and_loses_nothing(serve, client_of) -> None:
    server = serve(faults=[Fault.flood(20_000, after_seconds=1)])
    with client_of(server) as client:
        gate = threading.Event()
        client.once("AddTranscript", lambda message: gate.wait(3))
        client.start_session(audio_format=PCM, transcription_config=TranscriptionConfig(max_delay=1.0))
        client.send_audio(SECOND * 2)
        client.stop_session()
        words = client.transcript.words
    assert sum(word.content.startswith("flood") for word in words) == 20_000
