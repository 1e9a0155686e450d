"""Faults of the connection: how it ends, stalls or is kept alive, and the closing handshake."""

from __future__ import annotations

from ..connection import frame
from .kind import Stage, kind

__all__ = ["ConnectionFaults"]

_LATE = (
    b'{"message":"AddTranscript","results":[],"metadata":{"start_time":0,"end_time":0,"transcript":"late "}}'
)


class ConnectionFaults:
    """Kinds about bytes that stop and connections that end."""

    @kind("started", "RST")
    def reset(stage: Stage) -> None:
        stage.peer.reset()

    @kind("started", "the end of the stream without a close frame, or of TLS without notice")
    def fin(stage: Stage, notify: bool = True) -> None:
        stage.wire.notifies = notify
        stage.peer.end()

    @kind("started", "the end of our stream, while reading goes on")
    def half_close(stage: Stage) -> None:
        stage.wire.half_close()

    @kind("started", "``size`` bytes more, wherever that cuts, then the end or RST")
    def cut_output(stage: Stage, size: int = 0, reset: bool = False) -> None:
        stage.wire.cut_after(size, reset=reset)

    @kind("started", "nothing more is said, though everything is read")
    def silence(stage: Stage) -> None:
        stage.peer.speaks = False

    @kind("started", "nothing more is read")
    def stop_reading(stage: Stage) -> None:
        stage.peer.deafen()

    @kind("open", "pings are not answered")
    def no_pongs(stage: Stage) -> None:
        stage.peer.pongs = False

    @kind("open", "``count`` pings, ``interval`` seconds apart")
    def pings(stage: Stage, count: int = 3, interval: float = 0.05, payload: bytes = b"ping") -> None:
        def ping(left: int) -> None:
            stage.peer.raw(frame(9, payload))
            if left > 1:
                stage.wire.later("pings", interval, lambda: ping(left - 1))

        ping(count)

    @kind("started", "a close frame alone")
    def close(stage: Stage, code: int = 1011, reason: str = "") -> None:
        stage.peer.close(code, reason)

    @kind("started", "a close frame with a payload that is none: half a code, a reserved one")
    def bad_close(stage: Stage, payload: bytes = b"\x03") -> None:
        stage.peer.close_with(frame(8, payload))

    @kind("closing", "the client's close frame is not answered")
    def no_close_reply(stage: Stage) -> None:
        stage.peer.close_delay = None

    @kind("closing", "the client's close frame is answered ``seconds`` late")
    def late_close_reply(stage: Stage, seconds: float = 1.0) -> None:
        stage.peer.close_delay = seconds

    @kind("open", "a transcript behind our close frame, whenever that comes")
    def data_after_close(stage: Stage) -> None:
        stage.peer.after_close = frame(1, _LATE)
