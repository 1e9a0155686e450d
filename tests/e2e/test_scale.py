"""The model of ten thousand streams: it agrees with what was measured, and says what its README prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "dask_many"

pytestmark = pytest.mark.e2e


def simulate(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "simulate.py", *words],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_model_agrees_with_what_was_measured_at_1_2_and_4_processes() -> None:
    assert simulate("--check").endswith("they agree\n")


def test_the_readme_prints_what_the_simulation_says() -> None:
    said, text = simulate(), (EXAMPLE / "README.md").read_text(encoding="utf-8")
    processes, busy, machines = re.search(
        r"each of (\d+) processes, each (\d+)% .* (\d+) machines", said
    ).groups()
    assert f"{processes} processes, {machines} machines" in text
    assert f"{busy} % of a core" in text
    for name, row in (("none", "without jitter"), ("full", "with it")):
        attempts, half, last, gave_up = re.search(
            rf"{name} +(\d+) +\d+ +([\d.]+) s +([\d.]+) s +\d+ MB +(\d+)", said
        ).groups()
        cells = f"| {row} | {int(attempts):,} | {float(half):.0f} s | {float(last):.0f} s |"
        assert cells in text
        assert re.search(rf"\| {row} .* \| {int(gave_up):,} \|", text)
