"""How sessions live and end, against a server played by hand: interruptions, deadlines, outcomes, forks."""

from __future__ import annotations

import base64
import contextlib
import gc
import hashlib
import io
import json
import logging
import os
import signal
import socket
import struct
import threading
import time
import weakref

import pytest

from speechmatics_rt import (
    AudioFormat,
    Client,
    ConnectionConfig,
    Recorder,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    Transcript,
    TranscriptionError,
)
from speechmatics_rt.local import Fault
from speechmatics_rt.protocol import client as protocol

from ..conftest import threads
from ..interrupts import ctrl_c_in
from ..looks import settled

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


class Wire:
    """The server's end of one connection, by hand."""

    def __init__(self, sock):
        self.sock, self.buffer = sock, b""

    def read(self, size):
        while len(self.buffer) < size:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def upgrade(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        key = next(
            line for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        ).split(b":", 1)[1]
        accept = base64.b64encode(
            hashlib.sha1(key.strip() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        )
        self.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def frame(self):
        first, size = self.read(2)
        size &= 127
        if size == 126:
            (size,) = struct.unpack("!H", self.read(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.read(8))
        mask, data = self.read(4), self.read(size)
        return first & 15, bytes(b ^ mask[i & 3] for i, b in enumerate(data)) if size < 200 else data

    def put(self, opcode, data):
        assert len(data) < 65536
        size = bytes([len(data)]) if len(data) < 126 else b"\x7e" + struct.pack("!H", len(data))
        self.sock.sendall(bytes([0x80 | opcode]) + size + data)

    def say(self, **message):
        self.put(1, json.dumps(message).encode())

    def start(self):
        self.frame()
        self.say(message="RecognitionStarted", id="x")

    def answer_pings(self, close=True):
        while True:
            opcode, data = self.frame()
            if opcode == 9:
                self.put(10, data)
            elif opcode == 8 and close:
                return self.put(8, data)


@pytest.fixture
def raw():
    """``raw(script)``: a server whose connections run script(wire)."""
    listeners, workers, socks = [], [], []

    def start(script):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def talk(sock):
            with sock:
                try:
                    wire = Wire(sock)
                    wire.upgrade()
                    script(wire)
                except (OSError, EOFError):
                    pass

        def accept():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                socks.append(sock)
                workers.append(threading.Thread(target=talk, args=(sock,), daemon=True))
                workers[-1].start()

        threading.Thread(target=accept, daemon=True).start()
        return f"ws://127.0.0.1:{listener.getsockname()[1]}/v2"

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for sock in socks:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # gone already
    for worker in workers:
        worker.join(5)


def client(url, **config):
    return Client(url=url, conn_config=ConnectionConfig(close_timeout=0.3, **config))


def in_time(work, seconds=5.0):
    """What work raised or returned; fails if it hangs."""
    out = []

    def run():
        try:
            out.append(work())
        except BaseException as exc:
            out.append(exc)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(seconds)
    assert not worker.is_alive(), "it hangs"
    return out[0]


def ours():
    return [name for name in threads() if "local" not in name]


def gone(seconds=3.0):
    return not settled(ours, seconds)


def refuse(wire):
    wire.frame()
    wire.say(message="Error", type="job_error", reason="died")
    wire.put(8, struct.pack("!H", 4013))
    wire.answer_pings()


def test_a_handler_of_error_may_stop_a_session_that_fails_to_start(raw):
    c = client(raw(refuse))
    c.on("Error", lambda message: c.stop_session())
    assert isinstance(in_time(lambda: c.start_session(audio_format=PCM)), TranscriptionError)


def test_a_failing_handler_of_error_does_not_lock_a_client_whose_start_failed(raw):
    c = Client(url=raw(refuse), handler_errors="raise")
    c.on("Error", lambda message: 1 // 0)
    with pytest.raises((TranscriptionError, ZeroDivisionError)):
        c.start_session(audio_format=PCM)
    in_time(c.stop_session)


def test_after_a_failed_start_every_call_raises_the_outcome(raw):
    c = client(raw(refuse))
    for call in (lambda: c.start_session(audio_format=PCM), lambda: c.send_audio(SECOND), c.stop_session):
        with pytest.raises(TranscriptionError):
            call()


def test_pongs_do_not_keep_a_silent_end_waiting_for_ever(raw):
    def script(wire):
        wire.start()
        wire.answer_pings()

    c = client(raw(script), ping_interval=0.1, end_timeout=0.4)
    c.start_session(audio_format=PCM)
    c.send_audio(SECOND)
    error = in_time(c.stop_session)
    assert isinstance(error, TimeoutError)
    assert error.stage == "end"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals between threads")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", [40, pytest.param(1000, marks=pytest.mark.reliability)])
def test_ctrl_c_at_any_moment_is_ctrl_c_and_leaves_nothing(serve, client_of, rounds):
    import random

    server, rng, armed, odd, died = serve(), random.Random(1), [False], [], []
    hook, threading.excepthook = threading.excepthook, lambda args: died.append(args.exc_value)

    def interrupt(*_):
        if armed[0]:
            armed[0] = False
            raise KeyboardInterrupt

    main = threading.main_thread().ident
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        for _ in range(rounds):
            c = client_of(server, close_timeout=0.5)
            timer = threading.Timer(rng.uniform(0, 0.02), lambda: signal.pthread_kill(main, signal.SIGUSR1))
            timer.start()
            try:
                armed[0] = True
                c.transcribe([SECOND] * 3, audio_format=PCM)
                armed[0] = False
            except KeyboardInterrupt:
                pass
            except Exception as exc:
                odd.append(exc)
            armed[0] = False
            timer.join()
            c.transcribe([SECOND], audio_format=PCM)
    finally:
        signal.signal(signal.SIGUSR1, before)
        threading.excepthook = hook
    assert (odd, died) == ([], [])
    assert gone()


def test_a_second_ctrl_c_inside_close_still_shuts_the_socket(raw):
    def script(wire):
        wire.start()
        while True:
            wire.frame()  # says nothing, not even goodbye

    c = Client(url=raw(script), conn_config=ConnectionConfig(close_timeout=30))
    messages = c.stream(iter([SECOND, SECOND]), audio_format=PCM)
    with pytest.raises(KeyboardInterrupt), ctrl_c_in("close"):
        messages.close()
    assert gone()


def test_a_conclusion_nobody_collects_ends_the_reader_all_the_same(raw):
    def script(wire):
        wire.start()
        while True:
            wire.frame()

    def source():
        yield SECOND
        raise OSError("pulled out")

    c = client(raw(script), end_timeout=0.5)
    messages = c.stream(source(), audio_format=PCM)
    assert gone(3), ours()
    with pytest.warns(ResourceWarning):  # nobody saw the failure
        del messages


def test_the_servers_error_wins_over_what_it_says_after_it(raw):
    def script(wire):
        wire.start()
        wire.say(message="Error", type="job_error", reason="died")
        wire.put(8, struct.pack("!H", 1006))
        wire.answer_pings()

    with pytest.raises(TranscriptionError, match="job_error"), client(raw(script)) as c:
        c.transcribe(SECOND, audio_format=PCM)


def test_the_servers_error_wins_over_a_source_that_fails_within_the_second_after_it(raw):
    def script(wire):
        wire.start()
        wire.say(message="Error", type="job_error", reason="died")
        wire.answer_pings(close=False)

    told = threading.Event()

    def source():
        yield SECOND
        told.wait(5)
        raise OSError("pulled out")

    with pytest.raises(TranscriptionError, match="job_error"), client(raw(script)) as c:
        c.on("Error", lambda message: told.set())
        c.transcribe(source(), audio_format=PCM)


def test_late_acknowledgements_do_not_stall_the_sender(raw):
    def script(wire):
        wire.start()
        heard = 0
        while True:
            opcode, data = wire.frame()
            if opcode == 2:
                heard += 1
                if heard > 6:
                    wire.say(message="AudioAdded", seq_no=heard - 6)
            elif opcode == 1 and b"EndOfStream" in data:
                wire.say(message="EndOfTranscript")
            elif opcode == 8:
                return wire.put(8, data)

    with client(raw(script), send_timeout=None) as c:
        c.start_session(audio_format=PCM)
        assert in_time(lambda: [c.send_audio(SECOND) for _ in range(12)], 8) is not None
        c.stop_session()


def test_request_stop_while_connecting_is_not_forgotten(serve, client_of):
    server = serve(faults=[Fault.drip(total=120, seconds=0.005)])
    c = client_of(server)
    threading.Timer(0.2, c.request_stop).start()
    c.transcribe(iter(lambda: SECOND[:3200], None), audio_format=PCM, speed=1)  # or it would never return
    assert server.sessions[0].heard("EndOfStream")


def test_a_stream_may_be_collected_inside_the_lock_of_its_own_event(serve, client_of):
    c = client_of(serve())
    holder = [c.stream(iter(lambda: SECOND[:3200], None), audio_format=PCM, speed=1)]
    condition = getattr(c._session.delivery.over, "_cond", None)

    def collect():  # as when garbage is collected inside stop_session()'s delivered.wait()
        with condition or contextlib.nullcontext():
            holder.clear()

    with pytest.warns(ResourceWarning):
        in_time(collect)


class Announced:
    """A lock that says when another thread comes to it."""

    def __init__(self, lock):
        self._lock = lock
        self._owner = threading.get_ident()
        self.reached = threading.Event()

    def __enter__(self):
        if threading.get_ident() != self._owner:
            self.reached.set()
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()


def test_a_start_that_is_refused_leaves_the_session_that_is_running(serve, client_of):
    c = client_of(serve())
    lock = c._current_lock = Announced(c._current_lock)
    refused = []

    def too_late():
        with pytest.raises(SessionError, match="already running") as caught:
            c.start_session(audio_format=PCM)
        refused.append(caught.value)

    late = threading.Thread(target=too_late)
    with lock:  # the other thread has looked before this one has a session, and comes to the lock after that
        late.start()
        assert lock.reached.wait(10)
        c.start_session(audio_format=PCM)
    late.join(10)
    assert refused
    assert c.is_connected
    c.send_audio(SECOND)
    c.stop_session()


def test_after_close_the_old_session_runs_no_handlers_beside_the_new_one(serve, client_of):
    server = serve(faults=[Fault.flood(200, after_seconds=1, sessions=[0])])
    c = client_of(server)
    late, begun = [], []

    @c.on("AddTranscript")
    def heard(message):
        if not begun:
            begun.append(True)
            c.close()
            c.start_session(audio_format=PCM)
        elif "flood" in json.dumps(message):
            late.append(message)

    c.start_session(audio_format=PCM)
    c.send_audio(SECOND * 2)
    until = time.monotonic() + 5
    while not begun and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.3)
    c.close()
    assert late == []


def test_a_dropped_stream_ends_a_reader_that_was_paused(serve, client_of, monkeypatch):
    monkeypatch.setattr(protocol, "INBOX_BYTES", 100_000)
    c = client_of(serve(faults=[Fault.flood(3000, after_seconds=1)]), ping_interval=0.1)
    messages = c.stream([SECOND] * 20, audio_format=PCM)
    while not c._session.connection._protocol.flooded:
        time.sleep(0.01)
    with pytest.warns(ResourceWarning):
        del messages
        gc.collect()
    assert gone()


@pytest.mark.filterwarnings("ignore")
def test_system_exit_on_the_listener_is_no_complete_transcript(serve, client_of):
    def leave(message):
        raise SystemExit

    c = client_of(serve())
    c.once("AddTranscript", leave)
    c.start_session(audio_format=PCM)
    with pytest.raises(SpeechmaticsError):
        for _ in range(20):
            c.send_audio(SECOND)
            time.sleep(0.01)
        c.stop_session()
    with pytest.raises(SpeechmaticsError):
        c.stop_session()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_system_exit_in_a_handler_of_the_end_leaves_no_thread_and_no_descriptor(serve, client_of):
    def leave(event):
        raise SystemExit

    c = client_of(serve(faults=[Fault.error("job_error")]))
    c.on("SessionEnded", leave)
    c.start_session(audio_format=PCM)
    with contextlib.suppress(SpeechmaticsError):
        c.send_audio(SECOND)
    assert c._session.delivery.over.wait(10)
    assert gone()  # before anybody has closed it


def test_a_handler_that_sends_while_behind_still_meets_send_timeout(raw):
    def script(wire):
        wire.start()
        for _ in range(50):
            wire.say(message="Info", type="x", reason="y")
        wire.answer_pings()

    raised, met = [], threading.Event()

    def send(message):
        time.sleep(0.2)
        try:
            while True:
                c.send_audio(SECOND)
        except SpeechmaticsError as exc:
            raised.append(exc)
            met.set()

    c = client(raw(script), max_queue=10, send_timeout=0.4, window_seconds=2)
    c.once("Info", send)
    c.start_session(audio_format=PCM)
    assert met.wait(10)
    c.close()
    assert isinstance(raised[0], TimeoutError)


def test_the_timeout_of_stop_is_the_outcome(raw):
    def script(wire):
        wire.start()
        wire.answer_pings()

    c = client(raw(script))
    c.start_session(audio_format=PCM)
    for call in (lambda: c.stop_session(timeout=0.2), lambda: c.send_audio(SECOND), c.stop_session):
        with pytest.raises(TimeoutError):
            call()


def test_a_failure_the_caller_has_seen_in_send_audio_is_not_raised_again_at_the_end_of_with(raw):
    def script(wire):
        wire.start()
        wire.frame()
        wire.say(message="Error", type="job_error", reason="died")
        wire.put(8, struct.pack("!H", 4013))
        wire.answer_pings()

    with client(raw(script)) as c:
        c.start_session(audio_format=PCM)
        with pytest.raises(TranscriptionError) as caught:
            while True:
                c.send_audio(SECOND)
        assert caught.value.transcript is not None


def test_end_timeout_counts_while_the_socket_is_full_and_nobody_pings(raw):
    def script(wire):
        wire.start()
        time.sleep(3)

    c = client(
        raw(script),
        ping_interval=None,
        end_timeout=0.5,
        window_frames=None,
        window_seconds=None,
        send_timeout=0.3,
    )
    c.start_session(audio_format=PCM)
    with pytest.raises(TimeoutError):
        while True:
            c.send_audio(bytes(64000))
    error = in_time(c.stop_session)
    assert isinstance(error, TimeoutError)


def test_an_upload_that_moves_is_neither_a_dead_line_nor_a_send_timeout(raw):
    def script(wire):
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        wire.start()
        while wire.sock.recv(30000):
            time.sleep(0.01)

    c = client(
        raw(script),
        window_frames=None,
        window_seconds=None,
        ping_interval=0.3,
        ping_timeout=2.5,
        send_timeout=2.5,
    )
    c.start_session(audio_format=PCM)
    began = time.monotonic()
    while time.monotonic() < began + 3:
        c.send_audio(bytes(14_000_000))
    c.close()


def test_end_timeout_does_not_count_while_we_ourselves_do_not_read(serve, client_of, monkeypatch):
    monkeypatch.setattr(protocol, "INBOX_BYTES", 100_000)
    c = client_of(serve(faults=[Fault.flood(3000, after_seconds=1)]), end_timeout=1.5)
    entered = threading.Event()
    c.once("AddTranscript", lambda message: entered.set() or time.sleep(3))
    c.start_session(audio_format=PCM)
    c.send_audio(SECOND * 2)
    assert entered.wait(30)  # on a busy machine the server, too, is silent for long before it floods
    c.stop_session()


def test_no_thread_for_the_listener_closes_the_session(serve, client_of, monkeypatch):
    c = client_of(serve())
    start = threading.Thread.start

    def refused(self):
        if "listener" in self.name:
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError):
        patch.setattr(threading.Thread, "start", refused)
        c.start_session(audio_format=PCM)
    assert not c.is_connected
    c.start_session(audio_format=PCM)
    c.stop_session()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_close_in_a_child_takes_no_lock_and_a_session_may_start_there(serve, client_of):
    server = serve()
    c = client_of(server)
    c.start_session(audio_format=PCM)
    with c._current_lock:  # another thread opens or closes at this moment
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(3)  # a child that hangs is killed
            try:
                c.close()
                c.start_session(audio_format=PCM)
                os._exit(0)
            finally:
                os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    c.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_that_leaves_the_loop_leaves_the_parents_session_alone(serve, client_of, tmp_path):
    (tmp_path / "speech.raw").write_bytes(SECOND * 8)
    ended = []
    c = client_of(serve())
    c.on("SessionEnded", lambda event: ended.append(os.getpid()))
    status = None
    recorder = Recorder(c, tmp_path / "recording.jsonl")
    options = {"audio_format": PCM, "speed": 8, "transcription_config": {"max_delay": 0.7}}
    with open(tmp_path / "speech.raw", "rb") as file, c, recorder, c.stream(file, **options) as messages:
        for message in messages:
            if message["message"] == "AddTranscript" and status is None:
                child = os.fork()
                if child == 0:
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.alarm(3)
                    try:  # as sys.exit() does
                        for left in (messages, recorder, c):
                            left.__exit__(SystemExit, None, None)
                        os._exit(len(ended))
                    finally:
                        os._exit(9)
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0
    assert c.stats.seconds_sent == pytest.approx(8)
    assert ended == [os.getpid()]
    entries = [json.loads(line) for line in (tmp_path / "recording.jsonl").read_text().splitlines()]
    assert [entry for entry in entries if not {"sent", "received", "began"} & entry.keys()] == [
        {"time": entries[-1]["time"], "ended": None}
    ]


def test_an_error_without_words_from_the_source_does_not_kill_the_reader(raw, caplog, monkeypatch):
    def script(wire):
        wire.start()
        wire.answer_pings()

    def source():
        yield SECOND
        raise SessionError

    died = []
    monkeypatch.setattr(threading, "excepthook", lambda args: died.append(args.exc_value))
    caplog.set_level(10, logger="speechmatics_rt")
    with pytest.raises(SessionError), client(raw(script)) as c:
        c.transcribe(source(), audio_format=PCM)
    assert died == []


# -- what is odd must not hang anybody -----------------------------------------------------------------


@pytest.mark.parametrize("field", ["type", "reason"])
def test_an_error_that_is_nested_a_thousand_deep_ends_the_session(raw, field) -> None:
    def script(wire):
        wire.start()
        other = '"type":"job_error",' if field == "reason" else ""
        wire.put(1, f'{{"message":"Error",{other}"{field}":{"[" * 1000}{"]" * 1000}}}'.encode())
        wire.put(8, struct.pack("!H", 4013))
        wire.answer_pings()

    found = in_time(lambda: client(raw(script)).transcribe(trickle(), audio_format=PCM), 10)
    assert isinstance(found, SpeechmaticsError)


def trickle():
    while True:
        time.sleep(0.02)
        yield SECOND[:640]


def test_a_deep_message_in_the_log_of_the_wire_ends_no_session(raw) -> None:
    def script(wire):
        wire.start()
        wire.put(1, f'{{"message":"AddTranscript","results":{"[" * 930}{"]" * 930}}}'.encode())
        wire.say(message="EndOfTranscript")
        wire.answer_pings()

    def transcribe(frames):
        if frames:
            return transcribe(frames - 1)
        return client(raw(script)).transcribe([SECOND] * 2, audio_format=PCM)

    log, handler = logging.getLogger("speechmatics_rt.wire"), logging.StreamHandler(io.StringIO())
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        found = in_time(lambda: transcribe(300))
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)
    assert isinstance(found, (SpeechmaticsError, Transcript)), repr(found)[:200]


def test_paced_audio_leaves_no_waiters_behind_while_nothing_is_delivered(raw) -> None:
    def script(wire):
        wire.start()
        count = 0
        while True:
            opcode, data = wire.frame()
            if opcode == 2:
                count += 1
                if count > 5:
                    wire.say(message="AudioAdded", seq_no=count - 5)
            elif opcode == 8:
                return wire.put(8, data)

    def chunks():
        while True:
            yield SECOND[:320]

    talker = client(raw(script), window_frames=12)
    with talker.stream(chunks(), audio_format=PCM, speed=1) as stream:
        connection = talker._session.connection
        deadline = time.monotonic() + 10
        while connection._protocol.state.sent < 100:
            assert time.monotonic() < deadline, "it does not send"
            time.sleep(0.02)  # nothing is delivered, so nothing rings
        assert len(connection._monitor.room.tickets) < 5
        assert stream is not None


@pytest.mark.parametrize("how", ["utf-8", "stop"])
def test_a_conclusion_that_is_kept_keeps_no_locals_of_the_caller(raw, how) -> None:
    def script(wire):
        wire.start()
        if how == "utf-8":
            wire.put(1, b'{"message":"AddTranscript","x":"\xc3\x28"}')
        wire.answer_pings()

    class Local:
        pass

    talker = client(raw(script))

    def fail():
        local = Local()
        with pytest.raises(SpeechmaticsError):
            if how == "utf-8":
                talker.transcribe([SECOND] * 2, audio_format=PCM)
            else:
                talker.start_session(audio_format=PCM)
                talker.stop_session(timeout=0.1)
        return weakref.ref(local)

    local = fail()
    gc.collect()
    assert local() is None


def test_a_header_of_a_wav_before_samples_is_warned_of(serve, client_of, caplog) -> None:
    server = serve()
    for audio_format, warnings in ((PCM, 1), (AudioFormat(), 0)):
        caplog.clear()
        with client_of(server) as client:
            client.start_session(audio_format=audio_format)
            for _ in range(2):
                client.send_audio(bytearray(b"RIFF\0\0\0\0WAVE") + SECOND)
        assert caplog.text.count("begins with the header of a WAV") == warnings
