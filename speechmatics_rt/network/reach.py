"""From a name to a TCP connection: its addresses as they become known, each tried a little after the last.

As RFC 8305 ("happy eyeballs") has it: a way that swallows everything costs a quarter of a second, not all of
the time there is.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any, Callable, Optional, Protocol, TypeVar

from ..deadline import Call
from .duplex import wait_ready
from .opening import Opening
from .wakeup import WakeUp

__all__ = ["Attempt", "Lookup", "connect", "connect_to", "race"]

_WSA = 10_000  # from here on the numbers of Windows Sockets
STAGGER = 0.25  # s until the next address is tried beside one that hasn't answered, as RFC 8305 recommends


def connect_to(host: str, port: int, deadline: float, opening: Opening) -> socket.socket:
    """Connect to a host, for who need not know at which step it fails.

    Args:
        opening: Gives it up, as if the deadline had passed.

    Raises:
        OSError: It has no address, or none that answers; says why.
        socket.timeout: The deadline (of :func:`time.monotonic`) passed.
    """
    lookup = Lookup(host, port, opening)
    try:
        lookup.first(deadline)
        return connect(lookup, deadline)
    finally:
        opening.let_go()


class Lookup:
    """The addresses of a name, as ``getaddrinfo`` gives them, as they become known.

    That function takes no timeout, so it runs on a thread of its own, and one that hangs is left behind. It
    says nothing about IPv4 before it has heard about IPv6, a question that some routers swallow: for 10 s or
    more. So who knows nothing after 0.25 s asks about IPv4 alone as well, and begins with what comes first.

    Args:
        opening: Gives it up, and what is connected by it; as if the deadline had passed.
        family: Which addresses; by itself all.

    Attributes:
        news: Woken when something becomes known, or it is given up.
    """

    def __init__(
        self, host: str, port: int, opening: Optional[Opening] = None, family: int = socket.AF_UNSPEC
    ) -> None:
        self._host, self._port, self._family = host, port, family
        self.opening = opening or Opening()
        self._known: list[Any] = []
        self._untried: deque[Any] = deque()
        self._failure: Optional[BaseException] = None
        self._calls: list[Call[list[Any]]] = []  # about everything; then about IPv4 alone
        self.news = WakeUp()
        self.opening.wait(self.news.wake)
        if _is_numeric(host):
            self._learn(self._look_up(family))
        else:
            self._ask(family)

    def first(self, deadline: float) -> list[Any]:
        """Wait until addresses are known; return them, in the order in which to try them.

        Raises:
            OSError: There are none; :exc:`socket.gaierror` with the resolver's own reason.
            socket.timeout: The deadline passed.
        """
        at_once = self.wait(min(deadline, time.monotonic() + STAGGER))
        if not at_once and time.monotonic() < deadline and self._family != socket.AF_INET:
            self._ask(socket.AF_INET)
        if not self.wait(deadline):
            raise socket.timeout("no answer from the resolver")
        if not self._known:
            failure, self._failure = self._failure, None
            raise failure or OSError("it has no address")
        return list(self._known)

    @property
    def goes_on(self) -> bool:
        """Whether more may become known."""
        return bool(self._calls)

    @property
    def has_more(self) -> bool:
        """Whether there is an address that was not tried, or may be."""
        return bool(self._untried) or self.goes_on

    def wait(self, deadline: float) -> bool:
        """Wait for news; whether there is any, or none to come."""
        self._take_in()
        while not self._untried and self.goes_on:
            left = deadline - time.monotonic()
            if left <= 0 or self.opening.given_up:
                return False
            self.news.wait(left)
            self._take_in()
        return True

    def next(self) -> Any:
        """Return an address that was not tried, or None while there is none."""
        self._take_in()
        return self._untried.popleft() if self._untried else None

    def stop(self) -> None:
        """Know of no more addresses: what hinders one of them hinders all."""
        self._calls.clear()
        self._untried.clear()

    def _ask(self, family: int) -> None:
        name = f"speechmatics-rt-dns-{self._host}"
        self._calls.append(Call(lambda: self._look_up(family), name=name, done=self.news.wake))

    def _look_up(self, family: int) -> list[Any]:
        return list(socket.getaddrinfo(self._host, self._port, family, socket.SOCK_STREAM))

    def _take_in(self) -> None:
        for call in reversed([one for one in self._calls if one.is_over]):
            if call is self._calls[0]:
                self._calls.clear()  # it knows about IPv4 as well
            else:
                self._calls.remove(call)
            try:
                self._learn(call.result())
            except BaseException as exc:  # noqa: BLE001  # not swallowed: raised if no address is known
                if not self._known:
                    self._failure = exc

    def _learn(self, found: list[Any]) -> None:
        new = [entry for entry in _in_turn(found) if entry not in self._known]
        self._known += new
        self._untried += new
        self._failure = None


def _is_numeric(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True


def _in_turn(found: list[Any]) -> list[Any]:
    """Let the families take turns, the resolver's first choice first: all of one of them may be dead."""
    preferred = [entry for entry in found if entry[0] == found[0][0]]
    others = [entry for entry in found if entry[0] != found[0][0]]
    return [entry for entry in chain(*zip_longest(preferred, others)) if entry is not None]


# -- the race of its addresses ---------------------------------------------------------------------------


class Attempt(Protocol):
    """One address that is tried. Made is it with nothing under way, so that Ctrl-C finds whom to give up."""

    host: str

    def begin(self) -> None:
        """Try it from now on, without waiting."""

    def result(self) -> socket.socket:
        """Return what it has made, once it is over.

        Raises:
            OSError: Why it has made nothing.
        """

    def give_up(self) -> None:
        """Have nothing of it stay open: another one was quicker, or nobody wants any."""


_Attempt = TypeVar("_Attempt", bound=Attempt)


def race(
    lookup: Lookup,
    deadline: float,
    *,
    attempt: Callable[[Any], _Attempt],
    wait: Callable[[list[_Attempt], float], Iterable[_Attempt]],
    none_of: Callable[[list[tuple[str, OSError]]], Exception],
) -> socket.socket:
    """Try addresses as they become known, each when one before has failed or after 0.25 s; the first wins.

    A fair share of the time for each would be as simple, but an IPv6 route that swallows everything would
    then cost half of it; this way it costs 0.25 s.

    Args:
        attempt: Makes one at an address, as ``getaddrinfo`` has it.
        wait: Waits until some of them are over, so many seconds at most; returns these.
        none_of: Says of the hosts and their errors, in the order in which they failed, that none is left.

    Raises:
        Exception: All failed: what ``none_of`` made of it.
        socket.timeout: The deadline passed, or the opening of the lookup was given up.
    """
    begun: list[_Attempt] = []
    racing: list[_Attempt] = []
    failures: list[tuple[str, OSError]] = []
    due = 0.0  # when the next one is to begin
    try:
        while True:
            now = time.monotonic()
            if now >= deadline or lookup.opening.given_up:
                raise socket.timeout("nobody answered")  # noqa: TRY301  # all are given up below, as after any
            if now >= due and (entry := lookup.next()) is not None:
                begun.append(attempt(entry))
                begun[-1].begin()
                racing.append(begun[-1])
                due = now + STAGGER
            if not racing:
                if not lookup.goes_on:
                    raise none_of(failures)  # noqa: TRY301
                lookup.wait(deadline)
                continue
            pause = due - now if due > now else STAGGER  # who waits for sockets hears of no other address
            for one in wait(racing, min(pause, deadline - now) if lookup.has_more else deadline - now):
                racing.remove(one)
                try:
                    made = one.result()
                except OSError as exc:
                    one.give_up()
                    failures.append((one.host, exc.with_traceback(None)))  # which has this frame
                    due = now
                    continue
                for other in begun:
                    if other is not one:
                        other.give_up()
                return made
    except BaseException:
        for one in begun:
            one.give_up()
        failures.clear()  # what is raised may be one of them, and have this frame
        raise


# -- TCP -------------------------------------------------------------------------------------------------


def connect(lookup: Lookup, deadline: float) -> socket.socket:
    """Connect to whichever address answers first.

    Raises:
        OSError: All failed; says each one's reason.
        socket.timeout: The deadline passed.
    """
    return race(
        lookup,
        deadline,
        attempt=lambda entry: _Handshake(entry, lookup.opening),
        wait=_wait,
        none_of=lambda failures: OSError(
            "; ".join(f"{host}: {why.strerror or why}" for host, why in failures)
        ),
    )


class _Handshake:
    """TCP's, with one address."""

    def __init__(self, entry: Any, opening: Opening) -> None:
        *self._kind, _, self._address = entry
        self.host: str = self._address[0]
        self._opening = opening
        self.sock: Any = None
        self.failure: Optional[OSError] = None  # of its beginning

    def begin(self) -> None:
        try:
            self.sock = socket.socket(*self._kind)
            _begin(self.sock, self._address)
            self._opening.hold(self.sock)
        except OSError as exc:  # no route, or a family this machine doesn't have
            self.failure = exc.with_traceback(None)

    def result(self) -> socket.socket:
        if self.failure is not None:
            raise self.failure
        sock: socket.socket = self.sock
        failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, _meaning(failed))
        return sock

    def give_up(self) -> None:
        if self.sock is not None:
            self.sock.close()


def _wait(racing: list[_Handshake], seconds: float) -> list[_Handshake]:
    failed = [one for one in racing if one.failure is not None]
    if failed:
        return failed
    by_descriptor = {one.sock.fileno(): one for one in racing}
    return [by_descriptor[descriptor] for descriptor in wait_ready(list(by_descriptor), True, seconds)]


def _begin(sock: socket.socket, address: Any) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # The kernel's own probes keep the entry in a router's table; our pings find a dead connection.
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        raise OSError(code, _meaning(code))


def _meaning(code: int) -> str:
    """Say what an error of a socket means: the codes of Windows' own (WSA...) only FormatError knows."""
    if code >= _WSA and sys.platform == "win32":
        import ctypes

        return ctypes.FormatError(code).strip()
    return os.strerror(code)
