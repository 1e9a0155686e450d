"""Compare this package with its peers: ``python tests/benchmarks/run.py``, or ``tox -e benchmarks``.

Every client runs in a process and an environment of its own against the same sink, in alternating rounds. The
table is printed and, with all figures as JSON and two plots, written to ``tests/benchmarks/results``. That
takes half an hour; ``--short`` only tries whether it works, in a minute, with figures that mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.benchmarks.environments import python_of
from tests.benchmarks.figures import BUSY, OTHERS, Figure, Measured, alternated, doubts, render, result
from tests.benchmarks.peers.material import SCALES
from tests.benchmarks.rows import LABELS, ROWS, TASKS, Task

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATIENCE = 120  # seconds for one process; who needs more has got lost in its threads
SCRIPTS = {"ours-fast": "ours", "floor-orjson": "floor"}  # the same program in another environment


class Sink:
    """The server's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        where = json.loads(self._line())
        self.ca = where["ca"]
        self._ports = where

    def url(self, tls: bool) -> str:
        scheme = "wss" if tls else "ws"
        return f"{scheme}://127.0.0.1:{self._ports[scheme]}/v2"

    def report(self) -> dict[str, Any]:
        """Return what it has seen since the last report."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._line())
        return found

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


class Bench:
    """All that a measurement needs: environments, a sink, how much, and which tree is ours."""

    def __init__(self, home: Path, scale: str, tree: Path) -> None:
        self.home = home
        self.scale = scale
        self.tree = tree
        self.remarks: list[str] = []

    @contextmanager
    def sink(self) -> Iterator[Sink]:
        command = [python_of("sink", self.home), "-m", "peers.sink"]
        with subprocess.Popen(
            command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._variables()
        ) as process:
            try:
                yield Sink(process)
            finally:
                assert process.stdin is not None
                process.stdin.close()

    def _variables(self) -> dict[str, str]:
        """Return this process's variables without those that speak to Python or to a client."""
        foreign = re.compile("^PYTHON|^SPEECHMATICS_|^SM_|_proxy$", re.IGNORECASE)
        kept = {name: value for name, value in os.environ.items() if not foreign.search(name)}
        return {**kept, "PYTHONUTF8": "1", "PYTHONPATH": str(self.tree)}

    def once(self, task: Task, peer: str, sink: Sink) -> Optional[dict[str, float]]:
        """Have one client do one task; None, with a remark, if it could not."""
        script = f"peers.{SCRIPTS.get(peer, peer)}"
        command = [python_of(peer, self.home), "-m", script, task.name, sink.url(task.tls), self.scale]
        elsewhere = _others()
        try:
            done = subprocess.run(
                command,
                cwd=HERE,
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE,
                env={**self._variables(), "SSL_CERT_FILE": sink.ca},
            )
        except subprocess.TimeoutExpired:
            sink.report()
            return self._failed(task, peer, f"took longer than {PATIENCE} s")
        seen = sink.report()
        if done.returncode:
            return self._failed(task, peer, (done.stderr.strip() or "no word").splitlines()[-1])
        told = json.loads(done.stdout)
        ours = peer.startswith("ours")
        figures: dict[str, float] = {
            name: value for name, value in told.items() if name not in ("audio", "seen", "count", "chunks")
        }
        wrong = doubts(told, seen, messages=SCALES[self.scale].messages, ours=ours)
        if wrong:
            raise SystemExit(f"{task.key}, {LABELS[peer]}: {'; '.join(wrong)}")
        figures["sink_busy"] = seen["cpu"] / seen["wall"] if seen["wall"] else 0.0
        figures.update(elsewhere(told, seen))
        return figures

    def _failed(self, task: Task, peer: str, why: str) -> None:
        self.remarks.append(f"{task.key}, {LABELS[peer]}: failed: {why}")
        print(f"  {self.remarks[-1]}", file=sys.stderr, flush=True)

    def measure(self, task: Task, sink: Sink, rounds: int) -> dict[str, dict[str, Figure]]:
        """Return each peer's figures of all rounds."""
        values: dict[str, dict[str, list[float]]] = {peer: defaultdict(list) for peer in task.peers}
        failed: set[str] = set()  # nobody is asked again for what he could not do
        for _, peer in alternated(task.peers, rounds):
            told = None if peer in failed else self.once(task, peer, sink)
            if told is None:
                failed.add(peer)
            for name, value in (told or {}).items():
                values[peer][name].append(value)
        found = {
            peer: {name: Figure.of(several) for name, several in figures.items()}
            for peer, figures in values.items()
        }
        for peer, figures in found.items():
            if "others_busy" in figures and figures["others_busy"].median > OTHERS:
                share = f"{figures['others_busy'].median:.0%}"
                self.remarks.append(f"{task.key}, {LABELS[peer]}: others took {share} of the machine")
            if "sink_busy" in figures and figures["sink_busy"].median > BUSY:
                share = f"{figures['sink_busy'].median:.0%}"
                self.remarks.append(f"{task.key}, {LABELS[peer]}: the sink was busy {share} of the time")
        return found


def _others() -> Any:
    """Begin to watch the machine; what is returned tells which part of it all other processes took."""

    def busy() -> Optional[tuple[float, float]]:
        try:
            with open("/proc/stat") as stat:
                ticks = [int(field) for field in stat.readline().split()[1:9]]
        except OSError:
            return None
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), sum(ticks)

    began, mine = busy(), os.times()

    def end(told: dict[str, Any], seen: dict[str, Any]) -> dict[str, float]:
        ended, now = busy(), os.times()
        if began is None or ended is None or ended[1] == began[1]:
            return {}
        children = now.children_user + now.children_system - mine.children_user - mine.children_system
        all_of_it = (ended[1] - began[1]) / os.sysconf("SC_CLK_TCK")
        return {"others_busy": max(0.0, ended[0] - began[0] - children - seen["cpu"]) / all_of_it}

    return end


def machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
    }


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each client has its turn (5)")
    parser.add_argument("--short", action="store_true", help="only try whether it works")
    parser.add_argument("--task", action="append", help="such as upload or sessions-100; may be repeated")
    parser.add_argument("--tree", type=Path, default=ROOT, help="another checkout of this package")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="where to write to")
    parser.add_argument(
        "--environments", type=Path, default=ROOT / ".tox" / "benchmark-peers", help="where the clients are"
    )
    options = parser.parse_args(arguments)
    tasks = [task for task in TASKS if not options.task or task.names & set(options.task)]
    if options.short:
        tasks = [task for task in tasks if task.name not in ("sessions-300", "sessions-1000")]
        options.rounds = 1
    bench = Bench(options.environments, "short" if options.short else "full", options.tree.resolve())
    measured: Measured = {}
    with bench.sink() as sink:
        for peer in dict.fromkeys(peer for task in tasks for peer in task.peers):
            if not peer.startswith("floor"):
                bench.once(Task("import", (peer,)), peer, sink)  # the first compiles
        for task in tasks:
            measured[task.key] = bench.measure(task, sink, options.rounds)
            print(render([result(row, measured) for row in ROWS if row.task == task.key]), "\n", flush=True)
    results = [result(row, measured) for row in ROWS if row.task in measured]
    return report(bench, results, measured, options)


def report(
    bench: Bench, results: list[dict[str, Any]], measured: Measured, options: argparse.Namespace
) -> int:
    """Print the table, and write all of it down."""
    short_of = [found["title"] for found in results if found["met"] is False]
    table = render(results)
    print(table)
    for remark in dict.fromkeys(bench.remarks):
        print(f"- {remark}")
    print(f"\n{len(short_of)} of {sum(found['met'] is not None for found in results)} goals are not met")
    options.results.mkdir(parents=True, exist_ok=True)
    written = {
        "measured": datetime.date.today().isoformat(),
        "machine": machine(),
        "rounds": options.rounds,
        "scale": bench.scale,
        "remarks": list(dict.fromkeys(bench.remarks)),
        "rows": results,
        "all": {
            key: {
                peer: {name: figure._asdict() for name, figure in figures.items()}
                for peer, figures in peers.items()
            }
            for key, peers in measured.items()
        },
    }
    place = options.results / "table.json"
    place.write_text(json.dumps(_rounded(written), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (options.results / "table.md").write_text(table + "\n", encoding="utf-8")
    subprocess.run([python_of("plots", bench.home), HERE / "plots.py", place], check=True)
    return 0


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    raise SystemExit(main())
