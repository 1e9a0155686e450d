"""The client of the voice agents, a subclass of the asyncio client, over this package by an import line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from speechmatics_rt.local import LocalServer

from ..schemas import check_sessions
from .conftest import HERE, environment

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240)]

AUDIO = bytes(32000 * 6)
TIMES = 20


def test_it_is_ready_in_its_start_handler_loses_no_first_audio_and_closes(
    python_of: Callable[[str], Path], tmp_path: Path
) -> None:
    place = tmp_path / "audio.raw"
    place.write_bytes(AUDIO)
    with LocalServer(keys=["right"]) as server:
        told = {"url": server.url, "key": "right", "audio": str(place), "chunk": 640, "times": TIMES}
        process = subprocess.run(
            [python_of("voice"), HERE / "drivers" / "voice.py"],
            input=json.dumps(told),
            capture_output=True,
            encoding="utf-8",
            timeout=200,
            check=False,  # what it printed tells more
            env=environment(),
        )
        assert process.returncode == 0, process.stderr
        records = [record.wait_closed() for record in server.sessions]
    check_sessions(server)
    outcomes = json.loads(process.stdout)
    assert len(outcomes) == len(records) == TIMES
    assert all(outcome["ours"] and outcome["ready"] for outcome in outcomes)
    assert not any(outcome["connected"] for outcome in outcomes)
    assert all(" ".join(outcome["segments"]).startswith("Good") for outcome in outcomes)
    for record in records:
        assert record.audio_of(None) == AUDIO
        assert [message["message"] for message in record.messages if message["message"] != "AddAudio"] == [
            "StartRecognition",
            "ForceEndOfUtterance",
            "EndOfStream",
        ]
        assert (record.close_code, record.status) == (1000, 101)
