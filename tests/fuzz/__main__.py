"""Run one target, or all in turn, guided by coverage: ``python -m tests.fuzz [TARGET] [--seconds N]``.

It needs the package atheris, for CPython 3.11 and newer on Linux. A crash leaves its input in the corpus of
its target, as ``crash-...``: so the suite fails until it is mended, and keeps it as a test afterwards.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def fuzz(name: str, seconds: int, kept: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["speechmatics_rt", "tests.fuzz"]):
        from .targets import TARGETS
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    # One input may take 10 s, far more than a busy machine needs, and 1 GB.
    options = [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]
    atheris.Setup(
        ["fuzz", kept, str(folder), f"-artifact_prefix={folder}/", "-max_len=600", *options], TARGETS[name]
    )
    atheris.Fuzz()


def main() -> int:
    from .targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", nargs="?", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=900, help="for each target")
    parser.add_argument("--kept", help="a folder for all inputs that reach something new")
    asked = parser.parse_args()
    failed = 0
    for name in [asked.target] if asked.target else TARGETS:
        kept = Path(asked.kept or tempfile.mkdtemp()) / name
        kept.mkdir(parents=True, exist_ok=True)
        program = f"from tests.fuzz.__main__ import fuzz; fuzz({name!r}, {asked.seconds}, {str(kept)!r})"
        failed |= subprocess.run([sys.executable, "-c", program], check=False).returncode
    return failed


if __name__ == "__main__":
    sys.exit(main())
