"""One run: minutes of numbered audio through connections that break, and the count of what came out."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from speechmatics_rt import Client, ConnectionConfig, MultiChannelClient, Transcript, TranscriptionConfig
from speechmatics_rt.config.connection import ResumePolicy
from speechmatics_rt.local import Fault, LocalServer

from .numbered import FORMAT, RATE, NumberedEngine, Spoken, speak

POLICY = ResumePolicy(
    max_attempts=20, min_delay=0.02, max_delay=0.1, busy_delay=0.2, max_outage=30, replay_speed=100
)
NEVER = 1e9

DROPS: dict[str, Callable[[random.Random], dict[str, Any]]] = {
    "reset": lambda rng: {},
    "cut_output": lambda rng: {"size": rng.randint(1, 400), "reset": rng.random() < 0.5},  # inside a frame
    "fin": lambda rng: {},
    "close": lambda rng: {"code": rng.choice([1001, 1011, 1012, 1013])},
    "silence": lambda rng: {},
    "stop_reading": lambda rng: {},
}
ON_THE_WAY_BACK: list[Callable[[int], Fault]] = [
    lambda index: Fault.refuse(503, sessions=[index]),
    lambda index: Fault.refuse(429, retry_after=0, sessions=[index]),
    lambda index: Fault.error("quota_exceeded", at="open", sessions=[index]),
    lambda index: Fault.error("job_error", at="start", sessions=[index]),
    lambda index: Fault.reset(at="handshake", sessions=[index]),
    lambda index: Fault.close(1011, at="start", sessions=[index]),
    lambda index: Fault.fin(at="started", sessions=[index]),
]
WHILE_DRAINING: list[Callable[[int], Fault]] = [
    lambda index: Fault.reset(at="drain", sessions=[index]),
    lambda index: Fault.fin(at="end", sessions=[index]),
    lambda index: Fault.close(1012, at="end", sessions=[index]),
]


@dataclass
class Outcome:
    """What one run delivered, compared with what was spoken."""

    name: str
    words: int = 0
    missing: int = 0
    twice: int = 0
    disorder: int = 0
    worst: float = 0.0  # seconds
    losses: int = 0
    attempts: int = 0
    kinds: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return not (self.missing or self.twice or self.disorder or self.trouble) and self.worst <= 0.1


def plan(rng: random.Random, seconds: float, losses: int) -> list[Fault]:
    """Let the first connections break: at random moments, on the way back, and while draining."""
    faults: list[Fault] = []
    index, left = 0, seconds
    for _ in range(losses):
        at = rng.uniform(0.2, max(1.0, 1.5 * left / losses))
        kind = rng.choice(list(DROPS))
        faults.append(getattr(Fault, kind)(after_seconds=at, sessions=[index], **DROPS[kind](rng)))
        index, left = index + 1, max(1.0, left - at)
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            faults.append(rng.choice(ON_THE_WAY_BACK)(index))
            index += 1
    if rng.random() < 0.5:
        faults.append(rng.choice(WHILE_DRAINING)(index))
    return faults


def chunks(audio: bytes, rng: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(audio):
        size = 2 * rng.choice([20, 100, 250, 777])
        yield audio[at : at + size]
        at += size


def run(
    seed: int,
    *,
    seconds: float,
    speed: float = 20.0,
    channels: int = 1,
    tls: bool = False,
    blur: float = 0.0,
    repeated: bool = False,
    live: bool = False,
    losses: int = 3,
) -> Outcome:
    """Transcribe over breaking connections, and count."""
    rng = random.Random(seed)
    manner = [channels, "ch", "wss" if tls else "ws", "blurred" * bool(blur), "repeated" * repeated]
    manner.append("live" * live)
    name = f"{seed}: " + " ".join(str(part) for part in manner if part)
    outcome = Outcome(name)
    labels: list[Optional[str]] = [None] if channels == 1 else [f"leg{n}" for n in range(channels)]
    spoken = {label: speak(seconds, rng, repeated=repeated) for label in labels}
    faults = plan(rng, seconds, losses)
    outcome.kinds = [fault.kind for fault in faults]
    engine = NumberedEngine(blur=blur, repeated=repeated, seed=seed)
    config = TranscriptionConfig(max_delay=rng.choice([0.7, 2.0, 4.0]), enable_partials=rng.random() < 0.5)
    kind: Any = Client if channels == 1 else MultiChannelClient
    with LocalServer(engine, tls=tls, faults=faults) as server:
        conn_config = ConnectionConfig(
            ssl_context=server.ssl_context,
            ping_interval=0.5,
            ping_timeout=1.0,
            send_timeout=1.5,
            end_timeout=20,
            close_timeout=0.3,
        )
        with kind(url=server.url, conn_config=conn_config, resume=POLICY) as client:
            heard = watch(client, outcome)
            sources = {label: chunks(audio, rng) for label, (audio, _) in spoken.items()}
            options = {"audio_format": FORMAT, "transcription_config": config}
            try:
                if live:
                    transcript = send_live(client, sources, speed, **options)
                else:
                    source = sources[None] if channels == 1 else sources
                    transcript = client.transcribe(source, speed=speed, **options)
            except Exception as exc:
                outcome.trouble.append(f"{type(exc).__name__}: {exc}")
                transcript = getattr(exc, "transcript", None) or Transcript()
    for label, (_, words) in spoken.items():
        count(outcome, words, [word for word in transcript.words if word.channel == label])
    if heard["RecognitionStarted"] != 1 or heard["EndOfTranscript"] != 1 or heard["Error"]:
        outcome.trouble.append(f"not one session: {heard}")
    if ".." in transcript.text:
        outcome.trouble.append("a mark came twice")
    return outcome


def send_live(client: Any, sources: dict[Any, Iterator[bytes]], speed: float, **options: Any) -> Transcript:
    """Send by hand what a microphone would give, one thread for all channels; nothing waits for an outage."""
    named = None not in sources
    client.start_session(**options, **({"channels": list(sources)} if named else {}))
    began, sent = time.monotonic(), dict.fromkeys(sources, 0)
    while sources:
        label = min(sources, key=lambda one: sent[one])
        piece = next(sources[label], None)
        if piece is None:
            del sources[label]
            if named:
                client.end_channel(label)
            continue
        time.sleep(max(0.0, began + sent[label] / 2 / RATE / speed - time.monotonic()))
        client.send_audio(label, piece) if named else client.send_audio(piece)
        sent[label] += len(piece)
    client.stop_session()
    return client.transcript


def watch(client: Any, outcome: Outcome) -> dict[str, int]:
    """Count messages; acknowledgements must come in one count."""
    heard = dict.fromkeys(["RecognitionStarted", "EndOfTranscript", "Error"], 0)
    last: dict[Optional[str], int] = {}

    def hear(message: dict[str, Any]) -> None:
        kind = message["message"]
        if kind in heard:
            heard[kind] += 1
        elif kind == "Resumed":
            outcome.losses += 1
        elif kind == "Reconnecting":
            outcome.attempts += 1
        elif kind in ("AudioAdded", "ChannelAudioAdded"):
            channel = message.get("channel")
            if message["seq_no"] != last.get(channel, 0) + 1:
                outcome.trouble.append(f"{kind} {message['seq_no']} after {last.get(channel, 0)}")
            last[channel] = message["seq_no"]

    client.on_any(hear)
    return heard


def count(outcome: Outcome, spoken: list[Spoken], delivered: list[Any]) -> None:
    """Compare by time: a delivered word is the spoken one whose middle is nearest."""
    outcome.words += len(spoken)
    middles = [(word.start + word.end) / 2 for word in spoken]
    times = dict.fromkeys(range(len(spoken)), 0)
    place = last = 0
    for word in delivered:
        middle = (word.start_time + word.end_time) / 2
        place = min(range(max(0, last - 5), len(spoken)), key=lambda n: abs(middles[n] - middle))
        outcome.disorder += place < last
        last = max(place, last)
        times[place] += 1
        true = spoken[place]
        if word.content != true.content:
            outcome.trouble.append(f"{word.content!r} at {word.start_time}, spoken was {true.content!r}")
        outcome.worst = max(outcome.worst, abs(word.start_time - true.start), abs(word.end_time - true.end))
    outcome.missing += sum(1 for number in times.values() if number == 0)
    outcome.twice += sum(number - 1 for number in times.values() if number > 1)
    if [word.content for word in spoken] != [word.content for word in delivered]:
        outcome.trouble.append("the words are not those spoken, in their order")
