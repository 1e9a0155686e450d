"""What tests measure arrives in one report, from other processes and from tests that fail too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = """
    import pytest

    @pytest.mark.parametrize("number", range(3))
    def test_that_tells(report, number):
        report("words", f"run {number}: 0 missing")

    def test_that_fails_after_it_told(report):
        report("faults", "1 not as promised")
        assert not "as promised"

    def test_of_a_new_subject(report):
        report("weather", "3 degrees")
"""


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the others take longer than all the tests


@pytest.mark.parametrize("workers", ["0", "2"])
def test_every_line_is_told_once_by_subject_in_a_fixed_order(pytester, workers) -> None:
    source = (Path(__file__).parent / "report.py").read_text(encoding="utf-8")
    pytester.makepyfile(test_told=TESTS, report_of=source)
    pytester.makeconftest("from report_of import pytest_terminal_summary, report")
    ran = pytester.runpytest_subprocess("-p", "xdist", "-n", workers)
    ran.assert_outcomes(passed=4, failed=1)
    _, _, shown = ran.stdout.str().partition("what the tests measured")
    lines = [re.sub(r" {2,}", " | ", line) for line in shown.splitlines()[1:6]]
    assert lines == [
        "faults | 1 not as promised",
        "words | run 0: 0 missing",
        " | run 1: 0 missing",
        " | run 2: 0 missing",
        "weather | 3 degrees",
    ]


def test_who_tells_nothing_sees_nothing_of_it(pytester) -> None:
    source = (Path(__file__).parent / "report.py").read_text(encoding="utf-8")
    pytester.makepyfile(test_told="def test_one(): pass", report_of=source)
    pytester.makeconftest("from report_of import pytest_terminal_summary, report")
    ran = pytester.runpytest_subprocess()
    assert "measured" not in ran.stdout.str()
