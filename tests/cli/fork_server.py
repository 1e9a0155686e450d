"""A program that has imported the command already, and forks a process that runs it whenever it is asked.

``forked.py`` starts it, with the number of a socket that listens, and holds its standard input until it is to
end. What comes out of a fork ends as any interpreter does: ``python -m speechmatics_rt`` is its last line, or
``python -c`` with a program. Only modules that are not ours are left to the system, and not emptied one by
one: that is two fifths of the work of a fork, as it copies each page of memory that it touches.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import importlib
import io
import marshal
import os
import runpy
import select
import signal
import socket
import sys
import time
from typing import Any, Optional

# What commands import when they run, but for what starts threads or opens devices.
MODULES = (
    *(f"speechmatics_rt.cli.{command}" for command in ("transcribe", "many", "serve", "doctor", "devices")),
    *("speechmatics_rt.local", "speechmatics_rt.transcript.captions"),
    "speechmatics_rt.network.dialing.trust",
    *("websocket", "python_socks.sync", "encodings.idna"),
)
HIGH = 512  # where a fork keeps the descriptors it was given until all others are closed


def leave(names: list[str]) -> None:
    """Take modules from those that the interpreter empties at its end, and keep them."""
    left = [sys.modules.pop(name, None) for name in names]
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(left))


def next_fork(listener: socket.socket, surroundings: tuple[str, ...]) -> dict[str, Any]:
    """Answer each request with the number of a new process; return in that process, with the request."""
    while True:
        if 0 in select.select([0, listener], [], [])[0]:  # whoever started it has ended, or wants it to
            os._exit(0)
        connection = listener.accept()[0]
        data, descriptors, *_ = socket.recv_fds(connection, 1 << 20, 250)
        request: dict[str, Any] = marshal.loads(data) if data else {}
        if request.get("surroundings") != surroundings:
            connection.send(b"no")  # it would have been another process
        elif between := os.fork():
            if request["adopted"]:
                os.waitpid(between, 0)  # now whoever asked is the parent of what was forked
                connection.send(b"adopted")
        elif child := os.fork():
            connection.send(str(child).encode())
            if not request["adopted"]:
                for descriptor in (*range(3), *descriptors):
                    os.close(descriptor)
                connection.send(str(os.waitpid(child, 0)[1]).encode())
            os._exit(0)
        else:
            take(descriptors, request["numbers"])
            connection.detach()
            listener.detach()
            return request
        connection.close()
        for descriptor in descriptors:
            os.close(descriptor)
        while one_has_ended():
            pass


def one_has_ended() -> bool:
    """Whether a process between a shell's command and its fork has ended, and is forgotten."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def take(descriptors: list[int], numbers: list[int]) -> None:
    """Have these descriptors by these numbers, and no others."""
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, HIGH) for descriptor in descriptors]
    os.closerange(0, HIGH)
    for descriptor, number in zip(high, numbers):
        os.dup2(descriptor, number)
    os.closerange(HIGH, max(high, default=HIGH) + 1)


def become(request: dict[str, Any], *, interrupted: Any) -> None:
    """Be the process that was asked for, as the interpreter would have made it."""
    if request["new_session"]:
        os.setsid()
    if request["cwd"]:
        os.chdir(request["cwd"])
    os.environ.clear()
    os.environb.update(request["environment"])
    time.tzset()
    signal.signal(signal.SIGINT, interrupted)
    option, _, *rest = map(os.fsdecode, request["arguments"])
    sys.path[0] = os.getcwd() if option == "-m" else ""
    sys.argv[:] = [option, *rest]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = standard_stream(number, name, like=getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def standard_stream(number: int, name: str, *, like: Any) -> Optional[io.TextIOWrapper]:
    """Open it as the interpreter does when it starts: encoded as our own, and as buffered; None if closed."""
    unbuffered = number > 0 and like.write_through
    try:
        mode = "wb" if number else "rb"
        binary: Any = open(number, mode, 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
    except OSError:
        return None
    (binary if unbuffered else binary.raw).name = f"<{name}>"
    stream: Any = io.TextIOWrapper(
        binary,
        like.encoding,
        like.errors,
        "\n",
        line_buffering=not like.write_through and (binary.isatty() or number == 2),
        write_through=like.write_through,
    )
    stream.mode = "w" if number else "r"
    return stream


if __name__ == "__main__":
    from fork_client import surroundings

    others: list[str] = []
    atexit.register(leave, others)  # the first to be registered is the last to be called
    ours = surroundings(os.environb)
    sys.path[0] = ""
    for module in MODULES:
        importlib.import_module(module)
    kept = ("speechmatics_rt", "__main__", "sys", "builtins")
    others += [name for name in sys.modules if name.partition(".")[0] not in kept]
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts the tests closes our input, too
    gc.collect()
    gc.freeze()
    request = next_fork(socket.socket(fileno=int(sys.argv[1])), ours)
    become(request, interrupted=usual)
    if request["arguments"][0] == b"-c":
        # With none of our names, and not among them: what it holds is to go first at the end.
        sys.modules["__main__"] = type(sys)("__main__")
        exec(compile(request["arguments"][1], "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        runpy._run_module_as_main("speechmatics_rt")
