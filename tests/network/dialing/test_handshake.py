"""The TLS handshake ends in time, believes whom it should, and leaves no socket open."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
import time

import pytest
import trustme

from speechmatics_rt import AudioFormat, Client, ConnectionConfig
from speechmatics_rt.network.dialing import handshake
from speechmatics_rt.network.dialing.handshake import connect_tls, shared_context

from ..conftest import in_thread, tcp_pair


def test_a_handshake_that_stalls_ends_at_the_deadline_and_closes_the_socket(authority: trustme.CA) -> None:
    here, there = tcp_pair()
    start = time.monotonic()
    with pytest.raises(socket.timeout):
        connect_tls(here, shared_context(), "localhost", start + 0.1)
    assert time.monotonic() - start < 2
    assert here.fileno() == -1
    there.settimeout(10)
    while there.recv(4096):
        pass  # the ClientHello, then the end: the descriptor is closed
    there.close()


def test_an_untrusted_certificate_is_refused_and_the_socket_closed(authority: trustme.CA) -> None:
    here, there = tcp_pair()
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(theirs)

    def serve() -> None:
        try:
            theirs.wrap_socket(there, server_side=True).close()
        except OSError:
            there.close()

    serving = in_thread(serve)
    with pytest.raises(ssl.SSLCertVerificationError):
        connect_tls(here, shared_context(), "localhost", time.monotonic() + 10)
    assert here.fileno() == -1
    serving()


def test_the_shared_context_is_one_for_all_threads_and_refuses_renegotiation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handshake, "_context", None)
    barrier = threading.Barrier(8)

    def build() -> ssl.SSLContext:
        barrier.wait(10)
        return shared_context()

    contexts = [join() for join in [in_thread(build) for _ in range(8)]]
    assert len({id(context) for context in contexts}) == 1
    assert contexts[0].options & ssl.OP_NO_RENEGOTIATION
    assert contexts[0].verify_mode is ssl.CERT_REQUIRED


def test_a_context_that_is_false_is_used_like_any_other(serve) -> None:
    server = serve()

    class Counted(ssl.SSLContext):
        def __len__(self) -> int:
            return 0

    context = Counted(ssl.PROTOCOL_TLS_CLIENT)
    if server.ca_pem is not None:
        context.load_verify_locations(cadata=server.ca_pem.decode())
    with Client(url=server.url, conn_config=ConnectionConfig(ssl_context=context)) as client:
        client.start_session(audio_format=AudioFormat("pcm_s16le", 16000))


def test_importing_what_connects_does_not_import_ssl() -> None:
    import subprocess

    code = "import sys, speechmatics_rt.network; sys.exit('ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
