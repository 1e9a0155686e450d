"""What the server's records say of many sessions."""

from __future__ import annotations

from speechmatics_rt.local import LocalServer

__all__ = ["most_at_once"]


def most_at_once(server: LocalServer) -> int:
    """Count how many sessions were under way together.

    Each lasts until its transcript was complete, since the server learns late that a client has gone; one
    that was cut, until the last that happened in it.
    """
    moments = []
    for record in server.sessions:
        end = record.times.get("end", max(record.times.values()))
        moments += [(record.times["accept"], 1), (end, -1)]
    most = now = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most
