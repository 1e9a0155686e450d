"""Speech with its text for ``recogniser.py``: our own recording, or more of it from three Debian packages."""

from __future__ import annotations

import gzip
import re
import wave
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr

RATE = 16_000
_OURS = Path(__file__).parents[2] / "examples" / "audio"
# pocketsphinx-testdata; asterisk-core-sounds-en and asterisk-core-sounds-en-g722
_AUSTEN = Path("share/pocketsphinx/test/data/librivox")
_PROMPTS = Path("share/asterisk/sounds/en_US_f_Allison")
_WORDING = Path("share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
_CHOSEN = """
    demo-congrats demo-echotest demo-abouttotry basic-pbx-ivr-main confbridge-mute-extended
    priv-callee-options screen-callee-options dir-intro tt-allbusy vm-options vm-review
    queue-periodic-announce conf-usermenu ss-noservice vm-tempgreeting2 agent-alreadyon followme/status
"""


class Clip(NamedTuple):
    """16 kHz int16 samples, and what is said in them."""

    name: str
    samples: Any
    text: str


def ours() -> list[Clip]:
    """Read the recording that the examples use."""
    with wave.open(str(_OURS / "librivox_3_sentences.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return [Clip("librivox", samples, (_OURS / "librivox.txt").read_text(encoding="utf-8"))]


def debian(root: Path) -> list[Clip]:
    """Read what the packages have installed below ``root``, which is /usr unless they were unpacked."""
    clips = ours()
    for line in (root / _AUSTEN / "transcription").read_text(encoding="utf-8").splitlines():
        found = re.match(r"<s> (.*) </s> \((.*)\)", line)
        if found and found[2][-4:] in ("0880", "0890"):  # the other three are ours
            with wave.open(str(root / _AUSTEN / f"{found[2]}.wav")) as file:
                samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            clips.append(Clip(found[2][-4:], samples, found[1]))
    wording = dict(
        line.split(": ", 1)
        for line in gzip.decompress((root / _WORDING).read_bytes()).decode("utf-8").splitlines()
        if ": " in line
    )
    clips += [Clip(name, _g722(root / _PROMPTS / f"{name}.g722"), wording[name]) for name in _CHOSEN.split()]
    return clips


def _g722(path: Path) -> Any:
    import av

    with av.open(str(path), format="g722") as container:
        frames = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return np.concatenate(frames).astype(np.int16)


def noisy(samples: Any, decibels: float) -> Any:
    """Add pink noise so many decibels below the speech."""
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(len(samples)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, len(samples))
    speech = samples.astype(float)
    loud = np.abs(speech) > 0.05 * np.abs(speech).max()  # pauses make no speech quieter
    level = np.sqrt(np.mean(speech[loud] ** 2)) / 10 ** (decibels / 20)
    return np.clip(speech + noise * (level / noise.std()), -32768, 32767).astype(np.int16)


def mulaw(samples: Any) -> bytes:
    """Code as a telephone does: 8 kHz, mu-law."""
    slow = np.asarray(soxr.resample(samples, RATE, 8000)).astype(int)
    sign, magnitude = slow < 0, np.minimum(np.abs(slow), 32635) + 132
    exponent = np.floor(np.log2(magnitude)).astype(int) - 7
    mantissa = (magnitude >> (exponent + 3)) & 15
    return bytes((~((sign << 7) | (exponent << 4) | mantissa) & 255).astype(np.uint8))


# -- counting ----------------------------------------------------------------------------------------------

_DIGITS = {
    word: str(digit)
    for digit, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    )
}
_SPELLED = {"mr.": "mister", "voice mail": "voicemail", "touchtone": "touch tone", "cannot": "can not"}


def plain(text: str) -> list[str]:
    """Bring a text into the form in which words are compared."""
    text = text.lower().replace("-", " ")
    for written, spoken in _SPELLED.items():
        text = text.replace(written, spoken)
    return [_DIGITS.get(word, word) for word in re.sub(r"[^\w' ]", " ", text).replace("'", "").split()]


def word_errors(found: str, expected: str) -> int:
    """Count the words to change, add and leave out to get from one text to the other."""
    heard = plain(found)
    costs = list(range(len(heard) + 1))
    for row, word in enumerate(plain(expected), 1):
        diagonal, costs[0] = costs[0], row
        for column, other in enumerate(heard, 1):
            diagonal, costs[column] = (
                costs[column],
                min(costs[column] + 1, costs[column - 1] + 1, diagonal + (word != other)),
            )
    return costs[-1]


# Words that are written with a capital at the start of a sentence alone.
_SMALL = frozenset(
    [
        *("a", "and", "as", "at", "dial", "for", "had", "he", "if", "in", "is", "of", "or", "please"),
        *("press", "the", "to", "when", "you", "your"),
    ]
)


def seams(found: str) -> int:
    """Count the places where a text is written as two readings that were glued: "them. had he", "was He"."""
    pairs = re.findall(r"(?=(?:^|\s)\S*?([^\s.?!]|[.?!])[\"']?\s+(\w+))", found.replace("Mr.", "Mr"))
    return sum(
        (end in ".?!" and word[0].islower())
        or (end not in ".?!" and word[0].isupper() and word.lower() in _SMALL)
        for end, word in pairs
    )
