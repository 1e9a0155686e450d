"""The harness itself: what becomes of figures, whose turn it is, and that a wrong byte is seen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from . import cold, run
from .figures import Figure, alternated, doubts, render, result
from .peers.material import AUDIO, SCALES, Verifier, chunks, frame, transcript, transcripts
from .peers.measure import MANY_SECONDS, percentile, schedule
from .rows import LABELS, MANY, ROWS, TASKS, Row


def measured(**medians: float) -> dict[str, dict[str, dict[str, Figure]]]:
    return {"live": {peer: {"cpu_us": Figure(value, value, value)} for peer, value in medians.items()}}


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]
    assert percentile([7.0], 99) == 7


def test_a_figure_is_the_median_of_its_rounds_and_their_spread() -> None:
    assert Figure.of([5, 1, 9, 2, 3]) == (3, 1, 9)


def test_in_each_round_everybody_has_a_turn_and_each_is_first_as_often() -> None:
    peers = ("ours", "raw", "official")
    turns = list(alternated(peers, 6))
    for number in range(6):
        assert sorted(peer for turn, peer in turns if turn == number) == sorted(peers)
    assert sorted(peer for _, peer in turns[::3]) == sorted(peers * 2)


def test_a_row_is_met_when_its_ratio_is_at_most_its_goal() -> None:
    row = Row("live", "live", "cpu_us", "µs", goal=0.5)
    assert result(row, measured(ours=5, official=10))["met"] is True
    assert result(row, measured(ours=5.1, official=10))["met"] is False
    assert result(row, measured(ours=5, raw=4, official=10))["ratios"] == {"raw": 1.25, "official": 0.5}


def test_a_goal_without_a_peer_is_the_figure_itself() -> None:
    row = Row("live", "live", "cpu_us", "µs", against=None, goal=5)
    assert [result(row, measured(ours=value))["met"] for value in (5, 6)] == [True, False]


def test_a_row_without_a_goal_is_neither_met_nor_missed() -> None:
    assert result(Row("live", "live", "cpu_us", "µs"), measured(ours=5, official=1))["met"] is None


def test_what_could_not_be_measured_falls_short() -> None:
    row = Row("live", "live", "cpu_us", "µs", goal=0.5)
    for found in (measured(official=10), measured(ours=5), {}):
        assert result(row, found)["met"] is False
    assert "not measured" in render([result(row, measured(official=10))])


def test_a_row_that_falls_short_is_printed_as_such() -> None:
    row = Row("live", "live", "cpu_us", "µs", goal=0.5)
    lines = render(
        [result(row, measured(ours=value, official=10_000)) for value in (5000, 6000)]
    ).splitlines()
    assert lines[2] == "| live | 5.00 ms (5,000 to 5,000) |  | 10.0 ms | 0.50 of official SDK | ≤ 0.5 | met |"
    assert lines[3].endswith("| 0.60 of official SDK | ≤ 0.5 | **falls short** |")


def test_every_row_is_given_by_a_task_and_its_peers() -> None:
    tasks = {task.key: task for task in TASKS}
    assert len(tasks) == len(TASKS)
    for row in ROWS:
        assert row.who in tasks[row.task].peers
        assert row.against is None or row.against in tasks[row.task].peers
    assert {peer for task in TASKS for peer in task.peers} == set(LABELS)
    assert {f"sessions-{count}" for count in MANY} <= set(tasks)


def test_a_part_is_asked_for_by_its_name_and_one_of_many_by_its_number() -> None:
    def asked(name: str) -> list[str]:
        return [task.key for task in TASKS if name in task.names]

    assert asked("upload") == ["upload", "upload over wss"]
    assert asked("sessions-10") == ["sessions-10"]
    assert asked("sessions") == [f"sessions-{count}" for count in MANY]


@pytest.mark.parametrize("size", [640, 3200, 4096, 100_000])
def test_audio_is_right_however_it_is_cut(size: int) -> None:
    verifier = Verifier()
    assert all(verifier.take(chunk) for chunk in chunks(size, 3 + 2 * len(AUDIO) // size))


@pytest.mark.parametrize(
    "spoiled",
    [
        pytest.param(lambda sent: [sent[0], sent[2]], id="lost"),
        pytest.param(lambda sent: [sent[0], sent[0]], id="twice"),
        pytest.param(lambda sent: [sent[1], sent[0]], id="out of order"),
        pytest.param(lambda sent: [sent[0][:-1], sent[1]], id="cut"),
        pytest.param(lambda sent: [sent[0][:100] + b"\0\0" + sent[0][102:]], id="changed"),
    ],
)
def test_audio_that_is_not_what_was_to_be_sent_is_seen(spoiled) -> None:  # type: ignore[no-untyped-def]
    verifier = Verifier()
    assert False in [verifier.take(chunk) for chunk in spoiled(chunks(4096, 3))]


def test_a_client_and_a_sink_that_disagree_are_found_out() -> None:
    told, seen = {"audio": 100, "seen": 5}, {"bytes": 100, "misplaced": 0, "miscounted": 0}
    assert doubts(told, seen, messages=5, ours=True) == []
    assert len(doubts(told, {**seen, "bytes": 99}, messages=5, ours=True)) == 1
    assert len(doubts(told, {**seen, "misplaced": 1}, messages=5, ours=True)) == 1
    assert len(doubts(told, {**seen, "miscounted": 1}, messages=5, ours=True)) == 1
    assert len(doubts(told, seen, messages=6, ours=True)) == 1


def test_every_session_is_due_once_in_each_chunks_time() -> None:
    for sessions in (1, 7, 20, 1000):
        plan = schedule(sessions, 3 * MANY_SECONDS)
        assert [moment for moment, _, _ in plan] == sorted(moment for moment, _, _ in plan)
        for turn in range(3):
            due = [number for _, group, at in plan if at == turn for number in group]
            assert sorted(due) == list(range(sessions))


def test_a_transcript_has_three_kilobytes_and_time_goes_on_from_one_to_the_next() -> None:
    first, second = map(json.loads, transcripts(2))
    assert 2500 < len(transcripts(2)[0]) < 3500
    assert second["metadata"]["start_time"] == first["metadata"]["end_time"]
    assert transcript(1) == second


def test_a_frame_says_how_long_it_is() -> None:
    assert frame(b"x" * 5) == b"\x81\x05xxxxx"
    assert frame(b"x" * 3000)[:4] == b"\x81\x7e\x0b\xb8"


@pytest.mark.interop
@pytest.mark.timeout(900)  # it makes the environments
def test_a_short_run_measures_every_row_and_draws_both_plots(tmp_path: Path) -> None:
    home = tmp_path / "environments"
    assert run.main(["--short", "--results", str(tmp_path), "--environments", str(home)]) == 0
    table = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert len(table["rows"]) > len(ROWS) - 10
    assert all(row["who"] in row["figures"] for row in table["rows"])
    assert table["scale"] == "short"
    assert set(SCALES) == {"full", "short"}
    for plot in ("ratios.png", "sessions.png"):
        assert (tmp_path / plot).read_bytes().startswith(b"\x89PNG")


def test_each_step_of_a_session_is_measured_with_empty_caches() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.cold", "--rounds", "2"]  # it imports the package anew
    told = subprocess.run(
        command, cwd=cold.ROOT, capture_output=True, text=True, check=True, timeout=50
    ).stdout
    assert told.count("µs") == len(cold.STEPS)
