"""Tests that share what is dear are run by one worker, and what they are called is there."""

from __future__ import annotations

from pathlib import Path

from . import groups
from .groups import group_of, turn_of

HERE = Path(__file__).parent


def test_what_shares_something_is_one_group_and_all_else_goes_alone() -> None:
    whisper = "tests/local/whisper/test_whisper.py"
    assert group_of(f"{whisper}::test_a[x-1]") == group_of(f"{whisper}::test_b") == whisper
    assert group_of("tests/config/test_config.py::test_a") == "tests/config/test_config.py"
    client = "tests/interop/test_interop.py::test_a[some frames, and more-{}]"
    assert group_of(client.format("plain")) != group_of(client.format("official"))
    assert group_of(client.format("plain")) == group_of(client.format("plain").replace("frames", "bytes"))
    page = "tests/e2e/test_flask_live.py"
    assert group_of(f"{page}::test_a") == group_of(f"{page}::test_b[dark]") == page
    assert group_of(f"{page}::test_c[gevent]") == group_of(f"{page}::test_d[gevent]") != page
    assert group_of("tests/test_locks.py::test_a[ws]") == "tests/test_locks.py::test_a[ws]"


def test_what_takes_long_is_known_with_all_its_parameters() -> None:
    long = turn_of("tests/reliability/test_long_time.py::test_a")
    assert long is not None
    assert turn_of("tests/test_examples.py::test_captions_are_written_and_those_of_a_broken_session_too")
    drops = "tests/cli/test_transcribe.py::test_drop_every_shows_that_no_word_is_lost_over_broken_connections"
    assert turn_of(f"{drops}[7.5-3-1]")
    assert turn_of("tests/cli/test_transcribe.py::test_captions") is None
    forks = turn_of("tests/session/test_moments.py::test_ten_thousand_moments[forks-3]")
    assert forks is not None
    assert forks < long


def test_what_they_are_called_is_there() -> None:
    named = {*groups._PURE, *groups._DEAR, groups._CLIENTS, *groups._LASTING}
    for name in sorted(named):
        path, _, test = name.partition("::")
        assert (HERE / path).exists(), name
        assert not test or f"def {test}(" in (HERE / path).read_text(encoding="utf-8"), name
