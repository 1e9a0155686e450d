"""What was to become a TLS socket is closed, whatever comes in between.

What stays open is a ResourceWarning once it is collected, which pytest makes an error.
"""

from __future__ import annotations

import gc
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from types import FrameType
from typing import Any, Callable

import pytest

from speechmatics_rt import tls
from speechmatics_rt.cli.doctor.sockets import shake_hands
from speechmatics_rt.local.connection.wire import Wire
from speechmatics_rt.network.dialing.handshake import connect_tls, shared_context
from speechmatics_rt.network.duplex import wait_ready
from speechmatics_rt.tls import wrap_tls

RESETS = struct.pack("ii", 1, 0)


@pytest.fixture
def reset() -> Iterator[socket.socket]:
    """A connection whose peer has just reset it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        here = socket.create_connection(listening.getsockname())
        there, _ = listening.accept()
    there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESETS)
    there.close()
    assert wait_ready((here.fileno(),), False, 10)
    with closing(here):
        yield here


def client(sock: socket.socket) -> None:
    connect_tls(sock, shared_context(), "localhost", time.monotonic() + 10)


def doctor(sock: socket.socket) -> None:
    shake_hands(lambda: sock, "localhost", shared_context())


@pytest.mark.parametrize("end", [client, doctor])
def test_a_connection_that_is_reset_before_tls_begins_is_closed(
    end: Callable[[socket.socket], None], reset: socket.socket
) -> None:
    with pytest.raises(OSError):
        end(reset)
    assert reset.fileno() == -1
    gc.collect()


def test_a_client_that_resets_before_tls_begins_costs_the_server_nothing(reset: socket.socket) -> None:
    descriptor = reset.fileno()
    wire = Wire(reset, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    wire.run(lambda data: None)
    with pytest.raises(OSError):
        os.fstat(descriptor)
    gc.collect()


class _Interrupt:
    """KeyboardInterrupt at the n-th line that runs of Python's own modules: ``ssl``, and what that calls."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename in (__file__, tls.__file__):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def test_an_interrupt_at_any_line_of_what_makes_it_leaves_no_socket_open() -> None:
    context = ssl.create_default_context()
    "localhost".encode("idna")  # imports what is needed, where Python would take the interrupt for a failure
    strikes, before = 0, sys.gettrace()
    for at in range(1, 1000):
        here, there = socket.socketpair()
        descriptor = here.fileno()
        interrupt = _Interrupt(at)
        made = here
        with closing(there):
            sys.settrace(interrupt)
            try:
                made = wrap_tls(context, here, do_handshake_on_connect=False, server_hostname="localhost")
            except KeyboardInterrupt:
                strikes += 1
            finally:
                sys.settrace(before)
                made.close()
        with pytest.raises(OSError):
            os.fstat(descriptor)
        if interrupt.left > 0:
            break
    gc.collect()  # a socket that is closed only now is warned of
    assert strikes == at - 1 > 50
