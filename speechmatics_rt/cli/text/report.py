"""Formats the figures of a session, as text and as JSON. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ...stats import SessionStats

__all__ = ["stats_dict", "stats_lines"]


def stats_lines(stats: SessionStats, elapsed: float, most_lag: float, ids: str) -> list[str]:
    """Write them, a line a subject.

    Args:
        elapsed: Seconds since the session began.
        most_lag: The most seconds of audio that were sent and not final when a final came.
        ids: By which support finds the session.

    Example:
        >>> from speechmatics_rt.stats import Latency
        >>> latency = Latency(p50=0.8, p90=1.2, p99=1.3, count=14)
        >>> for line in stats_lines(SessionStats(19.4, 19.4, 18.9, final_latency=latency), 19.9, 1.4, "7f3c"):
        ...     print(line)
        audio: 19.4 s sent, 18.9 s transcribed, in 19.9 s (1.0x)
        finals: 0.80 s behind their audio at the median, 1.20 s p90, 1.30 s p99, of 14
        lag: 1.4 s at most
        connection: 0 reconnects, session 7f3c
    """
    audio = f"{stats.seconds_sent:.1f} s sent" if stats.seconds_sent else f"{stats.bytes_sent} bytes sent"
    heard = stats.seconds_sent or stats.seconds_transcribed
    lines = [
        f"audio: {audio}, {stats.seconds_transcribed:.1f} s transcribed, in {elapsed:.1f} s"
        f" ({heard / max(elapsed, 0.001):.1f}x)"
    ]
    for name, latency in (("finals", stats.final_latency), ("partials", stats.partial_latency)):
        if latency is not None:
            lines.append(
                f"{name}: {latency.p50:.2f} s behind their audio at the median, {latency.p90:.2f} s p90, "
                f"{latency.p99:.2f} s p99, of {latency.count}"
            )
    if stats.seconds_sent:
        lines.append(f"lag: {most_lag:.1f} s at most")
    reconnects = f"{stats.reconnects} reconnect{'s' * (stats.reconnects != 1)}"
    if stats.reconnects:
        reconnects += f", {stats.replayed_seconds:.1f} s of audio sent again"
    return [*lines, f"connection: {reconnects}, session {ids}"]


def stats_dict(stats: SessionStats, elapsed: float, most_lag: float) -> dict[str, Any]:
    """Give them fit for JSON; those of this moment, which nobody else can see, are left out.

    Example:
        >>> stats_dict(SessionStats(seconds_sent=2.0), 1.0, 0.5)["elapsed"]
        1.0
    """
    passing = ("queue_depth", "silence", "lag", "unacknowledged_frames")
    figures = {name: value for name, value in asdict(stats).items() if name not in passing}
    whole: dict[str, Any] = _rounded({**figures, "elapsed": elapsed, "most_lag": most_lag})
    return whole


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    return round(value, 3) if isinstance(value, float) else value
