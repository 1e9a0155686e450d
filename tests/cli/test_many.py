"""``speechmatics-rt transcribe-many``: a folder in, a folder out, and a manifest of what became of each."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.cli import ExitCode, main
from speechmatics_rt.cli.many import found
from speechmatics_rt.cli.many.found import named
from speechmatics_rt.cli.many.manifest import Entry, Unwritable
from speechmatics_rt.cli.many.results import Results
from speechmatics_rt.cli.outputs import File
from speechmatics_rt.exceptions import AudioError, ConfigurationError
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.many import plan
from speechmatics_rt.transcript import CaptionShape

from ..held import HeldEngine
from .command import SENTENCES, SPEECH, start
from .disks import fill
from .terminal import OnTerminal

unix = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of Unix")


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


@pytest.fixture(autouse=True)
def nobodys_profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no profiles"))


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A folder with two short recordings, one of them in a folder of its own, and what is none."""
    folder = tmp_path / "calls"
    (folder / "may").mkdir(parents=True)
    (folder / ".trash").mkdir()
    for name in ("b.wav", "may/a.wav", ".trash/c.wav"):
        recording(folder / name)
    (folder / "notes.txt").write_text("no audio")
    return folder


def recording(path: Path, *, seconds: float = 4, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as wav:
        wav.setparams((channels, 2, 16000, 0, "NONE", ""))
        wav.writeframes(bytes(int(32000 * channels * seconds)))
    return path


def run(capsys: Any, server: LocalServer, *words: Any) -> tuple[int, str]:
    """Run the command in this process; return its exit code and what it said."""
    code = main(["transcribe-many", *map(str, words), "--url", server.url])
    out, err = capsys.readouterr()
    assert out == ""
    return int(code), err


def manifest(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def written(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_folder_becomes_a_folder_of_transcripts_with_a_line_for_each(
    capsys, server, calls, tmp_path
) -> None:
    out = tmp_path / "out"
    code, said = run(capsys, server, calls, "-o", out, "-f", "txt,srt,json,tsv,vtt", "--timestamps")
    assert code == 0
    forms = ("txt", "srt", "json", "tsv", "vtt")
    assert written(out) == {f"{name}.{form}" for name in ("b", "may/a") for form in forms} | {
        "manifest.jsonl"
    }
    assert (out / "b.txt").read_text().startswith("[00:00:00.400] Good morning, and welcome")
    assert (out / "may" / "a.srt").read_text().startswith("1\n00:00:00,")
    assert {line["source"] for line in manifest(out)} == {str(calls / "b.wav"), str(calls / "may" / "a.wav")}
    known = {record.request_id for record in server.sessions}
    assert {line["request_id"] for line in manifest(out)} == known
    assert {line["status"] for line in manifest(out)} == {"done"}
    assert said.count("done ") == 2
    assert "2 of 2 transcribed; 0:0" in said


def test_what_is_done_stays_done_until_something_of_it_changes(capsys, server, calls, tmp_path) -> None:
    out = tmp_path / "out"
    run(capsys, server, calls, "-o", out)
    assert "there was nothing to do" in run(capsys, server, calls, "-o", out)[1]
    assert len(server.sessions) == 2
    recording(calls / "b.wav", seconds=5)  # other audio
    recording(calls / "new.wav")
    (out / "may" / "a.txt").unlink()
    run(capsys, server, calls, "-o", out)
    assert len(server.sessions) == 5
    run(capsys, server, calls, "-o", out, "-f", "txt,srt")  # another form
    assert len(server.sessions) == 8
    run(capsys, server, calls, "-o", out, "-f", "txt,srt", "--language", "de")
    assert len(server.sessions) == 11
    assert [line["status"] for line in manifest(out)] == ["done"] * 11


def test_what_an_earlier_run_wrote_in_another_form_stays_done(capsys, server, calls, tmp_path) -> None:
    out = tmp_path / "out"
    for form in ("txt", "srt", "txt", "srt,txt", "srt"):
        assert run(capsys, server, calls, "-o", out, "-f", form)[0] == 0
    assert len(server.sessions) == 4  # two recordings, in two forms
    assert run(capsys, server, calls, "-o", out, "-f", "srt", "-l", "de")[0] == 0
    assert "there was nothing to do" in run(capsys, server, calls, "-o", out, "-f", "txt")[1]
    assert run(capsys, server, calls, "-o", out, "-f", "srt")[0] == 0
    assert len(server.sessions) == 8  # what was written over is done again, and no more
    server.faults = [Fault.error("data_error")]  # of each further session
    assert run(capsys, server, calls, "-o", out, "-f", "vtt")[0] != 0
    assert "there was nothing to do" in run(capsys, server, calls, "-o", out, "-f", "txt")[1]
    (out / "b.txt").unlink()
    server.faults = []
    assert run(capsys, server, calls, "-o", out, "-f", "txt", "--retry-failed")[0] == 0
    assert (out / "b.txt").exists()


def test_what_was_recognised_offline_is_not_done_for_the_service(capsys, server, calls, tmp_path) -> None:
    offline = ["transcribe-many", str(calls), "-o", str(tmp_path / "out"), "--local", "--engine", "scripted"]
    assert main(offline) == 0
    assert " 2 of 2 transcribed; 0:0" in run(capsys, server, calls, "-o", tmp_path / "out")[1]
    assert len(server.sessions) == 2


def test_a_recording_that_grows_while_it_is_transcribed_is_transcribed_again(capsys, tmp_path) -> None:
    growing = recording(tmp_path / "growing.wav", seconds=2)
    engine = HeldEngine()

    def grow() -> None:
        server.wait_for_session().wait_for(lambda record: record.heard("EndOfStream"))
        recording(growing, seconds=5)
        engine.let_go.set()

    with LocalServer(engine) as server:
        writer = threading.Thread(target=grow)
        writer.start()
        assert run(capsys, server, growing, "-o", tmp_path / "out")[0] == 0
        writer.join()
        assert "1/1 done" in run(capsys, server, growing, "-o", tmp_path / "out")[1]
        assert "nothing to do" in run(capsys, server, growing, "-o", tmp_path / "out")[1]


def test_a_failure_has_the_name_of_its_recording_once() -> None:
    entry = Entry.of("may/a.wav", "")
    for told, kept in (
        ("'may/a.wav': the audio source is empty", "the audio source is empty"),
        (
            "channel 'it: is': 'may/a.wav': the audio source is empty",
            "channel 'it: is': the audio source is empty",
        ),
        (
            "can't open the audio file 'may/a.wav': No such file",
            "can't open the audio file 'may/a.wav': No such file",
        ),
    ):
        assert entry.failed(AudioError(told), "may/a.wav").error == kept


def test_failures_are_told_with_what_to_do_and_tried_again_when_asked(
    capsys, server, calls, tmp_path
) -> None:
    out = tmp_path / "out"
    (calls / "empty.wav").write_bytes(b"")
    code, said = run(capsys, server, calls, "-o", out)
    assert code == 5
    assert f"failed {calls / 'empty.wav'}: the audio source is empty" in said
    assert "the audio source is empty  -> fix or replace the recording" in said
    code, said = run(capsys, server, calls, "-o", out)  # skips it, and does not hide it
    assert code == 5
    assert "-> fix or replace the recording" in said
    code, said = run(capsys, server, calls, "-o", out, "--retry-failed")
    assert (code, len(manifest(out))) == (5, 4)
    recording(calls / "empty.wav")  # mended, so it is another one
    assert run(capsys, server, calls, "-o", out)[0] == 0


def test_a_recording_that_the_service_cannot_read_is_to_be_mended_not_tried_again(
    capsys, server, calls, tmp_path
) -> None:
    server.faults = (Fault.error("invalid_audio_type"),)
    out = tmp_path / "out"
    code, said = run(capsys, server, calls, "-o", out)
    assert code == 1
    assert said.count("-> fix or replace the recording") == 2
    assert {line["type"] for line in manifest(out)} == {"invalid_audio_type"}


def test_options_that_the_service_refuses_end_the_run_and_no_recording_counts_as_failed(
    capsys, server, calls, tmp_path
) -> None:
    server.faults = (Fault.error("not_allowed", "no such licence", at="start"),)
    out = tmp_path / "out"
    code, said = run(capsys, server, calls, "-o", out)
    assert code != 0
    assert said.count("no such licence") == 1
    assert " 0 of 2 transcribed; 2 left for the next run" in said
    assert manifest(out) == []
    server.faults = ()
    assert " 2 of 2 transcribed;" in run(capsys, server, calls, "-o", out)[1]


def test_what_may_pass_says_so_and_the_code_is_the_one_they_share(
    capsys, server, calls, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(plan, "_pause", lambda least, longest, jitter: 0.02)
    server.faults = (Fault.refuse(500),)
    out = tmp_path / "out"
    code, said = run(capsys, server, calls, "-o", out)
    assert code == 4
    assert said.count("-> run it again with --retry-failed") == 2
    assert "(after 6 tries)" in said
    assert all(line["retryable"] for line in manifest(out))
    (calls / "empty.wav").write_bytes(b"")
    assert run(capsys, server, calls, "-o", out)[0] == 1  # of two kinds
    server.faults = ()
    (calls / "empty.wav").unlink()
    assert run(capsys, server, calls, "-o", out, "--retry-failed")[0] == 0


def test_failures_that_are_due_to_the_options_are_tried_again_with_others(
    capsys, server, calls, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "out"
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "a key with spaces")
    code, said = run(capsys, server, calls, "-o", out)
    assert (code, said.count("-> give other options")) == (2, 2)
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "key")
    assert " 2 of 2 transcribed;" in run(capsys, server, calls, "-o", out)[1]


def test_a_refused_key_ends_the_run_with_its_code(capsys, calls, tmp_path) -> None:
    with LocalServer(keys=["right"]) as server:
        code, said = run(capsys, server, calls, "-o", tmp_path / "out", "--api-key", "wrong")
    assert code == 3
    assert "0 of 2 transcribed; 2 left for the next run" in said


def test_recordings_that_differ_in_their_endings_alone_keep_them(capsys, server, calls, tmp_path) -> None:
    shutil.copy(calls / "b.wav", calls / "b.wave")
    out = tmp_path / "out"
    assert run(capsys, server, calls, "-o", out)[0] == 0
    assert written(out) == {"b.wav.txt", "b.wave.txt", "may/a.txt", "manifest.jsonl"}


@pytest.mark.parametrize("first", ["b.wav", "b.wave"])
def test_what_is_done_keeps_its_name_whatever_comes_or_goes_beside_it(
    capsys, server, calls, tmp_path, first
) -> None:
    out = tmp_path / "out"
    os.rename(calls / "b.wav", calls / first)
    run(capsys, server, calls, "-o", out)
    shutil.copy(calls / first, calls / "b.mp3")
    assert "3 of 3 transcribed" in run(capsys, server, calls, "-o", out)[1]
    assert written(out) == {"b.txt", "b.mp3.txt", "may/a.txt", "manifest.jsonl"}
    (calls / first).unlink()
    assert "nothing to do" in run(capsys, server, calls, "-o", out)[1]
    assert len(server.sessions) == 3
    assert written(out) == {"b.txt", "b.mp3.txt", "may/a.txt", "manifest.jsonl"}


@unix
def test_names_of_any_characters_are_told_on_one_line_and_kept_as_they_are(
    capsys, server, calls, tmp_path
) -> None:
    os.rename(calls / "b.wav", os.fsencode(calls) + b"/b\n\x1b[2J\xff.wav")
    (calls / "c\r.wav").write_bytes(b"")
    out = tmp_path / "out"
    code, said = run(capsys, server, calls, "-o", out)
    assert code == 5
    assert "\x1b" not in said
    assert "\r" not in said
    assert said.count("\n") == 5
    assert b"b\n\x1b[2J\xff.txt" in os.listdir(os.fsencode(out))
    assert "there was nothing to do" in run(capsys, server, calls, "-o", out)[1]


def test_two_that_would_be_one_file_are_refused_before_anything(capsys, server, calls, tmp_path) -> None:
    shutil.copy(calls / "b.wav", tmp_path / "b.wav")
    code, said = run(capsys, server, calls / "b.wav", tmp_path / "b.wav", "-o", tmp_path / "out")
    assert code == 2
    assert "would be written to the same place" in said
    assert server.sessions == []


def test_what_an_earlier_run_wrote_of_another_recording_is_never_written_over(
    capsys, server, tmp_path
) -> None:
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        recording(tmp_path / day / "call1.wav")
    out = tmp_path / "out"
    assert run(capsys, server, tmp_path / "monday", "-o", out)[0] == 0
    recording(tmp_path / "tuesday" / "call2.wav")
    code, said = run(capsys, server, tmp_path / "tuesday", "-o", out)
    assert code == 2
    assert "would be written to the same place: 'call1.txt' in" in said
    assert len(server.sessions) == 1
    assert run(capsys, server, tmp_path / "tuesday", "-o", out, "-f", "srt")[0] == 0  # files of other names
    assert "nothing to do" in run(capsys, server, tmp_path / "monday", "-o", out)[1]
    (out / "call1.txt").unlink()  # nobody wants it any more
    assert run(capsys, server, tmp_path / "tuesday", "-o", out)[0] == 0


def test_what_another_recording_has_written_over_is_not_done(capsys, server, tmp_path) -> None:
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
        recording(tmp_path / day / "call1.wav")
        assert run(capsys, server, tmp_path / day, "-o", tmp_path / day / "out")[0] == 0
    lines = [(tmp_path / day / "out" / "manifest.jsonl").read_text() for day in ("monday", "tuesday")]
    out = tmp_path / "monday" / "out"
    (out / "manifest.jsonl").write_text("".join(lines))  # as if one run had written over the other
    code, said = run(capsys, server, tmp_path / "monday", "-o", out)
    assert code == 2
    assert f"{str(tmp_path / 'tuesday' / 'call1.wav')!r} and" in said
    assert "nothing to do" in run(capsys, server, tmp_path / "tuesday", "-o", out)[1]


@unix
def test_a_recording_that_is_reached_by_another_path_is_no_other(capsys, server, calls, tmp_path) -> None:
    (tmp_path / "linked").symlink_to(calls)
    out = tmp_path / "out"
    for folder in (calls, tmp_path / "linked"):
        assert run(capsys, server, folder / "b.wav", "-o", out)[0] == 0
    assert "nothing to do" in run(capsys, server, calls / "b.wav", "-o", out)[1]


@unix
@pytest.mark.parametrize(
    ("prepare", "words", "kept"),
    [
        ("mv calls/b.wav calls/b.txt", "calls/b.txt -o calls", "calls/b.txt"),
        ("mkdir out; ln -s ../calls/b.wav out/b.txt", "calls -o out", "calls/b.wav"),
        ("mkdir out; ln calls/may/a.wav out/b.txt", "calls -o out", "calls/may/a.wav"),
        (
            "mv calls/b.wav out.jsonl; mkdir out; ln out.jsonl out/manifest.jsonl",
            "out.jsonl -o out",
            "out.jsonl",
        ),
        ("echo '{}' > calls/b.json", "calls -o calls -f json --config calls/b.json", "calls/b.json"),
        ("echo word > calls/b.txt", "calls -o calls --vocab-file calls/b.txt", "calls/b.txt"),
        ("echo a:b > calls/b.txt", "calls -o calls --replace-file calls/b.txt", "calls/b.txt"),
    ],
)
def test_what_is_read_is_never_written_over(
    capsys, server, calls, tmp_path, monkeypatch, prepare, words, kept
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["sh", "-c", prepare], check=True)
    before = Path(kept).read_bytes()
    code, said = run(capsys, server, *words.split())
    assert Path(kept).read_bytes() == before
    assert code == 2
    assert "would be overwritten" in said
    assert server.sessions == []


def test_a_recording_that_is_named_twice_is_one(capsys, server, calls, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("calls", "./calls/b.wav", calls / "may" / "a.wav", "-o", "out")
    assert "2 of 2 transcribed" in run(capsys, server, *words)[1]
    assert written(tmp_path / "out") == {"b.txt", "may/a.txt", "manifest.jsonl"}
    assert "there was nothing to do" in run(capsys, server, *words)[1]


@unix
def test_what_is_no_file_is_left_out_of_a_folder(capsys, server, calls, tmp_path) -> None:
    os.mkfifo(calls / "pipe.wav")  # would be waited for without end
    (calls / "folder.wav").mkdir()
    (calls / "link.wav").symlink_to("b.wav")
    (calls / "gone.wav").symlink_to("nowhere.wav")  # somebody is to hear of it
    code, said = run(capsys, server, calls, "-o", tmp_path / "out")
    assert code == 5
    assert "3 of 4 transcribed, 1 failed" in said
    assert "gone.wav" in said


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("way", ["named", "on standard input"])
def test_a_pipe_among_the_recordings_is_refused_and_holds_up_nothing(
    capsys, server, calls, tmp_path, monkeypatch, way
) -> None:
    os.mkfifo(tmp_path / "pipe.wav")  # nobody writes into it: to open it would take for ever
    names = [str(tmp_path / "pipe.wav"), str(calls / "b.wav")]
    if way != "named":
        with open(tmp_path / "names", "w+") as listed:
            listed.write("\n".join(names))
            listed.seek(0)
            monkeypatch.setattr(sys, "stdin", listed)
            code, said = run(capsys, server, "-", "-o", tmp_path / "out")
    else:
        code, said = run(capsys, server, *names, "-o", tmp_path / "out")
    assert code == ExitCode.AUDIO
    assert "is a pipe or a device" in said
    assert "1 of 2 transcribed, 1 failed" in said


def test_names_that_differ_in_case_are_one_where_the_results_would_be(tmp_path, monkeypatch) -> None:
    recordings = [("d/a.wav", "a.wav"), ("e/A.wav", "A.wav")]
    with pytest.raises(ConfigurationError, match="would be written to the same place"):
        named(recordings, folds=True)
    folder = tmp_path / "Out"
    folder.mkdir()
    assert not found.folds_case(str(folder / "new")) or (tmp_path / "oUT").exists()
    if os.path.normcase("A") == "A":
        assert [one.stem for one in named(recordings)] == ["a", "A"]
        (tmp_path / "oUT").symlink_to(folder)  # so it seems to a program on a Mac
        assert found.folds_case(str(folder / "new"))


def test_names_come_from_standard_input(capsys, server, calls, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for between in ("\n", "\0"):
        with open(tmp_path / "names", "w+") as names:
            names.write(f"calls/may/a.wav{between}{calls / 'b.wav'}{between}")
            names.seek(0)
            monkeypatch.setattr(sys, "stdin", names)
            assert run(capsys, server, "-", "-o", "out")[0] == 0
    assert written(tmp_path / "out") == {"calls/may/a.txt", "b.txt", "manifest.jsonl"}
    assert len(server.sessions) == 2
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    sys.stdin.close()
    assert "standard input is closed" in run(capsys, server, "-", "-o", "out")[1]


def test_of_a_mixed_folder_only_what_has_several_channels_is_split_or_mixed(
    capsys, server, calls, tmp_path
) -> None:
    recording(calls / "b.wav", channels=2)
    (calls / "talk.mp3").write_bytes(b"ID3" + bytes(9997))
    for option in (["--split", "agent,caller"], ["--mix"]):
        out = tmp_path / option[0]
        code, said = run(capsys, server, calls, "-o", out, *option)
        assert (code, said.count("done ")) == (0, 3)
        assert f"{option[0]} is for WAVs of several channels; 2 of 3 recordings have one, or are no" in said
    text = (tmp_path / "--split" / "b.txt").read_text()
    assert "agent: Good morning" in text
    assert "caller: Good morning" in text
    assert (tmp_path / "--split" / "may" / "a.txt").read_text().startswith("Good morning")


@pytest.mark.parametrize("ending", ["", "\r"])
def test_a_list_of_recordings_is_told_how_to_be_given(capsys, server, calls, monkeypatch, ending) -> None:
    monkeypatch.chdir(calls.parent)
    for names, folder, way in (
        ("calls/b.wav\ncalls/may/a.wav\n", ".", "transcribe-many - < ./list.txt, and"),
        ("b.wav\nmay/a.wav\n", "calls", "cd calls && speechmatics-rt transcribe-many - < list.txt, and"),
    ):
        (Path(folder) / "list.txt").write_bytes(names.replace("\n", f"{ending}\n").encode())
        code, said = run(capsys, server, f"{folder}/list.txt", "-o", "out")
        assert code == 2
        assert f"'{folder}/list.txt' holds names of recordings, and is none" in said
        assert way in said
    assert server.sessions == []


def test_who_does_as_a_stereo_recording_advises_sends_no_other_a_second_time(
    capsys, server, calls, tmp_path
) -> None:
    recording(calls / "b.wav", channels=2)
    out = tmp_path / "out"
    code, said = run(capsys, server, calls, "-o", out)
    assert code == 5
    assert "add --split agent,caller" in said
    assert "to make them one  -> do so; then run it again with --retry-failed" in said
    for option in (["--split", "agent,caller"], ["--mix"], ["--split", "left,right"]):
        code, said = run(capsys, server, calls, "-o", out, *option, "--retry-failed")
        assert (code, " 2 of 2 transcribed" in said) == (0, True)
        assert "nothing to do" in run(capsys, server, calls, "-o", out, *option)[1]
    sources = [line["source"] for line in manifest(out) if line["status"] == "done"]
    assert (sources.count(str(calls / "may" / "a.wav")), sources.count(str(calls / "b.wav"))) == (1, 3)


def test_speakers_are_told_apart_in_each_channel_and_where_there_is_one(
    capsys, server, calls, tmp_path
) -> None:
    recording(calls / "b.wav", channels=2)
    config = tmp_path / "config.json"
    labelled = {"diarization": "channel_and_speaker", "channel_diarization_labels": ["a", "b"]}
    config.write_text(json.dumps({"transcription_config": labelled}))
    for number, words in enumerate((("--diarization", "speaker"), ("--config", config))):
        code, _ = run(capsys, server, calls, "-o", tmp_path / str(number), "--split", "a,b", *words)
        assert code == 0
    asked = [record.start["transcription_config"] for record in server.sessions]
    assert sorted(each["diarization"] for each in asked) == ["channel_and_speaker"] * 2 + ["speaker"] * 2
    assert [each.get("channel_diarization_labels") for each in asked].count(["a", "b"]) == 2
    code, said = run(capsys, server, calls, "-o", tmp_path / "out", "--split", "x,y", "--config", config)
    assert code == 2
    assert "channel_diarization_labels of --config are ['a', 'b'], but --split x,y" in said


def test_a_recording_with_another_number_of_channels_than_labels_fails_by_name(
    capsys, server, calls, tmp_path
) -> None:
    recording(calls / "b.wav", channels=2)
    code, said = run(capsys, server, calls, "-o", tmp_path / "out", "--split", "a,b,c")
    assert code == 5
    assert f"failed {calls / 'b.wav'}: channel 'a': the WAV has 2 channels, but 3 labels were given" in said
    code, said = run(capsys, server, calls, "-o", tmp_path / "one", "--split", "agent")
    assert "the WAV has 2 channels, but 1 label was given" in said
    assert "is for WAVs of several" not in said  # one label is for recordings of one channel


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-f", "jsonl"], "--format jsonl: for many recordings, use text, json, srt, vtt, tsv"),
        (["--raw", "pcm_s16le"], "--raw and --sample-rate go together"),
        (["--split", "a,b", "--mix"], "use --split or --mix, not both"),
        (["--language", ""], "--language is ''"),
        (["--engine", "scripted"], "--engine goes with --local"),
        (["--output", "-"], "--output - is standard output, which takes no folder; name a folder"),
    ],
)
def test_what_does_not_fit_together_is_said_before_anything(
    capsys, server, calls, tmp_path, monkeypatch, words, says
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = run(capsys, server, calls, "-o", tmp_path / "out", *words)
    assert code == 2
    assert says in said
    assert not (tmp_path / "out").exists()
    assert not Path("-").exists()


def test_a_folder_without_recordings_and_one_that_is_none(capsys, server, tmp_path) -> None:
    assert "no recordings found in" in run(capsys, server, tmp_path, "-o", tmp_path / "out")[1]
    assert "there is no 'nowhere'" in run(capsys, server, "nowhere", "-o", tmp_path / "out")[1]


def test_what_looks_like_audio_and_is_passed_over_in_a_folder_is_told_with_what_to_do(
    capsys, server, calls, tmp_path
) -> None:
    for name in ("x.aiff", "may/y.AIFF", "z.wma", "w.pcm", ".trash/v.aiff", ".u.aiff"):
        recording(calls / name)
    code, said = run(capsys, server, calls, "-o", tmp_path / "out")
    assert code == 0
    assert (
        "skipped in folders: .aiff (2), .pcm (1), .wma (1); convert them, for example with "
        "'ffmpeg -i NAME.aiff NAME.wav', or name each file to send it as it is; headerless samples "
        "need --raw and --sample-rate" in said
    )
    assert "2 of 2 transcribed" in said
    code, said = run(capsys, server, calls / "x.aiff", "-o", tmp_path / "named")
    assert code == 0
    assert "skipped" not in said


@unix
def test_folders_that_are_not_entered_are_told(capsys, server, calls, tmp_path, monkeypatch) -> None:
    (tmp_path / "archive").mkdir()
    recording(tmp_path / "archive" / "old.wav")
    (calls / "linked").symlink_to(tmp_path / "archive")
    (calls / "shut").mkdir()
    scan = os.scandir

    def refusing(path: Any) -> Any:  # as for anybody but root
        if str(path).endswith("shut"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    code, said = run(capsys, server, calls, "-o", tmp_path / "out")
    assert code == 0
    assert f"'{calls}/linked' is a link to a folder and is not followed; name it to include it" in said
    assert f"'{calls}/shut' can't be read: Permission denied" in said
    assert "2 of 2 transcribed" in said
    assert "is a link" not in run(capsys, server, calls / "linked", "-o", tmp_path / "named")[1]


def test_a_folder_with_nothing_but_what_is_passed_over_says_so(capsys, server, tmp_path) -> None:
    (tmp_path / "calls").mkdir()
    recording(tmp_path / "calls" / "x.aiff")
    code, said = run(capsys, server, tmp_path / "calls", "-o", tmp_path / "out")
    assert code == 2
    assert "calls'; skipped in folders: .aiff (1); convert" in said


def test_headerless_recordings_in_a_folder_are_found_with_raw(capsys, server, tmp_path) -> None:
    (tmp_path / "calls").mkdir()
    (tmp_path / "calls" / "a.raw").write_bytes(bytes(64000))
    (tmp_path / "calls" / "b.PCM").write_bytes(bytes(64000))
    raw = ("--raw", "pcm_s16le", "--sample-rate", "16000")
    code, said = run(capsys, server, tmp_path / "calls", "-o", tmp_path / "out", *raw)
    assert code == 0
    assert "2 of 2 transcribed" in said
    assert {record.start["audio_format"]["type"] for record in server.sessions} == {"raw"}


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_jobs_are_a_number(capsys, server, value) -> None:
    with pytest.raises(SystemExit):
        main(["transcribe-many", "calls", "-o", "out", f"--jobs={value}"])
    assert "is not a whole number, 1 to 100000" in capsys.readouterr().err


def test_each_translation_goes_to_a_file_of_its_own_except_in_json(capsys, server, calls, tmp_path) -> None:
    out = tmp_path / "out"
    code, _ = run(capsys, server, calls, "-o", out, "-f", "txt,srt,json", "--translate", "fr,de")
    assert code == 0
    names = {f"b{end}" for end in (".txt", ".fr.txt", ".de.txt", ".srt", ".fr.srt", ".de.srt", ".json")}
    assert {name for name in written(out) if name.startswith("b")} == names
    assert (out / "b.txt").read_text().startswith("Good morning")
    french = (out / "b.fr.txt").read_text()
    assert french
    assert french != (out / "b.txt").read_text()
    assert french.split()[-1] in (out / "b.fr.srt").read_text()
    assert set(json.loads((out / "b.json").read_text())["translations"]) == {"fr", "de"}
    assert "b.fr.srt" in next(line for line in manifest(out) if line["source"].endswith("b.wav"))["written"]


def test_what_is_done_is_done_again_if_another_language_is_asked_for(capsys, server, calls, tmp_path) -> None:
    out = tmp_path / "out"
    config = tmp_path / "config.json"
    config.write_text('{"translation_config": {"target_languages": ["fr"]}}')
    for options in ((), ("--config", config), ("--config", config), ("--translate", "fr")):
        assert run(capsys, server, calls, "-o", out, *options)[0] == 0
    assert len(server.sessions) == 4  # two without a translation, two with it


def test_recordings_of_which_one_is_named_like_the_others_translation_are_refused(
    capsys, server, calls, tmp_path
) -> None:
    recording(calls / "b.fr.wav")
    code, said = run(capsys, server, calls, "-o", tmp_path / "out", "--translate", "fr")
    assert code == 2
    assert "'b.fr.txt' would hold a transcript of" in said
    assert server.sessions == []


def test_sounds_are_in_json_and_refused_where_no_form_holds_them(capsys, server, calls, tmp_path) -> None:
    out = tmp_path / "out"
    code, said = run(capsys, server, calls, "-o", out, "-f", "txt,srt", "--audio-events", "all")
    assert code == 2
    assert "json alone holds sounds; add json" in said
    assert run(capsys, server, calls, "-o", out, "-f", "txt,json", "--audio-events", "all")[0] == 0
    assert json.loads((out / "b.json").read_text())["audio_events"] == []  # asked for, and none came


def test_a_profile_serves_it_with_the_options_it_has(capsys, server, calls, tmp_path, monkeypatch) -> None:
    if sys.version_info < (3, 11):
        pytest.importorskip("tomli")
    (tmp_path / "config" / "speechmatics-rt").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    profile = tmp_path / "config" / "speechmatics-rt" / "config.toml"
    profile.write_text('[default]\nlanguage = "de"\npartials = true\ncaptions = "live.vtt"\n')
    assert run(capsys, server, calls, "-o", tmp_path / "out")[0] == 0
    assert server.sessions[0].start["transcription_config"]["language"] == "de"
    profile.write_text('[default]\nlangage = "de"\n')
    with pytest.raises(SystemExit):
        run(capsys, server, calls, "-o", tmp_path / "out")
    assert "there is no option --langage" in capsys.readouterr().err


# -- the manifest ------------------------------------------------------------------------------------------


def test_a_half_line_of_a_killed_run_is_dropped_and_its_recording_done_again(
    capsys, server, calls, tmp_path
) -> None:
    out = tmp_path / "out"
    run(capsys, server, calls, "-o", out)
    path = out / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    assert run(capsys, server, calls, "-o", out)[0] == 0
    assert len(server.sessions) == 3
    assert len(manifest(out)) == 2


@unix
def test_the_manifest_is_utf_8_and_names_each_file_exactly_whatever_its_bytes(
    capsys, server, calls, tmp_path
) -> None:
    name = os.fsencode(calls) + b"/b\\\xff\xc3\xa9.wav"
    os.rename(calls / "b.wav", name)
    out = tmp_path / "out"
    run(capsys, server, calls, "-o", out)
    lines = (out / "manifest.jsonl").read_bytes().splitlines()
    said = [json.loads(line.decode("utf-8")) for line in lines]
    assert name in [os.fsencode(each["source"]) for each in said]
    assert all(os.path.exists(out / written) for each in said for written in each["written"])
    assert "é.wav" in b"".join(lines).decode()  # what is UTF-8 stays as it is
    assert "there was nothing to do" in run(capsys, server, calls, "-o", out)[1]


def test_lines_of_somebody_else_are_no_hindrance(capsys, server, calls, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.jsonl").write_text('# a note\n{"source": 5}\n[]\n{"status": "done"}\n\n')
    assert run(capsys, server, calls, "-o", out)[0] == 0


@unix
def test_one_run_at_a_time_writes_a_folder(capsys, server, calls, tmp_path) -> None:
    from speechmatics_rt.cli.many.manifest import Manifest

    (tmp_path / "out").mkdir()
    with Manifest(str(tmp_path / "out")):
        code, said = run(capsys, server, calls, "-o", tmp_path / "out")
        assert code == 2
        assert "another run is writing" in said
        with pytest.raises(ConfigurationError):
            Manifest(str(tmp_path / "out"))


def test_a_recording_whose_transcript_has_no_place_fails_alone_and_before_it_is_paid_for(
    capsys, server, calls, tmp_path
) -> None:
    out = tmp_path / "out"
    long = "a" * 251
    recording(calls / f"{long}.wav")
    recording(calls / "c.wav")
    (out / "b.json").mkdir(parents=True)
    (out / "may").write_text("in the way")
    for _ in range(2):
        code, said = run(capsys, server, calls, "-o", out, "-f", "srt,json")
        assert code == 6
        assert len(server.sessions) == 1  # that of c.wav
        table = dict(re.findall(r"^\S*calls/(\S+)\.wav +(\S.*)$", said, re.MULTILINE))
        assert {name: " ".join(row.split()) for name, row in table.items()} == {
            "b": "can't write 'b.json': Is a directory -> remove that folder; then run it again",
            "may/a": "can't write 'may/a.srt': Not a directory -> remove the file that is where its folder "
            "would be; then run it again",
            long: "can't write its .json: File name too long -> give the recording a shorter name",
        }
        assert "1 of 4 transcribed, 3 failed" in said
        assert "left for the next run" not in said
        assert (out / "c.srt").exists()
    failed = [line for line in manifest(out) if line["status"] == "failed"]
    assert {(line["kind"], line["type"], line["code"]) for line in failed} == {
        ("Unwritable", kind, 6) for kind in ("EISDIR", "ENOTDIR", "ENAMETOOLONG")
    }
    (out / "may").unlink()
    (out / "b.json").rmdir()
    assert "3 of 4 transcribed, 1 failed" in run(capsys, server, calls, "-o", out, "-f", "srt,json")[1]


@unix
def test_a_transcript_whose_place_is_taken_while_it_comes_goes_to_standard_output_and_the_run_goes_on(
    capsys, calls, tmp_path
) -> None:
    out = tmp_path / "out"
    engine = HeldEngine()
    with LocalServer(engine) as server:

        def take_its_place() -> None:
            server.wait_for_session(timeout=30).wait_for(lambda record: record.audio_size > 0)
            (out / "b.txt").mkdir()
            engine.let_go.set()

        other = threading.Thread(target=take_its_place)
        other.start()
        code = main(["transcribe-many", str(calls), "-o", str(out), "-j", "1", "--url", server.url])
        other.join()
        heard, said = capsys.readouterr()
        assert code == 6
        assert heard.startswith("Good morning, and welcome to the reading room.")
        assert "b.txt': Is a directory; it goes to standard output instead" in said
        assert "no more sessions" not in said
        assert "can't write 'b.txt': Is a directory; it went to standard output" in said
        assert "1 of 2 transcribed, 1 failed" in said
        assert [line["status"] for line in manifest(out)] == ["failed", "done"]
        assert run(capsys, server, calls, "-o", out)[0] == 6
        assert len(server.sessions) == 2
        (out / "b.txt").rmdir()
        assert run(capsys, server, calls, "-o", out)[0] == 0


def test_a_disk_that_takes_no_transcript_ends_the_run_and_costs_no_word(
    capsys, server, calls, small_disk
) -> None:
    for name in ("c.wav", "d.wav", "e.wav"):
        recording(calls / name)
    out = small_disk / "out"
    out.mkdir()
    (out / "manifest.jsonl").touch()
    fill(small_disk)
    code = main(["transcribe-many", str(calls), "-o", str(out), "-j", "1", "--url", server.url])
    heard, said = capsys.readouterr()
    assert code == 6
    assert said.count("No space left on device; it goes to standard output instead") == len(server.sessions)
    assert heard.count("reading room") == len(server.sessions) < 5
    assert said.count("no more sessions are started") == 1
    assert " 0 of 5 transcribed; 5 left for the next run" in said
    assert manifest(out) == []
    (small_disk / "filler").unlink()
    assert run(capsys, server, calls, "-o", out)[0] == 0


@pytest.mark.parametrize(
    ("number", "folder", "alone"),
    [
        (errno.EACCES, ".", True),
        (errno.EACCES, "closed", False),
        (errno.ENOSPC, ".", False),
        (errno.EROFS, ".", False),
        (errno.EIO, ".", False),
        (None, ".", False),
    ],
)
def test_an_error_concerns_one_recording_alone_if_its_folder_takes_others(
    tmp_path, number, folder, alone
) -> None:
    there = str(tmp_path / folder)  # there is no folder "closed"
    results = Results(there, ["text"], CaptionShape(), False, {})
    assert results.takes_others(Unwritable(number=number)) is alone


@unix
def test_a_full_disk_ends_the_run_whatever_else_stands_in_the_way(
    capsys, server, calls, tmp_path, monkeypatch
) -> None:
    write = File.write

    def full(self: File, text: str) -> None:
        if self._path.endswith(".srt"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._path.endswith(".json"):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        write(self, text)

    monkeypatch.setattr(File, "write", full)
    out = tmp_path / "out"
    words = ["transcribe-many", str(calls), "-o", str(out), "-j", "1", "--url", server.url]
    for forms in ("srt,json", "json,srt"):
        assert main([*words, "-f", forms]) == 6
        heard, said = capsys.readouterr()
        assert heard.count("-->") > 0
        assert "no more sessions are started" in said
        assert "2 left for the next run" in said


@unix
def test_a_link_to_nowhere_is_found_before_the_session(capsys, server, calls, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.txt").symlink_to(tmp_path / "gone" / "b.txt")
    code, said = run(capsys, server, calls, "-o", tmp_path / "out")
    assert code == 6
    target = str(tmp_path / "gone" / "b.txt")
    assert f"can't write 'b.txt': it is a link to {target!r}, whose folder is not there" in said
    assert "-> make that folder, or remove the link; then run it again" in said
    assert len(server.sessions) == 1


def test_what_the_manifest_cannot_take_is_left_for_the_next_run_and_told_once(
    capsys, server, calls, small_disk
) -> None:
    for name in ("b.wav", "c.wav", "d.wav", "may/a.wav"):
        recording(calls / name, seconds=0.1)  # too short for words, so its text needs no room
    fill(small_disk)
    code, said = run(capsys, server, calls, "-o", small_disk, "--jobs", "4")
    assert code == 6
    assert said.count("manifest.jsonl': No space left on device\n") == 1
    assert " 0 of 4 transcribed; 4 left for the next run" in said
    (small_disk / "filler").unlink()
    assert " 4 of 4 transcribed;" in run(capsys, server, calls, "-o", small_disk)[1]


@unix  # elsewhere a folder with an open file stays
@pytest.mark.parametrize("anew", [False, True])
def test_a_folder_that_is_moved_away_ends_the_run_and_its_manifest_lists_no_more(
    capsys, calls, tmp_path, anew: bool
) -> None:
    out, moved = tmp_path / "out", tmp_path / "moved"
    engine = HeldEngine()

    def move() -> None:
        server.wait_for_session().wait_for(lambda record: record.heard("EndOfStream"))
        out.rename(moved)
        if anew:
            out.mkdir()
            (out / "manifest.jsonl").touch()
        engine.let_go.set()

    with LocalServer(engine) as server:
        mover = threading.Thread(target=move)
        mover.start()
        code, said = run(capsys, server, calls, "-o", out, "--jobs", "1")
        mover.join()
        assert (code, manifest(moved)) == (6, [])
        why = "another file has its place" if anew else "No such file or directory"
        assert f"can't write {str(out / 'manifest.jsonl')!r}: {why}\n" in said
        assert " 0 of 2 transcribed; 2 left for the next run" in said
        assert " 2 of 2 transcribed;" in run(capsys, server, calls, "-o", out)[1]


# -- signals, and what is seen -----------------------------------------------------------------------------


@unix
def test_a_signal_finishes_what_runs_and_the_next_run_goes_on(tmp_path) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    calls.mkdir()
    for number in range(8):
        recording(calls / f"{number}.wav")
    engine = HeldEngine()
    with LocalServer(engine) as server:
        words = ("transcribe-many", calls, "-o", out, "--url", server.url, "--jobs", "3")
        with start(*words) as process:
            server.wait_for_session(2, timeout=30).wait_for(lambda record: record.audio_size > 0)
            process.send_signal(signal.SIGTERM)
            stopping = b"stopping; waiting for open sessions (Ctrl-C again: at once)"
            while stopping not in process.stderr.readline():
                assert process.poll() is None
            engine.let_go.set()
            _, said = process.communicate(timeout=30)
        assert process.returncode == 143
        assert b"left for the next run" in said
        first = len(server.sessions)
        assert 2 < first < 8
        assert len(manifest(out)) == first  # each that was begun was finished
        assert main([str(word) for word in words]) == 0
        assert len(server.sessions) == 8
    assert len(written(out)) == 9


@unix
def test_a_second_signal_ends_it_at_once_and_a_kill_loses_nothing_that_is_in_the_manifest(tmp_path) -> None:
    calls, out = tmp_path / "calls", tmp_path / "out"
    calls.mkdir()
    for number in range(3):
        recording(calls / f"{number}.wav", seconds=1 if number == 0 else 60)
    with LocalServer(speed=2) as server:
        words = ("transcribe-many", calls, "-o", out, "--url", server.url, "--jobs", "2")
        for numbers, code in (([signal.SIGINT, signal.SIGINT], 130), ([signal.SIGKILL], -signal.SIGKILL)):
            count = len(server.sessions)
            with start(*words) as process:
                if not count:
                    assert b"done" in process.stderr.readline()
                server.wait_for_session(count + 1, timeout=30).wait_for(lambda record: record.audio_size > 0)
                for number in numbers:
                    process.send_signal(number)
                    if len(numbers) > 1 and number is numbers[0]:
                        while b"stopping" not in process.stderr.readline():
                            pass
                        numbers = numbers[1:]
                process.communicate(timeout=20)
            assert process.returncode == code
    assert [line["source"] for line in manifest(out)] == [str(calls / "0.wav")]
    assert written(out) == {"0.txt", "manifest.jsonl"}


def test_why_all_wait_is_told_when_it_begins_and_when_it_changes(
    capsys, server, calls, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(plan, "_pause", lambda least, longest, jitter: 0.05)
    full = Fault.error("quota_exceeded", at="start", sessions=[0, 1, 2])
    server.faults = (full, Fault.refuse(503, sessions=[3, 4]))
    code, said = run(capsys, server, calls, "-o", tmp_path / "out", "--jobs", "1")
    assert code == 0
    waits = [line for line in said.splitlines() if ": waiting " in line]
    assert len(waits) == 2
    assert waits[0].startswith("speechmatics-rt: waiting for the service, trying again in 0 s, then less ")
    assert waits[0].endswith(": quota_exceeded: quota_exceeded")
    assert "HTTP 503" in waits[1]
    server.faults = (Fault.error("quota_exceeded", at="start", sessions=[7]),)
    quiet = run(capsys, server, calls, "-o", tmp_path / "out", "--jobs", "1", "--quiet", "-f", "srt")
    assert quiet == (0, "")


@unix
@pytest.mark.parametrize("columns", [60, 90])
def test_a_terminal_shows_how_long_all_wait_and_why(calls, tmp_path, columns) -> None:
    with LocalServer(quota=0) as server:
        words = ("transcribe-many", calls, "-o", tmp_path / "out", "--url", server.url)
        with OnTerminal(*words, columns=columns) as running:
            running.until(
                r"waiting \d+ s: quota_exceeded: Concurrent Quota Exceeded\n.*0 of 2, [12] to retry"
            )


@unix
@pytest.mark.parametrize("columns", [30, 60])
def test_a_narrow_terminal_shows_no_half_of_a_figure(tmp_path, columns) -> None:
    calls = tmp_path / "calls"
    calls.mkdir()
    shutil.copy(SPEECH, calls / "the recording of the seventh of may.wav")
    engine = HeldEngine()
    with LocalServer(engine) as server:
        words = ("transcribe-many", calls, "-o", tmp_path / "out", "--url", server.url)
        with OnTerminal(*words, columns=columns) as running:
            shown = running.until(r"may\.wav .*0:1\d / 0:19  \d+\.\dx")
            engine.let_go.set()
            running.finish()
    assert ("━" in shown) == (columns == 60)


@unix
def test_a_terminal_shows_all_and_each_and_keeps_failures_alone(tmp_path) -> None:
    calls = tmp_path / "c"
    calls.mkdir()
    for name in ("long.wav", "other.wav"):
        shutil.copy(SPEECH, calls / name)
    (calls / "empty.wav").write_bytes(b"")
    engine = HeldEngine()
    with LocalServer(engine) as server:
        words = ("transcribe-many", calls, "-o", tmp_path / "out", "--url", server.url)
        with OnTerminal(*words, columns=100) as running:
            running.until(r"long\.wav .*0:1\d / 0:19(.*\n)*.*other\.wav(.*\n)*.*1 of 3, 1 failed")
            engine.let_go.set()
            code, _ = running.finish()
            running.terminal.feed(running.received[running._fed :])
    assert code == 5
    shown = running.terminal.text
    assert "2 of 3 transcribed, 1 failed" in shown
    assert "━" not in shown
    assert "done" not in shown
    # The table is wider than the terminal, by the name of its folder: what to do has a line of its own.
    assert shown.endswith("\n  -> fix or replace the recording")
    assert SENTENCES[0] in (tmp_path / "out" / "long.txt").read_text()
