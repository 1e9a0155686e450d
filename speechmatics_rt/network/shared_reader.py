"""The shared reader: one thread that reads and writes many connections, when a thread for each is too many.

A thread that waits for bytes costs nothing, but once it has some it needs the interpreter lock, and every
thread that waits for that lock wakes 200 times a second to ask again. For a few hundred readers that are
behind for a moment, this costs more than their work, and they never catch up. So the first :data:`OWN`
connections of a process have a reader thread each, and one thread polls the sockets of all later ones.

Two threads that make one call after the other on many sockets wait for each other every time. So while this
thread is awake it also writes: senders leave their frames to it, and wake no thread.

A session does not notice the difference: the same :class:`~.reader.Reader` takes in what arrives, and a
:class:`Seat` stands for the reader thread of a connection. The shared thread starts with the first seat and
ends with the last. It never waits for a session.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import Any, Optional, Protocol

from ..log import before_logging, show_uncaught
from ..threads import Latch, begin, new_lock
from .reader import Turn

__all__ = ["OWN", "Read", "Seat", "has_shared_reader", "own_reader_begins", "own_reader_ends"]

OWN = 8  # so few threads cost nothing noticeable
_kernel: Any = select  # untyped, since type checkers know epoll and set_blocking on some systems only
_system: Any = os


class Read(Protocol):
    """What the shared reader calls on a connection, one call at a time, in the order in which it is here."""

    def read_begins(self) -> bool:
        """Note that reading begins; return False if the connection is over."""

    def read_turn(self) -> Turn:
        """Read what has arrived, without waiting. Raises nothing."""

    def read_pauses(self, seat: Any) -> bool:
        """Have ``seat.release()`` called once there is room for more; return False if there is room now."""

    def write_turn(self) -> None:
        """Write what is queued, without waiting; anything it raises has ended the session."""

    def read_ends(self, cause: Optional[BaseException]) -> None:
        """Note that reading has ended, which may close the descriptor.

        Args:
            cause: Why the connection can't be read any further; None if it ended by itself.
        """


def has_shared_reader() -> bool:
    """Whether the next connection is to be read by the shared reader."""
    # gevent removes epoll: its greenlets are cheaper than this. Without epoll, poll() or select() over all
    # sockets would cost as much as the threads.
    return _own >= OWN and hasattr(select, "epoll")


def own_reader_begins() -> None:
    """Count a connection that has a reading thread of its own."""
    global _own  # noqa: PLW0603  # one count per process is the point
    with _lock:
        _own += 1


def own_reader_ends() -> None:
    global _own  # noqa: PLW0603
    with _lock:
        _own -= 1


class Seat:
    """A connection's place in the shared reader, with the interface of the reader thread it stands for."""

    def __init__(self, read: Read, descriptor: int, name: str) -> None:
        self.read = read
        self.descriptor = descriptor
        self.name = name
        self.watched = 0  # the events for which its descriptor is polled
        self.paused = False
        self._reader: Optional[_SharedReader] = None
        self._gone = Latch()

    @property
    def ident(self) -> Optional[int]:
        """The id of the thread that reads the connection; None before :meth:`start`."""
        return None if self._reader is None else self._reader.ident

    def start(self) -> None:
        """Have the connection read from now on."""
        global _shared  # noqa: PLW0603  # one per process is the point
        try:
            with _lock:
                self._reader = _shared or _SharedReader()
                self._reader.arrivals.append(self)
                _shared = self._reader  # last, so that Ctrl-C before it leaves no reader without a seat
                runs = self._reader.wake()
            if not runs:
                self._reader.start()
        except BaseException:  # no thread could be started, or Ctrl-C
            self._withdraw()
            raise

    def _withdraw(self) -> None:
        """Undo :meth:`start`, unless the connection is being read already."""
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
        """Whether the connection is being read, or will be."""
        return self._reader is not None and not self._gone.is_set()

    def join(self, timeout: Optional[float] = None) -> None:
        """Wait until the connection is not read any more; if this was the last seat, for the thread's end."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if self._gone.wait(timeout) and self._reader is not None and self._reader.over:
            self._reader.join(None if deadline is None else max(0.0, deadline - time.monotonic()))

    def release(self) -> None:
        """Continue after a pause. A wait list calls it like a ticket's: it takes no lock and never waits."""
        if self._reader is not None and self.paused:
            self._reader.recalled.append(self)
            self._reader.wake()

    def write_soon(self) -> bool:
        """Have the shared reader write what is queued, if it is awake and so about to look; False if not."""
        reader = self._reader
        if reader is None or not reader.awake:
            return False
        reader.outgoing.append(self)
        return reader.awake  # if it went to sleep in between, the caller writes; both doing it is harmless

    def write(self) -> None:
        """Write what is queued; on the shared thread."""
        try:
            self.read.write_turn()
        except BaseException:  # noqa: BLE001  # it has ended that session; the thread goes on with the others
            show_uncaught()

    def leave(self, *, cause: Optional[BaseException] = None, began: bool = True) -> None:
        """Give the seat up; on the shared thread."""
        try:
            if began:
                self.read.read_ends(cause)
        except BaseException:  # noqa: BLE001  # raised by a program's log handlers
            show_uncaught()
        finally:
            del self.read  # it refers to this seat: a cycle, which only the garbage collector would free
            self._gone.set()


class _SharedReader:
    """The shared thread, and the seats of the connections it reads.

    Only the thread itself adds and removes seats. Other threads append to ``arrivals`` and ``recalled`` and
    wake it by a byte in a pipe, since it polls descriptors. Appending to ``outgoing`` does not wake it.

    Attributes:
        awake: The thread will look at ``outgoing`` before it sleeps or a log handler runs.
        over: The last seat has been given up and the thread is ending; new seats get another thread.
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
        """Have the thread look at the new arrivals and recalled seats; False if it does not run yet."""
        pipe = self._pipe  # read once, since release() comes without the lock
        if not pipe:
            return False
        try:
            os.write(pipe[1], b"\0")
        except OSError:
            pass  # the pipe is full, so the thread will look; or closed, since it has just ended
        return True

    def forget(self) -> None:
        """Close the descriptors, also in a forked child; unregister none, as parent and child share epoll."""
        pipe, self._pipe = self._pipe, ()  # first, so that a child forked in between closes no number twice
        if self._poll is not None:  # it is opened before the pipe
            self._poll.close()
        for descriptor in pipe:
            os.close(descriptor)

    def _run(self) -> None:
        # The thread registers itself: after Ctrl-C inside Thread.start() it is unknown whether one runs, and
        # two callers may each have started one.
        try:
            with _lock:
                if self._pipe or _shared is not self:
                    return
                self.ident, self._thread = threading.get_ident(), threading.current_thread()
                failure = self._open()
            if failure is not None:
                self._refuse(failure)
                return
            before_logging(self._hand_on)
            ready: list[Seat] = self._take_in()  # those that arrived before the pipe was open
            while self._seats or not self._is_over():
                ready = [seat for seat in self._wait(ready) if self._turn(seat)]
        except BaseException as exc:  # raised by a program's log handlers, or out of memory
            if self.ident == threading.get_ident():
                self._give_up(exc)
            raise
        finally:
            before_logging(None)

    def _open(self) -> Optional[OSError]:
        """Open epoll and the pipe, with the lock held; on failure stop being the shared one, return why."""
        global _shared  # noqa: PLW0603
        try:
            self._poll = _kernel.epoll()
            self._pipe = os.pipe()
            for descriptor in self._pipe:
                _system.set_blocking(descriptor, False)
            self._poll.register(self._pipe[0], _kernel.EPOLLIN)
        except OSError as exc:  # out of descriptors, or of what the kernel watches
            self.forget()
            _shared = None
            return exc
        return None

    def _give_up(self, cause: BaseException) -> None:
        """Give up all seats, with the exception that ends the thread as their cause."""
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
        """Sleep until there is something to read, unless seats are ``ready``; return those whose turn it is.

        Ready are those that may have more to read.
        """
        turns = dict.fromkeys(ready)
        self._hand_on()
        found = self._poll.poll(0 if ready else None)
        self.awake = True
        for descriptor, _ in found:
            seat = self._seats.get(descriptor)
            if seat is not None:
                turns[seat] = None
                continue
            os.read(descriptor, 4096)  # before _take_in(), so that no wake-up is lost
            turns.update(dict.fromkeys(self._take_in()))
        return list(turns)

    def _hand_on(self) -> None:
        """Write what is pending, before this thread sleeps or runs a program's log handlers."""
        self.awake = False  # first: from here on senders write themselves
        self._write()

    def _write(self) -> None:
        """Write what senders have left to this thread."""
        for _ in range(len(self.outgoing)):  # not those added meanwhile, since there is reading to do
            if not self.outgoing:
                return  # writing one logged something, for which _hand_on() wrote the others
            seat = self.outgoing.popleft()
            if self._seats.get(seat.descriptor) is seat:  # else its connection is over
                seat.write()

    def _take_in(self) -> list[Seat]:
        """Add new and recalled seats; each gets a turn at once, since bytes may have arrived already."""
        turns = []
        while (seat := self._next_arrival()) is not None:
            try:
                begins = seat.read.read_begins()
            except BaseException:  # out of memory: it is given up with the others
                self.arrivals.appendleft(seat)
                raise
            if not begins:
                seat.leave(began=False)
                continue
            self._seats[seat.descriptor] = seat
            seat.write()  # what senders left to this thread before
            if self._watch(seat, _kernel.EPOLLIN):
                turns.append(seat)
        while self.recalled:
            seat = self.recalled.popleft()
            if seat.paused:
                seat.paused = False
                if self._watch(seat, _kernel.EPOLLIN):
                    turns.append(seat)
        return turns

    def _turn(self, seat: Seat) -> bool:
        """Read what has arrived for one connection; return whether there may be more."""
        if self.outgoing:
            self._write()
        turn = seat.read.read_turn()
        if turn is Turn.OVER:
            self._unseat(seat)
        elif turn is Turn.FULL:
            # Not polled at all, since a socket that is shut would be reported again and again.
            if self._watch(seat, 0):
                seat.paused = True
                if not seat.read.read_pauses(seat):
                    seat.release()
        elif not self._watch(seat, _kernel.EPOLLIN | (_kernel.EPOLLOUT if turn is Turn.ROOM else 0)):
            return False
        return turn is Turn.MORE

    def _watch(self, seat: Seat, events: int) -> bool:
        """Change the events a descriptor is polled for; False if that fails, which ends the connection."""
        if events == seat.watched:
            return True
        try:
            if not events:
                self._poll.unregister(seat.descriptor)
            elif seat.watched:
                self._poll.modify(seat.descriptor, events)
            else:
                self._poll.register(seat.descriptor, events)
        except OSError as exc:  # the kernel's limit on watched descriptors
            self._unseat(seat, exc)
            return False
        seat.watched = events
        return True

    def _unseat(self, seat: Seat, cause: Optional[OSError] = None) -> None:
        del self._seats[seat.descriptor]
        if seat.watched:
            try:
                self._poll.unregister(seat.descriptor)  # before it is closed and its number reused
            except OSError:
                pass  # closed already, which has unregistered it
        if not self._seats:
            self._is_over()  # before leave(): then join() knows whether to wait for the thread
        seat.leave(cause=cause)

    def _is_over(self) -> bool:
        """End the thread, unless a seat has arrived; return whether it ends."""
        global _shared  # noqa: PLW0603
        with _lock:
            if not self.arrivals and not self.over:
                _shared = None
                self.over = True
                self.forget()
            return self.over


_lock = new_lock()  # guards the count, the shared reader, its pipe and arrivals; held for nothing else
_own = 0
_shared: Optional[_SharedReader] = None


def _begin_anew() -> None:
    """Start from zero in a forked child, since the threads are the parent's."""
    global _own, _shared
    if _shared is not None:
        _shared.forget()
    _own, _shared = 0, None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
