"""Compare clients in alternating rounds: ``python tests/benchmarks/run.py [--rounds N] [--tls]``.

Prints the median of each figure and the ratios to the reference clients; ratios are what counts, since
machines drift.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CLIENTS = {
    "upload": ("ours", "raw", "official"),
    "transcribe": ("ours", "official"),
    "dispatch": ("ours", "raw", "official"),
    "stream": ("ours",),
    "live": ("ours", "raw", "official"),
    "setup": ("ours", "official"),
    "memory": ("ours", "official"),
    "import": ("ours", "official"),
}


def certificate(folder: Path) -> tuple[str, str]:
    import trustme

    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = ca.issue_cert("127.0.0.1", "localhost")
    server.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    return str(folder / "server.pem"), str(folder / "ca.pem")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--task", choices=CLIENTS, action="append")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pem, ca = certificate(Path(folder)) if options.tls else ("-", "")
        with subprocess.Popen(
            [sys.executable, str(HERE / "sink.py"), pem],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as sink:
            assert sink.stdout is not None
            url = f"{'wss' if options.tls else 'ws'}://127.0.0.1:{sink.stdout.readline().strip()}/v2"
            for task in options.task or CLIENTS:
                measure(task, url, [ca] if ca else [], options.rounds)
            sink.terminate()


def measure(task: str, url: str, ca: list[str], rounds: int) -> None:
    figures: dict[str, list[dict]] = {client: [] for client in CLIENTS[task]}
    for _ in range(rounds):
        for client, found in figures.items():
            command = [sys.executable, str(HERE / "peers.py"), task, client, url, *ca]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{task} {client}: {done.stderr}")
            found.append(json.loads(done.stdout))
    for name in figures["ours"][0]:
        medians = {client: statistics.median(f[name] for f in found) for client, found in figures.items()}
        report(task, name, medians)


def report(task: str, name: str, medians: dict[str, float]) -> None:
    what = {"cpu_us": "us CPU", "wall_us": "us wall", "p50_us": "us p50", "p99_us": "us p99"}[name]
    if task == "memory":
        if name != "cpu_us":
            return
        what = "kB resident"
    for client, median in medians.items():
        ratio = f"ours/{client} {medians['ours'] / median:.2f}" if client != "ours" else ""
        print(f"{task:11} {client:9} {median:10.1f} {what:12} {ratio}", flush=True)


if __name__ == "__main__":
    main()
