"""Recordings with the words that are spoken in them, and how many of these were heard."""

from __future__ import annotations

import re
import wave
from pathlib import Path

from speechmatics_rt.local import Script

AUDIO = Path(__file__).parent.parent.parent / "examples" / "audio"
RATE = 16000
# Where the three sentences of the reading begin and end, in seconds.
SENTENCES = [(0.0, 7.4), (7.4, 15.2), (15.2, 19.4)]


def scripted(folder: Path, count: int) -> dict[str, list[str]]:
    """Make short recordings of 3 to 6 s for the scripted engine; return the words of each by its name."""
    folder.mkdir(parents=True)
    words = [word for word in Script.default().words if word.kind == "word"]
    spoken = {}
    for number in range(count):
        seconds = 3 + number % 31 / 10
        name = f"call-{number:03}"
        write(folder / f"{name}.wav", bytes(2 * int(RATE * seconds)))
        spoken[name] = normal(" ".join(word.content for word in words if word.end <= seconds))
    return spoken


def read_aloud(folder: Path) -> dict[str, list[str]]:
    """Cut the reading into its sentences; return the words of each."""
    folder.mkdir(parents=True)
    with wave.open(str(AUDIO / "librivox_3_sentences.wav")) as wav:
        samples = wav.readframes(wav.getnframes())
    texts = [line for line in (AUDIO / "librivox.txt").read_text(encoding="utf-8").splitlines() if line]
    spoken = {}
    for number, ((start, end), text) in enumerate(zip(SENTENCES, texts)):
        write(folder / f"reading-{number}.wav", samples[int(start * RATE) * 2 : int(end * RATE) * 2])
        spoken[f"reading-{number}"] = normal(text)
    return spoken


def write(path: Path, samples: bytes) -> None:
    with wave.open(str(path), "wb") as wav:
        wav.setparams((1, 2, RATE, 0, "NONE", ""))
        wav.writeframes(samples)


def normal(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def share_heard(spoken: list[str], text: str) -> float:
    """Tell which share of the words was heard, in their order."""
    heard = normal(text)
    longest = [0] * (len(heard) + 1)
    for word in spoken:
        before = longest[:]
        for place, other in enumerate(heard):
            longest[place + 1] = (
                before[place] + 1 if word == other else max(before[place + 1], longest[place])
            )
    return longest[-1] / max(1, len(spoken))
