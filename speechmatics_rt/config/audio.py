"""The format of the audio that is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Literal, Union

from ..exceptions import ConfigurationError
from .rules import Caller, Fields, Options, hinted, number, one_of, plain, refused, rule

__all__ = ["AudioEncoding", "AudioFormat"]


class AudioEncoding(str, Enum):
    """The encoding of raw samples, of 4, 2 and 1 bytes each."""

    PCM_F32LE = "pcm_f32le"
    PCM_S16LE = "pcm_s16le"
    MULAW = "mulaw"


_LARGEST = 16 * 1024 * 1024  # bytes; what is meant to be sent at once is cut into messages all the same


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST


# The default of ``sample_rate``, which is told by its identity from a 44100 that was given.
_UNSET: int = type("Unset", (int,), {})(44100)


@hinted
@dataclass(eq=False, repr=False)
class AudioFormat(Options):
    """The format of the audio that is sent.

    Attributes:
        encoding: The encoding of raw samples of one channel: ``"pcm_s16le"``, ``"pcm_f32le"`` or
            ``"mulaw"``. None for a file, whose format the service detects.
        sample_rate: Hz; for raw samples only. Always give it with an encoding: the default is that of the
            official SDK, and you are warned of it.
        chunk_size: Bytes per message; whole samples, and 16 MiB at most.

    Raises:
        ConfigurationError: The encoding is unknown.

    Example:
        >>> AudioFormat(encoding="pcm_s16le", sample_rate=16000).to_dict()
        {'type': 'raw', 'encoding': 'pcm_s16le', 'sample_rate': 16000}
        >>> AudioFormat().to_dict()
        {'type': 'file'}
    """

    encoding: Union[AudioEncoding, Literal["pcm_f32le", "pcm_s16le", "mulaw"], None] = None
    sample_rate: int = _UNSET
    chunk_size: int = 4096

    _fields: ClassVar[Fields] = Fields(
        {
            "encoding": one_of(kind.value for kind in AudioEncoding),
            "sample_rate": number(1, unit="Hz", whole=True),
            "chunk_size": rule(f"a whole number of bytes, 1 to {_LARGEST}", _is_size),
        },
        required=("sample_rate", "chunk_size"),
        closed=True,
    )
    _BYTES: ClassVar[dict[str, int]] = {"pcm_f32le": 4, "pcm_s16le": 2, "mulaw": 1}

    def __post_init__(self) -> None:
        if self.encoding is not None:
            self._fields.rules["encoding"]("encoding", plain(self.encoding))
            self.encoding = AudioEncoding(self.encoding)
            if self.sample_rate is _UNSET:
                Caller.find().warn(
                    f"AudioFormat({self.encoding.value!r}) means {_UNSET} Hz; give the sample_rate of your "
                    "audio, since a wrong one gives wrong words"
                )
        if self.sample_rate is _UNSET:
            self.sample_rate = int(_UNSET)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> AudioFormat:
        """Build from a plain mapping: the arguments, or the wire form with its ``type``.

        Raises:
            ConfigurationError: A key or value is wrong, or raw audio has no ``sample_rate``, for which no
                default is safe.
        """
        arguments = {key: value for key, value in data.items() if key != "type"}
        cls._fields.unknown(cls.__name__, arguments)
        if arguments.get("encoding") is not None and arguments.get("sample_rate") is None:
            raise ConfigurationError(
                f"sample_rate is missing; raw audio ({plain(arguments['encoding'])!r}) needs it, in Hz"
            )
        config = cls(**arguments)
        config.check()
        kind = "file" if config.encoding is None else "raw"
        if data.get("type", kind) != kind:
            raise ConfigurationError(
                f"type is {data['type']!r}; accepted: 'raw' with an encoding, 'file' without"
            )
        return config

    @property
    def bytes_per_sample(self) -> int:
        """Bytes per sample. Raises ConfigurationError for a file, whose samples are not known."""
        if self.encoding is None:
            raise ConfigurationError("the sample size of a file is not known; give AudioFormat an encoding")
        self._fields.rules["encoding"]("encoding", plain(self.encoding))
        return self._BYTES[self.encoding]

    @property
    def bytes_per_second(self) -> int:
        """Bytes per second of one channel; 0 for a file, of which that is not known."""
        return 0 if self.encoding is None else self.bytes_per_sample * self.sample_rate

    def check(self) -> None:
        super().check()
        if self.encoding is not None and self.chunk_size % self.bytes_per_sample:
            raise refused(
                "chunk_size", self.chunk_size, f"whole samples, here {self.bytes_per_sample} bytes each"
            )

    def to_dict(self) -> dict[str, Any]:
        self.check()
        if self.encoding is None:
            return {"type": "file"}
        return {"type": "raw", "encoding": plain(self.encoding), "sample_rate": plain(self.sample_rate)}
