"""A server that means harm costs bounded memory and time, and ends in the exact error: each row of the table.

The client is a process of its own with little memory, as are programs in containers. The short form, with
the other tests, takes one way of use a row, and ends after a second what has no end; ``tox -e reliability``
takes all ways, over ws and over wss, and three seconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local.certificates import Certificates

from .attacks import TABLE, Row
from .servers import HostileServer

ADDRESS_SPACE = 1536 * 2**20  # bytes: with the stacks of threads, of which the kernel gives what is used
SHORT, LONG = 1.0, 3.0  # s after which the client ends what nothing else ends
ATTRIBUTES = ("stage", "code", "status", "retry_after", "seconds")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures by /proc")


class Programs:
    """Starts a program for each server: forks of one that has imported it."""

    def __init__(self, folder: Path) -> None:
        self.certificates = Certificates()
        authority = folder / "ca.pem"
        authority.write_bytes(self.certificates.ca_pem)
        self._forks = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.hostile.program"],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent.parent,
            env={**os.environ, "SSL_CERT_FILE": str(authority)},
            start_new_session=True,
        )

    def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Have a program meet the server; return what it tells."""
        self._forks.stdin.write(json.dumps(asked).encode() + b"\n")
        told = self._forks.stdout.readline().strip()  # or the test's own timeout
        assert told, "the program died: see its stderr"
        return dict(json.loads(told))

    def close(self) -> None:
        os.killpg(self._forks.pid, signal.SIGKILL)
        with self._forks:
            pass


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    with closing(Programs(tmp_path_factory.mktemp("hostile"))) as programs:
        yield programs


def combinations(row: Row) -> list[dict[str, Any]]:
    return [{"way": way, "tls": tls} for tls in row.tls for way in row.ways]


def meet(row: Row, programs: Programs, limit: float, *, way: str, tls: bool) -> dict[str, Any]:
    with HostileServer(row.attack, programs.certificates.server_context if tls else None) as server:
        return programs.run(
            {
                "url": f"{'wss' if tls else 'ws'}://127.0.0.1:{server.port}/v2",
                "address_space": ADDRESS_SPACE,
                **row.asked(way, limit),
            }
        )


def wrong(row: Row, way: str, limit: float, told: dict[str, Any]) -> list[str]:
    expected = {**dict.fromkeys(ATTRIBUTES), **row.expected(way, limit)}
    found = {"error": told["error"], **told["attributes"]}
    faults = [
        f"{name} {found[name]!r}, not {given!r}" for name, given in expected.items() if found[name] != given
    ]
    if told["took"] > row.seconds:
        faults.append(f"{told['took']:.1f} s, not {row.seconds:g}")
    if told["megabytes"] > row.megabytes:
        faults.append(f"{told['megabytes']:.0f} MB, not {row.megabytes:g}")
    if told["threads"] or told["descriptors"] > 0:
        faults.append(f"left behind: {told['threads']}, {told['descriptors']} descriptors")
    if len(told["text"]) > 1000 or not told["text"].isprintable() or "s3cret" in told["text"]:
        faults.append(f"the text {told['text'][:200]!r} ({len(told['text'])})")
    return [f"{fault} ({told['text'][:200]})" for fault in faults]


def line(row: Row, how: dict[str, Any], told: dict[str, Any]) -> str:
    where = f"{how['way']}, {'wss' if how['tls'] else 'ws'}"
    what = f"{row.name:<58}{where:<18}{told['error']:<20}"
    return f"{what}{told['took']:5.1f} s {told['processor']:5.1f} s of processor {told['megabytes']:6.1f} MB"


@pytest.mark.parametrize("row", [row for row in TABLE if not row.dear], ids=lambda row: row.name)
def test_a_hostile_server_costs_little_and_ends_in_its_error(row: Row, programs, report) -> None:
    ways = combinations(row)
    how = ways[TABLE.index(row) % len(ways)]
    told = meet(row, programs, SHORT, **how)
    if told["megabytes"] > 20:  # the short form has the dearest alone
        report("hostile", line(row, how, told))
    assert wrong(row, how["way"], SHORT, told) == []


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
@pytest.mark.reliability
@pytest.mark.timeout(600)
def test_a_hostile_server_does_so_in_every_way_to_use_a_session(row: Row, programs, report) -> None:
    faults = []
    for how in combinations(row):
        told = meet(row, programs, LONG, **how)
        report("hostile", line(row, how, told))
        faults += [f"{how}: {fault}" for fault in wrong(row, how["way"], LONG, told)]
    assert faults == []


def test_names_are_unique() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)
