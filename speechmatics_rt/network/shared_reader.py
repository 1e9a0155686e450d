"""One thread that reads and writes many connections, where a thread for each would be too many.

A thread that waits for bytes costs nothing, but once it has some it wants the interpreter lock, and every
thread that wants it wakes 200 times a second to ask again. Some hundred readers that are behind for a moment
cost more than their work, and never catch up. So the first :data:`OWN` connections of a process are read by
a thread each, and those after them by one thread that sleeps on all their sockets.

And of two threads that make one call after the other on many sockets, each waits for the other every time. So
while this one is awake it also writes: who sends leaves it what he has, and wakes nobody.

Which it is makes no difference to a session: the same :class:`~.reader.Reader` takes in what arrives, and
what a connection sees of who reads it, a :class:`Seat`, looks like a thread. The shared one begins with the
first seat and ends with the last. It never waits for a session.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import Any, Optional, Protocol

from ..deadline import begin
from ..locks import Latch, new_lock
from ..log import before_logging, show_uncaught
from .reader import Turn
from .shared_listener import deliver_now, postpone

__all__ = ["OWN", "Read", "Seat", "has_shared_reader", "own_reader_begins", "own_reader_ends"]

OWN = 8  # so few are not felt yet
_TURNS = 16  # of different connections, before what they have brought is delivered
_kernel: Any = select  # what not all systems have is typed for some alone
_system: Any = os


class Read(Protocol):
    """What the shared thread does with a connection, always in this order; never two of them at a time."""

    def read_begins(self) -> bool:
        """Note that it is read; False if it is over."""

    def read_turn(self) -> Turn:
        """Read what is at hand, without waiting. Raises nothing."""

    def read_pauses(self, seat: Any) -> bool:
        """Have ``seat.release()`` called when there is room for more; False if there is room now."""

    def write_turn(self) -> None:
        """Write what is queued, without waiting; whatever it raises has ended the session."""

    def read_ends(self, cause: Optional[BaseException]) -> None:
        """Note that nothing reads it any more, which may close its descriptor.

        Args:
            cause: It could be read no further for this, and has not ended by itself.
        """


def has_shared_reader() -> bool:
    """Whether the next connection is to be read by the shared thread."""
    # gevent takes epoll away: its greenlets are cheaper than any of this. Where there is none, poll() or
    # select() over all sockets would cost as much as what it is to save.
    return _own >= OWN and hasattr(select, "epoll")


def own_reader_begins() -> None:
    """Count a reader that has a thread of its own."""
    global _own  # noqa: PLW0603  # one count per process is the point
    with _lock:
        _own += 1


def own_reader_ends() -> None:
    global _own  # noqa: PLW0603
    with _lock:
        _own -= 1


class Seat:
    """A connection's place in the shared reader, in the shape of the thread that it would have else."""

    def __init__(self, read: Read, descriptor: int, name: str) -> None:
        self.read = read
        self.descriptor = descriptor
        self.name = name
        self.watched = 0  # what its descriptor is watched for
        self.paused = False
        self._reader: Optional[_SharedReader] = None
        self._gone = Latch()

    @property
    def ident(self) -> Optional[int]:
        """The id of the thread that reads it; None before :meth:`start`."""
        return None if self._reader is None else self._reader.ident

    def start(self) -> None:
        """Have it read from now on."""
        global _shared  # noqa: PLW0603  # one per process is the point
        try:
            with _lock:
                self._reader = _shared or _SharedReader()
                self._reader.arrivals.append(self)
                _shared = self._reader  # last: Ctrl-C before leaves none that nobody uses
                runs = self._reader.wake()
            if not runs:
                self._reader.start()
        except BaseException:  # no thread for it, or Ctrl-C
            self._withdraw()
            raise

    def _withdraw(self) -> None:
        """Take back what :meth:`start` has begun, unless it is being read already."""
        global _shared  # noqa: PLW0603
        with _lock:
            reader = self._reader
            if reader is None:
                return
            if self in reader.arrivals:
                reader.arrivals.remove(self)
                self._reader = None
            if _shared is reader and not reader.runs and not reader.arrivals:
                _shared = None

    def is_alive(self) -> bool:
        """Whether it is being read, or will be."""
        return self._reader is not None and not self._gone.is_set()

    def join(self, timeout: Optional[float] = None) -> None:
        """Wait until it is read no more; whose is the last seat, until the thread has ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._gone.wait(timeout) and self._reader is not None and self._reader.over:
            self._reader.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def release(self) -> None:
        """Go on after a pause. It is called as a ticket is: takes no lock, waits for nothing."""
        if self._reader is not None and self.paused:
            self._reader.recalled.append(self)
            self._reader.wake()

    def write_soon(self) -> bool:
        """Have what is queued written by the thread if that is awake, and so about to look; False if not."""
        reader = self._reader
        if reader is None or not reader.awake:
            return False
        reader.outgoing.append(self)
        return reader.awake  # it may have gone to sleep in between; written twice it does no harm

    def write(self) -> None:
        """Write what is queued; on the reading thread."""
        try:
            self.read.write_turn()
        except BaseException:  # noqa: BLE001  # that session has ended with it, and others are written on
            show_uncaught()

    def leave(self, *, cause: Optional[BaseException] = None, began: bool = True) -> None:
        """Give the place up; on the reading thread."""
        try:
            if began:
                self.read.read_ends(cause)
        except BaseException:  # noqa: BLE001  # of a program's log handlers
            show_uncaught()
        finally:
            del self.read  # which holds this, and would be garbage of the slow kind
            self._gone.set()


class _SharedReader:
    """The thread, and all that it reads.

    Only the thread itself seats and unseats. Others hand in ``arrivals`` and ``recalled`` and wake it, by
    a byte in a pipe, since it sleeps on descriptors. What is in ``outgoing`` wakes nobody.

    Attributes:
        awake: It is going to look at ``outgoing`` before it sleeps, or a log handler is run.
        over: The thread ends with the seat that it has just let go; who comes now gets another one.
    """

    def __init__(self) -> None:
        self.arrivals: deque[Seat] = deque()
        self.recalled: deque[Seat] = deque()
        self.outgoing: deque[Seat] = deque()
        self.awake = False
        self.ident: Optional[int] = None
        self.over = False
        self._thread: Optional[threading.Thread] = None
        self._seats: dict[int, Seat] = {}
        self._poll: Any = None
        self._pipe: tuple[int, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether its thread has begun."""
        return bool(self._pipe)

    def start(self) -> None:
        begin(threading.Thread(target=self._run, name="speechmatics-rt-reader-shared", daemon=True))

    def join(self, timeout: Optional[float]) -> None:
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def wake(self) -> bool:
        """Have the thread look at what was handed in; False if there is none yet."""
        if not self._pipe:
            return False
        try:
            os.write(self._pipe[1], b"\0")
        except BlockingIOError:
            pass  # so many are in it that the thread is sure to look
        return True

    def forget(self) -> None:
        """Close the child's copies after a fork. Nothing is unregistered: the parent would feel that."""
        pipe, self._pipe = self._pipe, ()  # first: a child begun in between closes no number twice
        if pipe:
            self._poll.close()
            for descriptor in pipe:
                os.close(descriptor)

    def _run(self) -> None:
        # The thread says itself that there is one: Ctrl-C inside Thread.start() leaves it open, and two
        # callers may each have started one.
        with _lock:
            if self._pipe or _shared is not self:
                return
            self.ident, self._thread = threading.get_ident(), threading.current_thread()
            failure = self._open()
        if failure is not None:
            self._refuse(failure)
            return
        postpone(True)
        before_logging(self._hand_on)
        try:
            ready: list[Seat] = self._take_in()  # what came before the first wake-up
            while self._seats or not self._is_over():
                ready = self._round(self._wait(ready))
        except BaseException as exc:  # of a program's log handlers, or out of memory: nobody waits in vain
            self._give_up(exc)
            raise
        finally:
            before_logging(None)
            postpone(False)
            deliver_now()

    def _open(self) -> Optional[OSError]:
        """Get what it sleeps on, with the lock held; return why that can't be had, and then be no more."""
        global _shared  # noqa: PLW0603
        try:
            self._poll = _kernel.epoll()
            pipe = os.pipe()
            for descriptor in pipe:
                _system.set_blocking(descriptor, False)
            self._poll.register(pipe[0], _kernel.EPOLLIN)
            self._pipe = pipe
        except OSError as exc:  # out of descriptors
            _shared = None
            return exc
        return None

    def _give_up(self, cause: BaseException) -> None:
        """Let all go, with what ends the thread for their cause."""
        global _shared  # noqa: PLW0603
        with _lock:
            if _shared is self:
                _shared = None
            self.over = True
            self.forget()
        while self._seats:
            self._seats.popitem()[1].leave(cause=cause)
        self._refuse(cause)

    def _refuse(self, cause: BaseException) -> None:
        while (seat := self._next_arrival()) is not None:
            seat.leave(cause=cause, began=seat.read.read_begins())

    def _next_arrival(self) -> Optional[Seat]:
        try:
            return self.arrivals.popleft()
        except IndexError:  # none, or withdrawn
            return None

    def _wait(self, ready: list[Seat]) -> list[Seat]:
        """Sleep until something is to be read, unless something is at hand; return whose turn it is."""
        turns = dict.fromkeys(ready)
        self._hand_on()
        found = self._poll.poll(0 if ready else None)
        self.awake = True
        for descriptor, _ in found:
            seat = self._seats.get(descriptor)
            if seat is not None:
                turns[seat] = None
                continue
            os.read(descriptor, 4096)  # before what was handed in is taken, so that no wake-up is lost
            turns.update(dict.fromkeys(self._take_in()))
        return list(turns)

    def _hand_on(self) -> None:
        """Have nobody wait for this thread, which is to do so itself, or to run a program's log handlers."""
        self.awake = False  # first: who hands something in from here on finds that out, and writes it himself
        self._write()
        deliver_now()

    def _write(self) -> None:
        """Write for who has handed something in."""
        for _ in range(len(self.outgoing)):  # no more: others are to be read, too
            if not self.outgoing:
                return  # one of them was logged of, and so the others are written
            seat = self.outgoing.popleft()
            if self._seats.get(seat.descriptor) is seat:  # else its connection is over
                seat.write()

    def _take_in(self) -> list[Seat]:
        """Seat who has arrived or was recalled; each has a turn at once, since bytes may be there already."""
        turns = []
        while (seat := self._next_arrival()) is not None:
            if not seat.read.read_begins():
                seat.leave(began=False)
                continue
            self._seats[seat.descriptor] = seat
            seat.write()  # what was handed in before it had its seat
            if self._watch(seat, _kernel.EPOLLIN):
                turns.append(seat)
        while self.recalled:
            seat = self.recalled.popleft()
            if seat.paused:
                seat.paused = False
                if self._watch(seat, _kernel.EPOLLIN):
                    turns.append(seat)
        return turns

    def _round(self, seats: list[Seat]) -> list[Seat]:
        """Give each its turn; return those for whom there may be more."""
        more = []
        for count, seat in enumerate(seats, 1):
            if self._turn(seat):
                more.append(seat)
            if count % _TURNS == 0:
                deliver_now()  # the round may be long
        return more

    def _turn(self, seat: Seat) -> bool:
        """Let a connection read what is at hand; whether there may be more."""
        self._write()
        turn = seat.read.read_turn()
        if turn is Turn.OVER:
            self._unseat(seat)
        elif turn is Turn.FULL:
            # Not watched at all: a socket that is shut would be reported again and again.
            if self._watch(seat, 0):
                seat.paused = True
                if not seat.read.read_pauses(seat):
                    seat.release()
        elif not self._watch(seat, _kernel.EPOLLIN | (_kernel.EPOLLOUT if turn is Turn.ROOM else 0)):
            return False
        return turn is Turn.MORE

    def _watch(self, seat: Seat, events: int) -> bool:
        """Change what a descriptor is watched for; False if that can't be, which is the end of it."""
        if events == seat.watched:
            return True
        try:
            if not events:
                self._poll.unregister(seat.descriptor)
            elif seat.watched:
                self._poll.modify(seat.descriptor, events)
            else:
                self._poll.register(seat.descriptor, events)
        except OSError as exc:  # the kernel's limit of watches
            self._unseat(seat, exc)
            return False
        seat.watched = events
        return True

    def _unseat(self, seat: Seat, cause: Optional[OSError] = None) -> None:
        del self._seats[seat.descriptor]
        if seat.watched:
            try:
                self._poll.unregister(seat.descriptor)  # before it is closed, and its number somebody else's
            except OSError:
                pass  # somebody has closed it already, and so it is watched no more
        if not self._seats:
            self._is_over()  # now: who closes it and joins is to know
        seat.leave(cause=cause)

    def _is_over(self) -> bool:
        """End, unless somebody has arrived."""
        global _shared  # noqa: PLW0603
        with _lock:
            if not self.arrivals and not self.over:
                _shared = None
                self.over = True
                self.forget()
            return self.over


_lock = new_lock()  # guards the count, which reader there is, its pipe, and who joins it; no more is done
_own = 0
_shared: Optional[_SharedReader] = None


def _begin_anew() -> None:
    """Count again in a forked child: the threads are the parent's."""
    global _own, _shared
    if _shared is not None:
        _shared.forget()
    _own, _shared = 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
