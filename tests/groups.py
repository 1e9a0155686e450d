"""Which tests one worker runs, one after the other: what is pure, by the file, and what shares what is dear.

To hand pure tests out one by one costs more than they take; the Whisper model, a wheel, the environment of
another maker's client and the server of a page are made once. It goes by names: pytest 9.2 with pytest-xdist
3.8 passes over the mark ``xdist_group``, and says nothing.
"""

from __future__ import annotations

from typing import Any

__all__ = ["group_of", "scheduler"]

_PURE = {"auth", "audio", "config", "messages", "protocol", "transcript", "test_architecture.py"}
_PURE |= {"test_exceptions.py", "test_fields.py", "test_options.py"}
_DEAR = {
    "local/whisper/test_whisper.py",
    "test_packaging.py",
    "interop/test_voice.py",
    "e2e/test_flask_live.py",
}
_CLIENTS = "interop/test_interop.py"


def group_of(nodeid: str) -> str:
    """Name the group of a test, by its address: its own if it shares nothing."""
    path, _, test = nodeid.partition("::")
    within = path.removeprefix("tests/")
    if within.split("/")[0] in _PURE or within in _DEAR:
        return path
    if within == _CLIENTS and "[" in test:  # "...[what is done-the client]"
        return f"{path} {test.rpartition('-')[2].rstrip(']')}"
    return nodeid


def scheduler(config: Any, log: Any) -> Any:
    """Make what hands the groups out to the workers."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)
