"""Pictures of the command on a terminal, as it ran: ``python -m tests.cli.pictures examples/pictures``.

Each is one moment of a run on a pseudo terminal, as SVG.
"""

from __future__ import annotations

import re
import signal
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any

from .command import ROOT, SPEECH
from .terminal import OnTerminal, Terminal
from .test_microphone import Pulse

_WIDE, _HIGH, _MARGIN = 8.4, 19, 14  # pixels of a cell, and around all
_SPACE = "\u00a0"  # viewers join others
_PAPER, _INK = "#1d1f21", "#d8d8d8"
LIVE = ("--local", "--engine", "scripted", "--speed", "1", "--partials", "--diarization", "speaker")


class Painted(Terminal):
    """A terminal that knows the colour of each cell."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self.style = ""
        self.styles: dict[tuple[int, int], str] = {}

    def _obey(self, command: str, parameter: str) -> None:
        super()._obey(command, parameter)
        if command == "m":
            self.style = "" if parameter in ("", "0") else parameter

    def _take(self, character: str) -> None:
        super()._take(character)
        if character not in "\r\n":
            self.styles[self.row, self.column - 1] = self.style


def svg(terminal: Painted, command: str, rows: int) -> str:
    """Draw what is on the screen, beneath the command that was given."""
    lines = [[(each, "") for each in f"$ {command}"]]
    for number, line in enumerate(terminal.lines):
        lines.append([(each, terminal.styles.get((number, place), "")) for place, each in enumerate(line)])
    while lines and not "".join(each for each, _ in lines[-1]).strip():
        lines.pop()
    lines = [lines[0], *lines[1:][-(rows - 1) :]]
    columns = max(terminal.columns, len(lines[0]))
    wide, high = columns * _WIDE + 2 * _MARGIN, len(lines) * _HIGH + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high:.0f}" width="{wide:.0f}" '
        f'font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14">',
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
    ]
    for number, line in enumerate(lines):
        for place, text, style in runs(line):
            x, y = _MARGIN + place * _WIDE, _MARGIN + number * _HIGH + 14
            bold = ' font-weight="bold"' if style.startswith("1;") else ""
            wide = len(text) * _WIDE
            parts.append(
                f'<text x="{x:.1f}" y="{y}" fill="{colour(style)}"{bold} textLength="{wide:.1f}">'
                f"{escape(text).replace(' ', _SPACE)}</text>"
            )
    return "\n".join([*parts, "</svg>"]) + "\n"


def runs(line: list[tuple[str, str]]) -> list[tuple[int, str, str]]:
    """Join neighbours of one style; where each begins, its text, its style."""
    found: list[tuple[int, str, str]] = []
    for place, (character, style) in enumerate(line):
        if found and found[-1][2] == style and found[-1][0] + len(found[-1][1]) == place:
            found[-1] = (found[-1][0], found[-1][1] + character, style)
        else:
            found.append((place, character or " ", style))
    return [(place, text, style) for place, text, style in found if text.strip()]


def colour(style: str) -> str:
    """Give one of the 256 colours."""
    number = re.search(r"38;5;(\d+)", style)
    if number is None:
        return _INK
    index = int(number[1])
    if index >= 232:
        return "#" + f"{8 + 10 * (index - 232):02x}" * 3
    cube = [0, 95, 135, 175, 215, 255]
    red, green, blue = (cube[(index - 16) // size % 6] for size in (36, 6, 1))
    return f"#{red:02x}{green:02x}{blue:02x}"


def taken(command: str, *arguments: Any, until: str, columns: int = 84, rows: int = 14, **env: str) -> str:
    """Run it until the screen shows something, and draw that moment."""
    with OnTerminal(*arguments, columns=columns, rows=rows, **env) as running:
        running.terminal = Painted(columns, rows)
        running.until(until)
        return svg(running.terminal, f"speechmatics-rt {command}", rows)


def main(folder: Path) -> None:
    """Take all."""
    pictures = {
        "live": taken(
            "transcribe talk.wav --speed 1 --partials --diarization speaker",
            *("transcribe", SPEECH, *LIVE),
            until=r"the lamp[^\n]*\n[^\n]*━+─+ 0:1\d / 0:19",
        ),
        "narrow": taken(
            "transcribe talk.wav --speed 1 --partials",
            *("transcribe", SPEECH, *LIVE[:-2]),
            until=r"Norwich was[^$]*━+─+ 0:",
            columns=40,
        ),
        "error": taken(
            "transcribe talk.wav --lnguage de",
            *("transcribe", SPEECH, "--lnguage", "de"),
            until=r"error: .*\n",
            columns=96,
        ),
        "doctor": taken(
            "doctor --url wss://asr.example.invalid/v2",
            *("doctor", "--url", "wss://asr.example.invalid/v2"),
            until="not tried",
            columns=96,
        ),
    }
    with tempfile.TemporaryDirectory() as elsewhere:
        pulse = Pulse(Path(elsewhere))
        player = pulse.play(SPEECH)
        pictures["mic"] = taken(
            "transcribe mic --partials",
            *("transcribe", "mic", *LIVE[:3], "--partials"),
            until=r"Norwich was[^$]*━+─+ 0:",
            **pulse.env,
        )
        player.kill()
        pulse.process.terminate()
        player.wait()
        pulse.process.wait()
    for name, drawn in pictures.items():
        (folder / f"{name}.svg").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "examples" / "pictures")
