"""Two plots of a run: ``python plots.py table.json`` puts ``ratios.png`` and ``sessions.png`` beside it.

They are read on white pages and on black ones: the ground is transparent, all colours stand out from both.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

INK = "#7d8590"
OURS, OFFICIAL, RAW = "#2f81f7", "#e8833a", "#8b949e"
LONGEST = 1.6  # bars beyond it are cut, and say their number
NAMES = {"ours": "this package", "official": "official SDK", "raw": "raw websocket-client"}
COLOURS = {"ours": OURS, "official": OFFICIAL, "raw": RAW}

mpl.rcParams.update(
    {
        "font.size": 13,
        "font.family": "DejaVu Sans",
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "savefig.transparent": True,
        "savefig.dpi": 110,
    }
)


def ratios(table: dict[str, Any], place: Path) -> None:
    """Draw how the cost of each thing compares with both peers': 1 is theirs, shorter is better."""
    rows = [row for row in table["rows"] if {"official", "raw"} & set(row["ratios"]) and row["cost"]]
    if not rows:
        return
    rows.reverse()
    height = 0.36
    figure, axes = plt.subplots(figsize=(9.5, 0.62 * len(rows) + 1.4), layout="constrained")
    for offset, peer in ((height / 2, "official"), (-height / 2, "raw")):
        for place_of, row in enumerate(rows):
            ratio = row["ratios"].get(peer)
            if ratio is None:
                continue
            axes.barh(place_of + offset, min(ratio, LONGEST), height, color=COLOURS[peer])
            beside_the_line = 0.8 < ratio < 1.02
            axes.text(
                min(ratio, LONGEST) + (-0.015 if beside_the_line else 0.015),
                place_of + offset,
                f"{ratio:.2f}",
                va="center",
                ha="right" if beside_the_line else "left",
                fontsize=11,
                color="white" if beside_the_line else COLOURS[peer],
            )
    axes.axvline(1, color=INK, linewidth=1.5, linestyle=(0, (4, 3)))
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows])
    axes.set_xlim(0, LONGEST + 0.15)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlabel("cost of this package; the other's is 1")
    handles = [
        mpl.patches.Patch(color=COLOURS[peer], label=f"beside the {NAMES[peer]}")
        for peer in ("official", "raw")
    ]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.4, 1), ncols=2, frameon=False)
    figure.savefig(place)
    plt.close(figure)


def sessions(table: dict[str, Any], place: Path) -> None:
    """Draw cost and lateness against the number of sessions in a process."""
    tasks = {
        int(key.split("-")[1]): found for key, found in table["all"].items() if key.startswith("sessions-")
    }
    if not tasks:
        return
    counts = sorted(tasks)
    figure, (cost, late) = plt.subplots(1, 2, figsize=(9.5, 4.0), layout="constrained")
    for peer in ("official", "raw", "ours"):
        for axes, name, factor in ((cost, "cpu_us", 1.0), (late, "p99_us", 1e-3)):
            there = [count for count in counts if name in tasks[count].get(peer, {})]
            found = [tasks[count][peer][name] for count in there]
            style = {"color": COLOURS[peer], "label": NAMES[peer]}
            axes.plot(
                there, [f["median"] * factor for f in found], "o-", linewidth=2.2, markersize=6, **style
            )
            axes.fill_between(
                there,
                [f["low"] * factor for f in found],
                [f["high"] * factor for f in found],
                color=COLOURS[peer],
                alpha=0.18,
                linewidth=0,
            )
    for axes in (cost, late):
        axes.set_xscale("log")
        axes.set_xticks(counts, [f"{count:,}" for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("live sessions in a process")
        axes.grid(axis="y", color=INK, alpha=0.25)
    cost.set_ylim(bottom=0)
    cost.set_title("CPU per chunk of 100 ms, µs", fontsize=13, loc="left")
    late.set_yscale("log")
    late.set_title("a message reaches its handler, p99, ms", fontsize=13, loc="left")
    cost.legend(frameon=False)
    figure.savefig(place)
    plt.close(figure)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    content = json.loads(source.read_text(encoding="utf-8"))
    ratios(content, source.with_name("ratios.png"))
    sessions(content, source.with_name("sessions.png"))
