"""What ends a wait for a connection that is being made."""

from __future__ import annotations

import threading
import time

from speechmatics_rt.network import Opening


def test_a_pause_that_was_forgotten_meanwhile_ends_like_any_other() -> None:
    opening = Opening()
    threading.Timer(0.02, opening.let_go).start()
    assert opening.pause(time.monotonic() + 0.1)
    assert not opening.given_up


def test_giving_up_ends_a_pause_at_once() -> None:
    opening = Opening()
    threading.Timer(0.02, opening.give_up).start()
    assert not opening.pause(time.monotonic() + 30)
    assert not opening.pause(time.monotonic() + 30)


def test_hurrying_ends_a_pause_at_once_and_gives_nothing_up() -> None:
    opening = Opening()
    threading.Timer(0.02, opening.hurry).start()
    began = time.monotonic()
    assert opening.pause(began + 30)
    assert opening.pause(began + 30)
    assert time.monotonic() - began < 20
