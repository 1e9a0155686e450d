"""A program that has imported the command already, and forks a process that runs it whenever it is asked.

``forked.py`` starts it, with the number of a socket. What comes out of a fork ends as any interpreter does:
``python -m speechmatics_rt`` is the last line of this file.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import time
from typing import Any

# What commands import when they run, but for what starts threads or opens devices.
MODULES = (
    *(f"speechmatics_rt.cli.{command}" for command in ("transcribe", "many", "serve", "doctor", "devices")),
    "speechmatics_rt.local",
)


def child(requests: socket.socket) -> dict[str, Any]:
    """Answer each request with the number of a new process; return in that process, with the request."""
    while True:
        text, streams, *_ = socket.recv_fds(requests, 1 << 20, 3)
        if not text:
            os._exit(0)  # nobody is left who could ask
        between = os.fork()
        if between:
            os.waitpid(between, 0)  # now whoever asked is the parent of what was forked
            for stream in streams:
                os.close(stream)
            requests.send(b".")
        elif forked := os.fork():
            requests.send(str(forked).encode())
            os._exit(0)
        else:
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            os.closerange(3, max(requests.detach(), *streams) + 1)
            request: dict[str, Any] = json.loads(text)
            return request


def become(request: dict[str, Any], *, interrupted: Any) -> None:
    """Be the process that was asked for, as the interpreter would have made it."""
    if request["new_session"]:
        os.setsid()
    if request["cwd"]:
        os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    signal.signal(signal.SIGINT, interrupted)
    sys.path[0] = os.getcwd()
    sys.argv[:] = ["-m", *request["arguments"]]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = standard_stream(number, name, like=getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def standard_stream(number: int, name: str, *, like: Any) -> Any:
    """Open it as the interpreter does when it starts: encoded as our own, and as buffered."""
    unbuffered = number > 0 and like.write_through
    binary: Any = open(number, "wb" if number else "rb", 0 if unbuffered else -1, closefd=False)
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
    asked = socket.socket(fileno=int(sys.argv[1]))
    for module in MODULES:
        importlib.import_module(module)
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)  # who interrupts the tests hangs up, too
    gc.collect()
    gc.freeze()
    become(child(asked), interrupted=usual)
    runpy._run_module_as_main("speechmatics_rt")
