"""The command as a shell starts it: asks ``fork_server.py`` for a fork with all it has, and ends like that.

Run as ``python -IS fork_client.py ADDRESS ARGUMENTS``, and so with few imports: it stands for a start of the
interpreter, and should take no longer. Where a fork would be another process, it becomes the real command: so
also in the background, where a shell has SIGINT ignored, and where signals come to it.
"""

from __future__ import annotations

import marshal
import os
import sys

STARTED_WITH = (b"PYTHON", b"LC_", b"LANG", b"LD_", b"MALLOC_", b"GLIBC_", b"OPENSSL_")  # are read but once
STATUS = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "CapInh", "CapEff", "CapBnd", "NoNewPrivs")
IGNORED_BY_PYTHON = 1 << 12 | 1 << 24  # SIGPIPE and SIGXFSZ, from its start on, blocked or not


def surroundings(environment: dict[bytes, bytes]) -> tuple[str, ...]:
    """Return what a process has from its start on, and a fork would have from that of the server."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        lines = dict(line.split(":\t", 1) for line in status)
    for name in ("SigIgn", "SigBlk"):
        lines[name] = hex(int(lines[name], 16) & ~IGNORED_BY_PYTHON)
    with open("/proc/self/limits", encoding="ascii") as limits:
        limited = limits.read()
    variables = sorted(
        f"{name!r}: {environment[name]!r}" for name in environment if name.startswith(STARTED_WITH)
    )
    return (
        *(lines[name] for name in STATUS),
        limited,
        f"{os.getpgrp()} {os.getsid(0)} {os.nice(0)}",
        *variables,
    )


def main(address: str, arguments: list[str]) -> None:
    import _signal
    import _socket
    from array import array

    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    numbers = [
        number for number in numbers if os.path.exists(f"/proc/self/fd/{number}")
    ]  # less the listing's
    arguments = ["-m", "speechmatics_rt", *arguments]
    request = {
        "surroundings": surroundings(os.environb),
        "arguments": [os.fsencode(argument) for argument in arguments],
        "environment": dict(os.environb),
        "cwd": os.getcwdb(),
        "new_session": False,
        "numbers": numbers,
        "adopted": False,
    }
    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    server.connect("\0" + address)
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", numbers))
    server.sendmsg([marshal.dumps(request)], [rights])
    if server.recv(100) == b"no":
        os.execv(sys.executable, [sys.executable, *arguments])
    for number in numbers:
        os.close(number)  # they are the fork's: its ends of pipes close when it ends
    status = int(server.recv(100))
    if os.WIFSIGNALED(status):
        _signal.signal(os.WTERMSIG(status), _signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
