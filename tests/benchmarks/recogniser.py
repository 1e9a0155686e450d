"""Measure the offline recogniser: ``python tests/benchmarks/recogniser.py [--debian /usr] [--model base]``.

Two tables. *Quality*: word errors, and the places where two readings were glued ("them. had he"), of clean
speech, of a telephone's and of speech in noise, live and as fast as it goes. Time is the audio's there, as on
a machine without other work: the same audio gives the same words. *Load*: several sessions over real sockets
in real time, and how late the finals came; that is the machine's as well.

``--debian`` adds speech from the packages pocketsphinx-testdata, asterisk-core-sounds-en and
asterisk-core-sounds-en-g722, which may also be unpacked elsewhere.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from speechmatics_rt import Client, TranscriptionConfig
from speechmatics_rt.local import LocalServer
from speechmatics_rt.local.engines.messages import joined
from speechmatics_rt.local.whisper import WhisperEngine
from tests.benchmarks.speech import RATE, Clip, debian, mulaw, noisy, ours, plain, seams, word_errors

_CHUNK = 0.1  # s of a message
_PAUSE = 0.8  # s between two clips
_CONDITIONS = ("clean", "8 kHz mu-law", "10 dB noise")


class Clock:
    """The audio's time: it stands still but for what the caller adds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Heard(NamedTuple):
    text: str
    lags: list[float]  # s of audio from the end of each word to its final


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--debian", type=Path, metavar="ROOT", help="where the packages are: /usr")
    parser.add_argument("--model", action="append", choices=["tiny.en", "base"])
    parser.add_argument("--seconds", type=float, default=120.0, help="of speech, at most; default: 120")
    parser.add_argument("--max-delay", type=float, default=2.0)
    parser.add_argument("--sessions", type=int, nargs="*", default=[1, 4, 8])
    parser.add_argument("--table", choices=["quality", "load"], action="append")
    options = parser.parse_args()
    clips = list(_first(debian(options.debian) if options.debian else ours(), options.seconds))
    words = sum(len(plain(clip.text)) for clip in clips)
    print(f"{words} words in {sum(len(clip.samples) for clip in clips) / RATE:.0f} s of speech")
    for model in options.model or ["tiny.en"]:
        if "quality" in (options.table or ["quality"]):
            quality(model, clips, options.max_delay)
        if "load" in (options.table or ["load"]):
            for sessions in options.sessions:
                load(model, clips, sessions, options.max_delay)


def _first(clips: list[Clip], seconds: float) -> Iterator[Clip]:
    for clip in clips:
        if seconds > 0:
            yield clip
        seconds -= len(clip.samples) / RATE


# -- quality -----------------------------------------------------------------------------------------------


def quality(model: str, clips: list[Clip], max_delay: float) -> None:
    clock = Clock()
    engine = WhisperEngine(model=model, clock=clock)
    total = sum(len(plain(clip.text)) for clip in clips)
    seconds = sum(len(clip.samples) for clip in clips) / RATE
    for condition in _CONDITIONS:
        for live in (True, False):
            began = time.process_time()
            heard = [recognise(engine, clock, clip, condition, live, max_delay) for clip in clips]
            used = time.process_time() - began
            wrong = sum(word_errors(found.text, clip.text) for found, clip in zip(heard, clips))
            glued = sum(seams(found.text) for found in heard)
            line = f"{model:8} {condition:12} {'live' if live else 'fast':5} word errors {wrong / total:6.1%}"
            lags = np.percentile([lag for found in heard for lag in found.lags] or [0.0], [50, 90])
            late = f", finals after {lags[0]:.2f} s (p50), {lags[1]:.2f} s (p90)" if live else ""
            print(f"{line}, glued {glued}{late}, CPU {used / seconds:.2f} s a second", flush=True)


def recognise(
    engine: WhisperEngine, clock: Clock, clip: Clip, condition: str, live: bool, max_delay: float
) -> Heard:
    audio, audio_format = _coded(clip, condition)
    chunk = int(_CHUNK * audio_format["sample_rate"]) * (1 if condition == "8 kHz mu-law" else 2)
    config = {"language": "en", "max_delay": max_delay}
    recogniser = engine.recogniser({"audio_format": audio_format, "transcription_config": config})
    results: list[Any] = []
    lags: list[float] = []
    for count, at in enumerate(range(0, len(audio), chunk), 1):
        clock.now += _CHUNK if live else 0.0
        for message in recogniser.feed(audio[at : at + chunk]):
            if message["message"] == "AddTranscript":
                results += message["results"]
                lags += [count * _CHUNK - item["end_time"] for item in message["results"]]
    results += [
        item
        for message in recogniser.finish()
        if message["message"] == "AddTranscript"
        for item in message["results"]
    ]
    recogniser.close()
    return Heard(joined(results), lags)


def _coded(clip: Clip, condition: str) -> tuple[bytes, dict[str, Any]]:
    if condition == "8 kHz mu-law":
        return mulaw(clip.samples), {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}
    samples = noisy(clip.samples, 10) if condition == "10 dB noise" else clip.samples
    return samples.astype("<i2").tobytes(), {"type": "raw", "encoding": "pcm_s16le", "sample_rate": RATE}


# -- load --------------------------------------------------------------------------------------------------


def load(model: str, clips: list[Clip], sessions: int, max_delay: float) -> None:
    engine = WhisperEngine(model=model)
    engine.language_pack_info("en")
    pause = np.zeros(int(_PAUSE * RATE), np.int16)
    done: list[tuple[int, Any]] = []

    def session(number: int, url: str) -> None:
        mine = clips[number % len(clips) :] + clips[: number % len(clips)]  # no two say the same at a time
        audio = np.concatenate([part for clip in mine for part in (clip.samples, pause)])
        with Client(url=url) as client:
            transcript = client.transcribe(
                audio.astype("<i2").tobytes(),
                audio_format={"type": "raw", "encoding": "pcm_s16le", "sample_rate": RATE},
                transcription_config=TranscriptionConfig(max_delay=max_delay, enable_partials=True),
                speed=1.0,
            )
            text = " ".join(clip.text for clip in mine)
            done.append((word_errors(transcript.text, text), client.stats))

    began, used = time.monotonic(), time.process_time()
    with LocalServer(engine) as server:
        threads = [threading.Thread(target=session, args=(number, server.url)) for number in range(sessions)]
        for thread in threads:
            thread.start()
            time.sleep(0.13)
        for thread in threads:
            thread.join()
    wall, used = time.monotonic() - began, time.process_time() - used
    total = sum(len(plain(clip.text)) for clip in clips)
    finals = [stats.final_latency for _, stats in done]
    partials = [stats.partial_latency for _, stats in done]
    wrong = sum(errors for errors, _ in done) / sessions / total
    print(
        f"{model:8} {sessions} sessions: word errors {wrong:6.1%}, "
        f"finals after {np.median([each.p50 for each in finals]):.2f} s (p50), "
        f"{np.median([each.p99 for each in finals]):.2f} s (p99), "
        f"partials {np.median([each.p50 for each in partials]):.2f} s, "
        f"CPU {used / wall:.2f} cores",
        flush=True,
    )


if __name__ == "__main__":
    main()
