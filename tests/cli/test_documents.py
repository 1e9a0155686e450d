"""Several forms of one transcript: which files, and what is in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import srt

from speechmatics_rt.cli.options.values import forms
from speechmatics_rt.cli.outputs.tables import tsv_text
from speechmatics_rt.local import LocalServer
from speechmatics_rt.transcript import Transcript

from ..held import HeldEngine
from .command import LOCAL, SENTENCES, SPEECH, in_shell, run, start

TEXT = "\n".join(SENTENCES) + "\n"
NAME = SPEECH.stem


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_several_formats_are_files_named_after_the_audio(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    code, out, err = run(
        "transcribe", SPEECH, *LOCAL, "-f", "txt,srt,json,jsonl,vtt,tsv", "--output-dir", folder
    )
    assert (code, out) == (0, "")
    assert f"wrote {folder}/{NAME}.txt, " in err
    assert names(folder) == {f"{NAME}.{end}" for end in ("txt", "srt", "json", "jsonl", "vtt", "tsv")}
    assert (folder / f"{NAME}.txt").read_text() == TEXT
    whole = json.loads((folder / f"{NAME}.json").read_text())
    assert Transcript.from_dict(whole).text == " ".join(SENTENCES)
    assert (folder / f"{NAME}.jsonl").read_text().count("\n") > 5
    assert (folder / f"{NAME}.vtt").read_text().startswith("WEBVTT\n")
    rows = [line.split("\t") for line in (folder / f"{NAME}.tsv").read_text().splitlines()]
    assert rows[0] == ["start", "end", "speaker", "text"]
    assert [row[3] for row in rows[1:]] == SENTENCES
    assert all(float(start) < float(end) for start, end, _, _ in rows[1:])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (["-", "--raw", "pcm_s16le", "--sample-rate", "16000"], "stdin.txt"),
        ([f"--channel=left={SPEECH}", f"--channel=a/b={SPEECH}"], "left-a_b.txt"),
    ],
)
def test_what_has_no_name_gets_one(tmp_path: Path, source: list[str], name: str) -> None:
    assert run("transcribe", *source, *LOCAL, "--output-dir", tmp_path, stdin=bytes(160000))[0] == 0
    assert names(tmp_path) == {name}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-f", "txt,srt"], "several formats need --output-dir"),
        (["-f", "txt,srt", "-o", "a"], "several formats need --output-dir"),
        (["-o", "a", "--output-dir", "b"], "use -o or --output-dir, not both"),
        (
            ["-f", "docx"],
            "argument -f/--format: there is no 'docx'; there are text, json, jsonl, srt, vtt, tsv",
        ),
        (["-f", ""], "argument -f/--format: there is no ''"),
        (["--caption-width", "9"], "argument --caption-width: '9' is not a number of columns, 10 to 1000"),
        (["--caption-lines", "0"], "argument --caption-lines: '0' is not a number of lines"),
        (["--output-dir", "/dev/null/x"], "can't make --output-dir '/dev/null/x': Not a directory"),
    ],
)
def test_what_does_not_fit_is_refused(options: list[str], says: str) -> None:
    code, out, err = run("transcribe", SPEECH, *LOCAL, *options)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_the_audio_is_not_written_over_by_a_name_made_of_it(tmp_path: Path) -> None:
    (tmp_path / "talk.srt").write_bytes(SPEECH.read_bytes())
    code, _, err = run("transcribe", tmp_path / "talk.srt", *LOCAL, "-f", "srt", "--output-dir", tmp_path)
    assert code == 2
    assert "is the same file as" in err
    assert (tmp_path / "talk.srt").read_bytes() == SPEECH.read_bytes()


def test_one_file_that_can_t_be_written_does_not_cost_the_others(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.srt").symlink_to("/dev/full")
    code, out, err = run("transcribe", SPEECH, *LOCAL, "-f", "txt,srt,json", "--output-dir", tmp_path)
    assert code == 6
    assert SENTENCES[2] in out  # the captions
    assert "No space left on device; it goes to standard output instead" in err
    assert (tmp_path / f"{NAME}.txt").read_text() == TEXT
    json.loads((tmp_path / f"{NAME}.json").read_text())
    assert f"{NAME}.srt" not in err.partition("wrote ")[2]


def test_lines_begin_with_their_time() -> None:
    _, out, _ = run("transcribe", SPEECH, *LOCAL, "--timestamps", "--diarization", "speaker")
    assert out.splitlines()[:2] == [
        f"[00:00:00.400] S1: {SENTENCES[0]}",
        f"[00:00:04.480] S2: {SENTENCES[1]}",
    ]


def test_captions_have_the_shape_that_is_asked_for(tmp_path: Path) -> None:
    live = tmp_path / "live.srt"
    options = ("--caption-width", "24", "--caption-lines", "1", "--captions", live)
    _, out, _ = run("transcribe", SPEECH, *LOCAL, "-f", "srt", *options)
    assert out == live.read_text()
    for cue in srt.parse(out):
        assert len(cue.content) <= 24
        assert "\n" not in cue.content


def test_each_language_has_captions_of_its_own(tmp_path: Path) -> None:
    for end in ("srt", "vtt", "tsv"):
        target = tmp_path / f"talk.{end}"
        code, _, err = run(
            "transcribe", SPEECH, *LOCAL, "-f", end, "-o", target, "--translate", "fr", "--translate=de, fr"
        )
        assert (code, err) == (0, "")
        assert target.exists()
        assert SENTENCES[0].split()[-1] in (tmp_path / f"talk.fr.{end}").read_text()
    assert names(tmp_path) == {
        f"talk{language}.{end}" for language in ("", ".fr", ".de") for end in ("srt", "vtt", "tsv")
    }
    cues = list(srt.parse((tmp_path / "talk.de.srt").read_text()))
    said = " ".join(" ".join(cue.content.split()) for cue in cues)
    assert said == " ".join(f"[de] {sentence}" for sentence in SENTENCES)
    assert all(cue.start < cue.end for cue in cues)


def test_captions_for_a_player_have_those_of_each_language_beside_them(tmp_path: Path) -> None:
    live = tmp_path / "live.srt"
    engine = HeldEngine()
    with LocalServer(engine) as server:
        options = ("--speed", "20", "--captions", live, "--translate", "fr,de", "--url", server.url)
        with start("transcribe", SPEECH, *options) as process:
            while process.stdout.readline()[:4] != b"[de]":  # the last to come of a sentence
                assert process.poll() is None
            early = (tmp_path / "live.fr.srt").read_text()  # written when it came, not at the end
            engine.let_go.set()
            process.communicate(timeout=30)
    assert process.returncode == 0
    assert names(tmp_path) == {"live.srt", "live.fr.srt", "live.de.srt"}
    for language in ("fr", "de"):
        cues = list(srt.parse((tmp_path / f"live.{language}.srt").read_text()))
        said = " ".join(" ".join(cue.content.split()) for cue in cues)
        assert said == " ".join(f"[{language}] {sentence}" for sentence in SENTENCES)
    assert early.startswith("1\n00:00:0")
    assert len(early) < len((tmp_path / "live.fr.srt").read_text())


def test_captions_of_a_translation_need_files() -> None:
    code, _, err = run("transcribe", SPEECH, *LOCAL, "-f", "srt", "--translate", "fr")
    assert code == 2
    assert "name the first with -o, or their folder with --output-dir" in err


def test_a_translation_is_never_written_over_something(tmp_path: Path) -> None:
    (tmp_path / "talk.fr.srt").write_bytes(SPEECH.read_bytes())
    line = "$RT transcribe talk.fr.srt --local --engine scripted -f srt -o talk.srt --translate fr"
    code, _, err = in_shell(line, cwd=tmp_path)
    assert code == 2
    assert "is the same file as" in err


# -- pure --------------------------------------------------------------------------------------------------


def test_formats_are_read_once_each_and_in_their_order() -> None:
    assert forms("srt, txt,text,vtt") == ["srt", "text", "vtt"]


def test_a_table_holds_no_tabs_and_no_line_ends_but_its_own() -> None:
    word = {"type": "word", "start_time": 0, "end_time": 1, "alternatives": [{"content": "a\tb\nc"}]}
    assert tsv_text(Transcript.from_dict({"results": [word]})).splitlines()[1] == "0.000\t1.000\t\ta b c"
