"""One socket, two threads: nothing lost, nothing mixed, nobody left waiting."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Optional

import pytest
import trustme

from speechmatics_rt.network import duplex as duplex_module
from speechmatics_rt.network.dialing.handshake import connect_tls
from speechmatics_rt.network.duplex import DuplexSocket, wait_ready
from speechmatics_rt.tls import TlsStream

from .conftest import in_thread, tcp_pair

KINDS = ["plain", "TLSv1_2", "TLSv1_3"]


class Server:
    """Both ends of a connection: ours as ``duplex``, the other as ``sock``, one of Python's own that blocks.

    For a ``duplex`` there, too, ``sock`` is below the ``tls``.
    """

    tls: Optional[TlsStream] = None

    def __init__(
        self, authority: trustme.CA, kind: str, window: Optional[int] = None, *, duplex: bool = False
    ) -> None:
        self.here, self.sock = tcp_pair(window)
        if kind == "plain":
            self.duplex = DuplexSocket(self.here)
            return
        ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.configure_trust(ours)
        authority.issue_cert("localhost").configure_cert(theirs)
        ours.maximum_version = ours.minimum_version = ssl.TLSVersion[kind]
        ours.options |= ssl.OP_NO_RENEGOTIATION
        if duplex:
            self.tls = TlsStream(self.sock, theirs, server_side=True)
            shaken = in_thread(self.tls.do_handshake)
        else:
            shaken = in_thread(lambda: theirs.wrap_socket(self.sock, server_side=True))
        self.duplex = connect_tls(self.here, ours, "localhost", time.monotonic() + 10)
        self.sock = shaken() or self.sock

    def close(self) -> None:
        self.duplex.shut()
        self.duplex.close()
        self.sock.close()


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, authority: trustme.CA) -> Iterator[Server]:
    server = Server(authority, request.param)
    yield server
    server.close()


def receive(duplex: DuplexSocket, count: int, received: bytearray) -> bytes:
    buffer = memoryview(bytearray(8192))
    while len(received) < count:
        taken = duplex.recv_into(buffer[: count - len(received)], timeout=20)
        if not taken:
            break
        received += buffer[:taken]
    return bytes(received)


def receive_exactly(duplex: DuplexSocket, count: int) -> bytes:
    return receive(duplex, count, bytearray())


def send_all(duplex: DuplexSocket, data: bytes, blocked: Callable[[], None] = lambda: None) -> None:
    """Send as the connection does: the same block again after a 0."""
    rest = memoryview(data)
    while rest:
        taken = duplex.try_send(rest[: duplex.max_block])
        if not taken:
            blocked()
            assert duplex.wait_sendable(20), "no room for 20 s"
        rest = rest[taken:]


# -- one direction at a time ---------------------------------------------------------------------------


def test_what_is_sent_arrives_and_what_comes_is_received(pair: Server) -> None:
    assert pair.duplex.try_send(b"ping") == 4
    assert pair.sock.recv(10) == b"ping"
    pair.sock.sendall(b"pong")
    assert receive_exactly(pair.duplex, 4) == b"pong"


def test_a_reader_waits_until_its_deadline(pair: Server) -> None:
    start = time.monotonic()
    with pytest.raises(socket.timeout):
        pair.duplex.recv_into(bytearray(10), timeout=0.05)
    assert 0.04 < time.monotonic() - start < 2


def test_a_deadline_of_zero_asks_once_and_still_takes_what_is_there(pair: Server) -> None:
    with pytest.raises(socket.timeout):
        pair.duplex.recv_into(bytearray(10), timeout=0)
    pair.sock.sendall(b"there")
    assert wait_ready((pair.duplex.fileno(),), False, 10)
    assert pair.duplex.recv_into(bytearray(10), timeout=0) == 5


def test_decrypted_bytes_are_not_waited_for(pair: Server) -> None:
    pair.sock.sendall(
        b"x" * 10_000
    )  # one TLS record: after the first read it lies in OpenSSL, unseen by poll
    assert receive_exactly(pair.duplex, 1)
    buffer, received = bytearray(1), 0
    while received < 1000:
        received += pair.duplex.recv_into(buffer, timeout=0)


def test_what_nobody_has_read_is_seen_also_inside_openssl_until_it_is_read(pair: Server) -> None:
    buffer = bytearray(2)
    pair.sock.sendall(b"four")
    assert wait_ready((pair.duplex.fileno(),), False, 10)
    assert pair.duplex.has_unread()
    for left in (True, False):
        assert pair.duplex.recv_into(buffer, timeout=10) == 2
        assert pair.duplex.has_unread() is left
    pair.duplex.shut()
    pair.duplex.close()
    assert not pair.duplex.has_unread()


def test_the_end_of_the_stream_is_zero_with_or_without_a_close_alert(authority: trustme.CA) -> None:
    for kind in KINDS:
        for polite in (True, False):
            server = Server(authority, kind)
            if polite and isinstance(server.sock, ssl.SSLSocket):
                server.sock.settimeout(0.05)
                try:
                    server.sock.unwrap()
                except (OSError, ValueError):
                    pass  # our end sends no alert back; its own is out
            socket.socket.shutdown(server.sock, socket.SHUT_WR)
            assert server.duplex.recv_into(bytearray(10), timeout=10) == 0
            server.close()


def test_a_full_peer_makes_try_send_take_nothing_and_wait_sendable_keep_its_deadline(pair: Server) -> None:
    block = bytes(pair.duplex.max_block)
    while pair.duplex.try_send(block):
        pass
    start = time.monotonic()
    assert pair.duplex.wait_sendable(0.05) is False
    assert 0.04 < time.monotonic() - start < 2
    assert pair.duplex.wait_sendable(-1) is False
    wait = in_thread(lambda: pair.duplex.wait_sendable(20))
    for _ in range(2000):
        pair.sock.recv(65536)
        if pair.duplex.wait_sendable(0):
            break
    assert wait() is True


def test_of_long_data_only_one_block_is_tried(pair: Server) -> None:
    data = bytes(3 * pair.duplex.max_block)
    assert 0 < pair.duplex.try_send(data) <= pair.duplex.max_block


def test_bytes_read_ahead_come_first_and_then_the_wire(pair: Server) -> None:
    pair.duplex.unread(b"")
    pair.duplex.unread(b"early ")
    pair.sock.sendall(b"late")
    buffer = bytearray(4)
    assert (pair.duplex.recv_into(buffer), bytes(buffer)) == (4, b"earl")
    assert receive_exactly(pair.duplex, 6) == b"y late"


def test_bytes_given_back_after_a_read_that_emptied_the_wire_are_not_waited_for(pair: Server) -> None:
    pair.sock.sendall(b"answer and more")
    buffer = bytearray(100)
    count = pair.duplex.recv_into(buffer, timeout=10)
    pair.duplex.unread(bytes(buffer[7:count]))
    waits: list[None] = []
    assert pair.duplex.recv_into(buffer, timeout=10, idle=lambda: waits.append(None)) == count - 7
    assert not waits


# -- both at once --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bite", [400, pytest.param(1000, marks=pytest.mark.reliability)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_writer_blocked_over_and_over_beside_a_busy_reader_corrupts_nothing(
    kind: str, bite: int, authority: trustme.CA
) -> None:
    # Small windows both ways, so that the writer is refused again and again in mid-record while the
    # reader is busy on the same TLS connection; the other end is two such threads as well.
    server = Server(authority, kind, window=10_000, duplex=True)
    ours, theirs = server.duplex, DuplexSocket(server.sock, server.tls)
    blocked: set[tuple[int, int]] = set()  # the round, and how much had come down when a write was refused

    def protocol(up: bytes, down: bytes, number: int) -> None:
        received, heard = bytearray(), bytearray()
        joins = [
            in_thread(lambda: receive(ours, len(down), received)),
            in_thread(lambda: send_all(theirs, down)),
            in_thread(lambda: receive(theirs, len(up), heard)),
            in_thread(lambda: send_all(ours, up, lambda: blocked.add((number, len(received))))),
        ]
        for join in joins:
            join()
        assert received == down
        assert heard == up

    for number in range(20):
        protocol(os.urandom(20_000_000), os.urandom(20_000_000), number)
        if len(blocked) >= 1.5 * bite:
            break
    server.close()
    assert len(blocked) >= bite, f"only {len(blocked)} writes were refused while data came down: no bite"


# -- the end -------------------------------------------------------------------------------------------


def test_shut_wakes_a_waiting_reader_and_a_waiting_writer(pair: Server) -> None:
    block = bytes(pair.duplex.max_block)
    while pair.duplex.try_send(block):
        pass

    def write() -> None:
        while True:
            pair.duplex.wait_sendable(None)
            pair.duplex.try_send(block)

    reading = in_thread(lambda: pair.duplex.recv_into(bytearray(10)))
    writing = in_thread(write)
    pair.duplex.shut()
    assert reading() == 0
    with pytest.raises(OSError, match=r"."):
        writing()


def test_after_shut_no_ciphertext_comes_out(authority: trustme.CA) -> None:
    server = Server(authority, "TLSv1_3")
    server.sock.sendall(b"secret" * 100)
    assert wait_ready((server.duplex.fileno(),), False, 10)
    server.duplex.shut()
    received = receive_exactly(server.duplex, 10_000)
    server.close()
    assert received in (b"", b"secret" * 100)


def test_shut_and_close_may_come_twice_in_any_order_and_every_call_after_is_an_os_error(pair: Server) -> None:
    for end in (pair.duplex.shut, pair.duplex.shut, pair.duplex.close, pair.duplex.close, pair.duplex.shut):
        end()
    assert pair.duplex.fileno() == -1
    for call in (
        lambda: pair.duplex.recv_into(bytearray(10), 1),
        lambda: pair.duplex.try_send(b"x"),
        lambda: pair.duplex.wait_sendable(1),
    ):
        with pytest.raises(OSError, match=r".") as caught:
            call()
        assert caught.value.errno == errno.EBADF


def test_shut_needs_no_lock(pair: Server) -> None:
    with pair.duplex._lock:
        pair.duplex.shut()
    assert pair.duplex.recv_into(bytearray(10), timeout=10) == 0


def test_threads_that_close_at_the_same_moment_close_one_descriptor() -> None:
    for _ in range(100):
        ours, other = tcp_pair()
        duplex = DuplexSocket(ours)
        gate = threading.Barrier(3)

        def close(duplex: DuplexSocket = duplex, gate: threading.Barrier = gate) -> None:
            gate.wait()
            duplex.close()

        with ThreadPoolExecutor(3) as pool:
            closing = [pool.submit(close) for _ in range(3)]
        assert [one.exception() for one in closing] == [None] * 3
        other.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_shut_and_close_in_a_forked_child_harm_nothing_in_the_parent(pair: Server) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            pair.duplex.shut()
            pair.duplex.close()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert pair.duplex.try_send(b"still here") == 10
    assert pair.sock.recv(100) == b"still here"
    pair.sock.sendall(b"me too")
    assert receive_exactly(pair.duplex, 6) == b"me too"


# -- waiting without poll(), as on Windows -------------------------------------------------------------


def test_without_poll_the_same_holds(monkeypatch: pytest.MonkeyPatch, authority: trustme.CA) -> None:
    monkeypatch.delattr(duplex_module.select, "poll")
    server = Server(authority, "TLSv1_3")
    with pytest.raises(socket.timeout):
        server.duplex.recv_into(bytearray(10), timeout=0.02)
    reading = in_thread(lambda: server.duplex.recv_into(bytearray(10)))
    server.sock.sendall(b"hello")
    assert reading() == 5
    send_all(server.duplex, b"world")
    assert server.sock.recv(10) == b"world"
    server.duplex.close()
    with pytest.raises(OSError, match="closed"):
        server.duplex.wait_sendable(1)
    server.close()
