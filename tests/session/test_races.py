"""Many threads, signals and forks against one client, at random moments that a seed repeats.

A round that goes wrong names its seed. What is checked is what always holds: every call comes back, with an
error of this package or none; afterwards no thread of ours runs, no descriptor is open, and the client
transcribes again.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import threading
import time
from typing import Any, Callable

import pytest

from speechmatics_rt import AudioFormat, Client, SessionError, SpeechmaticsError
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
CALLS: dict[str, Callable[[Client], object]] = {
    "start_session": lambda client: client.start_session(audio_format=PCM),
    "send_audio": lambda client: client.send_audio(SECOND[:3200]),
    "stop_session": lambda client: client.stop_session(),
    "close": lambda client: client.close(),
    "request_stop": lambda client: client.request_stop(),
    "transcribe": lambda client: client.transcribe([SECOND] * 3, audio_format=PCM, timeout=3),
    "stream": lambda client: [message for message, _ in zip(_stream(client), range(4))],
    "force_end_of_utterance": lambda client: client.force_end_of_utterance(),
    "get_speakers": lambda client: client.get_speakers(),
    "stats": lambda client: client.stats,
}
FROM_A_HANDLER = ("start_session", "send_audio", "stop_session", "close", "request_stop")


def _stream(client: Client) -> Any:
    with client.stream([SECOND] * 3, audio_format=PCM) as messages:
        yield from messages


def act(client: Client, name: str) -> None:
    try:
        CALLS[name](client)
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
        rng.choice([client.on, client.once])(event, lambda message: act(client, name))

    def work(plan: list[tuple[str, float]]) -> None:
        for name, pause in plan:
            time.sleep(pause)  # the moment is the point
            act(client, name)

    names = [*CALLS, "start_session", "start_session", "send_audio", "send_audio", "send_audio"]
    plans = [
        [(rng.choice(names), rng.uniform(0, 0.004)) for _ in range(rng.randint(1, 8))]
        for _ in range(rng.randint(1, 4))
    ]
    return together(*(lambda plan=plan: work(plan) for plan in plans))


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
