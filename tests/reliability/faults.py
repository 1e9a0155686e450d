"""What happens when: one table of faults, and what each way of use is promised when one strikes.

A :class:`Row` is a fault at a place, with what a program sees of it without ``resume`` and with it. It holds
for every way in which a session is used (:data:`WAYS`), over ws and over wss, but for what it lists itself.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Union

from speechmatics_rt import (
    AsyncClient,
    AuthenticationError,
    Client,
    ConnectionConfig,
    ConnectionError,
    EndOfTranscriptError,
    MultiChannelClient,
    ProtocolError,
    SpeechmaticsError,
    TimeoutError,
    Transcript,
    TranscriptionConfig,
    TranscriptionError,
)
from speechmatics_rt.config.connection import ResumePolicy
from speechmatics_rt.local import Fault, LocalServer, SessionRecord
from speechmatics_rt.local.faults import POINTS

from ..conftest import descriptors, threads
from ..looks import settled
from .numbered import FORMAT, RATE, NumberedEngine, speak

SECONDS = 12.0
STRIKES = 5.0  # s of audio after which a fault in mid-session strikes
WINDOW = 2.0  # s of audio that may be on their way: so the client is still sending when it strikes
AUDIO, SPOKEN = speak(SECONDS, random.Random(7))
CHUNK = 0.5  # s
CHUNKS = [AUDIO[at : at + RATE] for at in range(0, len(AUDIO), RATE)]
PATIENCE = 20.0  # s in which every row must have ended, whatever its limits, on a busy machine
POLICY = ResumePolicy(
    max_attempts=5, min_delay=0.01, max_delay=0.05, busy_delay=0.02, max_outage=10, replay_speed=100
)


class Whole:
    """The whole transcript, each word once, as without the fault."""

    def __repr__(self) -> str:
        return "the whole transcript"


WHOLE = Whole()


@dataclass(frozen=True)
class Raises:
    """An error: its class, and each attribute that a program may look at.

    ``words`` says what of the transcript it carries. ``"sent"``: each word that the server had sent.
    ``"before"``: each word sent before the fault, since nothing that comes after it counts. ``"some"``: the
    first of those sent, where the network may lose the rest. ``"none"``: no session, no transcript.
    """

    kind: type[SpeechmaticsError]
    words: str
    retryable: bool
    retry_after: Optional[float] = None
    attributes: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        told = [f"{name}={value!r}" for name, value in self.attributes if value is not None]
        return f"{self.kind.__name__}({', '.join(told)})"


Expected = Union[Whole, Raises]


@dataclass(frozen=True)
class Row:
    """Faults of the first connection, or of the way to it, and what is promised when they strike."""

    name: str
    faults: tuple[Fault, ...]
    plain: Expected
    resumed: Expected
    limits: Mapping[str, Any] = field(default_factory=dict)  # of ConnectionConfig, beside the usual ones
    tls: tuple[bool, ...] = (False, True)
    towards: Callable[[LocalServer], Mapping[str, Any]] = lambda server: {}  # a URL, a proxy: not as usual
    ways: tuple[str, ...] = ("transcribe", "stream", "by hand", "channels", "asyncio", "asyncio by hand")


@dataclass
class Seen:
    """What came of a session."""

    error: Optional[SpeechmaticsError]
    transcript: Optional[Transcript]
    seconds: float


# -- what is promised --------------------------------------------------------------------------------


def lost(stage: str, code: Optional[int] = 1006, *, words: str = "sent", **more: Any) -> Raises:
    """The connection is gone."""
    retry_after = 5.0 if code == 1011 else None
    retryable = more.pop("retryable", code in (None, 1001, 1005, 1006, 1011, 1012, 1013))
    attributes = {"stage": stage, "code": code, "status": None, **more}
    return Raises(ConnectionError, words, retryable, retry_after, tuple(attributes.items()))


def refused(status: int, *, retryable: bool, retry_after: Optional[float] = None) -> Raises:
    """The upgrade was answered with another status."""
    attributes = {"stage": "upgrade", "status": status, "code": None}
    return Raises(ConnectionError, "none", retryable, retry_after, tuple(attributes.items()))


def late(stage: str, seconds: float, words: str = "sent") -> Raises:
    return Raises(TimeoutError, words, True, None, (("stage", stage), ("seconds", seconds)))


def broken(code: Optional[int], words: str = "before") -> Raises:
    """The server breaks the rules."""
    return Raises(ProtocolError, words, False, None, (("code", code),))


def said(type: str, code: Optional[int], *, retryable: bool = False, waits: bool = False) -> Raises:
    """The service said Error, or closed with the code that stands for it."""
    attributes = (("type", type), ("code", code))
    return Raises(TranscriptionError, "sent", retryable, 5.0 if waits else None, attributes)


def unauthorised(status: Optional[int], words: str = "sent") -> Raises:
    return Raises(AuthenticationError, words, False, None, (("status", status),))


# -- the rows ----------------------------------------------------------------------------------------


def first(name: str, fault: Fault, plain: Expected, resumed: Optional[Expected] = None, **more: Any) -> Row:
    """A row for a fault that strikes the first connection; ``resume`` changes nothing unless told."""
    faults = (replace(fault, sessions=(0,)), *more.pop("beside", ()))
    return Row(name, faults, plain, plain if resumed is None else resumed, **more)


def halfway(name: str, fault: Fault, plain: Expected, resumed: Optional[Expected] = None, **more: Any) -> Row:
    """A row for a fault after ``STRIKES`` seconds, while the client is sending."""
    return first(name, replace(fault, at="", after_seconds=STRIKES), plain, resumed, **more)


def unreached(stage: str) -> Raises:
    """Nobody was there, or no way."""
    return lost(stage, None, words="none", unreached=True)


def way(name: str, towards: Callable[[LocalServer], Mapping[str, Any]], plain: Raises, **more: Any) -> Row:
    """A row for what is wrong before the server is reached, which ``resume`` does not change."""
    return Row(name, more.pop("faults", ()), plain, plain, towards=towards, **more)


def towards_nobody(server: LocalServer) -> dict[str, Any]:
    return {"url": re.sub(r"//[^/]*", "//127.0.0.1:1", server.url)}


def towards_no_name(server: LocalServer) -> dict[str, Any]:
    return {"url": re.sub(r"//[^/]*", "//nowhere.invalid", server.url)}


def through_nobody(server: LocalServer) -> dict[str, Any]:
    return {"proxy": "http://127.0.0.1:1"}


def through_it(server: LocalServer) -> dict[str, Any]:
    """Towards another server, with this one as the proxy."""
    return {"url": "ws://127.0.0.1:1/v2", "proxy": re.sub("^ws(.*)/v2", r"http\1", server.url)}


KEPT_ALIVE = {"ping_interval": 0.2, "ping_timeout": 0.6}
WAIT = 0.5  # s of a limit that is to pass
LASTING_CODES = (1000, 1002, 1003, 1007, 1008, 1009, 1010, 4000, 4999)
PASSING_CODES = (1001, 1011, 1012, 1013)
CODES_THAT_STAND_FOR_ERRORS = {
    4003: said("not_allowed", 4003),
    4004: said("invalid_model", 4004),
    4005: said("quota_exceeded", 4005, retryable=True, waits=True),
    4006: said("timelimit_exceeded", 4006),
    4013: said("job_error", 4013, retryable=True, waits=True),
}
ERRORS = {
    "invalid_message": said("invalid_message", 1003),
    "invalid_model": said("invalid_model", 4004),
    "invalid_config": said("invalid_config", 1008),
    "invalid_audio_type": said("invalid_audio_type", 1008),
    "not_authorised": unauthorised(None),
    "not_allowed": said("not_allowed", 4003),
    "insufficient_funds": said("insufficient_funds", 1011),
    "job_error": said("job_error", 4013, retryable=True, waits=True),
    "quota_exceeded": said("quota_exceeded", 4005, retryable=True, waits=True),
    "timelimit_exceeded": said("timelimit_exceeded", 4006),
    "protocol_error": said("protocol_error", 1003),
    "unknown_error": said("unknown_error", 1011, retryable=True, waits=True),
    "data_error": said("data_error", 1011),
    "buffer_error": said("buffer_error", 1008),
    "session_timeout": said("session_timeout", 1008, retryable=True),
    "start_recognition_timeout": said("start_recognition_timeout", 1008, retryable=True),
    "idle_timeout": said("idle_timeout", 1008),
}
BREACHES = {
    "a close frame that is none": (Fault.bad_close(), broken(1002)),
    "JSON too deep": (Fault.deep_json(), broken(1003)),
    "a number too long": (Fault.long_number(), broken(1003)),
    "bytes at random": (Fault.garbage(), broken(1002)),
    "a frame of 2^62 bytes": (Fault.overlong_frame(), broken(1009)),
    "a masked frame": (Fault.masked_frame(), broken(1002)),
    "a reserved bit": (Fault.reserved_bit(), broken(1002)),
    "an unknown opcode": (Fault.unknown_opcode(), broken(1002)),
    "a long ping": (Fault.long_ping(), broken(1002)),
    "a ping in two frames": (Fault.split_ping(), broken(1002)),
    "a continuation of nothing": (Fault.lone_continuation(), broken(1002)),
    "a message inside a message": (Fault.torn_message(), broken(1002)),
    "compression that nobody asked for": (Fault.compressed(), broken(1002)),
    "text that is not UTF-8": (Fault.bad_utf8(), broken(1007)),
    "RecognitionStarted again": (Fault.double_start(), broken(None)),
}
HARMLESS = {
    "an Info": Fault.info(),
    "a Warning": Fault.warning(),
    "a message nobody knows": Fault.unknown(),
    "text that is not JSON": Fault.bad_json(),
    "JSON that is not an object": Fault.not_object(),
    "an object without a name": Fault.nameless(),
    "a message in a binary frame": Fault.binary_json(),
    "all messages in binary frames": Fault.in_binary(),
    "messages in many frames": Fault.fragments(),
    "a padded length": Fault.padded_length(),
    "acknowledgements in bursts": Fault.burst_acks(3),  # of the four chunks that the window lets out
    "acknowledgements with wrong numbers": Fault.wrong_acks(),
    "acknowledgements 0.2 s late": Fault.late_acks(0.2),
    "words 0.2 s late": Fault.late_transcripts(0.2),
}

TABLE: list[Row] = [
    # on the way
    way("a name without an address", towards_no_name, unreached("dns"), tls=(False,), ways=("transcribe",)),
    way("a port where nobody listens", towards_nobody, unreached("tcp")),
    way("a proxy where nobody listens", through_nobody, unreached("proxy")),
    way(
        "a proxy that hangs up",
        through_it,
        unreached("proxy"),
        faults=(Fault.fin(at="accept"),),
        tls=(False,),
    ),
    *(
        way(
            f"a proxy that answers {status}",
            through_it,
            lost("proxy", None, words="none", unreached=True, retryable=status > 500),
            faults=(Fault.refuse(status),),
            tls=(False,),
        )
        for status in (403, 407, 502)
    ),
    way(
        "a certificate that nobody trusts",
        lambda server: {"ssl_context": None},
        lost("tls", None, words="none", unreached=False, retryable=False),
        tls=(True,),
    ),
    way(
        "a server without TLS",
        lambda server: {"url": server.url.replace("ws:", "wss:")},
        lost("tls", None, words="none", unreached=False, retryable=False),
        tls=(False,),
    ),
    # before there is a connection
    first(
        "the end of the stream at once",
        Fault.fin(at="accept"),
        lost("upgrade", None, words="none"),
        tls=(False,),
    ),
    first(
        "the end of the stream before TLS",
        Fault.fin(at="accept"),
        lost("tls", None, words="none"),
        tls=(True,),
    ),
    first("a TLS alert", Fault.tls_alert(), lost("tls", None, words="none"), tls=(True,)),
    first(
        "silence before TLS",
        Fault.hang(at="tls"),
        late("open", WAIT, "none"),
        tls=(True,),
        limits={"open_timeout": WAIT},
    ),
    first(
        "the end of the stream instead of an answer",
        Fault.fin(at="handshake"),
        lost("upgrade", None, words="none"),
    ),
    first("RST instead of an answer", Fault.reset(at="handshake"), lost("upgrade", None, words="none")),
    first("no answer", Fault.hang(), late("open", WAIT, "none"), limits={"open_timeout": WAIT}),
    first("an answer that trickles", Fault.drip(), WHOLE),
    first("a header more", Fault.header(), WHOLE),
    first("an answer to another key", Fault.bad_accept(), broken(None, "none")),
    *(first(f"HTTP {status}", Fault.refuse(status), unauthorised(status, "none")) for status in (401, 403)),
    *(
        first(f"HTTP {status}", Fault.refuse(status), refused(status, retryable=False))
        for status in (302, 400, 404)
    ),
    *(
        first(f"HTTP {status}", Fault.refuse(status), refused(status, retryable=True), WHOLE)
        for status in (429, 500, 502, 503)
    ),
    first(
        "HTTP 429 with Retry-After",
        Fault.refuse(429, retry_after=1),
        refused(429, retryable=True, retry_after=1.0),
        WHOLE,
    ),
    # before the session
    first("the end of the stream before the start", Fault.fin(at="start"), lost("start"), WHOLE),
    first("the end of the stream behind the upgrade", Fault.fin(at="open"), lost("start"), WHOLE),
    first(
        "a full quota, said at once",
        Fault.error("quota_exceeded", at="open"),
        ERRORS["quota_exceeded"],
        WHOLE,
    ),
    first("close code 4005 at once", Fault.close(4005, at="open"), ERRORS["quota_exceeded"], WHOLE),
    first("close code 1011 before the start", Fault.close(1011, at="start"), lost("start", 1011), WHOLE),
    first(
        "a failed worker before the start", Fault.error("job_error", at="start"), ERRORS["job_error"], WHOLE
    ),
    first("an unknown model", Fault.error("invalid_model", at="start"), ERRORS["invalid_model"]),
    first("no start", Fault.no_start(), late("start", WAIT), WHOLE, limits={"start_timeout": WAIT}),
    first("a late start", Fault.late_start(0.3), WHOLE),
    # in the session
    halfway("RST", Fault.reset(), lost("streaming", words="some"), WHOLE),
    halfway("the end of the stream", Fault.fin(), lost("streaming"), WHOLE),
    halfway("the end of TLS without notice", Fault.fin(notify=False), lost("streaming"), WHOLE, tls=(True,)),
    halfway(
        "the end of the stream in one direction", Fault.half_close(), lost("streaming", words="before"), WHOLE
    ),
    halfway("half a frame, then the end", Fault.cut_frame(), lost("streaming"), WHOLE),
    halfway(
        "silence",
        Fault.silence(),
        lost("keepalive"),
        WHOLE,
        limits=KEPT_ALIVE,
        beside=(Fault.no_pongs(sessions=[0]),),
    ),
    halfway(
        "silence, but pings are answered",
        Fault.silence(),
        late("send", WAIT),
        WHOLE,
        limits={"send_timeout": WAIT},
    ),
    halfway("nothing is read any more", Fault.stop_reading(), lost("keepalive"), WHOLE, limits=KEPT_ALIVE),
    halfway("no acknowledgements", Fault.no_acks(), late("send", WAIT), WHOLE, limits={"send_timeout": WAIT}),
    *(halfway(f"close code {code}", Fault.close(code), lost("streaming", code)) for code in LASTING_CODES),
    *(
        halfway(f"close code {code}", Fault.close(code), lost("streaming", code), WHOLE)
        for code in PASSING_CODES
    ),
    halfway("close code 4001", Fault.close(4001), unauthorised(None)),
    *(
        halfway(f"close code {code}", Fault.close(code), error, WHOLE if error.retryable else None)
        for code, error in CODES_THAT_STAND_FOR_ERRORS.items()
    ),
    *(
        halfway(f"Error {type}", Fault.error(type), error, WHOLE if error.retryable else None)
        for type, error in ERRORS.items()
    ),
    halfway(
        "an Error without a close frame",
        Fault.error("job_error", close=False),
        said("job_error", None, retryable=True, waits=True),
        WHOLE,
    ),
    halfway(
        "an early end",
        Fault.early_end(),
        Raises(EndOfTranscriptError, "sent", False, None, (("type", "end_of_transcript"), ("code", None))),
    ),
    *(halfway(name, fault, error) for name, (fault, error) in BREACHES.items()),
    halfway(
        "a message larger than max_size", Fault.oversize(500_000), broken(1009), limits={"max_size": 100_000}
    ),
    *(halfway(name, fault, WHOLE) for name, fault in HARMLESS.items()),
    # at the end
    first("the end of the stream while draining", Fault.fin(at="drain"), lost("draining"), WHOLE),
    first("RST while draining", Fault.reset(at="drain"), lost("draining", words="some"), WHOLE),
    first("a failed worker while draining", Fault.error("job_error", at="drain"), ERRORS["job_error"], WHOLE),
    first(
        "a full quota instead of the end",
        Fault.error("quota_exceeded", at="end"),
        ERRORS["quota_exceeded"],
        WHOLE,
    ),
    first("close code 1011 instead of the end", Fault.close(1011, at="end"), lost("draining", 1011), WHOLE),
    first("no end", Fault.no_end(), late("end", WAIT), WHOLE, limits={"end_timeout": WAIT}),
    first(
        "pings without an answer",
        Fault.no_pongs(),
        lost("keepalive"),
        WHOLE,
        limits=KEPT_ALIVE,
        beside=(Fault.no_end(sessions=[0]),),
    ),
    first("a late end", Fault.late_end(0.3), WHOLE),
    first("the end twice", Fault.double_end(), WHOLE),
    first("the end of the stream behind the transcript", Fault.fin(at="ended"), WHOLE),
    first("no goodbye", Fault.no_close_reply(), WHOLE, limits={"close_timeout": 0.3}),
    first("a late goodbye", Fault.late_close_reply(0.3), WHOLE),
    first("data behind the goodbye", Fault.data_after_close(), WHOLE),
    first("pings", Fault.pings(), WHOLE),
    first("a field more in each message", Fault.unknown_field(), WHOLE),
]


# -- the same for readers ----------------------------------------------------------------------------

# What the page of errors says happens, and the rows it stands for, by the beginnings of their names.
LINES: dict[str, tuple[str, ...]] = {
    "nobody is reached: no such name, nobody listens, the proxy is away or can't get through": (
        "a name without",
        "a port where",
        "a proxy where",
        "a proxy that hangs up",
        "a proxy that answers 5",
    ),
    "the proxy refuses: a wrong password, a forbidden address": ("a proxy that answers 4",),
    "the certificate is refused, or the server does not speak TLS": ("a certificate", "a server without"),
    "the other end hangs up before the upgrade": (
        "the end of the stream at once",
        "the end of the stream before TLS",
        "a TLS alert",
        "the end of the stream instead",
        "RST instead",
    ),
    "no answer within `open_timeout`": ("silence before TLS", "no answer"),
    "the key is refused: HTTP 401, 403, close code 4001": (
        "HTTP 401",
        "HTTP 403",
        "close code 4001",
        "Error not_authorised",
    ),
    "HTTP 429, 5xx": ("HTTP 429", "HTTP 5"),
    "another HTTP status": ("HTTP 302", "HTTP 40"),
    "the connection is lost: RST, end of stream, half a frame": (
        "RST",
        "the end of the stream before the start",
        "the end of the stream behind the upgrade",
        "the end of",
        "half a frame",
    ),
    "silence, and pings are not answered": ("silence", "nothing is read", "pings without"),
    "close code 1001, 1005 (none), 1011, 1012, 1013": tuple(f"close code {code}" for code in PASSING_CODES),
    "another close code": tuple(f"close code {code}" for code in LASTING_CODES),
    "no RecognitionStarted, no acknowledgement, no EndOfTranscript in time": (
        "no start",
        "no acknow",
        "no end",
        "silence, but",
    ),
    "Error `quota_exceeded`, `job_error`, `unknown_error`, `session_timeout`, ...; close code 4005, 4013": (
        "a full quota",
        "a failed worker",
        "close code 4005",
        "close code 4013",
        "Error quota",
        "Error job",
        "Error unknown",
        "Error session",
        "Error start",
        "an Error without",
    ),
    "any other Error; close code 4003, 4004, 4006": ("an unknown model", "close code 400", "Error "),
    "EndOfTranscript before all audio was sent": ("an early end",),
    "a violation of WebSocket or JSON, or a message larger than `max_size`": (
        "an answer to another key",
        *BREACHES,
        "a message larger",
    ),
    "odd or late, but harmless: unknown messages, text that is not JSON, fragments, a late close": (
        "an answer that",
        "a header",
        "a late",
        *HARMLESS,
        "the end twice",
        "the end of the stream behind the transcript",
        "no goodbye",
        "data behind",
        "pings",
        "a field more",
    ),
}


def line_of(row: Row) -> str:
    """The line of the page a row belongs to: the one that names it best."""
    return max(
        LINES, key=lambda line: max(len(name) if row.name.startswith(name) else 0 for name in LINES[line])
    )


def lines() -> list[str]:
    """The table of the page of errors; rows of one line must promise the same."""
    told = ["| what happens | without `resume` | with `resume=True` |", "| --- | --- | --- |"]
    for line in LINES:
        outcomes = set()
        for row in TABLE:
            if line_of(row) == line:
                retry = " (`retryable`)" if isinstance(row.plain, Raises) and row.plain.retryable else ""
                plain = "nothing" if isinstance(row.plain, Whole) else f"`{row.plain.kind.__name__}`{retry}"
                resumed = "the same" if row.resumed == row.plain else "goes on, no word lost"
                outcomes.add((plain, resumed))
        if len(outcomes) != 1:
            raise ValueError(f"{line}: {outcomes}")
        told.append(f"| {line} | {' | '.join(*outcomes)} |")
    return told


# -- the ways of use ---------------------------------------------------------------------------------


def by_transcribe(client: Client) -> Transcript:
    return client.transcribe(CHUNKS, audio_format=FORMAT, transcription_config=CONFIG)


def by_stream(client: Client) -> Transcript:
    with client.stream(CHUNKS, audio_format=FORMAT, transcription_config=CONFIG) as messages:
        for _ in messages:
            pass
    return messages.transcript


def by_hand(client: Client) -> Transcript:
    client.start_session(audio_format=FORMAT, transcription_config=CONFIG)
    for chunk in CHUNKS:
        client.send_audio(chunk)
    client.stop_session()
    return client.transcript


def by_channels(client: MultiChannelClient) -> Transcript:
    sources = {"agent": CHUNKS, "caller": CHUNKS}
    return client.transcribe(sources, audio_format=FORMAT, transcription_config=CONFIG)


def by_asyncio(client: AsyncClient) -> Transcript:
    async def main() -> Transcript:
        async with client:
            return await client.transcribe(CHUNKS, audio_format=FORMAT, transcription_config=CONFIG)

    return asyncio.run(main())


def by_hand_in_asyncio(client: AsyncClient) -> Transcript:
    async def main() -> Transcript:
        try:
            await client.start_session(audio_format=FORMAT, transcription_config=CONFIG)
            for chunk in CHUNKS:
                await client.send_audio(chunk)
            await client.stop_session()
            return client.transcript
        finally:
            await client.close()

    return asyncio.run(main())


CONFIG = TranscriptionConfig(language="en", max_delay=1.0)
CHANNELS: dict[str, tuple[Optional[str], ...]] = {
    **dict.fromkeys(("transcribe", "stream", "by hand", "asyncio", "asyncio by hand"), (None,)),
    "channels": ("agent", "caller"),
}
WAYS: dict[str, tuple[type, Callable[[Any], Transcript]]] = {
    "transcribe": (Client, by_transcribe),
    "stream": (Client, by_stream),
    "by hand": (Client, by_hand),
    "channels": (MultiChannelClient, by_channels),
    "asyncio": (AsyncClient, by_asyncio),
    "asyncio by hand": (AsyncClient, by_hand_in_asyncio),
}


def use(server: LocalServer, way: str, *, resume: bool, row: Row) -> Seen:
    """Run a session in one of the ways, and keep what came of it."""
    kind, run = WAYS[way]
    usual = {"ssl_context": server.ssl_context, "window_seconds": WINDOW, "close_timeout": 1.0}
    given = {**usual, **row.limits, "url": server.url, **row.towards(server)}
    options = {"url": given.pop("url"), "api_key": "k", "resume": POLICY if resume else False}
    options["conn_config"] = ConnectionConfig(**given)
    began = time.monotonic()
    client = kind(**options)
    try:
        transcript, error = run(client), None
    except SpeechmaticsError as exc:
        transcript, error = exc.transcript, exc
    finally:
        if kind is not AsyncClient:
            client.close()
    return Seen(error, transcript, time.monotonic() - began)


# -- holding what came against what was promised -----------------------------------------------------


def strike(row: Row, way: str, *, resume: bool, tls: bool) -> list[str]:
    """Let a row's faults strike a session, and tell in what it differs from what is promised."""
    opened = descriptors()
    with LocalServer(NumberedEngine(), tls=tls, faults=row.faults) as server:
        seen = use(server, way, resume=resume, row=row)
        heard = words_of(server.sessions[0], STRIKES / len(CHANNELS[way])) if server.sessions else {}
        heard = {label: heard.get(label, ([], [])) for label in CHANNELS[way]}
    wrong = differences(row.resumed if resume else row.plain, seen, heard)
    if seen.seconds > PATIENCE:
        wrong.append(f"took {seen.seconds:.1f} s")
    return [*wrong, *left_behind(opened)]


def differences(
    expected: Expected, seen: Seen, sent: dict[Optional[str], tuple[list[str], list[str]]]
) -> list[str]:
    """Compare with what is promised; ``sent`` has, by channel, all words sent and those before the fault."""
    error = seen.error
    delivered = {
        label: [
            word.content
            for word in (seen.transcript.words if seen.transcript else ())
            if word.channel == label
        ]
        for label in sent
    }
    if isinstance(expected, Whole):
        spoken = [word.content for word in SPOKEN]
        wrong = [f"{label or ''} {words}" for label, words in delivered.items() if words != spoken]
        return [repr(error), *wrong] if error is not None else wrong
    if type(error) is not expected.kind:
        return [f"{error!r} instead of {expected!r}"]
    promised = {
        **dict(expected.attributes),
        "retryable": expected.retryable,
        "retry_after": expected.retry_after,
    }
    wrong = [
        f"{name} is {getattr(error, name)!r}, not {value!r}"
        for name, value in promised.items()
        if getattr(error, name) != value
    ]
    if error.request_id is None:
        wrong.append("no request_id")
    if (expected.words == "none") != (seen.transcript is None):
        wrong.append(f"its transcript is {seen.transcript!r}")
    for label, (whole, before) in sent.items():
        words = delivered[label]
        least = {"sent": whole, "before": before}.get(expected.words, [])
        if words != whole[: len(words)] or len(words) < len(least):
            wrong.append(f"{len(words)} words of {len(whole)} sent, {len(before)} of them before: {words}")
    return wrong


def words_of(record: SessionRecord, strikes: float) -> dict[Optional[str], tuple[list[str], list[str]]]:
    """By channel: each word that a session was sent, and those of before so many seconds of its audio.

    These are read on the channel that is furthest, which may be another one than the word's.
    """
    words: dict[Optional[str], tuple[list[str], list[str]]] = {}
    chunks: Counter[Optional[str]] = Counter()
    read = 0.0
    for entry in record.recording():
        message, place = entry["message"], entry["audio"]
        channel = message.get("channel")
        if message["message"].endswith("AudioAdded"):  # it comes before what is made of the chunk
            chunks[channel] += 1
            read = max(read, chunks[channel] * CHUNK)
        if message["message"] == "AddTranscript":
            whole, before = words.setdefault(channel, ([], []))
            said = [one["alternatives"][0]["content"] for one in message["results"] if one["type"] == "word"]
            read = max(read, strikes if place is None else place)
            whole += said
            before += said if read < strikes else []
    return words


def left_behind(opened: int) -> list[str]:
    """Threads and descriptors that stay; what ends by itself is given a moment."""
    looks = itertools.count(1)

    def left() -> list[str]:
        if next(looks) % 10 == 0:
            gc.collect()  # it takes longer than the end of most threads
        more = descriptors() - opened
        return [*threads(), *[f"{more} descriptors"] * (more > 0)]

    found = settled(left, 5, 0.005)
    return [f"left behind: {found}"] if found else []


def combinations(row: Row) -> list[dict[str, Any]]:
    """Every way to use a session under a row's faults: six ways, ws and wss, with and without ``resume``."""
    return [
        {"way": way, "resume": resume, "tls": tls}
        for way in row.ways
        for resume in (False, True)
        for tls in row.tls
    ]


# -- pairs -------------------------------------------------------------------------------------------

_TAKE_THEIR_TIME = (
    "silence",
    "nothing is read",
    "no acknowledgements",
    "no end",
    "no start",
    "pings without",
)
# What comes second is part of the same answer, or of the same bytes, and counts as well.
_NOT_FIRST = (
    "an Error without a close",
    "an answer t",
    "the end of the stream in one direction",
)
# These leave a server no part in it.
_ON_THE_WAY = ("a name without", "a port where", "a proxy", "a certificate", "a server without")
# Of these the one that comes second says how all frames are written.
_OF_ALL_FRAMES = {"compressed", "fragments", "in_binary"}


def _moment(row: Row) -> int:
    """When its first fault strikes, as a place in the order of points."""
    return min(POINTS.index(fault.at or "started") for fault in row.faults)


def _are_of_all_frames(*rows: Row) -> bool:
    return all(_OF_ALL_FRAMES & {fault.kind for fault in row.faults} for row in rows)


def pair(rng: random.Random) -> Row:
    """Two faults of one session: the outcome is that of the first that ends it."""
    rows = [row for row in TABLE if not row.name.startswith(_ON_THE_WAY)]
    while True:
        one, other = sorted(rng.sample(range(len(rows)), 2))
        first_row, second = sorted((rows[one], rows[other]), key=_moment)
        tls = tuple(set(first_row.tls) & set(second.tls))
        late = first_row.name.startswith((*_TAKE_THEIR_TIME, *_NOT_FIRST))
        if tls and not late and not _are_of_all_frames(first_row, second):
            break
    lasting = first_row if isinstance(first_row.plain, Raises) else second
    return Row(
        f"{first_row.name}, then {second.name}",
        (*first_row.faults, *second.faults),
        lasting.plain,
        lasting.plain,
        limits={**first_row.limits, **second.limits},
        tls=tls,
        ways=tuple(set(first_row.ways) & set(second.ways)),
    )


if __name__ == "__main__":
    print("\n".join(lines()))
