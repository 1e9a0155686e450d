"""What the tests of the command share: a process on each worker that has imported it, and forks."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from . import command
from .forked import ForkServer


@pytest.fixture(autouse=True, scope="session")
def commands_are_forked(ctrl_c_interrupts: None) -> Iterator[None]:
    """Start the command by a fork where that is the same (:func:`command.start`)."""
    if sys.platform != "linux":
        yield
        return
    with ForkServer(command.environment()) as command.fork_server:
        yield
    command.fork_server = None
