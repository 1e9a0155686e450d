"""What is measured, with whom, and what it should come to.

Goals are ratios to a peer within the same run, since machines drift; where a user would ask for a number
(memory, lateness), the goal is that number.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

__all__ = ["LABELS", "MANY", "ROWS", "TASKS", "Row", "Task"]

LABELS = {
    "ours": "this package",
    "ours-fast": "this package, extra fast",
    "raw": "raw websocket-client",
    "official": "official SDK",
    "floor": "json alone",
    "floor-orjson": "orjson alone",
}
MANY = (10, 100, 300, 1000)  # sessions in a process
_ALL = ("ours", "raw", "official")
_FAST = ("ours", "ours-fast", "raw", "official")


class Task(NamedTuple):
    """What each of the peers does in a process of its own, in turn."""

    name: str
    peers: tuple[str, ...]
    tls: bool = False

    @property
    def key(self) -> str:
        return f"{self.name} over wss" if self.tls else self.name

    @property
    def names(self) -> set[str]:
        """By which it is asked for: ``sessions`` are all of these."""
        return {self.key, self.name, self.name.partition("-")[0]}


class Row(NamedTuple):
    """A line of the table.

    Attributes:
        task: The key of the one that gives it.
        figure: Which of the figures that this gives.
        who: Which of our ways.
        against: The peer of the goal's ratio; None where the goal is the figure itself.
        goal: The most it should be; None where it is only to be known.
    """

    title: str
    task: str
    figure: str
    unit: str
    who: str = "ours"
    against: Optional[str] = "official"
    goal: Optional[float] = None


TASKS = (
    Task("dispatch", ("ours", "ours-fast", "raw", "official", "floor", "floor-orjson")),
    Task("unheard", ("ours", "official")),
    Task("stream", ("ours",)),
    Task("transcribe", ("ours", "ours-fast", "official")),
    Task("upload", _FAST),
    Task("upload", _FAST, tls=True),
    Task("live", _ALL),
    Task("setup", _ALL),
    Task("setup", _ALL, tls=True),
    *(Task(f"sessions-{count}", _ALL) for count in MANY),
    Task("memory", _ALL),
    Task("import", _ALL),
)

ROWS = (
    Row("a transcript (3 kB) to a callback", "dispatch", "cpu_us", "µs", goal=0.95),
    Row("a transcript, extra fast", "dispatch", "cpu_us", "µs", who="ours-fast", goal=0.50),
    Row("a transcript, nobody listens", "unheard", "cpu_us", "µs", goal=0.17),
    Row("its text, first read at the end", "unheard", "text_us", "µs", against=None),
    Row("a transcript from stream()", "stream", "cpu_us", "µs", against=None),
    Row("transcribe(file), per 4 kB", "transcribe", "cpu_us", "µs", goal=0.125),
    Row("transcribe(file), extra fast", "transcribe", "cpu_us", "µs", who="ours-fast", goal=0.125),
    Row("send_audio, per 4 kB", "upload", "cpu_us", "µs", against="raw", goal=0.36),
    Row("send_audio, extra fast", "upload", "cpu_us", "µs", who="ours-fast", against="raw", goal=0.36),
    Row("send_audio over wss, per 4 kB", "upload over wss", "cpu_us", "µs", against="raw", goal=0.36),
    Row(
        *("send_audio over wss, extra fast", "upload over wss", "cpu_us", "µs"),
        *("ours-fast", "raw", 0.36),
    ),
    Row("one live session, CPU", "live", "cpu_percent", "%", goal=0.35),
    Row("one live session, latency p50", "live", "p50_us", "µs", goal=0.41),
    Row("one live session, latency p99", "live", "p99_us", "µs", goal=0.65),
    Row("one live session, switches per 20 ms", "live", "switches", "", goal=None),
    Row("set-up of a session, ws", "setup", "cpu_us", "µs", goal=0.065),
    Row("set-up of a session, wss", "setup over wss", "cpu_us", "µs", goal=0.15),
    *(
        Row(f"{count} live sessions, CPU per 100 ms", f"sessions-{count}", "cpu_us", "µs", goal=goal)
        for count, goal in zip(MANY, (0.60, 0.60, 0.60, 0.60))
    ),
    *(
        Row(f"{count} live sessions, switches per 100 ms", f"sessions-{count}", "switches", "")
        for count in MANY
    ),
    Row("300 live sessions, chunks late, p99", "sessions-300", "late_p99_ms", "ms", against=None, goal=100),
    Row("300 live sessions, messages late, p99", "sessions-300", "p99_us", "µs", against=None, goal=100_000),
    Row("1000 live sessions, chunks late, p99", "sessions-1000", "late_p99_ms", "ms", against=None, goal=250),
    Row(
        "1000 live sessions, messages late, p99", "sessions-1000", "p99_us", "µs", against=None, goal=250_000
    ),
    Row("memory per session, of 300", "memory", "kilobytes", "kB", against=None, goal=80),
    Row("import", "import", "cpu_us", "µs", goal=0.50),
)
