"""No word is lost over a broken connection, counted end to end.

The short form runs with the other tests. The long one, 200 runs of ten minutes of audio each at twenty
times real time, runs by ``tox -e reliability``. Both print a row a run (``-n 0 -s``).
"""

from __future__ import annotations

import difflib
import os
import time
import wave
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable

import pytest

from speechmatics_rt import Client, ConnectionConfig
from speechmatics_rt.config.connection import ResumePolicy
from speechmatics_rt.local import Fault, LocalServer, WhisperEngine

from ..conftest import SPEECH
from .runs import Outcome, run

HEADER = (
    f"{'run':<37}{'words':>6}{'missing':>8}{'twice':>6}{'order':>6}{'worst s':>8}{'losses':>7}{'tries':>6}"
)


def manner(seed: int) -> dict[str, Any]:
    """Go through all combinations: channels, TLS, blur, words said four times, a live caller."""
    return {
        "channels": 1 + seed % 2,
        "tls": bool(seed // 2 % 2),
        "blur": 0.04 * (seed // 4 % 2),
        "repeated": bool(seed // 8 % 2),
        "live": bool(seed // 16 % 2),
    }


def row(outcome: Outcome) -> str:
    figures = (outcome.missing, outcome.twice, outcome.disorder)
    text = f"{outcome.name:<37}{outcome.words:>6}{figures[0]:>8}{figures[1]:>6}{figures[2]:>6}"
    text += f"{outcome.worst:>8.3f}{outcome.losses:>7}{outcome.attempts:>6}"
    return text if outcome.right else f"{text}  {outcome.kinds} {outcome.trouble[:3]}"


def all_right(
    report: Callable[[str, str], None], seeds: Iterable[int], seconds: float, *, at_once: int, losses: int
) -> None:
    began = time.monotonic()
    outcomes: list[Outcome] = []
    print("\n" + HEADER)
    with ThreadPoolExecutor(at_once) as executor:
        for outcome in executor.map(
            lambda seed: run(seed, seconds=seconds, losses=losses, **manner(seed)), seeds
        ):
            outcomes.append(outcome)
            print(row(outcome), flush=True)
    whole = Outcome(
        "all",
        words=sum(outcome.words for outcome in outcomes),
        missing=sum(outcome.missing for outcome in outcomes),
        twice=sum(outcome.twice for outcome in outcomes),
        disorder=sum(outcome.disorder for outcome in outcomes),
        worst=max(outcome.worst for outcome in outcomes),
        losses=sum(outcome.losses for outcome in outcomes),
        attempts=sum(outcome.attempts for outcome in outcomes),
    )
    report(
        "words",
        f"{len(outcomes)} runs of {seconds:.0f} s of audio, {whole.losses} losses of the connection: "
        f"{whole.missing} of {whole.words} words missing, {whole.twice} twice, {whole.disorder} out of "
        f"order, times at most {1000 * whole.worst:.0f} ms off, {time.monotonic() - began:.0f} s",
    )
    assert whole.losses >= len(outcomes), "too few connections broke for this to say anything"
    assert [row(outcome) for outcome in outcomes if not outcome.right] == []


@pytest.mark.timeout(120)
def test_no_word_is_missing_twice_or_out_of_order_after_losses_at_random(report) -> None:
    # Half of the combinations, and all of any four: where an even number of the five is on.
    seeds = [seed for seed in range(32) if bin(seed).count("1") % 2 == 0]
    all_right(report, seeds, 30, at_once=16, losses=3)


@pytest.mark.reliability
@pytest.mark.timeout(7200)
def test_two_hundred_runs_of_ten_minutes(report) -> None:
    at_once = int(os.environ.get("SPEECHMATICS_RT_RELIABILITY_RUNS_AT_ONCE", "16"))
    all_right(report, range(1000, 1200), 600, at_once=at_once, losses=12)


@pytest.mark.speech
@pytest.mark.timeout(180)  # the recogniser computes for seconds, and others may, too
@pytest.mark.parametrize(
    ("seconds", "speed", "count"),
    [
        pytest.param(7.5, 8.0, 1, id="a sentence"),
        pytest.param(20, 4.0, 3, marks=pytest.mark.reliability, id="three"),
    ],
)
def test_real_speech_over_losses_has_the_same_words(
    tmp_path, seconds: float, speed: float, count: int
) -> None:
    with wave.open(str(SPEECH)) as whole, wave.open(str(tmp_path / "part.wav"), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(int(seconds * whole.getframerate())))
    policy = ResumePolicy(min_delay=0.05, max_delay=0.1, replay_speed=50)
    losses = [
        Fault.reset(after_seconds=3, sessions=[0]),
        Fault.fin(after_seconds=4, sessions=[1]),
        Fault.close(1012, after_seconds=4, sessions=[2]),
    ]
    texts = []
    engine = WhisperEngine()
    for faults in ([], losses[:count]):
        with LocalServer(engine, faults=faults) as server:
            config = ConnectionConfig(window_seconds=2.0)  # close to live: losses come in mid-transcript
            with Client(url=server.url, conn_config=config, resume=policy) as client:
                transcript = client.transcribe(str(tmp_path / "part.wav"), speed=speed)
            assert len(server.sessions) == 1 + len(faults)
        texts.append(transcript.text)
    engine.close()
    without, over = texts
    print(f"\nwithout a loss: {without}\nover {count} losses: {over}")
    words = [[word.strip(".,?!").lower() for word in text.split()] for text in texts]
    same = difflib.SequenceMatcher(None, *words).ratio()
    assert same >= 0.95, "more differs than a recogniser's own variation"
