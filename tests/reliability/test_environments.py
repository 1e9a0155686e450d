"""Each row of the table of environments, as a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .environments import TABLE, Row, run

ROWS = [row for row in TABLE if sys.version_info >= row.oldest]


@pytest.mark.skipif(sys.platform == "win32", reason="the signals and processes are those of POSIX")
@pytest.mark.usefixtures("programs_are_forked")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_process_ends_as_promised(row: Row, tmp_path: Path) -> None:
    assert run(row, tmp_path) == []


@pytest.mark.reliability
@pytest.mark.skipif(sys.platform == "win32", reason="the signals and processes are those of POSIX")
@pytest.mark.parametrize("row", [row for row in ROWS if row.sent is not None], ids=lambda row: row.name)
def test_so_does_one_that_is_no_fork(row: Row, tmp_path: Path) -> None:
    assert run(row, tmp_path, anew=True) == []
