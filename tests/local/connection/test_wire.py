"""The loop that serves one connection of the local server."""

from __future__ import annotations

import socket
import time

from speechmatics_rt.local.connection.wire import Wire


def test_of_timers_that_are_all_late_the_one_that_was_due_first_runs_first() -> None:
    ran: list[str] = []
    address = ("127.0.0.1", 0)
    with socket.create_server(address) as listening, socket.create_connection(listening.getsockname()):
        wire = Wire(listening.accept()[0])
        wire.later("end", 0.003, wire.stop)
        wire.later("second", 0.002, lambda: ran.append("second"))
        wire.later("first", 0.001, lambda: ran.append("first"))
        time.sleep(0.01)  # as a busy machine does: by now all are due
        wire.run(lambda data: None)
    assert ran == ["first", "second"]
