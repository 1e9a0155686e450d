"""What is drawn: text that grows, and beneath it, on a terminal, what changes in place."""

from __future__ import annotations

import io
import logging
import math
import os
import random
import re
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from dataclasses import replace
from typing import Optional

import pytest

from speechmatics_rt.cli.asked import asked
from speechmatics_rt.cli.options import parse
from speechmatics_rt.cli.show import ALERT, GREY, LIVE, Screen, below, ending_of, erased, meter, progress
from speechmatics_rt.cli.streams import Stream
from speechmatics_rt.cli.text.flow import Flow, Line, Token, plain
from speechmatics_rt.cli.view import View, progress_of, side_by_side, unanswered
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.stats import SessionStats
from speechmatics_rt.transcript import Word, width

from .command import SENTENCES, SPEECH, environment, in_words, said_by
from .terminal import OnTerminal, Terminal, in_terminal

unix = pytest.mark.skipif(os.name == "nt", reason="Windows has no pseudo-terminals like these")
WRAPPED = """\
S1: Good morning, and welcome to the
reading room.
S2: The train from Norwich was late, so
we begin at once.
S1: Was that the door?
S2: Nobody came in, but the lamp on the
stairs went out.
S1: Please keep your seats"""


@pytest.fixture(autouse=True)
def a_terminal_of_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw wherever these tests run: in CI nothing is drawn."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


class FakeTerminal(io.StringIO):
    """Two streams on one terminal."""

    def isatty(self) -> bool:
        return True


def words_of(text: str, speaker: str = "S1") -> list[Word]:
    return [
        Word(part.rstrip(".,"), n, n + 1, part, " " if n else "", is_eos=part.endswith("."), speaker=speaker)
        for n, part in enumerate(text.split())
    ]


# -- the flow of text --------------------------------------------------------------------------------------


def test_text_is_the_same_however_it_arrives() -> None:
    words = words_of("One two, three. Four five. Six", "S1") + words_of("Seven eight. Nine", "S2")
    whole = Flow()
    expected = plain([*whole.more(words), *whole.end()])
    assert expected == "S1: One two, three.\nFour five.\nSix\nS2: Seven eight.\nNine\n"
    for cut in range(len(words)):
        flow = Flow()
        parts = [*flow.more(words[:cut]), *flow.more(words[:cut]), *flow.more(words), *flow.end()]
        assert plain(parts) == expected


def test_a_mark_that_comes_later_continues_its_word_and_ends_the_line() -> None:
    flow = Flow()
    bare, marked = Word("Yes", 0, 1, "Yes"), Word("Yes", 0, 1, "Yes.", is_eos=True)
    after = Word("So", 1, 2, "So", " ")
    assert [plain(flow.more(words)) for words in ([bare], [marked], [marked, after])] == ["Yes", ".\n", "So"]


def test_words_without_delimiters_stand_together() -> None:
    words = [Word("你好", 0, 1, "你好、"), Word("世界", 1, 2, "世界。", is_eos=True)]
    assert plain(Flow().more(words)) == "你好、世界。\n"


def test_a_line_of_another_kind_waits_for_the_end_of_the_one_that_has_begun() -> None:
    flow = Flow()
    assert plain(flow.line(Line(0, "[music]"))) == "[music]\n"
    tokens = [*flow.more(words_of("One")), *flow.line(Line(2, "[fr] Un"))]
    assert plain([*tokens, *flow.more(words_of("One two. Three"))]) == "S1: One two.\n[fr] Un\nThree"
    assert plain(flow.end()) == "\n"


def on_channel(label: str, text: str, *, start: float = 0.0) -> list[Word]:
    """Words of 0.5 s, one after the other; a sentence ends at a full stop."""
    return [
        replace(word, channel=label, speaker=None, start_time=start + n / 2, end_time=start + n / 2 + 0.5)
        for n, word in enumerate(words_of(text))
    ]


def test_channels_are_given_in_order_of_time_sentence_by_sentence_however_they_arrive() -> None:
    left = on_channel("left", "One two three four. Five six. Seven eight.")
    right = on_channel("right", "Alpha beta. Gamma delta epsilon.", start=0.2)
    lines = [Line(2.0, "[fr] Un"), Line(0.0, "[music]"), Line(9.0, "[fr] Sept")]
    expected = (
        "[music]\nleft: One two three four.\nright: Alpha beta.\nGamma delta epsilon.\n"
        "left: Five six.\nSeven eight.\n[fr] Sept\n"
    )
    assert Flow.whole([left, right]) == re.sub(r"(?m)^\[.*\n", "", expected)
    random.seed(3)
    for _ in range(200):
        flow, given, one, two = Flow(), [], 0, 0
        given += [*flow.line(lines[1])]
        while one < len(left) or two < len(right):
            one = min(len(left), one + random.randint(0, 3))
            two = min(len(right), two + random.randint(0, 3))
            heard = [words[-1].end_time if words else 0.0 for words in (left[:one], right[:two])]
            given += flow.more(left[:one], right[:two], heard=heard)
        given += [*flow.line(lines[2]), *flow.end()]
        assert plain(given) == expected
    assert Flow.whole([left, right], lines) == expected.replace("left: Five", "[fr] Un\nleft: Five")


def test_a_word_waits_for_a_channel_that_may_have_an_earlier_one_and_no_longer() -> None:
    left, right = on_channel("left", "Yes.", start=5.0), on_channel("right", "Well then.", start=3.0)
    flow = Flow(patience=10)
    assert plain(flow.more(left, [], heard=[5.5, 2.9])) == ""
    assert flow.held(0) == "Yes."
    assert plain(flow.more(left, right[:1], heard=[5.5, 3.5])) == "right: Well"
    assert (flow.continues(1), flow.held(0)) == (True, "Yes.")
    assert plain(flow.more(left, right, heard=[5.5, 5.0])) == " then.\n"  # may begin another at once
    assert plain(flow.more(left, right, heard=[5.5, 5.1])) == "left: Yes.\n"
    late = Flow(patience=10)
    assert plain(late.more(left, [], heard=[15.0, 2.9])) == "left: Yes.\n"  # it is silent for who knows why


def test_a_channel_that_falls_silent_in_mid_sentence_does_not_hold_the_others_up() -> None:
    left, right = on_channel("left", "Well"), on_channel("right", "Yes. So then", start=1.0)
    flow = Flow()
    assert plain(flow.more(left, right, heard=[1.5, 2.5])) == "left: Well"  # it may go on
    assert (flow.continues(0), flow.held(1)) == (True, "Yes. So then")
    assert plain(flow.more(left, right, heard=[1.6, 2.5])) == "\nright: Yes.\nSo then"
    more = [*left, *on_channel("left", "now.", start=5.0)]
    assert plain(flow.more(more, right, heard=[5.5, 5.1])) == "\nleft: now.\n"
    assert plain(flow.end()) == ""


def test_live_text_of_several_channels_costs_what_is_new_however_long_they_speak() -> None:
    arguments = parse(["transcribe", f"--channel=a={SPEECH}", f"--channel=b={SPEECH}"])
    out = Stream(io.StringIO(), "standard output", vital=True)
    taken: list[float] = []
    with View(arguments, asked(arguments), Screen(out, out, live=False), out) as view:
        for number in range(40_000):
            word = {"type": "word", "start_time": number, "alternatives": [{"content": "so"}]}
            message = {"message": "AddTranscript", "metadata": {"end_time": number}, "results": [word]}
            began = time.thread_time()
            view.take({**message, "channel": "ab"[number % 2]})
            taken.append(time.thread_time() - began)
    assert statistics.median(taken[-500:]) < 3 * statistics.median(taken[500:1000])


def test_every_colour_is_readable_on_black_and_on_white() -> None:
    def light(value: int) -> float:
        return value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4

    def luminance(colour: int) -> float:
        levels = (0, 95, 135, 175, 215, 255)
        red, green, blue = (levels[(colour - 16) // place % 6] for place in (36, 6, 1))
        if colour >= 232:
            red = green = blue = 8 + 10 * (colour - 232)
        return 0.2126 * light(red) + 0.7152 * light(green) + 0.0722 * light(blue)

    flow = Flow()
    styles = [flow.style(f"S{n}") for n in range(6)]
    assert len(set(styles)) == 6
    assert flow.style("S0") == flow.style("S6") == styles[0]  # and always the same one
    for style in (*styles, GREY, LIVE, ALERT):
        there = luminance(int(style.rpartition(";")[2]))
        assert 1.05 / (there + 0.05) > 4, style  # on white
        assert (there + 0.05) / 0.05 > 4, style  # on black


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ((0, None, 0, 0.0), "0:00  lag 0.0 s"),
        ((12.4, 19.4, 6.2, 0.84), "0:12 / 0:19  2.0x  lag 0.8 s"),
        ((3700, None, 3700, None), "1:01:40  1.0x"),
    ],
)
def test_progress_is_in_audio_time(figures, text: str) -> None:
    assert plain(progress(*figures, columns=28)) == text  # no room for a bar


@pytest.mark.parametrize("columns", range(12, 100))
def test_a_narrow_row_leaves_out_whole_figures(columns: int) -> None:
    rows = [
        progress(12.4, 3719.4, 1.2, 0.84, columns=columns),
        meter(-30.0, 0.0, 12.4, 0.84, columns=columns),
    ]
    for row, figures in zip(rows, ("0:12 / 1:01:59  10.3x  lag 0.8 s", "0:12  lag 0.8 s")):
        text = plain(row)
        assert width(text) <= max(columns, width(figures.split("  ")[0]))
        left = text.lstrip("━─ ")
        assert left == figures or figures.startswith(left + "  ")


# -- what is drawn in place ----------------------------------------------------------------------------------


def test_what_is_drawn_leaves_the_cursor_where_it_was_and_the_text_untouched() -> None:
    random.seed(1)
    alphabet = ["and", "extraordinarily", "世界", "a", "naïve", "so-called", "x" * 45]
    for _ in range(300):
        terminal = Terminal(columns=random.randint(24, 50), rows=8)
        text = "word " * random.randint(0, 4)
        terminal.feed("\r\n" * random.randint(0, 9) + text)
        before = (terminal.text, terminal.row, terminal.column)
        partial = " ".join(random.choices(alphabet, k=random.randint(0, 20)))
        drawing = below(
            partial, [[Token("0:12 / 0:19")]], column=len(text), columns=terminal.columns, colour=False
        )
        terminal.feed(drawing)
        assert (terminal.row, terminal.column) == before[1:]
        assert terminal.text.startswith(before[0].rstrip())
        assert terminal.text.endswith("0:12 / 0:19")
        assert all(width("".join(line)) < terminal.columns for line in terminal.lines)
        assert terminal.feed(erased(len(text))).text == before[0]
        assert (terminal.row, terminal.column) == before[1:]


def test_a_screen_shows_text_as_it_is_whatever_is_drawn_between() -> None:
    random.seed(2)
    stream = FakeTerminal()
    screen = Screen(stream, stream, live=True)
    flow, words = Flow(), words_of("Some words of a talk, that goes on. " * 12)
    for count in range(0, len(words) + 1, 3):
        screen.write(flow.more(words[:count]))
        screen.draw("what is said now " * random.randint(0, 12), [[Token("0:01")]])
    screen.clear()
    screen.write(flow.end())
    terminal = Terminal(columns=80).feed(stream.getvalue().replace("\n", "\r\n").replace("\r\r", "\r"))
    assert terminal.text == "S1: " + "\n".join(["Some words of a talk, that goes on."] * 12)


def test_a_note_does_not_hide_in_a_line_that_has_begun() -> None:
    stream = FakeTerminal()
    screen = Screen(stream, stream, live=True)
    screen.write([Token("One two")])
    screen.draw("three", [[Token("0:01")]])
    screen.note("warning: mind the gap")
    screen.write([Token("three.")])
    text = Terminal().feed(stream.getvalue().replace("\n", "\r\n").replace("\r\r", "\r")).text
    assert text == "One two\nwarning: mind the gap\nthree."


def test_what_is_logged_meanwhile_stands_on_lines_of_its_own() -> None:
    stream = FakeTerminal()
    screen = Screen(stream, stream, live=True)
    package = logging.getLogger("speechmatics_rt")
    handler = logging.StreamHandler(stream)
    package.addHandler(handler)
    try:
        with screen.with_log():
            screen.write([Token("One two")])
            screen.draw("three", [[Token("0:01")]])
            package.warning("odd")
            screen.draw("three", [[Token("0:02")]])
            screen.write([Token("three.")])
        assert handler.stream is stream
    finally:
        package.removeHandler(handler)
    text = Terminal().feed(stream.getvalue().replace("\n", "\r\n").replace("\r\r", "\r")).text
    assert text == "One two\nodd\nthree."


def test_the_end_of_a_text_begins_with_a_whole_word() -> None:
    text = "the lamp on the stairs 世界 went out"
    for columns in range(10, 50):
        end = ending_of(text, columns)
        assert width(end) <= columns
        assert end == text or (end.startswith("… ") and text.endswith(" " + end[2:]))


# -- on a real terminal ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    with LocalServer() as running:
        yield running


@unix
def test_a_terminal_ends_with_the_text_alone_coloured_by_speaker(server) -> None:
    code, received = in_terminal(
        "transcribe",
        SPEECH,
        "--url",
        server.url,
        "--partials",
        "--diarization",
        "speaker",
        "--speed",
        "30",
        columns=40,
        rows=6,
    )
    terminal = Terminal(40, 6).feed(received)
    assert (code, terminal.text) == (0, WRAPPED)
    assert {"1;38;5;30", "1;38;5;130", "38;5;243", "0"} == terminal.colours - {"38;5;28"}


@unix
@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux, of which Terminal does as much")
def test_tmux_keeps_nothing_of_what_was_drawn_above_the_text(server) -> None:
    with tempfile.TemporaryDirectory() as place:  # with a short name, as those of sockets have to be
        tmux = ["tmux", "-S", f"{place}/s", "-f", os.devnull]
        command = shlex.join(["transcribe", str(SPEECH), "--url", server.url, "--partials", "--speed", "20"])
        line = f"clear; {in_words(anew=True)} {command}; {shlex.join(tmux)} wait-for -S over; cat"
        subprocess.run([*tmux, "new", "-d", "-x", "80", "-y", "24", line], env=environment(), check=True)
        try:
            subprocess.run([*tmux, "wait-for", "over"], check=True, timeout=50)
            shown = subprocess.run(
                [*tmux, "capture-pane", "-p", "-S", "-500"], capture_output=True, check=True, text=True
            )
        finally:
            subprocess.run([*tmux, "kill-server"], check=True)
    assert shown.stdout.split("\n")[:5] == SENTENCES
    assert shown.stdout.split() == " ".join(SENTENCES).split()


@unix
def test_on_the_way_a_terminal_shows_the_partial_and_the_progress(server) -> None:
    _, received = in_terminal(
        "transcribe", SPEECH, "--url", server.url, "--partials", "--speed", "30", columns=70
    )
    terminal = Terminal(70)
    seen = [terminal.feed(part).text.splitlines()[-2:] for part in received.split("\x1b[J")]
    partials = [lines[0] for lines in seen if len(lines) == 2 and " / 0:19" in lines[1]]
    assert SENTENCES[0][:20] in "\n".join(partials)
    assert any("lag" in lines[-1] and "━" in lines[-1] for lines in seen if lines)


@unix
def test_a_terminal_says_what_is_waited_for_until_there_is_something_to_show(server, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with OnTerminal("transcribe", tmp_path / "pipe", "--url", server.url, columns=200) as running:
        running.until(f"^waiting for audio from '{tmp_path}/pipe' ...$")
        (tmp_path / "pipe").write_bytes(SPEECH.read_bytes())
        assert running.finish()[0] == 0
    assert "waiting for audio" not in running.terminal.feed(running.received[running._fed :]).text
    _, received = in_terminal("transcribe", SPEECH, "--url", server.url)
    assert "connecting ..." in Terminal().feed(received.split("\x1b[J")[1]).text
    _, received = in_terminal("transcribe", SPEECH, "--url", server.url, "--no-progress")
    assert "connecting" not in received


@unix
def test_a_terminal_shows_that_nothing_comes_from_the_service() -> None:
    faults = [Fault.silence(after_seconds=2)]
    with (
        LocalServer(speed=4, faults=faults) as deaf,
        OnTerminal("transcribe", SPEECH, "--url", deaf.url, "--speed", "2", columns=80) as running,
    ):
        screen = running.until("no answer for [56] s")
        assert re.search(r"0:0\d / 0:19  0\.\dx  lag \d\.\d s  no answer", screen)
        running.process.send_signal(signal.SIGINT)
        running.until("stopping")


def test_only_audio_that_was_not_acknowledged_waits_for_an_answer() -> None:
    assert plain(unanswered(SessionStats(silence=12.4, unacknowledged_frames=1))) == "  no answer for 12 s"
    for stats in (SessionStats(silence=12.4), SessionStats(silence=4.9, unacknowledged_frames=1)):
        assert unanswered(stats) == []


@unix
def test_without_partials_only_finals_and_the_progress_are_shown(server) -> None:
    in_terminal("transcribe", SPEECH, "--url", server.url)
    assert not server.sessions[-1].said("AddPartialTranscript")


@unix
def test_text_in_a_pipe_and_the_progress_on_the_terminal(server, tmp_path) -> None:
    code, received = in_terminal(
        "transcribe", SPEECH, "--url", server.url, "-o", tmp_path / "talk.txt", streams=("stderr",)
    )
    assert code == 0
    assert "0:19 / 0:19" in received
    assert Terminal().feed(received).text == ""
    assert (tmp_path / "talk.txt").read_text().splitlines() == SENTENCES


@unix
@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"CI": "true"}])
def test_no_colours_where_they_are_not_wanted(server, env: dict[str, str]) -> None:
    _, received = in_terminal("transcribe", SPEECH, "--url", server.url, "--diarization", "speaker", **env)
    terminal = Terminal().feed(received)
    assert not terminal.colours
    assert terminal.text.startswith("S1: Good morning")
    assert ("\x1b" in received) == ("NO_COLOR" in env)


@pytest.mark.skipif(sys.platform == "win32", reason="no terminal of Windows sets TERM")
@pytest.mark.parametrize("term", ["dumb", None])
def test_a_terminal_that_is_not_known_to_obey_gets_plain_text(
    term: Optional[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TERM")
    if term is not None:
        monkeypatch.setenv("TERM", term)
    terminal = FakeTerminal()
    screen = Screen(terminal, terminal, live=True)
    screen.draw("was that", [])
    screen.write([Token("Was that the door?", GREY)])
    assert terminal.getvalue() == "Was that the door?"


@unix
def test_a_warning_of_the_service_is_told_on_stderr(server) -> None:
    words = ["--vocab", "one two three four five six seven eight"]
    _, received = in_terminal("transcribe", SPEECH, "--url", server.url, *words)
    assert "speechmatics-rt: warning: " in Terminal(200).feed(received).text


@unix
def test_channels_have_their_labels_and_a_row_each_for_what_is_not_final(server) -> None:
    channels = ("--channel", f"left={SPEECH}", "--channel", f"right={SPEECH}")
    options = ("--url", server.url, "--partials", "--speed", "20")
    with OnTerminal("transcribe", *channels, *options, columns=70) as running:
        screen = running.until(r"(?m)^(left|right): (?!Good).*\n(left|right): .*\n.* / 0:19.*x  lag ")
        assert screen.count("\n") >= 2
        code, received = running.finish()
    assert code == 0
    assert said_by(Terminal(70).feed(received).text) == dict.fromkeys(("left", "right"), " ".join(SENTENCES))
    assert "0:19 / 0:19" in received


def test_of_channels_that_flow_side_by_side_the_longest_tells_how_far_they_are() -> None:
    random.seed(3)
    for _ in range(300):
        ends = [random.choice([random.uniform(0.1, 60), None]) for _ in range(random.randint(1, 4))]
        reached = random.uniform(0, max(end or 90 for end in ends))
        total = sum(min(reached, end or math.inf) for end in ends)
        assert side_by_side(total, ends) == pytest.approx(reached)


@unix
def test_channels_of_unequal_length_show_no_false_progress(server, tmp_path) -> None:
    with wave.open(str(SPEECH)) as speech, wave.open(str(tmp_path / "short.wav"), "wb") as short:
        short.setparams(speech.getparams())
        short.writeframes(speech.readframes(16000 * 5))
    channels = ("--channel", f"long={SPEECH}", "--channel", f"short={tmp_path / 'short.wav'}")
    options = ("--url", server.url, "--speed", "8", "-o", tmp_path / "out")
    most = []
    for _ in range(3):
        code, received = in_terminal("transcribe", *channels, *options, columns=70)
        shown = re.findall(r" / 0:19  ([\d.]+)x  lag [\d.]+ s", received)
        assert code == 0
        assert len(shown) > 5
        most.append(max(map(float, shown)))
        if most[-1] < 9:  # a busy machine may stand still between the audio's beginning and the clock's
            break
    # It may be behind the pace on a busy machine, and never ahead of it (but for what the window holds).
    assert min(most) < 9


def test_the_lag_of_channels_is_that_of_the_one_furthest_behind_and_not_of_one_that_has_ended() -> None:
    stats = SessionStats(
        seconds_sent=17.0,
        seconds_acknowledged=15.0,
        seconds_transcribed=9.5,
        seconds_total=20.0,
        lag=2.5,
        frames_sent=1,
    )
    assert plain(progress_of(stats, [20.0, 5.0], 10.0)).lstrip("━─ ") == "0:10 / 0:20  1.0x  lag 2.5 s"
    assert plain(progress_of(stats, [None, 5.0], 10.0)).lstrip("━─ ") == "0:10  1.0x  lag 2.5 s"
    assert plain(progress_of(stats, [20.0], 10.0)).lstrip("━─ ") == "0:15 / 0:20  1.5x  lag 5.5 s"


@unix
def test_a_header_that_announces_too_little_shows_no_end(server, tmp_path) -> None:
    with wave.open(str(SPEECH)) as speech, wave.open(str(tmp_path / "crashed.wav"), "wb") as crashed:
        crashed.setparams(speech.getparams())
        crashed.writeframes(speech.readframes(16000))
        rest = speech.readframes(speech.getnframes())
    with open(tmp_path / "crashed.wav", "ab") as file:
        file.write(rest)
    options = ("--url", server.url, "--speed", "8", "-o", tmp_path / "out")
    code, received = in_terminal("transcribe", tmp_path / "crashed.wav", *options, columns=70)
    assert code == 0
    shown = re.findall(r"0:(\d\d)  ([\d.]+)x  lag", received)  # without a total
    assert max(int(seconds) for seconds, _ in shown) > 10
    assert not re.search(r"0:\d\d / 0:01  [\d.]+x", received)
