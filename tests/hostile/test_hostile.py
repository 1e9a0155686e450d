"""A server that means harm costs bounded memory and time, and ends in the exact error: each row of the table.

The client is a process of its own with little memory, as are programs in containers. The short form, with
the other tests, takes one way of use a row; ``tox -e reliability`` takes them all, over ws and over wss.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local.certificates import Certificates

from .attacks import LIMITS, TABLE, Row
from .servers import HostileServer

ADDRESS_SPACE = 1536 * 2**20  # bytes: with the stacks of threads, of which the kernel gives what is used
ATTRIBUTES = ("stage", "code", "status", "retry_after", "seconds")

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures by /proc")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Certificates, Path]]:
    made = Certificates()
    path = tmp_path_factory.mktemp("hostile") / "ca.pem"
    path.write_bytes(made.ca_pem)
    return made, path


def combinations(row: Row) -> list[dict[str, Any]]:
    return [{"way": way, "tls": tls} for tls in row.tls for way in row.ways]


def meet(row: Row, certificates: tuple[Certificates, Path], *, way: str, tls: bool) -> dict[str, Any]:
    """Have a program meet the server; return what it tells."""
    made, path = certificates
    with HostileServer(row.attack, made.server_context if tls else None) as server:
        asked = {
            "url": f"{'wss' if tls else 'ws'}://127.0.0.1:{server.port}/v2",
            "way": way,
            "options": {**LIMITS, **row.options},
            "timeout": row.timeout,
            "address_space": ADDRESS_SPACE,
        }
        ran = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.hostile.program", json.dumps(asked)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=Path(__file__).parent.parent.parent,
            env={**os.environ, "SSL_CERT_FILE": str(path)},
        )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return dict(json.loads(ran.stdout))


def wrong(row: Row, way: str, told: dict[str, Any]) -> list[str]:
    expected = {**dict.fromkeys(ATTRIBUTES), **row.expected(way)}
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


rows = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)


@rows
def test_a_hostile_server_costs_little_and_ends_in_its_error(row: Row, certificates, report) -> None:
    ways = combinations(row)
    how = ways[TABLE.index(row) % len(ways)]
    told = meet(row, certificates, **how)
    if told["megabytes"] > 20:  # the short form has the dearest alone
        report("hostile", line(row, how, told))
    assert wrong(row, how["way"], told) == []


@rows
@pytest.mark.reliability
@pytest.mark.timeout(600)
def test_a_hostile_server_does_so_in_every_way_to_use_a_session(row: Row, certificates, report) -> None:
    faults = []
    for how in combinations(row):
        told = meet(row, certificates, **how)
        report("hostile", line(row, how, told))
        faults += [f"{how}: {fault}" for fault in wrong(row, how["way"], told)]
    assert faults == []


def test_names_are_unique() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)
