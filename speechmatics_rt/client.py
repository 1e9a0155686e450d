"""The client of one stream of audio: what a program holds in its hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional, Union

from .audio import Source, open_source
from .baseclient import BaseClient
from .config import FLAG, checked
from .session import (
    SECONDS,
    UNSET,
    MessageStream,
    Session,
    SessionRequest,
    SourceOptions,
    UtteranceStream,
    check_timestamp,
    spelled_out,
    with_turns,
)
from .transcript import Transcript, Utterance

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

    @spelled_out
    def utterances(
        self, source: Source, *, partials: bool = False, **options: Unpack[SourceOptions]
    ) -> UtteranceStream:
        """Start sending a source and return what is said as an iterator of utterances.

        One is over at a pause, when another speaker goes on (with ``diarization="speaker"``), when the
        program forces its end, and at the end of the session. Pauses are noticed by the service: after
        0.5 s, where ``conversation_config`` says nothing else.

        Args:
            source: As for :meth:`transcribe`.
            partials: Give also what is being said, each time that it has changed: utterances whose
                ``ended_by`` is None, with ``partial``, the text that may still change.
            **options: As for :meth:`transcribe`, whose errors are raised by the iteration.

        Example:
            >>> from speechmatics_rt import AudioFormat
            >>> from speechmatics_rt.local import LocalServer
            >>> raw = AudioFormat("pcm_s16le", 16000)
            >>> with LocalServer() as server, Client(url=server.url) as client:
            ...     for utterance in client.utterances(bytes(128000), audio_format=raw):
            ...         print(utterance.text)
            Good morning, and welcome to the reading room.
        """
        FLAG("partials", partials)
        messages = self.stream(source, **with_turns(options, partials=partials))
        return UtteranceStream(messages, partials=partials)

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
        session.send(self._forced(session, timestamp))

    def finalize(
        self, *, timestamp: Optional[float] = UNSET, timeout: Optional[float] = 5.0
    ) -> Optional[Utterance]:
        """End the utterance now, as :meth:`force_end_of_utterance`, and return it when it is final.

        None where nothing was said since the last end of an utterance. Not for handlers, which would wait
        for themselves.

        Args:
            timestamp: As for :meth:`force_end_of_utterance`.
            timeout: The most seconds to wait; None: as long as the session runs.

        Raises:
            ConfigurationError: A number is none, or negative.
            SessionError: No session is running, or this is the thread that would deliver the answer.
            TimeoutError: Stage ``"answer"``: words are left, and the service does not finish them.
        """
        check_timestamp(timestamp)
        checked("timeout", timeout, SECONDS)
        session = self._running()
        return session.finalize(self._forced(session, timestamp), timeout=timeout)

    def _forced(self, session: Session, timestamp: Optional[float]) -> dict[str, Any]:
        if timestamp is UNSET:
            timestamp = self.audio_seconds_sent if session.bytes_per_second else None
        message: dict[str, Any] = {"message": "ForceEndOfUtterance"}
        return message if timestamp is None else {**message, "timestamp": timestamp}

    @property
    def audio_seconds_sent(self) -> float:
        """Seconds of audio sent in the present or last session; 0 for format ``file``."""
        session = self._session
        return session.connection.seconds_sent if session else 0.0
