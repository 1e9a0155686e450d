"""Nothing of the user's is destroyed, and nothing that was heard is lost: files, links, full disks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speechmatics_rt.cli.outputs.output import Pace
from speechmatics_rt.cli.outputs.places import Place, check_apart
from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.local import Fault, LocalServer

from ..conftest import a_closed_port
from .command import LOCAL, SENTENCES, SPEECH, environment, in_shell, run, start
from .disks import fill, mounted

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links, devices and mounts of Unix")

TEXT = "\n".join(SENTENCES) + "\n"
RAW = ("--raw", "pcm_s16le", "--sample-rate", "16000")
SECOND = bytes(32000)
RT = "$RT transcribe --local --engine scripted"
FORMATS = ("text", "json", "jsonl", "srt", "vtt")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a recording, ``call.wav``."""
    shutil.copy(SPEECH, tmp_path / "call.wav")
    return tmp_path


# -- what its name says ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "begins"),
    [("talk.srt", "1\n00:00:0"), ("talk.VTT", "WEBVTT"), ("talk.json", "{"), ("talk", "Good")],
)
def test_the_name_of_the_output_says_its_format(tmp_path: Path, name: str, begins: str) -> None:
    assert run("transcribe", SPEECH, *LOCAL, "-o", tmp_path / name)[0] == 0
    assert (tmp_path / name).read_text().startswith(begins)


@pytest.mark.parametrize(
    ("ending", "nearest"),
    [
        ("docx", "txt"),
        ("webvtt", "vtt"),
        ("ttml", "vtt"),
        ("csv", "tsv"),
        ("jsn", "json"),
        ("ndjson", "jsonl"),
        ("WAV", "txt"),
    ],
)
def test_an_ending_of_another_format_is_refused_with_the_nearest(
    tmp_path: Path, ending: str, nearest: str
) -> None:
    code, out, err = run("transcribe", SPEECH, *LOCAL, "-o", tmp_path / f"a.{ending}")
    assert (code, out) == (2, "")
    assert "none of the formats, which are txt, json, jsonl, srt, vtt, tsv" in err
    assert f"name it .{nearest}, or say with --format" in err
    assert not list(tmp_path.iterdir())
    assert run("transcribe", SPEECH, *LOCAL, "-f", "text", "-o", tmp_path / f"a.{ending}")[0] == 0


@pytest.mark.parametrize(
    "name", ["talk", "talk.text", "talk.log", "talk.md", "talk.v2", "talk.2024-05-01", "t."]
)
def test_a_name_that_says_nothing_is_a_text(tmp_path: Path, name: str) -> None:
    assert run("transcribe", SPEECH, *LOCAL, "-o", tmp_path / name)[0] == 0
    assert (tmp_path / name).read_text().startswith("Good morning")


def test_a_format_that_is_given_is_taken_whatever_the_name_says(tmp_path: Path) -> None:
    assert run("transcribe", SPEECH, *LOCAL, "-f", "text", "-o", tmp_path / "a.srt")[0] == 0
    assert (tmp_path / "a.srt").read_text().startswith("Good morning")


# -- what is the same file ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["text", "jsonl"])  # whole at the end, or from the start
@pytest.mark.parametrize(
    ("prepare", "line"),
    [
        ("true", "call.wav -o call.wav"),
        ("true", "call.wav -o ./../$(basename $PWD)/call.wav"),
        ("ln -s call.wav other", "call.wav -o other"),
        ("ln call.wav other", "call.wav -o other"),
        ("ln -s call.wav other", "other -o call.wav"),
        ("true", "- -o call.wav < call.wav"),
        ("true", "/dev/stdin -o call.wav < call.wav"),
        ("true", "call.wav -o /dev/fd/9 9<> call.wav"),
        ("true", "/dev/fd/9 -o call.wav 9< call.wav"),
        ("true", "call.wav >> call.wav"),
        ("true", "call.wav -o - 1<> call.wav"),
        ("true", "--channel a=call.wav --channel b=call.wav -o call.wav"),
    ],
)
def test_a_recording_is_never_written_over(here: Path, form: str, prepare: str, line: str) -> None:
    before = (here / "call.wav").read_bytes()
    code, out, err = in_shell(f"{prepare}; {RT} {line} -f {form}", cwd=here)
    assert (here / "call.wav").read_bytes() == before
    assert (code, out) == (2, "")
    assert "is the same file as" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("prepare", "line"),
    [
        ("ln -s call.wav live.vtt", "call.wav --captions live.vtt"),
        ("ln call.wav live.vtt", "call.wav --captions live.vtt -o out.txt"),
        ("true", "call.wav -o live.vtt --captions live.vtt"),
        ("mkdir d; ln -s d e", "call.wav -o d/live.vtt --captions e/live.vtt"),
        ("ln -s live.vtt soon.txt", "call.wav -o soon.txt --captions live.vtt"),
        ("touch live.vtt; ln live.vtt out.txt", "call.wav -o out.txt --captions live.vtt"),
        ("mkfifo live.vtt; ln -s live.vtt pipe", "call.wav -o pipe --captions live.vtt"),
        ("true", "call.wav --captions live.vtt > live.vtt"),
        ("ln -s /dev/stdout live.vtt", "call.wav --captions live.vtt"),
        ("echo '{}' > c.json", "call.wav --config c.json -o c.json"),
        ("echo word > call.txt", "call.wav --vocab-file call.txt -f txt,srt --output-dir ."),
        ("echo a:b > words.vtt", "call.wav --replace-file words.vtt --captions words.vtt"),
        ("mkfifo pipe", "pipe -o pipe"),
    ],
)
def test_two_names_of_one_file_are_refused_and_nothing_is_made(here: Path, prepare: str, line: str) -> None:
    subprocess.run(["sh", "-c", prepare], cwd=here, check=True)
    before = {path.name: path.lstat() for path in here.iterdir()}
    code, out, err = in_shell(f"{RT} {line}", cwd=here)
    assert code == 2, err
    assert out == ""
    assert "is the same file as" in err
    after = {path.name: path.lstat() for path in here.iterdir() if path.name in before}
    assert [(s.st_ino, s.st_size) for s in after.values()] == [
        (before[name].st_ino, before[name].st_size) for name in after
    ]
    assert {path.name for path in here.iterdir()} - set(before) <= (
        {"live.vtt"} if "> live" in line else set()
    )


@pytest.mark.parametrize(
    "line",
    [
        "call.wav -o /dev/null --captions live.vtt",
        "- -o out.txt < call.wav > /dev/null",
        "call.wav -o A.vtt --captions a.vtt",
        "call.wav -o /dev/null > /dev/null",
    ],
)
def test_what_is_not_the_same_is_written(here: Path, line: str) -> None:
    assert in_shell(f"{RT} {line}", cwd=here)[0] == 0
    assert not list(here.glob(".*"))


def test_one_socket_may_be_both_ends_as_for_a_service_of_inetd(here: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, start("transcribe", "-", *RAW, *LOCAL, stdin=theirs, stdout=theirs):
        theirs.close()
        ours.sendall(SECOND * 20)
        ours.shutdown(socket.SHUT_WR)
        said = b"".join(iter(lambda: ours.recv(65536), b""))
    assert said.decode().startswith(SENTENCES[0])


def test_names_that_differ_in_case_are_one_where_the_folder_says_so(tmp_path: Path) -> None:
    if shutil.which("mke2fs") is None:
        pytest.skip("there is no mke2fs, to make a disk that folds case")
    image, place = tmp_path / "image", tmp_path / "disk"
    image.write_bytes(bytes(8 << 20))
    place.mkdir()
    made = subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-O", "casefold", "-E", "encoding=utf8", image],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("mke2fs can't make a disk that folds case")
    mounted("-o", "loop", str(image), str(place))
    try:
        folder = place / "folds"
        folder.mkdir()
        subprocess.run(["chattr", "+F", folder], check=True)
        outputs = [Place("-o", str(folder / "A.vtt")), Place("--captions", str(folder / "a.vtt"))]
        with pytest.raises(ConfigurationError, match="same file"):
            check_apart(outputs, [])
    finally:
        subprocess.run(["umount", place], check=True)


def test_outputs_are_looked_at_without_leaving_a_trace(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("before")
    outputs = [Place("-o", str(tmp_path / "old.txt")), Place("--captions", str(tmp_path / "new.vtt"))]
    check_apart(outputs, [])
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "before"


# -- what was there stays until something was heard ---------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_a_session_that_hears_nothing_leaves_the_file_as_it_was(tmp_path: Path, form: str) -> None:
    (tmp_path / "out").write_text("before")
    with a_closed_port() as port:
        url = f"ws://127.0.0.1:{port}/v2"
        assert run("transcribe", SPEECH, "--url", url, "-f", form, "-o", tmp_path / "out")[0] == 4
    assert (tmp_path / "out").read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_a_session_that_is_refused_leaves_the_file_as_it_was(tmp_path: Path, form: str) -> None:
    (tmp_path / "out").write_text("before")
    with LocalServer(quota=0) as full:
        code, _, err = run("transcribe", SPEECH, "--url", full.url, "-f", form, "-o", tmp_path / "out")
    assert code == 1
    assert "quota_exceeded" in err
    assert (tmp_path / "out").read_text() == "before"


def test_ctrl_c_before_a_word_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("before")
    with LocalServer() as server:
        options = (*RAW, "--url", server.url, "-o", tmp_path / "out")
        with start("transcribe", "-", *options) as process:
            process.stdin.write(bytes(3200))
            process.stdin.flush()
            server.wait_for_session().wait_for(lambda record: record.frames)
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 130
    assert (tmp_path / "out").read_text() == "before"


def test_what_a_killed_run_left_is_in_nobodys_way(here: Path) -> None:
    with LocalServer() as server:
        options = (*RAW, "--url", server.url, "-o", here / "out.txt")
        with start("transcribe", "-", *options) as process:
            process.stdin.write(SECOND * 9)
            process.stdin.flush()
            server.wait_for_session().wait_for(lambda record: record.said("AddTranscript"))
            process.kill()
    left = {path.name: path.read_bytes() for path in here.iterdir() if path.name != "call.wav"}
    assert set(left) <= {"out.txt"}
    assert TEXT.startswith(left.get("out.txt", b"").decode().strip())  # it is kept up to date, and whole
    (here / f".out.txt.{os.getpid()}.part").write_text("of an older version")
    assert in_shell(f"{RT} call.wav -o out.txt", cwd=here)[0] == 0
    assert (here / "out.txt").read_text() == TEXT


# -- where a new file can't be put in the place of the old one ----------------------------------------------


def test_a_file_that_is_mounted_by_itself_is_written_in_place(here: Path) -> None:
    inner, outer = here / "inner.txt", here / "outer.txt"
    inner.write_text("before " * 1000)
    outer.write_text("")
    mounted("--bind", str(inner), str(outer))
    try:
        code, out, err = in_shell(f"{RT} call.wav -o outer.txt", cwd=here)
        assert (code, out, err) == (0, "", "")
    finally:
        subprocess.run(["umount", outer], check=True)
    assert inner.read_text() == TEXT


def test_a_file_with_other_names_is_written_under_all_of_them(here: Path) -> None:
    (here / "one.txt").write_text("before " * 1000)
    os.link(here / "one.txt", here / "two.txt")
    assert in_shell(f"{RT} call.wav -o two.txt", cwd=here)[0] == 0
    assert (here / "one.txt").read_text() == TEXT


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give files away")
def test_a_file_of_another_owner_stays_his(here: Path) -> None:
    (here / "out.txt").write_text("before")
    os.chown(here / "out.txt", 12345, 12346)
    assert in_shell(f"{RT} call.wav -o out.txt", cwd=here)[0] == 0
    status = (here / "out.txt").stat()
    assert ((here / "out.txt").read_text(), status.st_uid, status.st_gid) == (TEXT, 12345, 12346)


def unprivileged() -> str:
    """What makes even root heed the permissions of files."""
    if os.getuid() != 0:
        return ""
    setpriv = "setpriv --bounding-set=-dac_override,-dac_read_search,-fowner"
    if subprocess.run([*setpriv.split(), "true"], capture_output=True, check=False).returncode:
        pytest.skip("root can't drop its privileges here")
    return setpriv


def test_a_file_in_a_folder_that_is_closed_to_us_is_written_in_place(here: Path) -> None:
    folder = here / "closed"
    folder.mkdir()
    (folder / "out.txt").write_text("before " * 1000)
    (folder / "live.vtt").write_text("before " * 1000)
    folder.chmod(0o555)
    line = f"{unprivileged()} {RT} call.wav -o closed/out.txt --captions closed/live.vtt"
    assert in_shell(line, cwd=here) == (0, "", "")
    assert (folder / "out.txt").read_text() == TEXT
    assert (folder / "live.vtt").read_text().startswith("WEBVTT\n")
    assert "before" not in (folder / "live.vtt").read_text()


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("transcribe '~/call.wav'", "/call.wav"),
        ("transcribe file:///tmp/my%20call.wav", "/tmp/my call.wav"),
        ("transcribe call.wav -o '~/out.txt'", "/out.txt"),
        ("transcribe-many '~/calls' -o out", "/calls"),
        ("transcribe-many file:///calls -o out", "/calls"),
        ("transcribe-many call.wav --output=~/out", "/out"),
    ],
)
def test_a_path_that_a_shell_has_not_expanded_is_told_and_nothing_made(
    here: Path, line: str, meant: str
) -> None:
    code, out, err = in_shell(f"$RT {line} {' '.join(LOCAL)}", cwd=here, env={"HOME": "/nowhere"})
    assert code in (2, 5)
    assert out == ""
    assert err.endswith(f"{'/nowhere' if '~' in line else ''}{meant}'\n")
    assert not (here / "~").exists()
    assert not (here / "out").exists()


@pytest.mark.parametrize("form", ["text", "jsonl"])
@pytest.mark.parametrize("output", ["closed/new.txt", "protected.txt", "", "closed", "none/", "call.wav/x"])
def test_what_cannot_be_written_is_told_before_any_connection(here: Path, form: str, output: str) -> None:
    (here / "closed").mkdir(mode=0o555)
    (here / "protected.txt").write_text("before")
    (here / "protected.txt").chmod(0o444)
    line = f"{unprivileged()} $RT transcribe call.wav --url ws://127.0.0.1:1/v2 -f {form} -o '{output}'"
    code, out, err = in_shell(line, cwd=here)
    assert (code, out) == (2, "")
    assert err.startswith(f"speechmatics-rt: error: can't write '{output}': ")
    assert (here / "protected.txt").read_text() == "before"


# -- what can't be written at the end ------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_what_does_not_fit_on_a_disk_goes_to_stdout_whole(here: Path, small_disk: Path, form: str) -> None:
    place = small_disk / "out"
    if form != "jsonl":
        place.write_text("before")
    fill(small_disk)
    code, out, err = in_shell(f"{RT} call.wav -f {form} -o {place}", cwd=here)
    assert code == 6
    assert err == (
        f"speechmatics-rt: error: can't write '{place}': No space left on device; "
        "it goes to standard output instead\n"
    )
    _, whole, _ = in_shell(f"{RT} call.wav -f {form}", cwd=here)
    if form == "jsonl":
        kinds = [json.loads(line)["message"] for line in out.splitlines()]
        assert kinds == [json.loads(line)["message"] for line in whole.splitlines()]
        assert place.read_text() == ""
    else:
        assert " ".join(out.split())[-60:] == " ".join(whole.split())[-60:]
        assert place.read_text() == "before"
    assert sorted(path.name for path in small_disk.iterdir()) == ["filler", "out"]


def test_lines_that_no_longer_fit_follow_on_stdout_and_none_is_cut(here: Path, small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(57344))  # room for two pages
    place = small_disk / "talk.jsonl"
    code, out, err = in_shell(f"{RT} call.wav -f jsonl -o {place}", cwd=here)
    assert code == 6
    assert err.count("No space left on device") == 1
    kept, rest = place.read_text(), out
    assert kept.endswith("}\n")
    kinds = [json.loads(line)["message"] for line in (kept + rest).splitlines()]
    assert (kinds.count("RecognitionStarted"), kinds[-1]) == (1, "EndOfTranscript")
    assert 0 < kept.count("\n") < len(kinds)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("form", ["text", "jsonl"])
def test_a_device_that_takes_nothing_is_named(here: Path, form: str) -> None:
    code, out, err = in_shell(f"{RT} call.wav -f {form} -o /dev/full", cwd=here)
    assert code == 6
    assert "can't write '/dev/full': No space left on device" in err
    assert "Good" in out


@pytest.mark.parametrize("form", ["text", "srt"])
def test_a_limit_on_the_size_of_files_costs_no_word(here: Path, form: str) -> None:
    code, out, err = in_shell(f"ulimit -f 0; {RT} call.wav -f {form} -o out.txt | cat", cwd=here)
    assert code == 6
    assert "can't write 'out.txt': File too large" in err
    assert "welcome to the reading room." in " ".join(out.split())


def test_a_folder_that_was_closed_meanwhile_costs_no_word(here: Path) -> None:
    folder = here / "closing"
    folder.mkdir()
    with LocalServer() as server:
        command = [*unprivileged().split(), sys.executable, "-m", "speechmatics_rt", "transcribe", "-", *RAW]
        with subprocess.Popen(
            [*command, "--url", server.url, "-o", folder / "out.txt"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            process.stdin.write(SECOND[:3200])
            process.stdin.flush()
            server.wait_for_session().wait_for(lambda record: record.start)
            folder.chmod(0o555)  # before a word is heard, and the file made
            out, err = process.communicate(SECOND * 20, timeout=10)
    assert process.returncode == 6
    assert out.decode().startswith(SENTENCES[0])
    assert f"can't write '{folder}/out.txt': Permission denied" in err.decode()


def test_a_name_may_be_as_long_as_names_may_be(here: Path) -> None:
    name = "n" * 251 + ".vtt"
    assert in_shell(f"{RT} call.wav --captions {name}", cwd=here) == (0, TEXT, "")
    assert (here / name).read_text().startswith("WEBVTT\n")


@pytest.mark.parametrize("form", ["text", "json", "srt"])
def test_a_folder_that_vanished_costs_no_word(here: Path, form: str) -> None:
    (here / "gone").mkdir()
    with LocalServer() as server:
        options = (*RAW, "--url", server.url, "-f", form, "-o", here / "gone" / "out")
        with start("transcribe", "-", *options) as process:
            process.stdin.write(SECOND[:3200])
            process.stdin.flush()
            server.wait_for_session().wait_for(lambda record: record.start)
            (here / "gone").rmdir()  # before a word is heard, and the file made
            out, err = process.communicate(SECOND * 20, timeout=10)
    assert process.returncode == 6
    assert f"can't write '{here}/gone/out': No such file or directory" in err.decode()
    assert "Good" in out.decode()
    assert "reading" in out.decode()


def test_an_error_of_the_service_and_one_of_the_disk_are_both_told(here: Path) -> None:
    with LocalServer(faults=[Fault.reset(after_seconds=12)]) as server:
        line = f"$RT transcribe call.wav --url {server.url} -o /dev/full"
        code, out, err = in_shell(line, cwd=here)
    assert code == 4
    assert out.startswith(SENTENCES[0])
    assert [line.split(": ")[1] for line in err.splitlines()] == ["error", "error"]


def test_a_pipe_whose_reader_died_costs_no_word(here: Path) -> None:
    os.mkfifo(here / "pipe")
    audio = "{ true < pipe; cat call.wav; }"  # nothing is said before the reader is dead
    code, out, err = in_shell(f"{audio} | {RT} - -o pipe", cwd=here)
    assert (code, out) == (6, TEXT)
    assert "can't write 'pipe': Broken pipe" in err


# -- captions go along ------------------------------------------------------------------------------------


def test_a_flood_of_changes_leaves_most_of_the_time_to_the_session() -> None:
    pace, worked, began = Pace(), 0.0, time.monotonic()
    while time.monotonic() < began + 0.6 or worked < 0.05:  # on a busy machine that takes longer
        if pace.is_due(changed=True):
            with pace.around():
                since = time.thread_time()
                while time.thread_time() < since + 0.002:
                    pass
                worked += time.thread_time() - since
    assert worked < 0.2  # at once, then a tenth


def test_captions_that_cannot_be_written_warn_once_and_the_transcript_goes_on(
    here: Path, small_disk: Path
) -> None:
    fill(small_disk)
    code, out, err = in_shell(f"{RT} call.wav --captions {small_disk}/live.vtt", cwd=here)
    assert out == TEXT
    assert err == (
        f"speechmatics-rt: warning: can't write --captions '{small_disk}/live.vtt': No space left on device\n"
    )
    assert code == 6  # not all went well


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_captions_that_go_well_hide_no_line_that_did_not(here: Path) -> None:
    code, out, err = in_shell(f"{RT} call.wav -f jsonl -o /dev/full --captions live.vtt", cwd=here)
    assert code == 6
    assert "EndOfTranscript" in out
    assert err.count("\n") == 1


def test_captions_are_whole_again_when_the_disk_has_room_again(here: Path, small_disk: Path) -> None:
    place = small_disk / "live.srt"
    fill(small_disk)
    with LocalServer() as server:
        options = (*RAW, "--url", server.url, "--captions", place)
        with start("transcribe", "-", *options) as process:
            process.stdin.write(SECOND * 9)
            process.stdin.flush()
            assert b"can't write" in process.stderr.readline()
            (small_disk / "filler").unlink()
            process.stdin.write(SECOND * 11)
            _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, b"")
    assert "reading room." in " ".join(place.read_text().split())


def test_captions_into_a_pipe_are_written_once(here: Path) -> None:
    os.mkfifo(here / "live.vtt")
    line = f"cat live.vtt > copy & {RT} call.wav --captions live.vtt; wait"
    assert in_shell(line, cwd=here)[:2] == (0, TEXT)
    assert (here / "copy").read_text().count("WEBVTT") == 1


# -- what was asked for is in the format, or is refused ------------------------------------------------------


def test_a_file_of_text_holds_what_would_have_been_shown(here: Path) -> None:
    event = {"type": "applause", "start_time": 0.1, "confidence": 0.7}
    clapping = [Fault.message({"message": "AudioEventStarted", "event": event}, after_seconds=6)]
    with LocalServer(faults=clapping) as server:
        line = f"$RT transcribe call.wav --url {server.url} --translate fr --audio-events all"
        _, shown, _ = in_shell(line, cwd=here)
    with LocalServer(faults=clapping) as server:
        line = f"$RT transcribe call.wav --url {server.url} --translate fr --audio-events all -o out.txt"
        assert in_shell(line, cwd=here) == (0, "", "")
    text = (here / "out.txt").read_text()
    assert {"[applause]", f"[fr] [fr] {SENTENCES[0]}"} <= set(text.splitlines())
    assert sorted(text.splitlines()) == sorted(shown.splitlines())


def test_json_holds_translations_and_sounds_beside_the_words() -> None:
    begun = {"type": "applause", "start_time": 0.1, "confidence": 0.7}
    ended = {"type": "applause", "end_time": 0.9}
    clapping = [
        Fault.message({"message": "AudioEventStarted", "event": begun}, after_seconds=6),
        Fault.message({"message": "AudioEventEnded", "event": ended}, after_seconds=7),
    ]
    with LocalServer(faults=clapping) as server:
        options = ("--translate", "fr", "--audio-events", "all", "-f", "json")
        code, out, _ = run("transcribe", SPEECH, "--url", server.url, *options)
    document = json.loads(out)
    assert code == 0
    assert document["translations"]["fr"][0]["content"].startswith("[fr] Good morning")
    assert {**begun, "end_time": 0.9} in document["audio_events"]


@pytest.mark.parametrize("form", ["srt", "vtt"])
@pytest.mark.parametrize("option", [("--translate", "fr"), ("--audio-events", "all")])
def test_captions_refuse_what_they_cannot_hold(form: str, option: tuple[str, str]) -> None:
    code, out, err = run("transcribe", SPEECH, "--url", "ws://127.0.0.1:1/v2", *option, "-f", form)
    assert (code, out) == (2, "")
    assert option[0] in err
    assert "jsonl" in err
