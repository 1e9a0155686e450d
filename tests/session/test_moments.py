"""Signals, forks and ``close()`` at moments that a seed repeats, in sessions that send, hear and start anew.

The short form runs with all tests; the long one, 10,000 rounds of each, by ``pytest -m reliability``. A round
that goes wrong names its seed.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from speechmatics_rt import AudioFormat, Client, ConnectionConfig, SessionError, SpeechmaticsError
from speechmatics_rt.local import LocalServer

from ..conftest import threads
from ..looks import settled

PCM = AudioFormat("pcm_s16le", 16000)
CHUNK = bytes(3200)
LONG = 10_000

pytestmark = [
    pytest.mark.skipif(
        not hasattr(os, "fork"), reason="this system has no fork, and no signals between threads"
    ),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.timeout(180),  # each round has its own bound; hundreds take long where others work, too
]

TOLD: dict[str, Callable[[Client], object]] = {
    "stats": lambda client: client.stats,
    "transcript": lambda client: client.transcript.text,
    "words": lambda client: client.transcript.words,
    "ids": lambda client: (client.is_connected, client.request_id, client.session_id),
    "on": lambda client: client.on("Info", str),
    "off": lambda client: client.off("Info", str),
    "once": lambda client: client.once("Warning", str),
}
ENDING: dict[str, Callable[[Client], object]] = {
    "close": lambda client: client.close(),
    "request_stop": lambda client: client.request_stop(),
}


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer(keep_sessions=20) as server:
        yield server


def client_for(server: LocalServer, rng: random.Random) -> Client:
    config = ConnectionConfig(close_timeout=1, start_timeout=5, end_timeout=5, send_timeout=5)
    return Client(url=server.url, conn_config=config, resume=rng.random() < 0.3)


def one_session(client: Client, rng: random.Random) -> None:
    """What a program does; errors of ours are fine, since somebody closes in between."""
    how = rng.choice(["by hand", "by hand", "transcribe", "stream"])
    try:
        if how == "by hand":
            client.start_session(audio_format=PCM)
            for _ in range(rng.randint(1, 40)):
                client.send_audio(CHUNK)
            client.get_speakers()
            client.stop_session()
        elif how == "transcribe":
            client.transcribe([CHUNK] * 30, audio_format=PCM, timeout=10)
        else:
            with client.stream([CHUNK] * 30, audio_format=PCM, timeout=10) as messages:
                for _ in messages:
                    pass
    except SpeechmaticsError:
        pass


def left(seconds: float = 5.0) -> list[str]:
    return settled(lambda: [name for name in threads() if "local" not in name], seconds, 0.001)


def signals_at_random(server: LocalServer, rounds: int, first: int) -> dict[str, int]:
    """In each round a signal or three come at random; the handler asks, registers, stops or closes."""
    counts: dict[str, int] = {}
    took: list[float] = []
    for seed in range(first, first + rounds):
        rng = random.Random(seed)
        client = client_for(server, rng)
        plan = [rng.choice([*TOLD] * 3 + [*ENDING]) for _ in range(3)]

        def handler(*_: object, client: Client = client, plan: list[str] = plan) -> None:
            if plan:
                name = plan.pop()
                began = time.monotonic()
                {**TOLD, **ENDING}[name](client)
                took.append(time.monotonic() - began)
                counts[name] = counts.get(name, 0) + 1

        before = signal.signal(signal.SIGALRM, handler)
        try:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.0001, 0.008), rng.uniform(0.0005, 0.004))
            began = time.monotonic()
            one_session(client, rng)
            assert time.monotonic() - began < 8, f"seed {seed}: {time.monotonic() - began:.1f} s"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        client.close()
        assert left() == [], f"seed {seed}"
    assert max(took) < 4
    return counts


def in_the_child(client: Client, server: LocalServer, rng: random.Random) -> int:
    """Use all that a child may use; 0 if it is as promised."""
    for name in rng.sample([*TOLD], len(TOLD)):
        try:
            TOLD[name](client)
        except SessionError:
            if name != "stats":  # of the parent's session
                return 2
    try:
        client.send_audio(CHUNK)
        return 3
    except SessionError:
        pass
    client.close()
    if rng.random() < 0.2:
        client.transcribe([CHUNK] * 3, audio_format=PCM, timeout=10)
        if not client.transcript.end_time:
            return 4
    return 0


def forks_at_random(server: LocalServer, rounds: int, first: int) -> list[str]:
    """Sessions run on other threads, which register, send and hear; this one forks, now and then closing."""
    rng = random.Random(first)
    stop = threading.Event()
    clients = [client_for(server, rng) for _ in range(2)]

    def work(client: Client, seed: int) -> None:
        own = random.Random(seed)
        while not stop.is_set():
            one_session(client, own)
            for name in ("on", "off", "stats", "transcript"):
                try:
                    TOLD[name](client)
                except SpeechmaticsError:
                    pass

    workers = [
        threading.Thread(target=work, args=(client, first + place), daemon=True)
        for place, client in enumerate(clients)
    ]
    for worker in workers:
        worker.start()
    wrong: list[str] = []
    try:
        for seed in range(first, first + rounds):
            rng = random.Random(seed)
            time.sleep(rng.uniform(0, 0.003))  # the moment is the point
            client = rng.choice(clients)
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    signal.signal(signal.SIGALRM, signal.SIG_DFL)
                    signal.alarm(15)  # a child that hangs is killed, and its status says so
                    status = in_the_child(client, server, rng)
                finally:
                    os._exit(status)
            if rng.random() < 0.1:
                client.close()
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code:
                wrong.append(f"seed {seed}: {code}")
    finally:
        stop.set()
        for worker in workers:
            worker.join(20)
        for client in clients:
            client.close()
    assert not any(worker.is_alive() for worker in workers)
    assert left() == []
    return wrong


def closes_at_random(server: LocalServer, rounds: int, first: int) -> None:
    """Another thread closes, once or twice, at a random moment of a session."""
    for seed in range(first, first + rounds):
        rng = random.Random(seed)
        client = client_for(server, rng)
        pauses = [rng.uniform(0, 0.006) for _ in range(rng.randint(1, 2))]

        def close(client: Client = client, pauses: list[float] = pauses) -> None:
            for pause in pauses:
                time.sleep(pause)  # the moment is the point
                client.close()

        closer = threading.Thread(target=close)
        closer.start()
        began = time.monotonic()
        one_session(client, rng)
        closer.join(10)
        assert not closer.is_alive(), f"seed {seed}"
        assert time.monotonic() - began < 8, f"seed {seed}: {time.monotonic() - began:.1f} s"
        client.close()
        assert left() == [], f"seed {seed}"
        assert client.transcribe([CHUNK] * 2, audio_format=PCM, timeout=10) is not None


def test_a_signal_handler_may_ask_register_stop_and_close_at_any_moment(server) -> None:
    assert len(signals_at_random(server, 60, 0)) > 5


def test_a_fork_at_any_moment_hangs_no_child(server) -> None:
    assert forks_at_random(server, 20, 0) == []


def test_a_close_at_any_moment_leaves_nothing(server) -> None:
    closes_at_random(server, 60, 0)


@pytest.mark.reliability
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("series", range(10))
@pytest.mark.parametrize("what", ["signals", "forks", "closes"])
def test_ten_thousand_moments(server, what, series, report) -> None:
    run: Any = {"signals": signals_at_random, "forks": forks_at_random, "closes": closes_at_random}[what]
    began = time.monotonic()
    found = run(server, LONG // 10, 1_000_000 + series * LONG)
    took = time.monotonic() - began
    report(
        "interrupts",
        f"{LONG // 10} {what} at random moments, series {series}: {found or 'none wrong'}, {took:.0f} s",
    )
    assert what != "forks" or found == []
