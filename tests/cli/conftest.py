"""What the tests of the command share: a process on each worker that has imported it, and forks."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .disks import mounted


@pytest.fixture(autouse=True, scope="session")
def commands_are_forked(programs_are_forked: None) -> None:
    """Start the command by a fork where that is the same (:func:`command.start`)."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB; few may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", place], check=True)
