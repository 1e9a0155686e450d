"""The real command in a process of its own, forked from one that has imported it: a fifth of the work.

So also a program that uses the package. All but the start is the same: a child of ours, or a command of a
shell, with a number, an exit code, descriptors and signals of its own. What a fork would not have (other
limits, another user or locale, signals that are ignored) starts the interpreter. ``test_forked.py`` compares
the two.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import shlex
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from .fork_client import surroundings

__all__ = ["ForkServer", "Forked"]

_HERE = Path(__file__).parent
_ADOPT = 36  # PR_SET_CHILD_SUBREAPER: what loses its parent becomes a child of ours


class ForkServer:
    """Starts the command by forks; use it in ``with``. Linux alone can do so.

    Attributes:
        command: The command as a line of a shell has it.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._address = f"speechmatics-rt-tests-{uuid.uuid4()}"
        self._lock = threading.Lock()  # one adoption at a time
        client = (sys.executable, "-IS", str(_HERE / "fork_client.py"), self._address)
        self.command = shlex.join(client)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind("\0" + self._address)
            listener.listen(100)
            self._process = subprocess.Popen(
                [sys.executable, _HERE / "fork_server.py", str(listener.fileno())],
                env=environment,
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
            )

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(20)

    def fork(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """Return the number of a new child of this process; 0 if a fork would not do."""
        libc = ctypes.CDLL(None)
        with self._lock, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asking:
            asking.settimeout(50)  # it may still be importing
            asking.connect("\0" + self._address)
            libc.prctl(_ADOPT, 1)
            try:
                socket.send_fds(asking, [marshal.dumps({**request, "adopted": True})], descriptors)
                said = asking.recv(100)
                if said == b"no":
                    return 0
                assert asking.recv(100) == b"adopted", "the fork server has ended"
            finally:
                libc.prctl(_ADOPT, 0)
        return int(said)


class Forked(subprocess.Popen):  # type: ignore[type-arg]
    """A process as any other once it is there: what starts one is all that is replaced.

    Args:
        server: Forks it.
        arguments: What stands behind ``python``: ``["-m", "speechmatics_rt", ...]``, or ``["-c", program]``.
    """

    def __init__(self, server: ForkServer, arguments: list[str], **options: Any) -> None:
        self._server = server
        super().__init__(arguments, **options)

    def _execute_child(self, *given: Any) -> None:
        args, cwd, pipes = given[0], given[5], given[10:16]
        environment = {os.fsencode(name): os.fsencode(value) for name, value in given[6].items()}
        theirs = (pipes[0], pipes[3], pipes[5])
        request = {
            "surroundings": surroundings(environment),
            "arguments": [os.fsencode(argument) for argument in args],
            "environment": environment,
            "cwd": cwd and os.fsencode(cwd),
            "new_session": given[21],
            "numbers": [0, 1, 2],
        }
        self.pid = self._server.fork(request, [at if fd == -1 else fd for at, fd in enumerate(theirs)])
        if not self.pid:
            super()._execute_child([sys.executable, *args], *given[1:])
            return
        self._child_created = True
        self._close_pipe_fds(*pipes)
