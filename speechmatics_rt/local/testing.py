"""The server for users' own tests, whose words and faults can be changed while it runs."""

from __future__ import annotations

import os
import random
import wave
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional, Union

from ..config import refused
from ..exceptions import ConfigurationError
from .engines import ReplayEngine, Script, ScriptedEngine, SpokenEngine
from .server import LocalServer

__all__ = ["ServerForTests"]

_RATE = 16_000  # samples a second of the recordings
_RAW = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": _RATE}
_AFTER = 0.5  # s of silence after the last word
# 2 kHz, which can be seen and heard. The lowest two bits of each sample are for the noise.
_TONE = array("h", [0, 2300, 3200, 2300, 0, -2300, -3200, -2300] * 5)
_TWO_BITS = bytes(byte & 3 for byte in range(256))


class ServerForTests(LocalServer):
    """A :class:`LocalServer` for tests, such as the fixture ``speechmatics_server``.

    The methods, and an assignment to ``faults``, take effect for sessions that begin afterwards.

    Args:
        **options: Those of :class:`LocalServer`, except ``engine``.

    Example:
        >>> from speechmatics_rt.local import Fault
        >>> with ServerForTests() as server:
        ...     server.says("It rained in Bergen.")
        ...     server.faults = [Fault.refuse(503, sessions=[0])]
    """

    def __init__(self, **options: Any) -> None:
        self._spoken = SpokenEngine()
        super().__init__(self._spoken, **options)

    def says(self, words: Union[str, Script, Mapping[str, Union[str, Script]]]) -> None:
        """Return these words for any audio: a text or a :class:`Script`, or one of them for each channel.

        What is called last decides: these are the words also of what :meth:`record_wav` has made so far;
        what it makes later has its own.

        Raises:
            ConfigurationError: ``words`` is none of these.
        """
        said = words if isinstance(words, Mapping) else {"": words}
        if not all(isinstance(label, str) and isinstance(one, (str, Script)) for label, one in said.items()):
            raise refused("words", words, "a text, a Script, or a mapping of channels to one of these")
        scripts = {
            label: Script.from_text(one) if isinstance(one, str) else one for label, one in said.items()
        }
        script = scripts if isinstance(words, Mapping) else scripts[""]
        self._spoken.say(ScriptedEngine(script))

    def replays(self, recording: Union[str, os.PathLike[str], Iterable[Mapping[str, Any]]]) -> None:
        """Replay a recorded session, from a file of :class:`speechmatics_rt.Recorder`, whatever audio comes.

        What is called last decides, as for :meth:`says`.

        Raises:
            ConfigurationError: The file can't be read, or is not a recording.
        """
        self._spoken.say(ReplayEngine(recording))

    def record_wav(
        self,
        path: Union[str, os.PathLike[str]],
        *,
        seconds: Optional[float] = None,
        words: Union[str, Sequence[str], None] = None,
        speakers: Sequence[str] = ("S1",),
    ) -> None:
        """Write a WAV (16 kHz, 16 bits) in which this server, and no other, recognises these words.

        Args:
            path: The file; an existing one is replaced.
            seconds: Its duration. Default: as long as the words take, or 3 s.
            words: The words, or ``""`` for silence; without it, those that the server returns for any audio.
                They are recognised only in the unchanged samples, wherever these begin: not after resampling
                or encoding. A sequence of texts makes a recording with a channel for each, to be split.
            speakers: The labels of those who speak, a sentence each by turns, in sessions with speaker
                diarization.

        Raises:
            ConfigurationError: An argument is wrong, or the words take longer than ``seconds``.
        """
        channels: Any = words if isinstance(words, (list, tuple)) else [words]
        if not channels or not (words is None or all(isinstance(text, str) for text in channels)):
            raise refused("words", words, "a text, or a list of one for each channel")
        labels: Any = speakers if isinstance(speakers, str) else tuple(speakers)
        scripts = [Script.from_text(text or "", speakers=labels) for text in channels]
        needed = max(script.words[-1].end if script.words else 0.0 for script in scripts)
        if seconds is None:
            seconds = needed + _AFTER if needed else 3.0
        elif not isinstance(seconds, (int, float)) or not max(needed, 1 / _RATE) <= seconds <= 86_400:
            raise ConfigurationError(
                f"seconds is {seconds!r}; accepted: a number, {needed:.1f} or more, which these words take"
            )
        count = round(seconds * _RATE)
        tracks = [_samples(script, count, repr((text, labels))) for text, script in zip(channels, scripts)]
        if words is not None:
            for track, script in zip(tracks, scripts):
                self._spoken.know(track.tobytes(), _RAW, script)
        frames = array("h", bytes(2 * len(tracks) * count))
        for place, track in enumerate(tracks):
            frames[place :: len(tracks)] = track
        with wave.open(os.fspath(path), "wb") as file:
            file.setparams((len(tracks), 2, _RATE, 0, "NONE", ""))
            file.writeframes(frames.tobytes())


def _samples(script: Script, count: int, seed: str) -> array[int]:
    """Make ``count`` samples: a tone for each word, and everywhere a noise that no ear and no other has."""
    tones = array("h", bytes(2 * count))
    for word in script.words:
        begin, end = round(word.start * _RATE), round(word.end * _RATE)
        tones[begin:end] = (_TONE * ((end - begin) // len(_TONE) + 1))[: end - begin]
    noise = bytearray(2 * count)
    noise[::2] = random.Random(seed).randbytes(count).translate(_TWO_BITS)  # noqa: S311  repeatable, not secret
    mixed = int.from_bytes(tones.tobytes(), "little") | int.from_bytes(noise, "little")
    return array("h", mixed.to_bytes(2 * count, "little"))
