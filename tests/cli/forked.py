"""The real command in a process of its own, forked from one that has imported it: a fifth of the work.

All but the start is the same: a child of ours with a number, an exit code, streams and signals of its own.
``test_forked.py`` compares the two.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ["ForkServer", "Forked"]

_PROGRAM = Path(__file__).parent / "fork_server.py"
_ADOPT = 36  # PR_SET_CHILD_SUBREAPER: what loses its parent becomes a child of ours
_READ_AT_THE_START = re.compile(r"PYTHON|LC_|LANG|LD_|MALLOC_|GLIBC_|OPENSSL_")  # variables


class ForkServer:
    """Starts the command by a fork, or says that it can't; use it in ``with``. Linux alone can do so."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._inherited = _inherited(environment)
        self._lock = threading.Lock()  # one request at a time
        self._requests, asked = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with asked:
            self._process = subprocess.Popen(
                [sys.executable, _PROGRAM, str(asked.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                pass_fds=[asked.fileno()],
            )

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.close()
        self._process.wait(20)

    def suits(self, environment: dict[str, str], options: dict[str, Any]) -> bool:
        """Whether a process that starts so is no other than a fork of ours."""
        easy = {"stdin", "stdout", "stderr", "cwd", "start_new_session"}
        return easy.issuperset(options) and _inherited(environment) == self._inherited

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """Return the number of a new child of this process."""
        libc = ctypes.CDLL(None)
        with self._lock:
            libc.prctl(_ADOPT, 1)
            try:
                socket.send_fds(self._requests, [json.dumps(request).encode()], streams)
                number, done = self._requests.recv(100), self._requests.recv(100)
            finally:
                libc.prctl(_ADOPT, 0)
        assert done, "the fork server has ended"
        return int(number)


class Forked(subprocess.Popen):  # type: ignore[type-arg]
    """A process as any other once it is there: what starts one is all that is replaced."""

    def __init__(self, server: ForkServer, arguments: list[str], **options: Any) -> None:
        self._server = server
        super().__init__(arguments, **options)

    def _execute_child(self, *given: Any) -> None:
        pipes = given[10:16]
        theirs = (pipes[0], pipes[3], pipes[5])
        request = {"arguments": given[0], "cwd": given[5], "env": given[6], "new_session": given[21]}
        try:
            self.pid = self._server.fork(request, [at if fd == -1 else fd for at, fd in enumerate(theirs)])
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)


def _inherited(environment: dict[str, str]) -> tuple[Any, ...]:
    """Return what a process has from its start on, and a fork has from that of the server."""
    import resource

    limits = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
    signals = signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}  # those Python ignores from its start on
    return (
        {name: value for name, value in environment.items() if _READ_AT_THE_START.match(name)},
        {number for number in signals if signal.getsignal(number) is signal.SIG_IGN},
        signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        [resource.getrlimit(limit) for limit in limits],
        re.findall("^Umask:.*", Path("/proc/self/status").read_text("ascii", "replace"), re.MULTILINE),
        (os.getpgrp(), os.geteuid(), os.getegid(), os.nice(0)),
    )
