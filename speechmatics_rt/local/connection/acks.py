"""Acknowledges the audio of a session: at once and in order, unless a fault changes that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Optional

from .wire import Wire

__all__ = ["Acknowledger", "Habit"]


@dataclass(frozen=True)
class Habit:
    """How one channel is acknowledged.

    Attributes:
        silent: Not at all.
        seconds: So late.
        burst: Held back until so many are due; the end of the audio brings the rest.
        skip: Added to each ``seq_no``.
    """

    silent: bool = False
    seconds: float = 0.0
    burst: int = 1
    skip: int = 0


class Acknowledger:
    """Acknowledges the audio messages of one connection. All calls belong to the wire's thread."""

    def __init__(self, wire: Wire, send: Callable[[dict[str, Any]], None]) -> None:
        self._wire = wire
        self._send = send
        self._habits: dict[Optional[str], Habit] = {}
        self._held: dict[Optional[str], list[int]] = {}

    def change(self, channel: Optional[str], **habits: Any) -> None:
        """Change the habits of one channel, or with None of all that have none of their own."""
        self._habits[channel] = replace(self._habit(channel), **habits)

    def acknowledge(self, channel: Optional[str], number: int) -> None:
        """Acknowledge audio message ``number`` of a channel, by its habit."""
        if not self._habits:
            self._send(acknowledgement(channel, number))
            return
        habit = self._habit(channel)
        if habit.silent:
            return
        held = self._held.setdefault(channel, [])
        held.append(number)
        if len(held) < habit.burst:
            return
        self._held[channel] = []
        self._send_by(habit, channel, held)

    def flush(self, channel: Optional[str]) -> None:
        """Send what was held back: the channel's audio has ended."""
        self._send_by(self._habit(channel), channel, self._held.pop(channel, []))

    def _habit(self, channel: Optional[str]) -> Habit:
        return self._habits.get(channel) or self._habits.get(None) or Habit()

    def _send_by(self, habit: Habit, channel: Optional[str], numbers: list[int]) -> None:
        messages = [acknowledgement(channel, number + habit.skip) for number in numbers]

        def send() -> None:
            for message in messages:
                self._send(message)

        if numbers:
            self._wire.after(f"ack {channel} {numbers[0]}", habit.seconds, send)


def acknowledgement(channel: Optional[str], number: int) -> dict[str, Any]:
    """Build an AudioAdded, or of a channel a ChannelAudioAdded."""
    if channel is None:
        return {"message": "AudioAdded", "seq_no": number}
    return {"message": "ChannelAudioAdded", "channel": channel, "seq_no": number}
