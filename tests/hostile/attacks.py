"""What a hostile server may do, and what it may cost: one table.

A row has the exact error, with every attribute that a program may look at, the seconds until it is raised,
and the megabytes that it may cost beyond those of the program. ``ways`` are those of :mod:`.program`.
"""

from __future__ import annotations

import functools
import gzip
import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Union

from .servers import Attack, Victim, frame

__all__ = ["LIMITS", "TABLE", "Row"]

# The client's, beyond what a busy machine takes. That which ends a row is the test's to say (``ended_by``).
LIMITS: dict[str, Any] = {
    "open_timeout": 15,
    "start_timeout": 15,
    "send_timeout": 15,
    "end_timeout": 15,
    "close_timeout": 1,
    "ping_interval": 1,
    "ping_timeout": 15,
}
SESSIONS = ("transcribe", "by hand", "asyncio")
_INFO = b'{"message":"Info","type":"x","reason":"y"}'

# What is large is made when it is sent: each process that collects tests would make all of it otherwise.
Piece = Union[bytes, Callable[[], bytes]]


def joined(pieces: Iterable[Piece]) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else piece() for piece in pieces)


@dataclass(frozen=True)
class Row:
    name: str
    attack: Attack
    error: str
    attributes: Mapping[str, Any] = field(default_factory=dict)  # those that are not named are None
    seconds: float = 30.0  # on a busy machine; most need a tenth of a second, or the limit of 3 s
    megabytes: float = 12.0  # a session costs some: threads, TLS, buffers
    options: Mapping[str, Any] = field(default_factory=dict)
    ways: tuple[str, ...] = SESSIONS
    tls: tuple[bool, ...] = (False,)
    timeout: float = 20.0  # s that the program gives the whole call
    # The stage at which only the client's limit for it ends the row, as a TimeoutError.
    ended_by: str = ""
    # Where audio is taken from a source, it waits while messages are behind, whatever ``send_timeout`` says,
    # and the whole call has its end: then that is the error.
    waits: bool = False
    dear: bool = False  # several seconds of processor: not in the short form, which has it smaller

    def asked(self, way: str, limit: float) -> dict[str, Any]:
        """Say how the program is to meet it, over after ``limit`` seconds if nothing else ends it."""
        ended = {f"{self.ended_by}_timeout": limit} if self.ended_by else {}
        timeout = limit if self.waits else self.timeout
        return {"way": way, "options": {**LIMITS, **ended, **self.options}, "timeout": timeout}

    def expected(self, way: str, limit: float) -> dict[str, Any]:
        """Say what is to be raised, by name and attributes."""
        if self.waits and way != "by hand":
            return {"error": "TimeoutError", "stage": "whole", "seconds": limit}
        ended = {"stage": self.ended_by, "seconds": limit} if self.ended_by else {}
        return {"error": self.error, **ended, **self.attributes}


# -- before a session -----------------------------------------------------------------------------------


def answering(*pieces: Piece, again: bytes = b"", pause: float = 0.0) -> Attack:
    """Answer the request with these bytes, and then with ``again`` for ever."""

    def attack(victim: Victim) -> None:
        victim.read_head()
        victim.send(joined(pieces))
        if again:
            victim.flood(itertools.repeat(again), pause=pause)

    return attack


def silent(victim: Victim) -> None:
    victim.wait()


BROKEN = {"code": 1002, "stage": None}
REFUSED = {"stage": "upgrade", "status": 503}
_HEAD = b"HTTP/1.1 101 Switching Protocols\r\n"
_REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\n"


def full(name: str, part: Any, size: int, **more: Any) -> Row:
    """A message that is just short enough, of so many megabytes, is taken; it costs 44 times that."""
    return Row(
        name,
        saying(lambda: many(part, size * MEGABYTE), *END),
        "NoneType",
        ways=("transcribe", "asyncio"),  # by hand the next chunk would come after the end
        megabytes=175 * size / 4,
        options={"max_size": size * MEGABYTE, "send_timeout": 60, **_NO_PINGS},
        timeout=90,
        seconds=60,
        **more,
    )


OPENING = [
    Row("headers without end", answering(_HEAD, again=b"X-More: and more\r\n" * 500), "ProtocolError"),
    Row("one header without end", answering(_HEAD, b"X-Long: ", again=b"x" * 8192), "ProtocolError"),
    Row("a status line without end", answering(b"HTTP/1.1 ", again=b"x" * 8192), "ProtocolError"),
    Row(
        "bytes that are no HTTP, without end", answering(b"\x00" * 100, again=b"\x00" * 8192), "ProtocolError"
    ),
    Row(
        "headers a byte at a time",
        answering(_HEAD, b"X: ", again=b"x", pause=0.1),
        "TimeoutError",
        ended_by="open",
        tls=(False, True),
    ),
    Row("nothing at all", silent, "TimeoutError", ended_by="open", tls=(False, True)),
    Row(
        "a refusal whose text never ends",
        answering(_REFUSAL, b"\r\n", again=b"a" * 8192),
        "ConnectionError",
        REFUSED,
        tls=(False, True),
    ),
    Row(
        "a refusal whose text comes a byte at a time",
        answering(_REFUSAL, b"\r\n{", again=b" ", pause=0.1),
        "ConnectionError",
        REFUSED,
    ),
    Row(
        "a refusal whose text is announced as 2^63 bytes",
        answering(_REFUSAL, b"Content-Length: 9223372036854775808\r\n\r\n{}"),
        "ConnectionError",
        REFUSED,
    ),
    Row(
        "a refusal nested four thousand deep",
        answering(_REFUSAL, b"Content-Length: 8005\r\n\r\n", b'{"":' + b"[" * 4000 + b"]" * 4000 + b"}"),
        "ConnectionError",
        REFUSED,
    ),
    Row(
        "a refusal that says when in a number of a thousand digits",
        answering(_REFUSAL, b"Retry-After: ", b"9" * 1000, b"\r\nContent-Length: 0\r\n\r\n"),
        "ConnectionError",
        REFUSED,
    ),
    Row(
        "a refusal until the year 10^18",
        answering(
            _REFUSAL, b"Retry-After: Fri, 31 Dec 999999999999999999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n"
        ),
        "ConnectionError",
        REFUSED,
    ),
]


# -- frames and messages --------------------------------------------------------------------------------


def saying(*frames: Piece, again: Iterable[bytes] = (), pause: float = 0.0) -> Attack:
    """Begin a session, say this, and then ``again``, which may have no end."""

    def attack(victim: Victim) -> None:
        victim.start()
        victim.send(joined(frames))
        victim.flood(again, pause=pause)

    return attack


def upgraded(*frames: Piece, again: Iterable[bytes] = (), pause: float = 0.0) -> Attack:
    """The same, but the session never begins."""

    def attack(victim: Victim) -> None:
        victim.upgrade()
        victim.send(joined(frames))
        victim.flood(again, pause=pause)

    return attack


def message(kind: str, **fields: Any) -> bytes:
    return frame(1, json.dumps({"message": kind, **fields}).encode())


def word(content: str, **fields: Any) -> dict[str, Any]:
    return {"type": "word", "start_time": 0, "end_time": 0, "alternatives": [{"content": content}], **fields}


def many(result: dict[str, Any], size: int) -> bytes:
    """Fill a final of ``size`` bytes with one result, again and again."""
    one = json.dumps(result, separators=(",", ":")).encode() + b","
    head = b'{"message":"AddTranscript","metadata":{"start_time":0,"end_time":1},"results":['
    return frame(1, head + one * ((size - len(head) - 100) // len(one)) + one[:-1] + b"]}")


def channels_without_end() -> Iterator[bytes]:
    for number in itertools.count():
        yield message("AddPartialTranscript", channel=f"c{number}", results=[word("x")]) * 50


MEGABYTE = 2**20
MARK = word(".", type="punctuation", attaches_to="previous")
END = (  # the transcript is complete, whatever was sent: the service may end a session by itself
    message("Warning", type="duration_limit_exceeded", reason="too long", duration_limit=1),
    message("EndOfTranscript"),
)
_NO_PINGS = {"ping_interval": None}
_GOODBYE = {"stage": "streaming", "code": 1011, "retry_after": 5}
_PARTIAL = message("AddPartialTranscript", results=[word("x")], metadata={"start_time": 0, "end_time": 1})
_FINAL = message("AddTranscript", results=[word("x")], metadata={"start_time": 0, "end_time": 1})

SESSION = [
    Row("a frame of 2^63 bytes", saying(frame(1, b"x", length=2**63)), "ProtocolError", BROKEN),
    Row("a frame of 2^64 - 1 bytes", saying(frame(2, b"x", length=2**64 - 1)), "ProtocolError", BROKEN),
    Row("a frame of 2^62 bytes", saying(frame(1, b"x", length=2**62)), "ProtocolError", {"code": 1009}),
    Row(
        "a frame of 2^62 bytes to who has no limit",
        saying(frame(1, b"x", length=2**62)),
        "TimeoutError",
        ended_by="send",
        options={"max_size": None, **_NO_PINGS},
        tls=(False, True),
    ),
    Row(
        "a message in fragments of a byte, without end",
        saying(frame(1, b"x", fin=False), again=itertools.repeat(frame(0, b"x", fin=False) * 10_000)),
        "ProtocolError",
        {"code": 1009},
        options={"max_size": 100_000, "send_timeout": 30, **_NO_PINGS},
        seconds=30,
        tls=(False, True),
    ),
    Row(
        "a message in empty fragments, without end",
        saying(frame(1, b"x", fin=False), again=itertools.repeat(frame(0, b"", fin=False) * 10_000)),
        "TimeoutError",
        ended_by="send",
        options=_NO_PINGS,
        tls=(False, True),
    ),
    Row(
        "pings without end",
        saying(again=itertools.repeat(frame(9, b"x" * 125) * 500)),
        "TimeoutError",
        ended_by="send",
        options=_NO_PINGS,
        tls=(False, True),
    ),
    Row(
        "pongs without end",
        saying(again=itertools.repeat(frame(10, b"x" * 125) * 500)),
        "TimeoutError",
        ended_by="send",
        options=_NO_PINGS,
    ),
    Row(
        "partials without end",
        saying(again=itertools.repeat(_PARTIAL * 200)),
        "TimeoutError",
        ended_by="send",
        options=_NO_PINGS,
        megabytes=110,
        waits=True,
        seconds=30,
        tls=(False, True),
    ),
    Row(
        "partials of ever new channels",
        saying(again=channels_without_end()),
        "TimeoutError",
        ended_by="send",
        options=_NO_PINGS,
        megabytes=110,
        waits=True,
        seconds=30,
    ),
    Row(
        "finals without end",
        saying(again=itertools.repeat(_FINAL * 200)),
        "TimeoutError",
        ended_by="send",
        options=_NO_PINGS,
        megabytes=110,
        waits=True,
        seconds=30,
    ),
    Row(
        "a frame that comes a byte at a time",
        saying(frame(1, b"x" * 1000)[:10], again=itertools.repeat(b"x"), pause=0.1),
        "TimeoutError",
        ended_by="send",
        options=_NO_PINGS,
        tls=(False, True),
    ),
    Row(
        "JSON a hundred thousand deep",
        saying(frame(1, b'{"message":"Info","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
        "ProtocolError",
        {"code": 1003},
        megabytes=40,
    ),
    Row(
        "a number of ten thousand digits",
        saying(frame(1, b'{"message":"Info","x":' + b"9" * 10_000 + b"}")),
        "ProtocolError",
        {"code": 1003},
    ),
    full("as many words as four megabytes may have", word("x"), 4, tls=(False, True)),
    full("as many words as a message may have", word("x"), 16, tls=(False, True), dear=True),
    full("as many marks to a word as four megabytes may have", MARK, 4),
    full("as many marks to a word as a message may have", MARK, 16, dear=True),
    Row(
        "a million words in one message",
        saying(lambda: many(word("x"), 80 * MEGABYTE)),
        "ProtocolError",
        {"code": 1009},
    ),
    Row(
        "a close reason of a megabyte",
        saying(lambda: frame(8, b"\x03\xe8" + b"x" * MEGABYTE)),
        "ProtocolError",
        BROKEN,
    ),
    Row("a goodbye, and no end", saying(frame(8, b"\x03\xf3bye")), "ConnectionError", _GOODBYE),
    Row("compressed frames nobody agreed on", saying(bytes([0xC1, 5]) + b"hello"), "ProtocolError", BROKEN),
    Row(
        "an Error of fifteen megabytes",
        saying(lambda: message("Error", type="job_error", reason="x" * 15 * MEGABYTE)),
        "TranscriptionError",
        {"retry_after": 5},
        megabytes=120,
    ),
    Row(
        "an upgrade, and nothing",
        upgraded(),
        "TimeoutError",
        ended_by="start",
        options=_NO_PINGS,
        tls=(False, True),
    ),
    Row(
        "news before the start, without end",
        upgraded(again=itertools.repeat(frame(1, _INFO) * 200)),
        "ProtocolError",
        options=_NO_PINGS,
        megabytes=30,
    ),
    Row(
        "the beginning of a message, again and again",
        saying(again=itertools.repeat(frame(1, b"{", fin=False))),
        "ProtocolError",
        BROKEN,
    ),
]


# -- pages ----------------------------------------------------------------------------------------------


@functools.lru_cache
def bomb() -> bytes:
    """Return a page of 200 MB, zipped, behind the header that says so."""
    packed = gzip.compress(b" " * 200 * MEGABYTE, 1)
    return b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed


_PAGE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"


def page(*pieces: Piece, again: bytes = b"", pause: float = 0.0) -> Attack:
    return answering(_PAGE, *pieces, again=again, pause=pause)


def pages(way: str, unasked: Mapping[str, Any], bad: tuple[str, Mapping[str, Any]]) -> Iterator[Row]:
    """What a page may be; ``unasked`` are the attributes where none came, ``bad`` is the error of others."""
    huge = b"Content-Length: 9223372036854775808\r\n\r\n{}"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n{"
    refused = "AuthenticationError" if way == "key" else "ConnectionError"
    moved = {"status": 302} if way == "key" else {"status": 302, **unasked}
    rows = [
        ("a gzip bomb", page(bomb), *bad),
        ("a page without end", page(b"\r\n", again=b"[" * 65536), *bad),
        ("a page nested sixty thousand deep", page(b"Content-Length: 60000\r\n\r\n", b"[" * 60000), *bad),
        ("a page of 2^63 bytes", page(huge), "TimeoutError", {}),
        ("a page in chunks of 2^63 bytes", page(chunked), "TimeoutError", {}),
        ("a page a byte at a time", page(b"\r\n", again=b" ", pause=0.1), "TimeoutError", {}),
        ("headers a byte at a time", page(b"X: ", again=b"x", pause=0.1), "TimeoutError", {}),
        ("headers without end", page(again=b"X: y\r\n" * 500), "ConnectionError", unasked),
        ("one header without end", page(b"X: ", again=b"x" * 65536), "ConnectionError", unasked),
        ("bytes that are no HTTP", answering(b"\0" * 100_000), "ConnectionError", unasked),
        ("a redirect", answering(_REDIRECT), refused, moved),
    ]
    for name, attack, error, attributes in rows:
        late = "open" if error == "TimeoutError" else ""
        row = Row(f"{way}: {name}", attack, error, attributes, ways=(way,), tls=(False, True), ended_by=late)
        # From Python 3.14 on the stack is what limits how deep JSON may be nested: all 8 MB of it are used.
        nested = sys.version_info >= (3, 14) and name in (
            "a page without end",
            "a page nested sixty thousand deep",
        )
        yield replace(row, megabytes=24.0) if nested else row


PAGES = [
    *pages("features", {"stage": "features"}, ("ProtocolError", {})),
    *pages("key", {"stage": "key"}, ("AuthenticationError", {"status": 200})),
]

TABLE = [*OPENING, *SESSION, *PAGES]
