"""Faults of WebSocket frames: broken ones, and rare ones that are right."""

from __future__ import annotations

import random
import zlib

from ..connection import frame
from .kind import Target, kind

__all__ = ["FramingFaults"]

_INFO = b'{"message":"Info","type":"recognition_quality","reason":"broadcast quality","quality":"broadcast"}'


class FramingFaults:
    """Kinds about frames, whatever is in them."""

    @kind("started", "any bytes, as they are")
    def raw(session: Target, data: bytes) -> None:
        session.peer.raw(data)

    @kind("started", "``size`` random bytes")
    def garbage(session: Target, size: int = 1000, seed: int = 0) -> None:
        session.peer.raw(random.Random(seed).randbytes(size))  # noqa: S311  repeatable, not secret

    @kind("started", "half a frame, then the end of the stream")
    def cut_frame(session: Target) -> None:
        session.peer.raw(frame(1, b'{"message":"AddTranscript"', length=256))
        session.peer.end()

    @kind("started", "a frame that announces ``size`` bytes and never has them")
    def overlong_frame(session: Target, size: int = 2**62) -> None:
        session.peer.raw(frame(1, _INFO, length=size))

    @kind("started", "a short frame with its length in eight bytes")
    def padded_length(session: Target) -> None:
        session.peer.raw(b"\x81\x7f" + len(_INFO).to_bytes(8, "big") + _INFO)

    @kind("started", "a masked frame")
    def masked_frame(session: Target) -> None:
        session.peer.raw(frame(1, _INFO, mask=b"mask"))

    @kind("started", "a frame with reserved bit 1, 2 or 3")
    def reserved_bit(session: Target, bit: int = 1) -> None:
        session.peer.raw(frame(1, _INFO, reserved=8 >> bit))

    @kind("started", "a frame of a kind that isn't")
    def unknown_opcode(session: Target, opcode: int = 3) -> None:
        session.peer.raw(frame(opcode, _INFO))

    @kind("started", "a ping of ``size`` bytes, 125 being the most")
    def long_ping(session: Target, size: int = 126) -> None:
        session.peer.raw(frame(9, bytes(size)))

    @kind("started", "a ping in two frames")
    def split_ping(session: Target) -> None:
        session.peer.raw(frame(9, b"pi", fin=False) + frame(0, b"ng"))

    @kind("started", "a continuation of nothing")
    def lone_continuation(session: Target) -> None:
        session.peer.raw(frame(0, _INFO))

    @kind("started", "a message that begins before the last one has ended")
    def torn_message(session: Target) -> None:
        session.peer.raw(frame(1, _INFO[:20], fin=False) + frame(1, _INFO))

    @kind("started", "every message from now on in frames of 1 to ``size`` bytes, cut anywhere")
    def fragments(session: Target, size: int = 40, pings: bool = False, seed: int = 0) -> None:
        lengths = random.Random(seed)  # noqa: S311  repeatable, not secret

        def cut(opcode: int, payload: bytes) -> bytes:
            pieces: list[bytes] = []
            place = 0
            while not pieces or place < len(payload):
                end = place + lengths.randint(1, size)
                code = 0 if pieces else opcode
                pieces.append(frame(code, payload[place:end], fin=end >= len(payload)))
                place = end
            return (frame(9, b"between") if pings else b"").join(pieces)

        session.peer.framing = cut

    @kind("started", "every message from now on is deflated, asked for or not")
    def compressed(session: Target) -> None:
        def deflate(opcode: int, payload: bytes) -> bytes:
            packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
            return frame(opcode, packed[:-4], reserved=4)  # the four bytes of a flush are left out

        session.peer.framing = deflate

    @kind("started", "every message from now on in a binary frame")
    def in_binary(session: Target) -> None:
        session.peer.framing = lambda _, payload: frame(2, payload)

    @kind("started", "a text frame that is not UTF-8")
    def bad_utf8(session: Target, payload: bytes = b'{"message":"Info","reason":"\xc3\x28\xff"}') -> None:
        session.peer.raw(frame(1, payload))
