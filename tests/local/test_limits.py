"""How long a session may be silent, and how long it may last."""

from __future__ import annotations

from speechmatics_rt.local.limits import Limits


def test_the_limits_of_a_long_session() -> None:
    limits = Limits(start=0.0)
    hour = 3600.0
    seen = []
    now = wait = 0.0
    while not any(message["message"] == "Error" for _, message in seen):
        now += wait
        messages, wait = limits.check(now, sign=now, audio=now)
        seen += [(now / hour, message) for message in messages]
        wait = min(wait, 60.0)
    assert [(round(when, 2), message["type"]) for when, message in seen] == [
        (47.25, "session_timeout"),
        (47.5, "session_timeout"),
        (47.75, "session_timeout"),
        (48.0, "session_timeout"),
    ]
    assert seen[0][1]["reason"] == (
        "Session will timeout in 45m due to max duration, session has been active for 2835m"
    )


def test_the_limits_of_a_session_without_audio() -> None:
    limits = Limits(start=0.0)
    seen = []
    for minute in range(61):
        messages, _ = limits.check(minute * 60.0, sign=minute * 60.0, audio=0.0)
        seen += [(minute, message["message"], message["type"]) for message in messages]
    assert seen == [
        *((minute, "Warning", "idle_timeout") for minute in (45, 50, 55)),
        (60, "Error", "idle_timeout"),
    ]
    assert messages[-1]["reason"] == "no audio within 60 minutes"  # though pings came all the time
