"""The server for users' own tests, whose words and faults can be changed while it runs."""

from __future__ import annotations

import os
import wave
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, Optional, Union

from ..config import refused
from ..exceptions import ConfigurationError
from .engines import ReplayEngine, Script, ScriptedEngine, SpokenEngine, mark_of
from .server import LocalServer

__all__ = ["ServerForTests"]

_RATE = 16_000  # samples a second of the recordings
_AFTER = 0.5  # s of silence after the last word
_TONE = array("h", [0, 2300, 3200, 2300, 0, -2300, -3200, -2300] * 5)  # 2 kHz: what can be seen and heard


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
        self._spoken.otherwise = ScriptedEngine(script)

    def replays(self, recording: Union[str, os.PathLike[str], Iterable[Mapping[str, Any]]]) -> None:
        """Replay a recorded session, from a file of :class:`speechmatics_rt.Recorder`.

        Raises:
            ConfigurationError: The file can't be read, or is not a recording.
        """
        self._spoken.otherwise = ReplayEngine(recording)

    def record_wav(
        self,
        path: Union[str, os.PathLike[str]],
        *,
        seconds: Optional[float] = None,
        words: Optional[str] = None,
    ) -> None:
        """Write a WAV (16 kHz, 16 bits, mono) in which this server, and no other, recognises these words.

        Args:
            path: The file; an existing one is replaced.
            seconds: Its duration. Default: as long as the words take, or 3 s.
            words: The words, or ``""`` for silence; without it, those that the server returns for any audio.
                They are recognised only in the unchanged samples: not after resampling or encoding.

        Raises:
            ConfigurationError: The words take longer than ``seconds``.
        """
        script = Script.from_text(words or "")
        needed = script.words[-1].end if script.words else 0.0
        if seconds is None:
            seconds = needed + _AFTER if words else 3.0
        elif not isinstance(seconds, (int, float)) or not max(needed, 1 / _RATE) <= seconds <= 86_400:
            raise ConfigurationError(
                f"seconds is {seconds!r}; accepted: a number, {needed:.1f} or more, which these words take"
            )
        samples = array("h", bytes(2 * round(seconds * _RATE)))
        for word in script.words:
            begin, end = round(word.start * _RATE), round(word.end * _RATE)
            samples[begin:end] = (_TONE * ((end - begin) // len(_TONE) + 1))[: end - begin]
        data = samples.tobytes()
        if words is not None:
            self._spoken.know(words, script)
            data = mark_of(words) + data[len(mark_of(words)) :]
        with wave.open(os.fspath(path), "wb") as file:
            file.setparams((1, 2, _RATE, 0, "NONE", ""))
            file.writeframes(data)
