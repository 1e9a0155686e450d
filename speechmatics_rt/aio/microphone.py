"""The microphone of programs that await what they read."""

from __future__ import annotations

from ..audio import Microphone
from .bridge import in_thread

__all__ = ["AsyncMicrophone"]


class AsyncMicrophone(Microphone):
    """A microphone whose ``read`` is awaited, for programs that send the chunks themselves.

    It is also what ``speechmatics_rt.aio`` calls ``Microphone``. As the source of ``transcribe()`` or
    ``stream()`` a blocking :class:`Microphone` does as well, on either kind of client, and costs less: the
    thread that feeds the session reads it.

    Example::

        with AsyncMicrophone() as mic:
            await client.start_session(audio_format=AudioFormat("pcm_s16le", 16000))
            while chunk := await mic.read(3200):
                await client.send_audio(chunk)
    """

    async def read(self, chunk_size: int) -> bytes:  # type: ignore[override]  # that is what it is for
        """Record ``chunk_size`` bytes. As :meth:`Microphone.read`; if it is cancelled they are lost."""
        return await in_thread(super().read, chunk_size)
