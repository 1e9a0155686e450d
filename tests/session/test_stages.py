"""The stages of a session's delivery, whatever the order of steps; and what is taken of what arrives."""

from __future__ import annotations

import contextvars
import json
import logging
import threading
from typing import Any, Callable, Optional, Union, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt import ConnectionError, SessionError, TimeoutError, Transcript
from speechmatics_rt.events import everything
from speechmatics_rt.log import SessionLog
from speechmatics_rt.network import Link, Messages
from speechmatics_rt.protocol import Incoming, codec
from speechmatics_rt.session import Arrivals, stages
from speechmatics_rt.session.ending import SessionEnding, Unraised
from speechmatics_rt.session.stages import Delivery, waiting

from ..samples import tried

STEPS = ["the listener ends", "the caller ends", "over", "claimed", "left"]


class Arriving:
    """A link that has batches of messages, or nothing for now; and then its end, or an error."""

    session_id, is_open, draining = "a", True, False

    def __init__(self, batches: list[Optional[list[int]]], error: Optional[Exception] = None) -> None:
        self.batches = batches
        self.error = error
        self.ended = 0

    def receive(self, deadline: float = float("inf")) -> Union[Messages, tuple[()], None]:
        if not self.batches:
            if self.error is not None:
                raise self.error
            return ()
        batch = self.batches.pop(0)
        if batch is None:
            return None if deadline < float("inf") else self.receive(deadline)
        return Messages([incoming("other", n) for n in batch], lambda it: cast("Any", it))

    def end_stream(self) -> None:
        self.ended += 1


def ending_of(link: Any, unraised: Callable[[], Optional[Unraised]] = lambda: None) -> SessionEnding:
    return SessionEnding(
        cast("Link", link), Transcript(), SessionLog(logging.getLogger("test"), "r"), unraised
    )


@tried(200)
@given(st.lists(st.sampled_from(STEPS), max_size=8), st.booleans(), st.booleans())
def test_no_step_is_taken_back_whatever_comes_after_it(
    steps: list[str], streamed: bool, closes: bool
) -> None:
    delivery = Delivery(streamed=streamed)
    delivery.closes = closes
    listener, caller = contextvars.Context(), contextvars.Context()
    claims = 0
    for at, step in enumerate(steps):
        done = steps[: at + 1]
        if step == "the listener ends":
            listener.run(delivery.ends_here)
        elif step == "the caller ends":
            caller.run(delivery.ends_here)
        elif step == "over":
            delivery.end()
        elif step == "left":
            delivery.leave()
        else:
            claims += delivery.claim_last_events()
        assert delivery.over.is_set() == ("over" in done)
        ended = "over" in done and not closes  # a listener says so itself, once it has closed
        assert delivery.awaited.is_set() == (ended or (streamed and "left" in done))
        for context, ends in ((listener, "the listener ends"), (caller, "the caller ends")):
            assert context.run(lambda: delivery.is_over_here) == ("over" in done or ends in done)
        assert delivery.is_over_here == ("over" in done)  # of one that runs no handlers
        assert delivery.is_mine == ("over" not in done)  # of the thread that made it
        assert claims == ("claimed" in done)


BATCHES = st.lists(st.none() | st.integers(1, 4), max_size=6)


def numbered(sizes: list[Optional[int]]) -> list[Optional[list[int]]]:
    batches: list[Optional[list[int]]] = []
    count = 0
    for size in sizes:
        batches.append(None if size is None else list(range(count, count + size)))
        count += size or 0
    return batches


@tried(200)
@given(BATCHES, st.booleans(), st.none() | st.integers(0, 12))
def test_all_that_arrives_is_taken_once_and_in_order_until_it_is_closed(
    sizes: list[Optional[int]], fails: bool, closes_after: Optional[int]
) -> None:
    batches = numbered(sizes)
    total = sum(size or 0 for size in sizes)
    link = Arriving(batches, ConnectionError("lost") if fails else None)
    ending = ending_of(link)
    arrivals = Arrivals(cast("Link", link), ending)
    taken: list[int] = []
    how = ""
    try:
        while not how:
            if len(taken) == closes_after:
                ending.closed = True
            item = arrivals.take(everything)
            if item is not None and item[0] is not None:
                taken.append(item[0]["n"])
            elif (more := arrivals.receive(0.0)) is not None and not more:
                how = "complete"
    except SessionError:
        how = "closed"
    except ConnectionError:
        how = "lost"
    assert taken == list(range(len(taken)))
    closed = closes_after is not None and closes_after < total
    assert len(taken) == (closes_after if closed else total)
    assert how == ("closed" if closed else "lost" if fails else "complete")


@pytest.mark.parametrize("is_open", [True, False], ids=["open", "over"])
def test_the_limit_on_the_whole_call_is_for_what_still_runs(is_open: bool) -> None:
    link = Arriving([[0, 1]])
    arrivals = Arrivals(cast("Link", link), ending_of(link), deadline=0.0, timeout=0.5)
    link.is_open = is_open
    if is_open:
        with pytest.raises(TimeoutError, match=r"not complete within 0\.5 s"):
            arrivals.receive()
    else:  # what has arrived is still delivered
        assert arrivals.receive()
        assert [arrivals.take(everything) is not None for _ in range(3)] == [True, True, False]


# What may arrive: a transcript as usual, one that must be decoded to be known, one that turns out not to be a
# message, and messages that were decoded as they came.
KINDS = st.lists(st.sampled_from(["final", "partial", "odd", "broken", "other"]), max_size=12)
WANTED = st.sets(st.sampled_from(["AddTranscript", "AddPartialTranscript"]))


def incoming(kind: str, number: int) -> Incoming:
    if kind == "other":
        info = {"message": "Info", "n": number}
        return info, info, 0
    name = "AddPartialTranscript" if kind == "partial" else "AddTranscript"
    metadata = {"start_time": 0.0, "end_time": float(number)}
    message: dict[str, Any] = {"message": name, "results": [], "metadata": metadata}
    if kind == "odd":
        message["more"] = None
    payload = json.dumps(message).encode()
    if kind == "broken":
        payload = payload.replace(b"}}", b"},}")
    return ({"message": name}, payload, len(payload))


def decoded(payload: Any) -> Optional[dict[str, Any]]:
    try:
        return payload if isinstance(payload, dict) else codec.decode(payload)
    except codec.MessageError:
        return None


@tried(300)
@given(KINDS, WANTED)
def test_what_nobody_wants_is_taken_in_runs_and_all_else_one_by_one_in_order(
    kinds: list[str], wanted: set[str]
) -> None:
    messages = Messages([incoming(kind, n) for n, kind in enumerate(kinds, 1)], decoded, whole=False)
    numbers: list[int] = []
    runs = 0
    while (item := messages.take(wanted.__contains__)) is not None:
        message, seen = item
        if message is None:
            runs += 1
            assert seen
            assert not {name for name, *_ in seen} & wanted
        elif message["message"] == "Info":
            assert seen == ()
            numbers.append(message["n"])
            continue
        else:
            assert [name for name, *_ in seen] == [message["message"]]
        numbers += [int(end_time) for _, _, _, _, end_time, *_ in seen]
    assert numbers == [n for n, kind in enumerate(kinds, 1) if kind != "broken"]
    skipped = [
        kind in ("final", "partial") and incoming(kind, 1)[0]["message"] not in wanted for kind in kinds
    ]
    assert runs == sum(here and not before for here, before in zip(skipped, [False, *skipped]))


def test_a_long_run_is_taken_in_parts_so_that_a_limit_is_checked_in_between() -> None:
    link = Arriving([])
    ending = ending_of(link)
    arrivals = Arrivals(cast("Link", link), ending)
    arrivals.here = Messages([incoming("final", n) for n in range(1, 1001)], decoded, whole=False)
    first = arrivals.take(lambda kind: False)
    assert first is not None
    assert 1 < len(first[1]) < 200
    ending.closed = True
    with pytest.raises(SessionError, match="closed while messages were waiting"):
        arrivals.take(lambda kind: False)


def test_the_failure_of_a_source_is_told_before_all_that_follows_from_it() -> None:
    link = Arriving([])
    ending = ending_of(link)
    ending.source_failed(ConnectionError("of the source"))
    ending.note(SessionError("what follows"))
    assert link.ended == 1
    with pytest.raises(ConnectionError, match="of the source"):
        ending.raise_failure(SessionError("what follows"))


def test_that_an_error_was_raised_is_not_forgotten_by_another_call_that_began_before_the_end() -> None:
    class Ending(Arriving):
        """It ends, and another thread raises why, just as one asks whether it is open."""

        @property
        def is_open(self) -> bool:  # type: ignore[override]
            Ending.is_open = False  # type: ignore[assignment, method-assign]
            thread = threading.Thread(target=ending.annotate, args=[SessionError("it is over")])
            thread.start()
            thread.join()
            return True

    ending = ending_of(Ending([]))
    ending.annotate(SessionError("while it was open"))
    assert ending.is_known


@pytest.mark.parametrize("first", ["a handler", "the session"])
def test_the_error_of_a_handler_is_raised_once_and_only_if_nothing_else_is(first: str) -> None:
    unraised = Unraised()
    ending = ending_of(Arriving([]), lambda: unraised)
    ending.handler_failed(ValueError("of a handler"))
    ending.handler_failed(ValueError("of another"))
    if first == "the session":
        ending.note(ConnectionError("lost"))
        for _ in range(2):
            with pytest.raises(ConnectionError, match="lost"):
                ending.raise_failure()
    else:
        with pytest.raises(ValueError, match="of a handler"):
            ending.raise_failure()
        ending.raise_failure()
        ending.handler_failed(ValueError("of a third"))
        ending.raise_failure()


@pytest.mark.parametrize(
    ("failure", "closed", "told"),
    [
        (None, False, None),
        (ConnectionError("lost"), False, ConnectionError),
        (ConnectionError("lost"), True, ConnectionError),
        (SessionError("the session was closed"), True, None),
        (SessionError("a handler ended it"), False, SessionError),
    ],
)
def test_the_last_event_has_an_error_unless_the_program_ended_it(
    failure: Any, closed: bool, told: Optional[type]
) -> None:
    ending = ending_of(Arriving([]))
    ending.note(failure)
    ending.closed = closed
    error = ending.event()["error"]
    assert (None if error is None else type(error)) == told
    if error is not None:
        assert (error.request_id, error.session_id) == ("r", "a")
        assert error.transcript is not None


def test_a_wait_ends_in_the_middle_of_anything_as_when_a_coroutine_is_collected() -> None:
    delivery = Delivery(streamed=False)

    def wait() -> None:
        block = waiting(delivery)
        assert block.__enter__()
        begun.set()
        held.wait(10)
        block.__exit__(None, None, None)

    begun, held = threading.Event(), threading.Event()
    waits = threading.Thread(target=wait, daemon=True)
    waits.start()
    assert begun.wait(10)
    assert [one for _, one in stages._waits if one is delivery]
    with stages._waits_lock:
        held.set()
        waits.join(5)
        assert not waits.is_alive()
    assert not [one for _, one in stages._waits if one is delivery]
