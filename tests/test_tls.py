"""A socket over which TLS was to begin is closed, whatever comes in between.

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

from speechmatics_rt.cli.doctor.sockets import agree_on_tls
from speechmatics_rt.local.connection.wire import Wire
from speechmatics_rt.network.dialing.handshake import connect_tls, shared_context
from speechmatics_rt.network.duplex import wait_ready
from speechmatics_rt.threads import importing, is_mine

from .interrupts import is_passed_over, leaves_a_with

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
    agree_on_tls(lambda: sock, "localhost", shared_context())


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
    """KeyboardInterrupt at the n-th line that runs, ours or Python's, where the interpreter looks for one."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_code.co_filename.startswith((__file__, "<")):  # not within what imports
            return None
        if event == "line" and not (is_passed_over(frame) or leaves_a_with(frame)):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def test_an_interrupt_at_any_line_leaves_no_socket_but_the_one_that_was_given() -> None:
    context = shared_context()
    "localhost".encode("idna")  # imports what is needed, where Python would take the interrupt for a failure
    strikes, before = 0, sys.gettrace()
    for at in range(1, 1000):
        here, there = socket.socketpair()
        descriptor = here.fileno()
        interrupt = _Interrupt(at)
        with closing(there):
            there.sendall(b"this is no TLS")
            sys.settrace(interrupt)
            try:
                connect_tls(here, context, "localhost", time.monotonic() + 10)
            except (KeyboardInterrupt, ssl.SSLError) as exc:
                strikes += isinstance(exc, KeyboardInterrupt)
            finally:
                sys.settrace(before)
                here.close()  # as who has dialed does after any failure
        with pytest.raises(OSError):
            os.fstat(descriptor)
        if interrupt.left > 0:
            break
    gc.collect()  # a socket that is closed only now is warned of
    assert not is_mine(importing)
    assert strikes == at - 1 > 50
