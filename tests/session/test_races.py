"""Many threads, signals and forks against one client, at random moments that a seed repeats.

A round that goes wrong names its seed. What is checked is what always holds: every call comes back, with an
error of this package or none; afterwards no thread of ours runs, no descriptor is open, and the client
transcribes again. And a session that is closed at any moment of its call has ended, or never begins.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from speechmatics_rt import AudioFormat, Client, SessionError, SpeechmaticsError, StaticKeyAuth
from speechmatics_rt.local import Fault, LocalServer

from ..conftest import threads
from ..looks import settled

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
STUCK = 15.0  # seconds for what takes milliseconds; every deadline of the clients below is a second or less
ROUNDS = int(os.environ.get("RACES", "15"))  # in each of four series; thousands now and then

FAULTS = [
    [],
    [],
    [Fault.error("job_error", after_messages=3)],
    [Fault.error("job_error", close=False, after_messages=2)],
    [Fault.close(4005, after_messages=2)],
    [Fault.fin(after_messages=3)],
    [Fault.reset(after_messages=2)],
    [Fault.cut_frame(after_messages=2)],
    [Fault.fin(at="start")],
    [Fault.late_start(0.05)],
    [Fault.silence(at="drain")],
]


class Slow:
    """A source whose reads block, the first one most of all, as those of a microphone or a socket do.

    Attributes:
        begun: Set once somebody reads.
    """

    def __init__(self, rng: random.Random, reads: Optional[int] = None) -> None:
        self.begun = threading.Event()
        self._first, self._rng, self._left = rng.uniform(0, 0.02), rng, reads

    def read(self, size: int) -> bytes:
        pause = self._rng.uniform(0, 0.004) if self.begun.is_set() else self._first
        self.begun.set()
        time.sleep(pause)
        if self._left is not None:
            self._left -= 1
        return SECOND[:3200] if self._left is None or self._left >= 0 else b""

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(0), b"")


def source(rng: random.Random) -> Any:
    """Audio of a second or so: there, or read by reads that block, or a generator that does."""
    slow = Slow(rng, 6)
    return rng.choice([[SECOND] * 3, slow, (chunk for chunk in slow)])


CALLS: dict[str, Callable[[Client, random.Random], object]] = {
    "start_session": lambda client, _: client.start_session(audio_format=PCM),
    "send_audio": lambda client, _: client.send_audio(SECOND[:3200]),
    "stop_session": lambda client, _: client.stop_session(),
    "close": lambda client, _: client.close(),
    "request_stop": lambda client, _: client.request_stop(),
    "transcribe": lambda client, rng: client.transcribe(source(rng), audio_format=PCM, timeout=3),
    "stream": lambda client, rng: [message for message, _ in zip(_stream(client, source(rng)), range(4))],
    "force_end_of_utterance": lambda client, _: client.force_end_of_utterance(),
    "get_speakers": lambda client, _: client.get_speakers(),
    "stats": lambda client, _: client.stats,
}
FROM_A_HANDLER = ("start_session", "send_audio", "stop_session", "close", "request_stop")


def _stream(client: Client, audio: Any) -> Any:
    with client.stream(audio, audio_format=PCM) as messages:
        yield from messages


def act(client: Client, name: str, rng: random.Random) -> None:
    try:
        CALLS[name](client, rng)
    except SpeechmaticsError:
        pass  # which one depends on the moment


def together(*works: Callable[[], object]) -> list[BaseException]:
    """Run each on a thread of its own; show every stack and fail if one does not come back."""
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as exc:
            failures.append(exc)

    workers = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for worker in workers:
        worker.start()
    until = time.monotonic() + STUCK
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
    if any(worker.is_alive() for worker in workers):
        faulthandler.dump_traceback(sys.stderr)
        pytest.fail("a call does not come back; the stacks are above")
    return failures


def hasty(rng: random.Random) -> dict[str, Any]:
    return {
        "start_timeout": 1,
        "send_timeout": 1,
        "end_timeout": 0.4,
        "close_timeout": 0.3,
        "ping_interval": rng.choice([None, 0.01, 20]),
        "window_frames": rng.choice([1, 2, 500]),
        "handler_errors": rng.choice(["log", "raise"]),
    }


def one_round(client: Client, rng: random.Random) -> list[BaseException]:
    if rng.random() < 0.6:
        event = rng.choice(["AddTranscript", "EndOfTranscript", "RecognitionStarted", "AudioAdded"])
        name = rng.choice(FROM_A_HANDLER)
        rng.choice([client.on, client.once])(event, lambda message: act(client, name, rng))

    def work(plan: list[tuple[str, float]], rng: random.Random) -> None:
        for name, pause in plan:
            time.sleep(pause)  # the moment is the point
            act(client, name, rng)

    names = [*CALLS, "start_session", "start_session", "send_audio", "send_audio", "send_audio"]
    plans = [
        [(rng.choice(names), rng.uniform(0, 0.004)) for _ in range(rng.randint(1, 8))]
        for _ in range(rng.randint(1, 4))
    ]
    own = [random.Random(rng.random()) for _ in plans]  # of each thread
    return together(*(lambda each=each: work(*each) for each in zip(plans, own)))


@pytest.mark.parametrize("series", range(2))
def test_any_calls_from_several_threads_and_handlers_come_back_and_leave_a_client_that_works(
    serve, client_of, series
) -> None:
    servers = [serve(faults=faults) for faults in FAULTS]
    for number in range(ROUNDS):
        seed = series * 1_000_000 + number
        print(f"seed {seed}")
        rng = random.Random(seed)
        server = rng.choice(servers)
        client = client_of(server, **hasty(rng))
        assert one_round(client, rng) == []
        client.close()
        client.remove_all_listeners()
        if not server.faults:
            failures = together(lambda client=client: client.transcribe([SECOND], audio_format=PCM))
            assert failures == []
        client.close()


class SlowAuth(StaticKeyAuth):
    """A key that takes a while to get.

    Attributes:
        asked: Set once it is asked for.
    """

    def __init__(self, rng: random.Random) -> None:
        super().__init__("key")
        self.asked = threading.Event()
        self._pause = rng.uniform(0, 0.01)

    def get_auth_headers(self) -> dict[str, str]:
        self.asked.set()
        time.sleep(self._pause)
        return super().get_auth_headers()


def by_hand(client: Client, audio: Slow) -> None:
    client.start_session(audio_format=PCM)
    for chunk in audio:
        client.send_audio(chunk)


ENDLESS: dict[str, Callable[[Client, Slow], object]] = {
    "transcribe": lambda client, audio: client.transcribe(audio, audio_format=PCM),
    "stream": lambda client, audio: list(_stream(client, audio)),
    "utterances": lambda client, audio: list(client.utterances(audio, audio_format=PCM)),
    "a generator": lambda client, audio: client.transcribe((each for each in audio), audio_format=PCM),
    "by hand": by_hand,
}


@pytest.mark.parametrize("how", ENDLESS)
def test_what_is_closed_at_any_moment_of_its_call_has_ended_or_never_begins(serve, client_of, how) -> None:
    """No source here has an end: a session that began after close(), or outlived it, would run for ever."""
    server = serve()
    for seed in range(ROUNDS):
        print(f"seed {seed}")
        rng = random.Random(seed)
        audio, auth = Slow(rng), SlowAuth(rng)
        client = client_of(server, auth=auth)
        begun = auth.asked if how == "by hand" or rng.random() < 0.5 else audio.begun
        moment = rng.uniform(0, rng.choice([0.001, 0.02, 0.1]))

        def call(client: Client = client, audio: Slow = audio) -> None:
            with pytest.raises(SessionError):
                ENDLESS[how](client, audio)

        def close(client: Client = client, begun: threading.Event = begun, moment: float = moment) -> None:
            assert begun.wait(STUCK)
            time.sleep(moment)  # the moment is the point
            client.close()
            assert not client.is_connected

        assert together(call, close) == []
        assert not client.is_connected
    for record in server.sessions:
        assert record.wait_closed(5)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals between threads on this system")
@pytest.mark.parametrize("rounds", [20, pytest.param(300, marks=pytest.mark.reliability)])
def test_request_stop_in_a_signal_handler_at_any_moment_ends_the_session_whole(
    serve, client_of, rounds
) -> None:
    server = serve()
    rng = random.Random(3)
    client = client_of(server)
    main = threading.main_thread().ident
    kinds: list[str] = []
    client.on_any(lambda message: kinds.append(message["message"]))
    before = signal.signal(signal.SIGUSR1, lambda *_: client.request_stop())

    def signals(pause: float) -> None:
        time.sleep(pause)  # the moment is the point
        for _ in range(5):
            signal.pthread_kill(main, signal.SIGUSR1)

    try:
        for _ in range(rounds):
            kinds.clear()
            with client.stream(iter(lambda: SECOND[:320], None), audio_format=PCM) as messages:
                sender = threading.Thread(target=signals, args=(rng.uniform(0, 0.02),))
                sender.start()
                for _ in messages:
                    pass
                sender.join()
            assert kinds[-1] == "EndOfTranscript"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert all(record.close_code == 1000 for record in server.sessions)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_in_the_middle_of_everything_harms_neither_side(serve, client_of) -> None:
    server = serve()
    with client_of(server) as client:
        client.start_session(audio_format=PCM)
        done = threading.Event()

        def send() -> None:
            while not done.is_set():
                client.send_audio(SECOND[:320])

        workers = [threading.Thread(target=send) for _ in range(3)]
        for worker in workers:
            worker.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
                signal.alarm(5)  # a child that hangs is killed, and its status says so
                status = 1
                try:
                    client.send_audio(SECOND)
                except SessionError:
                    client.close()
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        done.set()
        for worker in workers:
            worker.join()
        client.stop_session()
    (record,) = server.sessions
    assert len(record.audio) == client.audio_bytes_sent
    assert record.close_code == 1000


def test_clients_dropped_at_any_moment_leave_no_thread(serve) -> None:
    server: LocalServer = serve()
    rng = random.Random(5)
    from speechmatics_rt import ConnectionConfig

    config = ConnectionConfig(ssl_context=server.ssl_context)
    for _ in range(60):
        client = Client(url=server.url, conn_config=config)
        if rng.random() < 0.5:
            client.start_session(audio_format=PCM)
            client.send_audio(SECOND)
        else:
            kept = client.stream([SECOND] * 20, audio_format=PCM)
            next(kept)
        time.sleep(rng.uniform(0, 0.005))  # the moment is the point
        with pytest.warns(ResourceWarning):
            kept = client = None
            settled(lambda: [name for name in threads() if "local" not in name], 5, 0.002)
