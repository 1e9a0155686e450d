"""Which answer belongs to which forced end of an utterance, and what it has ended."""

from __future__ import annotations

from typing import Any, Optional

from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt import TimeoutError, Transcript
from speechmatics_rt.session.forced import ForcedEnd, ForcedEnds, Place
from speechmatics_rt.session.turns import Said, Turns

from ..transcript.test_utterances import SAID, contents, messages_of

FORCE = {"message": "ForceEndOfUtterance"}


def ask(ends: ForcedEnds, *at: float) -> list[ForcedEnd]:
    return [ends.ask({**FORCE}, {None: (one, one)}) for one in at]


def over(time: float, *, channel: Optional[str] = None, forced: bool = True) -> dict[str, Any]:
    message: dict[str, Any] = {
        "message": "EndOfUtterance",
        "metadata": {"start_time": time, "end_time": time},
    }
    return {**message, **({"channel": channel} if channel else {}), **({"forced": True} if forced else {})}


def test_they_are_answered_in_order_wherever_the_last_word_ended() -> None:
    ends = ForcedEnds()
    first, second, third = ask(ends, 4.0, 4.0, 9.0)
    assert [ends.answered(over(time)) for time in (2.1, 2.1, 5.0)] == [first, second, third]
    assert ends.answered(over(9.0)) is None


def test_one_that_was_never_answered_does_not_take_the_answer_to_a_later_one() -> None:
    ends = ForcedEnds()
    _, second, third = ask(ends, 2.0, 6.0, 9.0)
    assert [ends.answered(over(time)) for time in (4.5, 9.0)] == [second, third]


def test_a_clock_that_can_not_be_right_leaves_them_in_order() -> None:
    ends = ForcedEnds()
    first, second = ask(ends, 2.0, 6.0)
    assert [ends.answered(over(time)) for time in (1e8, 1e8)] == [first, second]


def test_older_servers_do_not_mark_an_answer_and_so_its_time_decides() -> None:
    ends = ForcedEnds()
    first, second = ask(ends, 2.0, 6.0)
    answers = [ends.answered(over(time, forced=False)) for time in (1.0, 1.8, 3.0, 5.9)]
    assert answers == [None, first, None, second]


def test_each_channel_has_its_own_order() -> None:
    ends = ForcedEnds()
    places: dict[Optional[str], Place] = {"a": (1.0, 1.0), "b": (5.0, 5.0)}
    every = ends.ask({**FORCE}, places)
    lone = ends.ask({**FORCE, "channel": "a"}, {"a": (2.0, 2.0)})
    assert ends.answered(over(0.9, channel="a")) is every
    assert ends.answered(over(1.9, channel="a")) is lone
    assert ends.answered(over(1.9, channel="a")) is None
    assert ends.answered(over(4.9, channel="b")) is every
    assert ends.answered(over(4.9)) is None


def test_many_without_an_answer_are_not_all_kept() -> None:
    ends = ForcedEnds()
    asked = ask(ends, *map(float, range(500)))
    assert ends.answered(over(0.0)) is asked[400]


class Log:
    def warning(self, *said: Any) -> None:
        raise AssertionError(said)


class Waits:
    """A program that calls ``finalize()`` and reads messages by turns, on one thread."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.turns = Turns(self.transcript, lambda: None)

    def hear(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            self.transcript.add(message)
            self.turns.add(message)

    def finalize(self, channel: Optional[str], labels: Any, *late: dict[str, Any], answer: str) -> Any:
        """Ask, and hear what comes before the answer; return what was said."""
        question, half = {**FORCE, **({"channel": channel} if channel else {})}, len(late) // 2
        with Said(self.turns, question, Log()) as said:  # type: ignore[arg-type]
            forced = self.turns.force(question, {label: (0.0, float("inf")) for label in labels})
            self.hear(*late[:half])
            if answer == "in time":
                self.hear(*late[half:], over(0.0, channel=channel))
                return said.value
        returned = None
        if answer == "not expected any more" and not self.transcript.partial:
            returned = self.turns.said_unanswered(forced, TimeoutError("late", stage="answer", seconds=1.0))
        self.hear(*late[half:], over(0.0, channel=channel))
        return returned


ANSWERS = st.sampled_from(["in time", "too late", "not expected any more"])
CALLS = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), ANSWERS))


@given(SAID, st.booleans(), CALLS)
def test_every_word_that_no_silence_has_ended_is_returned_once(said: Any, channels: bool, calls: Any) -> None:
    """By the call, or by a later one, in the order of the channel; and nothing of another one."""
    program, returned = Waits(), []
    messages = [m for m in messages_of(said, channels=channels) if m["message"] != "EndOfUtterance"]
    for channel, count, answer in [*calls, ("a", 99, "in time"), ("b", 99, "in time")]:
        label = channel if channels else None
        late, messages = messages[:count], messages[count:]
        one = program.finalize(label, [label], *late, answer=answer)
        returned += [] if one is None else [one]
    words = [word for one in returned for word in one.words]
    for label in ("a", "b") if channels else (None,):
        assert contents(words, label) == contents(program.transcript.words, label)
    assert len(words) == len({word.content for word in words})
    assert all(len({word.channel for word in one.words}) == 1 for one in returned)
