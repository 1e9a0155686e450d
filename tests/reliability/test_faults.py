"""Each row of the table of faults, for real: the exact error or the whole transcript, in time, nothing left.

The short form, with the other tests, strikes a session a row, so that all ways to use a session are met over
the table. The long one, by ``tox -e reliability``, strikes them all.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable

import pytest

from speechmatics_rt.local import SessionRecord

from .faults import LINES, TABLE, Row, combinations, line_of, lines, pair, strike, words_of


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_fault_ends_as_promised_and_leaves_nothing(row: Row) -> None:
    how = chosen(row)
    assert strike(row, **how) == [], how


def test_a_word_came_before_a_fault_if_no_channel_was_read_as_far() -> None:
    def said(channel: str, word: str) -> dict[str, Any]:
        results = [{"type": "word", "alternatives": [{"content": word}]}]
        return {"message": "AddTranscript", "channel": channel, "results": results}

    def read(channel: str) -> dict[str, Any]:
        return {"message": "ChannelAudioAdded", "channel": channel}

    record = SessionRecord(0)
    record.add_sent(read("caller"), 0.0)
    record.add_sent(said("caller", "early"), 0.5)
    for at in range(5):
        record.add_sent(read("agent"), at / 2)
    record.add_sent(said("caller", "late"), 0.5)
    assert words_of(record, 2.0) == {"caller": (["early", "late"], ["early"])}


def chosen(row: Row) -> dict[str, Any]:
    return random.Random(row.name).choice(combinations(row))


def test_the_short_form_meets_every_way_to_use_a_session_often() -> None:
    every = {(name, value) for row in TABLE for how in combinations(row) for name, value in how.items()}
    met = Counter((name, value) for row in TABLE for name, value in chosen(row).items())
    assert min(met[each] for each in every) >= 5


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_every_fault_ends_as_promised_in_every_way_to_use_a_session(report) -> None:
    began, wrong, ran = time.monotonic(), [], Counter()
    for row in TABLE:
        for how in combinations(row):
            ran[how["way"]] += 1
            wrong += [f"{row.name}, {how}: {told}" for told in strike(row, **how)]
    took, ways = time.monotonic() - began, ", ".join(f"{way} {count}" for way, count in ran.items())
    report(
        "faults", f"{len(TABLE)} in {sum(ran.values())} sessions: {len(wrong)} not as promised, {took:.0f} s"
    )
    report("faults", f"by way of use: {ways}")
    assert wrong == []


def test_the_page_of_errors_says_of_each_row_what_is_promised() -> None:
    page = Path(__file__).parent.parent.parent / "examples" / "reference" / "errors.md"
    text = page.read_text(encoding="utf-8")
    assert "\n".join(lines()) in text, "python -m tests.reliability.faults prints it"
    assert [row.name for row in TABLE if not row.name.startswith(LINES[line_of(row)])] == []


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(row.name for row in TABLE).items() if count > 1] == []


def strike_pairs(seeds: range, report: Callable[[str, str], None]) -> list[str]:
    began, wrong = time.monotonic(), []
    for seed in seeds:
        rng = random.Random(seed)
        row = pair(rng)
        how = rng.choice([how for how in combinations(row) if not how["resume"]])
        wrong += [f"seed {seed}: {row.name}, {how}: {told}" for told in strike(row, **how)]
    took = time.monotonic() - began
    report(
        "pairs", f"{len(seeds)} sessions with two faults: {len(wrong)} not as the first decides, {took:.0f} s"
    )
    return wrong


def test_of_two_faults_the_first_decides(report) -> None:
    assert strike_pairs(range(20), report) == []


@pytest.mark.reliability
@pytest.mark.timeout(3600)
def test_of_two_faults_the_first_decides_in_two_thousand_sessions(report) -> None:
    assert strike_pairs(range(1000, 3000), report) == []
