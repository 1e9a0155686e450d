"""The client for one stream of audio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Optional, Union

from .audio import Source, open_source
from .baseclient import BaseClient
from .config import FLAG
from .session import (
    UNSET,
    Call,
    MessageStream,
    SessionRequest,
    SourceOptions,
    UtteranceStream,
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
        """Send a whole source and return its transcript. Handlers run on the calling thread.

        Args:
            source: A path, an object with ``read(n)``, bytes, or an iterable of bytes. If the call fails,
                a seekable source is rewound to where it was; any other is refused by the next call if
                part of it was sent.
            transcription_config: Language and features. Default: English.
            audio_format: What the bytes are. By default a mono WAV is sent as raw audio, and
                anything else as a file, byte for byte. Of a WAV that holds just what a raw format says, the
                header is left out; one that holds something else is refused.
            translation_config: Languages to translate into.
            audio_events_config: Audio events to detect.
            ws_headers: Headers to add to the upgrade request.
            timeout: Limit in seconds on the whole call, the first read of the source and connecting included.
            speed: 1.0 sends audio at its natural pace, which needs raw audio; None sends it as fast as the
                server accepts it.

        Raises:
            AudioError: The source is missing, empty, unreadable, misaligned, not what it is said to be, or
                was partly sent by a call that failed.
            TranscriptionError: The service ended the session with an error.
            ConnectionError: The connection was lost.
            TimeoutError: Stage ``"whole"``, or as :meth:`start_session`.

        Every error carries the transcript so far as ``transcript``. Also raises what
        :meth:`start_session` raises.
        """
        return self.stream(source, **options).finish()

    @spelled_out
    def stream(self, source: Source, **options: Unpack[SourceOptions]) -> MessageStream:
        """Start sending a source and return an iterator over the messages of the session.

        Arguments and errors are those of :meth:`transcribe`; errors of the session are raised by the
        iteration. One client runs one session: whatever starts another in the body of the loop ends this one,
        as if the loop had been left, and the loop then raises a SessionError. Within ``with`` on the stream
        it is refused instead.
        """
        return self._streaming(Call(self), source, self._request(source, options))

    def _request(self, source: Any, options: Mapping[str, Any]) -> SessionRequest:
        return SessionRequest.of(options, SourceOptions)

    def _streaming(self, call: Call, source: Source, request: SessionRequest) -> MessageStream:
        self._prepare(call, request)
        return self._stream(call, request, lambda: {None: open_source(source, request.given_format)})

    @spelled_out
    def utterances(
        self, source: Source, *, partials: bool = False, **options: Unpack[SourceOptions]
    ) -> UtteranceStream:
        """Start sending a source and return an iterator over its utterances.

        An utterance ends at a pause, when another speaker takes over (with ``diarization="speaker"``), when
        the program forces its end, and at the end of the session. The service detects pauses: of 0.5 s,
        unless ``conversation_config`` says otherwise.

        Args:
            source: As for :meth:`transcribe`.
            partials: Also yield the utterance in progress each time it changes: its ``ended_by`` is None,
                and ``partial`` is the text that may still change.
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
        """Send one chunk of whole samples. Waits while the server is too far behind.

        Raises:
            ChunkError: The payload is not bytes, or cuts a sample in two.
            NotRunningError: No session is running, or its audio has ended.
            TimeoutError: Stage ``"send"``: no acknowledgement within ``send_timeout``.
            SpeechmaticsError: The error that the session ended with.
        """
        self._running().send_audio(payload)

    def force_end_of_utterance(self, *, timestamp: Optional[float] = UNSET) -> None:
        """End the utterance now: a final and an ``EndOfUtterance`` follow, both ``forced``.

        Args:
            timestamp: Where it ended, in seconds of audio; by default the end of the audio sent (raw
                formats), which makes the cut more accurate. None sends no timestamp, for transcribers
                before 15.2.0.

        Raises:
            ConfigurationError: The timestamp is not a number, or is negative.
            SessionError: No session is running.
        """
        session, message = self._forced(timestamp)
        session.send(message)

    def finalize(
        self, *, timestamp: Optional[float] = UNSET, timeout: Optional[float] = 5.0
    ) -> Optional[Utterance]:
        """End the utterance now, like :meth:`force_end_of_utterance`, and return it once it is final.

        Returns all words since the last utterance was ended, by silence or by the program, or None if nothing
        was said since then. If several speakers spoke, their words are all in it, each with its speaker, and
        that of the utterance is None; a handler of ``Utterance`` gets one for each. A call that raises leaves
        the words to the next one. Of what was said, a warning is logged if ``keep_transcript`` keeps only
        the end. Handlers can't call it: they would wait for themselves.

        Args:
            timestamp: As for :meth:`force_end_of_utterance`.
            timeout: Seconds to wait at most; None waits as long as the session runs.

        Raises:
            ConfigurationError: An argument is not a number, or is negative; or ``keep_transcript`` is 0.
            SessionError: No session is running, or what would deliver the answer waits for this thread.
            TimeoutError: Stage ``"answer"``: the service has not transcribed all audio before the end.
        """
        return self._finalize(timestamp, timeout)

    @property
    def audio_seconds_sent(self) -> float:
        """Seconds of audio sent in the current or last session; 0 for format ``file``."""
        session = self._session
        return session.connection.seconds_sent if session else 0.0
