"""The asyncio clients, for one stream of audio and for several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from ..config import FLAG
from ..session import (
    UNSET,
    SessionOptions,
    SourceOptions,
    check_label,
    check_timestamp,
    spelled_out,
    with_turns,
)
from ..transcript import Transcript, Utterance
from .baseclient import AsyncBaseClient
from .core import SeveralCore, SingleCore
from .stream import AsyncMessageStream
from .utterances import AsyncUtteranceStream

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["AsyncClient", "AsyncMultiChannelClient"]


class AsyncClient(AsyncBaseClient):
    """Transcribe one stream of audio, in an event loop.

    The arguments are those of :class:`Client`; ``auth.get_auth_headers`` may be a coroutine function.

    Example:
        >>> import asyncio
        >>> from speechmatics_rt import AudioFormat
        >>> from speechmatics_rt.local import LocalServer
        >>> async def main(url):
        ...     async with AsyncClient(url=url) as client:
        ...         return await client.transcribe(bytes(32000), audio_format=AudioFormat("pcm_s16le", 16000))
        >>> with LocalServer() as server:
        ...     transcript = asyncio.run(main(server.url))
        >>> transcript.words[0].content
        'Good'
    """

    _kind = SingleCore
    _behind: SingleCore

    @spelled_out
    async def start_session(self, **options: Unpack[SessionOptions]) -> None:
        """Connect and start recognition; return when the service is ready for audio.

        The handlers of ``RecognitionStarted``, and of any earlier message, have then run. Arguments and
        errors are those of :meth:`Client.start_session`.
        """
        await self._start(**options)

    @spelled_out
    async def transcribe(self, source: Any, **options: Unpack[SourceOptions]) -> Transcript:
        """Send a whole source and return its transcript.

        Args:
            source: As for :meth:`Client.transcribe` (reading it may block), or an object with
                ``async def read(n)``, or an asynchronous iterable of bytes.
            **options: As for :meth:`Client.transcribe`, whose errors are raised.
        """
        return await self.stream(source, **options).finish()

    @spelled_out
    def stream(self, source: Any, **options: Unpack[SourceOptions]) -> AsyncMessageStream:
        """Return an asynchronous iterator over the messages of a session, opened when entered or iterated.

        Arguments and errors are those of :meth:`transcribe`; the options are checked, and kept, at once.
        """
        return AsyncMessageStream(self, source, self._request(source, options))

    async def send_audio(self, payload: Union[bytes, bytearray, memoryview]) -> None:
        """Send one chunk of audio. Waits while the server is too far behind.

        If it is cancelled while it waits, the chunk is still sent as it was, before any later one and before
        the end of the audio. Raises the errors of :meth:`Client.send_audio`.
        """
        await self._send_audio(payload)

    async def force_end_of_utterance(self, *, timestamp: Optional[float] = UNSET) -> None:
        """End the utterance now; see :meth:`Client.force_end_of_utterance`."""
        check_timestamp(timestamp)
        await self._in_turn(self._behind.force_end_of_utterance, timestamp=timestamp)

    async def finalize(
        self, *, timestamp: Optional[float] = UNSET, timeout: Optional[float] = 5.0
    ) -> Optional[Utterance]:
        """End the utterance now and return it once it is final; see :meth:`Client.finalize`."""
        return await self._finalize(timestamp, timeout)

    @spelled_out
    def utterances(
        self, source: Any, *, partials: bool = False, **options: Unpack[SourceOptions]
    ) -> AsyncUtteranceStream:
        """Return an asynchronous iterator over utterances; see :meth:`Client.utterances`."""
        FLAG("partials", partials)
        messages = self.stream(source, **with_turns(options, partials=partials))
        return AsyncUtteranceStream(messages, partials=partials)

    @property
    def audio_seconds_sent(self) -> float:
        """Seconds of audio sent in the current or last session; 0 for format ``file``."""
        return self._behind.audio_seconds_sent


class AsyncMultiChannelClient(AsyncBaseClient):
    """Transcribe several sources at once, each on a channel of its own, in an event loop.

    The arguments are those of :class:`AsyncClient`; for channels and labels see :class:`MultiChannelClient`.

    Example:
        >>> import asyncio
        >>> from speechmatics_rt import AudioFormat
        >>> from speechmatics_rt.local import LocalServer
        >>> calls = {"caller": bytes(96000), "agent": bytes(64000)}
        >>> async def main(url):
        ...     async with AsyncMultiChannelClient(url=url) as client:
        ...         return await client.transcribe(calls, audio_format=AudioFormat("pcm_s16le", 16000))
        >>> with LocalServer() as server:
        ...     transcript = asyncio.run(main(server.url))
        >>> sorted({word.channel for word in transcript.words})
        ['agent', 'caller']
    """

    _kind = SeveralCore
    _behind: SeveralCore

    @spelled_out
    async def start_session(self, *, channels: Sequence[str], **options: Unpack[SessionOptions]) -> None:
        """Connect and start recognition; see :meth:`MultiChannelClient.start_session`."""
        await self._start(channels=channels, **options)

    @spelled_out
    async def transcribe(self, sources: Mapping[str, Any], **options: Unpack[SourceOptions]) -> Transcript:
        """Send all sources and return the transcript.

        Args:
            sources: A source for each label; see :meth:`AsyncClient.transcribe` for what a source may be.
            **options: As for :meth:`Client.transcribe`, whose errors are raised.
        """
        return await self.stream(sources, **options).finish()

    @spelled_out
    def stream(self, sources: Mapping[str, Any], **options: Unpack[SourceOptions]) -> AsyncMessageStream:
        """Return an asynchronous iterator over the messages of a session; see :meth:`AsyncClient.stream`."""
        return AsyncMessageStream(self, sources, self._request(sources, options))

    async def send_audio(self, channel: str, payload: Union[bytes, bytearray, memoryview]) -> None:
        """Send one chunk of audio on a channel; see :meth:`AsyncClient.send_audio`."""
        check_label(channel)
        await self._send_audio(payload, channel)

    async def end_channel(self, channel: str) -> None:
        """End the audio of a channel; see :meth:`MultiChannelClient.end_channel`."""
        check_label(channel)
        await self._in_turn(self._behind.end_channel, channel)

    async def force_end_of_utterance(
        self, *, channel: Optional[str] = None, timestamp: Optional[float] = UNSET
    ) -> None:
        """End the utterance of a channel now; see :meth:`MultiChannelClient.force_end_of_utterance`."""
        check_timestamp(timestamp)
        if channel is not None:
            check_label(channel)
        await self._in_turn(self._behind.force_end_of_utterance, channel=channel, timestamp=timestamp)

    async def finalize(
        self,
        *,
        channel: Optional[str] = None,
        timestamp: Optional[float] = UNSET,
        timeout: Optional[float] = 5.0,
    ) -> Optional[Utterance]:
        """End the utterance of a channel now and return it; see :meth:`MultiChannelClient.finalize`."""
        return await self._finalize(timestamp, timeout, channel)

    @spelled_out
    def utterances(
        self, sources: Mapping[str, Any], *, partials: bool = False, **options: Unpack[SourceOptions]
    ) -> AsyncUtteranceStream:
        """Return an asynchronous iterator over utterances; see :meth:`MultiChannelClient.utterances`."""
        FLAG("partials", partials)
        messages = self.stream(sources, **with_turns(options, partials=partials))
        return AsyncUtteranceStream(messages, partials=partials)
