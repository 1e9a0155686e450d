"""The local server as others' clients see it: one scenario, one client, one session."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local import LocalServer, SessionRecord

from ..schemas import check_server, check_sessions
from .conduct import check_conduct
from .conftest import Played
from .scenarios import SCENARIOS, Scenario, first_missing

pytestmark = [
    pytest.mark.interop,
    pytest.mark.timeout(240),
]  # the first run of a client makes its environment

PAIRS = [
    pytest.param(scenario.of(client), client, id=f"{scenario.name}-{client}")
    for scenario in SCENARIOS
    for client in scenario.clients
]


@pytest.mark.parametrize(("scenario", "client"), PAIRS)
def test_client_and_server_understand_each_other(
    scenario: Scenario, client: str, play: Callable[[str, dict[str, Any]], Played], tmp_path: Path
) -> None:
    with LocalServer(keys=["right"], **scenario.server) as server:
        messages, outcome = play(client, given(scenario, server, tmp_path))
        assert server.sessions, outcome
        record = server.sessions[-1].wait_closed()
    assert len(server.sessions) <= 1 + scenario.temporary_key
    check_sessions(server)
    check_what_came(scenario, messages, record)
    check_what_was_heard(scenario, record)
    check_the_end(scenario, outcome, record)


def given(scenario: Scenario, server: LocalServer, place: Path) -> dict[str, Any]:
    """Write the audio down, and return what the driver is told."""
    files = {}
    for number, (channel, audio) in enumerate(scenario.audio_by_channel.items()):
        files[channel] = str(place / f"audio-{number}")
        Path(files[channel]).write_bytes(audio)
    authority = place / "authority.pem"
    authority.write_bytes(server.ca_pem or b"")
    return {
        "url": server.url,
        "authority": str(authority) if server.ca_pem else None,
        "key": scenario.key,
        "key_in_the_query": scenario.key_in_the_query,
        "keys_url": server.url.replace("ws", "http", 1)[: -len("/v2")] if scenario.temporary_key else None,
        "start": scenario.start,
        "audio": files,
        "chunk": scenario.chunk,
        "steps": scenario.steps,
        "late": scenario.late,
    }


def check_what_came(scenario: Scenario, messages: list[dict[str, Any]], record: SessionRecord) -> None:
    sent = [message for message in record.sent if message["message"] not in scenario.missed]
    came = [message for message in messages if message["message"] not in scenario.missed]
    for message in came:
        check_server(message)
    assert came == sent[: len(came)], "what came is not what was said"
    assert scenario.cut or len(came) == len(sent), f"not seen: {sent[len(came) :][:3]}"
    missing = first_missing(scenario.sees, messages)
    assert missing is None, f"not seen, or not in this order: {missing}"
    met = {message["message"] for message in messages}
    assert not met & set(scenario.never)
    switched = any("enable_partials" in str(message) for _, message in scenario.steps)
    check_conduct(came, partials=None if switched else scenario.config.get("enable_partials", False))
    texts = scenario.text if isinstance(scenario.text, dict) else {None: scenario.text}
    for channel, text in texts.items():
        finals = [message for message in record.said("AddTranscript") if message.get("channel") == channel]
        assert "".join(final["metadata"]["transcript"] for final in finals).startswith(text)


def check_what_was_heard(scenario: Scenario, record: SessionRecord) -> None:
    for channel, audio in scenario.audio_by_channel.items():
        expected = len(audio) if scenario.hears is None else scenario.hears[channel]
        heard = record.audio_of(channel or None)
        assert expected in (-1, len(heard))
        assert heard[: len(audio)] == audio[: len(heard)]


def check_the_end(scenario: Scenario, outcome: dict[str, Any], record: SessionRecord) -> None:
    if scenario.ends == "returned":
        assert outcome["driver"] == "returned", outcome["what"]
    else:
        assert re.search(scenario.ends, outcome["what"]), outcome
    assert record.status == scenario.status
    closed = None if record.server_code is None else (record.server_code, record.server_reason)
    assert closed == scenario.closes
