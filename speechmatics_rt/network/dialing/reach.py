"""Opens a TCP connection to a name: a race of its addresses, each tried a little after the one before.

This follows RFC 8305 ("happy eyeballs"): a route that drops everything costs a quarter of a second, and not
the whole timeout.
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

from ...threads import ThreadedCall, importing
from ..duplex import wait_ready
from ..wakeup import WakeUp
from .opening import Opening

__all__ = ["Lookup", "Racer", "connect", "connect_to", "race"]

_WSA = 10_000  # error numbers from here on are those of Windows Sockets
STAGGER = 0.25  # seconds until the next address is tried as well, as RFC 8305 recommends


def connect_to(host: str, port: int, deadline: float, opening: Opening) -> socket.socket:
    """Connect to a host, for callers that need not know which step has failed.

    Args:
        opening: Lets another thread give it up, as if the deadline had passed.

    Raises:
        OSError: It has no address, or none that answers; the text says why.
        socket.timeout: The deadline (of :func:`time.monotonic`) passed.
    """
    lookup = Lookup(host, port, opening)
    try:
        lookup.first(deadline)
        return connect(lookup, deadline)
    finally:
        opening.let_go()


class Lookup:
    """The addresses of a name, from ``getaddrinfo``, as they become known.

    ``getaddrinfo`` takes no timeout, so it runs on a thread of its own, which is left behind if it hangs. It
    returns no IPv4 address before it knows about IPv6, and some routers drop that query, which takes 10 s or
    more. So if nothing is known after 0.25 s, a second call asks for IPv4 only, and the first answer is used.

    Args:
        opening: Lets another thread give up the lookup, and its connections, as if the deadline had passed.
        family: Which addresses to look up; all by default.

    Attributes:
        news: Woken when something becomes known, or the lookup is given up.
    """

    def __init__(
        self, host: str, port: int, opening: Optional[Opening] = None, family: int = socket.AF_UNSPEC
    ) -> None:
        self._host, self._port, self._family = host, port, family
        self.opening = opening or Opening()
        self._known: list[Any] = []
        self._untried: deque[Any] = deque()
        self._failure: Optional[BaseException] = None
        self._calls: list[ThreadedCall[list[Any]]] = []  # the one for ``family``, then the one for IPv4 only
        with importing:
            import encodings.idna  # noqa: F401  # as getaddrinfo() does, even of an address
        self.news = WakeUp()
        self.opening.wait(self.news.wake)
        if _is_numeric(host):
            self._learn(self._look_up(family))
        else:
            self._ask(family)

    def first(self, deadline: float) -> list[Any]:
        """Wait until addresses are known; return them, in the order in which to try them.

        Raises:
            OSError: There are none; a :exc:`socket.gaierror` has the resolver's reason.
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
        """Whether more addresses may become known."""
        return bool(self._calls)

    @property
    def has_more(self) -> bool:
        """Whether there is an untried address, or may be one later."""
        return bool(self._untried) or self.goes_on

    def wait(self, deadline: float) -> bool:
        """Wait for an untried address; return whether there is one, or none will come."""
        self._take_in()
        while not self._untried and self.goes_on:
            left = deadline - time.monotonic()
            if left <= 0 or self.opening.given_up:
                return False
            self.news.wait(left)
            self._take_in()
        return True

    def next(self) -> Any:
        """Return an untried address, or None if there is none now."""
        self._take_in()
        return self._untried.popleft() if self._untried else None

    def stop(self) -> None:
        """Drop the other addresses, because what failed for one will fail for all."""
        self._calls.clear()
        self._untried.clear()

    def _ask(self, family: int) -> None:
        name = f"speechmatics-rt-dns-{self._host}"
        self._calls.append(ThreadedCall(lambda: self._look_up(family), name=name, done=self.news.wake))

    def _look_up(self, family: int) -> list[Any]:
        return list(socket.getaddrinfo(self._host, self._port, family, socket.SOCK_STREAM))

    def _take_in(self) -> None:
        for call in reversed([one for one in self._calls if one.is_over]):
            covers_all = call is self._calls[0]
            self._calls.remove(call)
            try:
                self._learn(call.result())
            except BaseException as exc:  # noqa: BLE001  # not swallowed: raised if no address is known
                covers_all = covers_all and not _may_pass(exc)
                if not self._known:
                    self._failure = exc
            if covers_all:
                self._calls.clear()  # its answer includes IPv4

    def _learn(self, found: list[Any]) -> None:
        new = [entry for entry in _in_turn(found) if entry not in self._known]
        self._known += new
        self._untried += new
        self._failure = None


def _may_pass(failure: BaseException) -> bool:
    """Whether the same question may have an answer a moment later."""
    return isinstance(failure, socket.gaierror) and failure.errno == socket.EAI_AGAIN


def _is_numeric(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    except OSError:
        return False
    return True


def _in_turn(found: list[Any]) -> list[Any]:
    """Alternate the families, the resolver's first choice first, since one of them may be unreachable."""
    preferred = [entry for entry in found if entry[0] == found[0][0]]
    others = [entry for entry in found if entry[0] != found[0][0]]
    return [entry for entry in chain(*zip_longest(preferred, others)) if entry is not None]


# -- the race of its addresses ---------------------------------------------------------------------------


class Racer(Protocol):
    """An attempt at one address. Creating it starts nothing, so that Ctrl-C always finds what to give up."""

    host: str

    def begin(self) -> None:
        """Start, without waiting."""

    def result(self) -> socket.socket:
        """Return the connected socket, once the attempt is over.

        Raises:
            OSError: The attempt failed.
        """

    def give_up(self) -> None:
        """Close everything it has opened: another attempt was quicker, or the race was given up."""


_Racer = TypeVar("_Racer", bound=Racer)


def race(
    lookup: Lookup,
    deadline: float,
    *,
    attempt: Callable[[Any], _Racer],
    wait: Callable[[list[_Racer], float], Iterable[_Racer]],
    none_of: Callable[[list[tuple[str, OSError]]], Exception],
) -> socket.socket:
    """Try addresses as they become known, the next one after a failure or 0.25 s; the first to connect wins.

    An equal share of the time for each would be as simple, but then an IPv6 route that drops everything
    would cost half of the time, and not 0.25 s.

    Args:
        attempt: Creates an attempt at an address, which is an entry of ``getaddrinfo``.
        wait: Waits until some attempts are over, so many seconds at most; returns these.
        none_of: Makes the error if all failed, from the hosts and their errors in the order of failing.

    Raises:
        Exception: All attempts failed; made by ``none_of``.
        socket.timeout: The deadline passed, or the opening of the lookup was given up.
    """
    begun: list[_Racer] = []
    racing: list[_Racer] = []
    failures: list[tuple[str, OSError]] = []
    due = 0.0  # when the next one may begin
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
            # Waiting for sockets does not notice a new address, so it is no longer than this if one may come.
            pause = due - now if due > now else STAGGER
            for one in wait(racing, min(pause, deadline - now) if lookup.has_more else deadline - now):
                racing.remove(one)
                try:
                    made = one.result()
                except OSError as exc:
                    one.give_up()
                    failures.append((one.host, exc.with_traceback(None)))  # it would refer to this frame
                    due = now
                    continue
                for other in begun:
                    if other is not one:
                        other.give_up()
                return made
    except BaseException:
        for one in begun:
            one.give_up()
        failures.clear()  # the exception raised may be one of them, and its traceback refers to this frame
        raise


# -- TCP -------------------------------------------------------------------------------------------------


def connect(lookup: Lookup, deadline: float) -> socket.socket:
    """Connect to the address that answers first.

    Raises:
        OSError: All failed; the text has the reason of each.
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
    """The TCP handshake with one address."""

    def __init__(self, entry: Any, opening: Opening) -> None:
        *self._kind, _, self._address = entry
        self.host: str = self._address[0]
        self._opening = opening
        self.sock: Any = None
        self.failure: Optional[OSError] = None  # raised by begin()

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
    # The kernel's probes keep the connection in the tables of routers; WebSocket pings find a dead one.
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        raise OSError(code, _meaning(code))


def _meaning(code: int) -> str:
    """Return the text of a socket's error code; on Windows only FormatError knows the WSA codes."""
    if code >= _WSA and sys.platform == "win32":
        import ctypes

        return ctypes.FormatError(code).strip()
    return os.strerror(code)
