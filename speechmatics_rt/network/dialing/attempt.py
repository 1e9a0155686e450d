"""One attempt to connect: what it has to reach, until when, and the errors of its steps."""

from __future__ import annotations

import copy
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Optional

from ...config import Target, address_of
from ...exceptions import ConnectionError, SpeechmaticsError, TimeoutError
from .opening import Opening
from .reach import Lookup, connect
from .upgrade import PERHAPS_SECURE

__all__ = ["Attempt", "certificate_refused"]

# OpenSSL's codes for a certificate that is not yet valid, expired, or for another host or address.
_NOT_OF_TRUST = (9, 10, 62, 64)
# OpenSSL's reasons if the server answers in plain text.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")


class Attempt:
    """The target of one dialling, its start and its deadline."""

    def __init__(
        self, target: Target, since: float, deadline: float, limit: Optional[float], opening: Opening
    ) -> None:
        self.target = target
        self.opening = opening
        self.begun = time.monotonic()
        self.deadline = deadline
        self._since = since
        self._limit = limit

    def given(self, opening: Opening) -> Attempt:
        """Return a part of this attempt that can be given up by itself."""
        part = copy.copy(self)
        part.opening = opening
        return part

    @contextmanager
    def step(self, stage: str, doing: str, *, reached: bool = False) -> Iterator[None]:
        """Turn what a step raises into an error of this package.

        Args:
            stage: Its ``stage``.
            doing: Completes "could not".
            reached: There is a connection to the target.
        """
        try:
            yield
        except SpeechmaticsError:
            raise
        except (OSError, ValueError) as exc:
            # From Python 3.10 on the kernel's ETIMEDOUT has the same class, but it has an errno.
            if isinstance(exc, socket.timeout) and exc.errno is None:
                elapsed = time.monotonic() - self._since
                raise TimeoutError(
                    f"no connection after {elapsed:.1f} s: the time ran out trying to {doing}",
                    stage="open",
                    seconds=self._limit,
                ) from exc
            text = f"could not {doing}: {_told(exc)}"
            if stage == "upgrade" and not self.target.secure:
                text += f". {PERHAPS_SECURE}"
            raise ConnectionError(text, stage=stage, lasting=_lasts(exc), unreached=not reached) from exc

    def reach(self, proxy: Optional[tuple[str, int]] = None) -> socket.socket:
        """Open a TCP connection to the target, or to the proxy at this host and port."""
        host, port = proxy or (self.target.host, self.target.port)
        whom = f"the proxy {address_of(host, port)}" if proxy else address_of(host, port)
        with self.step("proxy" if proxy else "dns", f"find the address of {whom}"):
            lookup = Lookup(host, port, self.opening)
            lookup.first(self.deadline)
        with self.step("proxy" if proxy else "tcp", f"connect to {whom}"):
            return connect(lookup, self.deadline)


def _lasts(exc: Exception) -> bool:
    """Whether the certificate was refused, or the server speaks no TLS: another try would fail likewise."""
    return bool(getattr(exc, "verify_message", None)) or getattr(exc, "reason", None) in _NO_TLS


def certificate_refused(exc: BaseException) -> str:
    """Return why a certificate was refused, and what to do; empty for other errors."""
    why = getattr(exc, "verify_message", None)  # of ssl.SSLCertVerificationError
    if not why:
        return ""
    text = f"its certificate was refused ({why})"
    if getattr(exc, "verify_code", 0) in _NOT_OF_TRUST:
        return text
    return (
        f"{text}. If you or your company issued it, name its CA in SSL_CERT_FILE, or pass "
        "ConnectionConfig(ssl_context=ssl.create_default_context(cafile=...))"
    )


def _told(exc: Exception) -> str:
    why = certificate_refused(exc)
    if why:
        return why
    if getattr(exc, "reason", None) in _NO_TLS:
        return "the server doesn't speak TLS there. Perhaps its address begins with ws://"
    return str(getattr(exc, "strerror", None) or exc)
