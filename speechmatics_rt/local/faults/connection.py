"""Faults of the connection: how it ends, stalls or is kept alive, and the closing handshake."""

from __future__ import annotations

from ..connection import frame
from .kind import Target, kind

__all__ = ["ConnectionFaults"]

_LATE = (
    b'{"message":"AddTranscript","results":[],"metadata":{"start_time":0,"end_time":0,"transcript":"late "}}'
)


class ConnectionFaults:
    """Kinds about bytes that stop and connections that end."""

    @kind("started", "RST")
    def reset(session: Target) -> None:
        session.peer.reset()

    @kind("started", "the end of the stream without a close frame, or of TLS without notice")
    def fin(session: Target, notify: bool = True) -> None:
        session.wire.notifies = notify
        session.peer.end()

    @kind("started", "the end of our stream, while reading goes on")
    def half_close(session: Target) -> None:
        session.wire.half_close()

    @kind("started", "``size`` bytes more, wherever that cuts, then the end or RST")
    def cut_output(session: Target, size: int = 0, reset: bool = False) -> None:
        session.wire.cut_after(size, reset=reset)

    @kind("started", "nothing more is sent, though everything is read")
    def silence(session: Target) -> None:
        session.peer.sends = False

    @kind("started", "nothing more is read")
    def stop_reading(session: Target) -> None:
        session.peer.stop_receiving()

    @kind("open", "pings are not answered")
    def no_pongs(session: Target) -> None:
        session.peer.pongs = False

    @kind("open", "``count`` pings, ``interval`` seconds apart")
    def pings(session: Target, count: int = 3, interval: float = 0.05, payload: bytes = b"ping") -> None:
        def ping(left: int) -> None:
            session.peer.raw(frame(9, payload))
            if left > 1:
                session.wire.later("pings", interval, lambda: ping(left - 1))

        ping(count)

    @kind("started", "a close frame alone; an empty one for code 1005")
    def close(session: Target, code: int = 1011, reason: str = "") -> None:
        session.peer.close(code, reason)

    @kind("started", "a close frame with an invalid payload: half a code, a reserved one")
    def bad_close(session: Target, payload: bytes = b"\x03") -> None:
        session.peer.close_with(frame(8, payload))

    @kind("closing", "the client's close frame is not answered")
    def no_close_reply(session: Target) -> None:
        session.peer.close_delay = None

    @kind("closing", "the client's close frame is answered ``seconds`` late")
    def late_close_reply(session: Target, seconds: float = 1.0) -> None:
        session.peer.close_delay = seconds

    @kind("open", "a transcript behind our close frame, whenever that comes")
    def data_after_close(session: Target) -> None:
        session.peer.after_close = frame(1, _LATE)
