"""Encodes and decodes WebSocket frames at the client's end (RFC 6455, no extensions).

Pure: no socket, thread or clock. :func:`encode` builds one masked frame; a :class:`Decoder` owns the memory
that a reader receives into, and turns what arrived into whole messages and control frames.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from struct import Struct
from typing import Callable, NamedTuple, Optional, Union

__all__ = [
    "CONTINUATION",
    "TEXT",
    "BINARY",
    "CLOSE",
    "PING",
    "PONG",
    "Close",
    "Decoder",
    "FrameError",
    "close_payload",
    "encode",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

_FINAL = 0x80
_RESERVED = 0x70
_WHOLE_TEXT = _FINAL | TEXT
_LONGEST_CONTROL = 125
_READ_SIZE = 8 * 1024  # for a live session, which then takes half the memory that it would with 64 kB
_FLOOD_SIZE = 128 * 1024  # the limit while reads fill the buffer: each read competes for the interpreter lock
_EAGER_SIZE = 1024 * 1024  # a larger frame gets memory as it arrives, not as it is announced

_SHORT_HEADER = Struct("!BB4s")
_MEDIUM_HEADER = Struct("!BBH4s")
_LONG_HEADER = Struct("!BBQ4s")
_NO_MASK = bytes(4)
_STOCK = 1024  # bytes of masks to get at once, which takes 3 us


class FrameError(ValueError):
    """The bytes received are not what RFC 6455 allows a server to send.

    Attributes:
        code: The close code to answer with: 1002 (framing), 1007 (not UTF-8) or 1009 (too large).
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[FrameError], tuple[int, str]]:
        return type(self), (self.code, str(self))


def _xor(data: bytes, key: bytes) -> bytes:
    # The whole payload as one integer: 5 us for 4 kB, the fastest way in Python.
    size = len(data)
    pad = int.from_bytes(key * (size >> 2) + key[: size & 3], "little")
    return (int.from_bytes(data, "little") ^ pad).to_bytes(size, "little")


def _c_masker() -> Optional[Callable[[bytes, bytes], bytes]]:
    """Find the masking function of an installed ``websockets`` (0.2 us for 4 kB) without importing it.

    With it an upload costs 11 us of CPU for a frame of 4 kB, without it 20; raw websocket-client takes 25.
    The package takes 20 ms to import, its one extension module 0.4 ms. That module depends on nothing else,
    and a later ``import websockets`` finds it loaded as it would have loaded it.
    """
    name = "websockets.speedups"
    try:
        module = sys.modules.get(name)
        if module is None:
            package = PathFinder.find_spec("websockets")
            spec = PathFinder.find_spec(name, package.submodule_search_locations) if package else None
            if spec is None or spec.loader is None:
                return None
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
        masker: Callable[[bytes, bytes], bytes] = module.apply_mask
        return masker if masker(b"speech", b"mask") == _xor(b"speech", b"mask") else None
    except (ImportError, AttributeError, TypeError):
        return None  # built for another Python, or with another API


_apply_mask = _c_masker() or _xor


# A stock of random masks. Each call of os.urandom() releases the interpreter lock, and with many threads
# another one takes it for up to 5 ms. pop() and extend() are atomic, so no lock is needed.
_masks: list[bytes] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_masks.clear)  # a child must not use its parent's masks


def _make_masks() -> None:
    block = os.urandom(_STOCK)
    _masks.extend([mask for at in range(0, _STOCK, 4) if (mask := block[at : at + 4]) != _NO_MASK])


def encode(
    opcode: int, payload: Union[bytes, bytearray, memoryview], *, mask: Optional[bytes] = None
) -> bytes:
    """Build one final, masked frame. Safe to call from any thread, and after a fork.

    Args:
        opcode: TEXT, BINARY, CLOSE, PING or PONG; control frames hold at most 125 bytes.
        payload: The bytes to send; a memoryview counts as the bytes under it.
        mask: The masking key, 4 bytes, for tests. Default: a random one from the operating system.

    Example:
        >>> encode(TEXT, b"Hello", mask=bytes.fromhex("37fa213d")).hex()
        '818537fa213d7f9f4d5158'
    """
    if type(payload) is not bytes:
        payload = bytes(payload)
    while mask is None:
        try:
            mask = _masks.pop()
        except IndexError:
            _make_masks()
    size = len(payload)
    if size < 126:
        header = _SHORT_HEADER.pack(_FINAL | opcode, 0x80 | size, mask)
    elif size < 65536:
        header = _MEDIUM_HEADER.pack(_FINAL | opcode, 0x80 | 126, size, mask)
    else:
        header = _LONG_HEADER.pack(_FINAL | opcode, 0x80 | 127, size, mask)
    return header + _apply_mask(payload, mask)


def close_payload(code: int) -> bytes:
    """Build the payload of a close frame, without a reason.

    Raises:
        ValueError: The code must not be sent (1004, 1005, 1006, 1015 and all unassigned ones).
    """
    if not _may_be_sent(code):
        raise ValueError(f"close code {code} can't be sent")
    return code.to_bytes(2, "big")


def _may_be_sent(code: int) -> bool:
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014


class Close(NamedTuple):
    """The content of a close frame."""

    code: int
    reason: str

    @classmethod
    def parse(cls, payload: bytes) -> Close:
        """Read the payload of a close frame; an empty one means 1005, "no code".

        Raises:
            FrameError: With code 1002 for a single byte or a code that must not be sent, 1007 for a
                reason that isn't UTF-8.
        """
        if not payload:
            return cls(1005, "")
        if len(payload) == 1:
            raise FrameError(1002, "the close frame holds one byte; a close code has two")
        code = int.from_bytes(payload[:2], "big")
        if not _may_be_sent(code):
            raise FrameError(1002, f"the close frame carries code {code}, which must not be sent")
        try:
            return cls(code, payload[2:].decode())
        except UnicodeDecodeError as exc:
            raise FrameError(1007, f"the reason of close code {code} is not UTF-8") from exc


class Decoder:
    """Turns the bytes from a server into messages and control frames, in the order they become complete.

    The decoder owns the memory: receive into ``buffer()``, then call ``received()`` with the number of bytes.
    An event is ``(opcode, payload)``. TEXT and BINARY are whole messages, their fragments joined; PING, PONG
    and CLOSE come at once, even between the fragments of a message. A CLOSE payload has been checked, and is
    for :meth:`Close.parse`; what follows it is dropped. Text is *not* checked to be UTF-8: decoding it must
    be strict anyway. Lengths in more bytes than necessary are accepted.

    A fault (see :class:`FrameError`) is stored and raised by the next ``buffer()``, so that everything the
    server sent before it is returned first. For one thread.

    Args:
        max_size: The largest message in bytes, fragments together; None for no limit. A larger one is
            refused as soon as its header announces it. Memory grows with what has arrived, not with what
            was announced.

    Example:
        >>> decoder = Decoder(max_size=1024)
        >>> arrived = b"\\x81\\x05Hello\\x89\\x00\\x81\\x02"
        >>> decoder.buffer()[:len(arrived)] = arrived    # or sock.recv_into(decoder.buffer())
        >>> decoder.received(len(arrived))
        [(1, b'Hello'), (9, b'')]
        >>> decoder.feed(b"Hi")
        [(1, b'Hi')]
    """

    __slots__ = (
        "_closed",
        "_error",
        "_filled",
        "_joining",
        "_limit",
        "_memory",
        "_message",
        "_opcode",
        "_view",
    )

    def __init__(self, max_size: Optional[int] = None) -> None:
        self._limit = sys.maxsize if max_size is None else max_size
        self._memory = bytearray(_READ_SIZE)
        self._view = memoryview(self._memory)
        self._filled = 0  # bytes of an unfinished frame; it always starts at 0
        self._joining = False  # inside a fragmented message
        self._opcode = TEXT
        self._message = bytearray()  # not a list, in which a flood of empty fragments would cost memory
        self._error: Optional[FrameError] = None
        self._closed = False

    def buffer(self) -> memoryview:
        """Return the memory for the next bytes; never empty, and valid until the next ``received()``.

        Raises:
            FrameError: Earlier bytes were faulty; every further call raises it again.
        """
        if self._error is not None:
            raise self._error
        return self._view[self._filled :]

    def received(self, count: int) -> list[tuple[int, bytes]]:  # noqa: PLR0912 - calls would double its cost
        """Decode after ``count`` bytes were written to ``buffer()``; return what became complete."""
        memory, view, limit = self._memory, self._view, self._limit
        start = stop = 0
        end = 0 if self._closed else self._filled + count
        events: list[tuple[int, bytes]] = []
        try:
            while end - start > 1:
                head = memory[start]
                size = memory[start + 1]
                body = start + 2
                if size > 125:
                    if size > 127:
                        raise FrameError(1002, "the server sent a masked frame")  # noqa: TRY301 - kept below
                    body += 2 if size == 126 else 8
                    if body > end:
                        break
                    if size == 126:
                        size = memory[start + 2] << 8 | memory[start + 3]
                    else:
                        size = int.from_bytes(view[start + 2 : body], "big")
                if head != _WHOLE_TEXT or size > limit or self._joining:
                    self._check(head, size)
                stop = body + size
                if stop > end:
                    break
                payload = view[body:stop].tobytes()
                start = stop
                if head == _WHOLE_TEXT:
                    events.append((TEXT, payload))
                else:
                    self._take(head, payload, events)
                    if self._closed:
                        break
        except FrameError as exc:
            self._error = exc
        if self._closed or self._error is not None:
            start = stop = end
        if start == end < len(memory) == _READ_SIZE:
            self._filled = 0  # the usual case in a live session
        else:
            self._make_room(start, end, stop - start, full=end == len(memory))
        return events

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Decode bytes from other memory. Raises what ``buffer()`` raises."""
        events: list[tuple[int, bytes]] = []
        rest = memoryview(data)
        room = self.buffer()  # raises, even for no data
        while rest and self._error is None:
            room = self.buffer()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            rest = rest[count:]
            events += self.received(count)
        return events

    def _check(self, head: int, size: int) -> None:
        """Refuse a frame that is wrong by its header alone, without waiting for its payload."""
        opcode = head & 0x0F
        if head & _RESERVED:
            raise FrameError(
                1002, f"reserved bits are set (first byte 0x{head:02x}), no extension was agreed"
            )
        if opcode in (CLOSE, PING, PONG):
            if not head & _FINAL or size > _LONGEST_CONTROL:
                what = "of more than 125 bytes" if head & _FINAL else "in fragments"
                raise FrameError(1002, f"the server sent a control frame (opcode {opcode}) {what}")
            return
        if opcode not in (CONTINUATION, TEXT, BINARY):
            raise FrameError(1002, f"unknown opcode {opcode}")
        if self._joining != (opcode == CONTINUATION):
            wrong = "a message inside a fragmented one" if self._joining else "a continuation of no message"
            raise FrameError(1002, f"the server sent {wrong}")
        if size >> 63:
            raise FrameError(
                1002, f"the server announced a frame of {size} bytes, beyond what the protocol knows"
            )
        size += len(self._message)
        if size > self._limit:
            raise FrameError(1009, f"a message of at least {size} bytes; at most {self._limit} are allowed")

    def _take(self, head: int, payload: bytes, events: list[tuple[int, bytes]]) -> None:
        """Take in a whole frame that ``_check`` has accepted."""
        opcode = head & 0x0F
        if opcode >= CLOSE:
            if opcode == CLOSE:
                Close.parse(payload)
                self._closed = True
            events.append((opcode, payload))
            return
        if opcode != CONTINUATION:
            self._joining, self._opcode = True, opcode
        self._message += payload
        if head & _FINAL:
            events.append((self._opcode, bytes(self._message)))
            self._joining, self._message = False, bytearray()

    def _make_room(self, start: int, end: int, needed: int, *, full: bool) -> None:
        """Move the unfinished frame to the front; grow for one that doesn't fit, and in a flood."""
        left, had = end - start, len(self._memory)
        usual = min(2 * had, _FLOOD_SIZE) if full and had <= _FLOOD_SIZE else _READ_SIZE
        size = max(usual, min(needed, max(_EAGER_SIZE, 2 * left)))
        if size > had or (not left and size < had):
            memory = bytearray(size)
            memory[:left] = self._view[start:end]
            self._memory, self._view = memory, memoryview(memory)
        elif left and start:
            self._view[:left] = self._view[start:end]
        self._filled = left
