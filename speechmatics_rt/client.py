"""The client of one stream of audio: what a program holds in its hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Union

from .audio import Source, open_source
from .baseclient import BaseClient
from .session import (
    UNSET,
    MessageStream,
    SessionRequest,
    SourceOptions,
    check_timestamp,
    spelled_out,
)
from .transcript import Transcript

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["Client"]


class Client(BaseClient):
    """Transcribe one stream of audio.

    Example:
        >>> from speechmatics_rt import AudioFormat
        >>> from speechmatics_rt.local import LocalServer
        >>> with LocalServer() as server, Client(url=server.url) as client:
        ...     transcript = client.transcribe(bytes(32000), audio_format=AudioFormat("pcm_s16le", 16000))
        >>> transcript.words[0].content
        'Good'
    """

    @spelled_out
    def transcribe(self, source: Source, **options: Unpack[SourceOptions]) -> Transcript:
        """Send a whole source and return its transcript; handlers run on this thread meanwhile.

        Args:
            source: A path, an object with ``read(n)``, bytes, or an iterable of bytes. When the call fails,
                one that can seek goes back to where it stood; one that can't is refused by the next call
                if some of it was sent.
            transcription_config: Language and features; English without it.
            audio_format: What the bytes are. Without it a mono PCM or mu-law WAV is sent as raw audio, and
                anything else as a file, byte for byte.
            translation_config: Languages to translate into.
            audio_events_config: Audio events to detect.
            ws_headers: Headers to add to the upgrade request.
            timeout: The most seconds for everything, connecting included; but not for the first read of a
                source that blocks.
            speed: 1.0 sends as fast as the audio would sound, which must be raw; None as fast as the server
                takes it.

        Raises:
            AudioError: The source is missing, empty, unreadable, misaligned, or the rest of a failed call.
            TranscriptionError: The service ended the session with an error.
            ConnectionError: The connection was lost.
            TimeoutError: Stage ``"whole"``, or as :meth:`start_session`.

        Each carries what was heard until then in ``transcript``; also raises what
        :meth:`start_session` raises.
        """
        return self.stream(source, **options).finish()

    @spelled_out
    def stream(self, source: Source, **options: Unpack[SourceOptions]) -> MessageStream:
        """Start sending a source and return the messages of the session as an iterator.

        Arguments and errors as :meth:`transcribe`; those of the session are raised by the iteration.
        """
        self._prepare()
        request = SessionRequest.of(options, SourceOptions)
        return self._stream(request, {None: open_source(source, request.given_format)})

    def send_audio(self, payload: Union[bytes, bytearray, memoryview]) -> None:
        """Send one chunk of audio, of whole samples; waits while the server is too far behind.

        Raises:
            ChunkError: The payload is not bytes, or cuts a sample.
            NotRunningError: No session is running, or its audio has ended.
            TimeoutError: Stage ``"send"``: no acknowledgement within ``send_timeout``.
            SpeechmaticsError: What the session ended with, if it failed.
        """
        self._running().send_audio(payload)

    def force_end_of_utterance(self, *, timestamp: Optional[float] = UNSET) -> None:
        """End the utterance now: a final and an ``EndOfUtterance`` follow, both ``forced``.

        Args:
            timestamp: Where it ended, in seconds of audio; by default all that was sent (raw formats), which
                makes the cut more accurate. None sends no timestamp: transcribers before 15.2.0 know none.

        Raises:
            ConfigurationError: The timestamp is no number, or negative.
            SessionError: No session is running.
        """
        check_timestamp(timestamp)
        session = self._running()
        if timestamp is UNSET:
            timestamp = self.audio_seconds_sent if session.bytes_per_second else None
        message: dict[str, Any] = {"message": "ForceEndOfUtterance"}
        if timestamp is not None:
            message["timestamp"] = timestamp
        session.send(message)

    @property
    def audio_seconds_sent(self) -> float:
        """Seconds of audio sent in the present or last session; 0 for format ``file``."""
        session = self._session
        return session.connection.seconds_sent if session else 0.0
