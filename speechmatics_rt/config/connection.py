"""Timeouts, limits, TLS and proxy of a connection, and the policy for replacing a lost one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Optional

from ..late import LateModule
from .rules import STRING, Fields, Options, hinted, number, plain, refused

if TYPE_CHECKING:
    import ssl
else:
    ssl = LateModule("ssl")  # 10 ms, and plain connections need none

__all__ = ["ConnectionConfig", "ResumePolicy"]


def _context(name: str, value: Any) -> None:
    if not isinstance(value, ssl.SSLContext):
        raise refused(name, value, "an ssl.SSLContext, or None for the default")


_ANY_TIME = number(0, unit="seconds")
_ANY_COUNT = number(1, whole=True)
_PINGS = number(0.01, unit="seconds")  # at 0 nothing but pings would be sent


@hinted
@dataclass(eq=False, repr=False)
class ConnectionConfig(Options):
    """Timeouts, limits, TLS and proxy of a connection. Times are in seconds; None means no limit.

    Attributes:
        open_timeout: Limit on getting a key, DNS, TCP, proxy, TLS and upgrade together, retries included.
        start_timeout: Limit on the wait for ``RecognitionStarted``; a custom dictionary can take the
            service 15 s.
        send_timeout: Limit on the wait of a sender for an acknowledgement.
        end_timeout: Limit on silence from the server before ``EndOfTranscript``.
        close_timeout: Limit on the wait for the server's close frame.
        ping_interval: Time between pings; None sends none. The service ends a session after 3 minutes
            without audio or a ping.
        ping_timeout: Limit on the wait for the answer to a ping.
        max_size: Maximum size of an incoming message, in bytes.
        max_queue: Number of undelivered messages at which sources are read no further.
        window_frames: Maximum number of unacknowledged audio messages.
        window_seconds: Maximum duration of unacknowledged raw audio, per channel.
        ssl_context: For ``wss://``; None uses one default context shared by all sessions.
        proxy: URL of a proxy; None uses the environment's, ``""`` none.
        read_limit, write_limit: Accepted for compatibility with other clients, and ignored.

    Raises:
        ConfigurationError: A value is negative, or of the wrong type; or pings are less than 0.01 s apart.

    Example:
        >>> ConnectionConfig(open_timeout=None, ping_interval=30).ping_interval
        30
    """

    open_timeout: Optional[float] = 10
    start_timeout: Optional[float] = 30
    send_timeout: Optional[float] = 120
    end_timeout: Optional[float] = 60
    close_timeout: Optional[float] = 5
    ping_interval: Optional[float] = 20
    ping_timeout: Optional[float] = 60
    max_size: Optional[int] = 16 * 1024 * 1024
    max_queue: Optional[int] = 1000
    window_frames: Optional[int] = 500
    window_seconds: Optional[float] = 10
    ssl_context: Optional[ssl.SSLContext] = None
    proxy: Optional[str] = field(default=None, repr=False)  # it may hold a password
    read_limit: Optional[int] = None
    write_limit: Optional[int] = None

    _fields: ClassVar[Fields] = Fields(
        {
            **dict.fromkeys(
                ("open_timeout", "start_timeout", "send_timeout", "end_timeout", "close_timeout"), _ANY_TIME
            ),
            **dict.fromkeys(("ping_interval", "ping_timeout"), _PINGS),
            "window_seconds": _ANY_TIME,
            **dict.fromkeys(
                ("max_size", "max_queue", "window_frames", "read_limit", "write_limit"), _ANY_COUNT
            ),
            "ssl_context": _context,
            "proxy": STRING,
        },
        closed=True,
    )

    def __post_init__(self) -> None:
        self.check()

    def __getstate__(self) -> dict[str, Any]:
        if self.ssl_context is not None:
            raise TypeError(
                "a ConnectionConfig with an ssl_context can't be pickled, since the context can't: create it "
                "in the process that uses it, or leave it out and name the certificates in SSL_CERT_FILE"
            )
        return dict(self.__dict__)

    def __copy__(self) -> ConnectionConfig:
        return replace(self)  # with the same context: within a process it may be shared

    def to_dict(self) -> dict[str, Any]:
        """Check the options, and return those that are set, without the TLS context (it can't be pickled)."""
        return {key: value for key, value in super().to_dict().items() if key != "ssl_context"}


@hinted
@dataclass(eq=False, repr=False)
class ResumePolicy(Options):
    """How to replace a lost connection, or one that was refused with HTTP 429 or 5xx. Times are in seconds.

    An outage ends when something new is final. Connections that break before that belong to the same
    outage, however long they lived and whatever they acknowledged.

    Attributes:
        max_attempts: Maximum number of connections tried in one outage; None means no limit.
        min_delay, max_delay: Bounds of the pause before an attempt; it doubles each time, with jitter.
        busy_delay: Minimum pause when the service is at its limit or has broken down: a full quota,
            ``job_error``, ``unknown_error``, close code 1011, HTTP 429 and 503. The service asks for at
            least 5 s; a longer ``Retry-After`` is respected.
        max_outage: Maximum time without a connection in one outage; None means no limit.
        buffer_seconds: How much audio is kept to be sent again, and accepted from the caller during an
            outage.
        replay_speed: Kept audio, of each channel, is sent again this many times faster than real time.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> ResumePolicy(max_attempts=3).max_outage
        300
    """

    max_attempts: Optional[int] = 10
    min_delay: float = 0.5
    max_delay: float = 30
    busy_delay: float = 5
    max_outage: Optional[float] = 300
    buffer_seconds: float = 600
    replay_speed: float = 4

    _fields: ClassVar[Fields] = Fields(
        {
            "max_attempts": _ANY_COUNT,
            **dict.fromkeys(
                ("min_delay", "max_delay", "busy_delay", "max_outage", "buffer_seconds"), _ANY_TIME
            ),
            "replay_speed": number(1),
        },
        closed=True,
    )

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        self._check_names()
        for name, accept in self._fields.rules.items():
            value = plain(getattr(self, name))
            if value is not None or name not in ("max_attempts", "max_outage"):
                accept(name, value)
        if self.max_delay < self.min_delay:
            raise refused("max_delay", self.max_delay, f"min_delay ({self.min_delay}) or more")
