"""The microphone whose ``read`` is awaited."""

from __future__ import annotations

from ..audio import Microphone
from .bridge import in_thread

__all__ = ["AsyncMicrophone"]


class AsyncMicrophone(Microphone):
    """A microphone whose ``read`` is awaited, for programs that send the chunks themselves.

    In ``speechmatics_rt.aio`` it is also called ``Microphone``. As the source of ``transcribe()`` or
    ``stream()``, on either kind of client, a blocking :class:`Microphone` costs less, since the thread that
    feeds the session reads it.

    Example::

        with AsyncMicrophone() as mic:
            await client.start_session(audio_format=AudioFormat("pcm_s16le", 16000))
            while chunk := await mic.read(3200):
                await client.send_audio(chunk)
    """

    async def read(self, chunk_size: int) -> bytes:  # type: ignore[override]  # that is what it is for
        """Record ``chunk_size`` bytes; see :meth:`Microphone.read`. If it is cancelled, they are lost."""
        return await in_thread(super().read, chunk_size)
