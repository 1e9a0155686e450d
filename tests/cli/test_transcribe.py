"""``speechmatics-rt transcribe`` as the shell sees it: what goes in, what comes out, and when."""

from __future__ import annotations

import json
import os
import time
import wave
from pathlib import Path

import pytest

from speechmatics_rt import Transcript
from speechmatics_rt.local import Fault, LocalServer

from .command import SENTENCES, SPEECH, run, said_by, start

RAW = ("--raw", "pcm_s16le", "--sample-rate", "16000")
SECOND = bytes(32000)
A_SENTENCE = 7.5  # s
SPOKEN = """
and mister john dashwood had then leisure to consider how much there might be prudently in his power to do for
them had he married a more amiable woman he might have been made still more respectable than he was he might
even have been made amiable himself
"""


@pytest.fixture(scope="module")
def server():
    with LocalServer() as running:
        yield running


def transcribe(server: LocalServer, *arguments, stdin: bytes = b"", **env: str):
    return run("transcribe", *arguments, "--url", server.url, stdin=stdin, **env)


def test_a_file_becomes_a_line_a_sentence_on_stdout_and_nothing_else_is_written(server) -> None:
    assert transcribe(server, SPEECH) == (0, "\n".join(SENTENCES) + "\n", "")


def test_the_local_server_needs_no_url_and_no_key() -> None:
    code, out, err = run("transcribe", SPEECH, "--local", "--engine", "scripted")
    assert (code, out.splitlines(), err) == (0, SENTENCES, "")


def test_finals_leave_a_pipe_while_the_audio_is_still_coming(server) -> None:
    with start("transcribe", "-", *RAW, "--url", server.url) as process:
        process.stdin.write(SECOND * 9)
        process.stdin.flush()
        assert process.stdout.readline().decode() == SENTENCES[0] + "\n"
        assert process.poll() is None
        process.stdin.close()
        assert process.stdout.readline().decode().strip() == SENTENCES[1]
        assert process.wait(10) == 0
        assert process.stderr.read() == b""


def test_a_wav_on_standard_input_is_recognised(server) -> None:
    code, out, _ = transcribe(server, "-", stdin=SPEECH.read_bytes())
    assert (code, out.splitlines()) == (0, SENTENCES)
    with wave.open(str(SPEECH)) as wav:
        assert server.sessions[-1].audio == wav.readframes(wav.getnframes())


def test_diarized_text_names_the_speaker_where_it_changes(server) -> None:
    _, out, _ = transcribe(server, SPEECH, "--diarization", "speaker")
    assert out.splitlines()[:2] == [f"S1: {SENTENCES[0]}", f"S2: {SENTENCES[1]}"]


def test_translations_stand_on_lines_of_their_own(server) -> None:
    _, out, _ = transcribe(server, SPEECH, "--translate", "fr", "--translate", "de")
    lines = out.splitlines()
    assert lines[:3] == [SENTENCES[0], f"[fr] [fr] {SENTENCES[0]}", f"[de] [de] {SENTENCES[0]}"]
    assert set(SENTENCES) <= set(lines)


def test_sounds_stand_on_lines_of_their_own() -> None:
    event = {"type": "applause", "start_time": 0.1, "confidence": 0.7}
    clapping = Fault.message({"message": "AudioEventStarted", "event": event}, after_seconds=6)
    with LocalServer(faults=[clapping]) as server:
        _, out, _ = transcribe(server, SPEECH, "--audio-events", "all")
    assert "[applause]" in out.splitlines()
    assert set(SENTENCES) <= set(out.splitlines())


def test_jsonl_is_every_message_on_a_line(server) -> None:
    code, out, err = transcribe(server, SPEECH, "-f", "jsonl", "--partials")
    messages = [json.loads(line) for line in out.splitlines()]
    said = [message for message in server.sessions[-1].sent if message["message"] != "AudioAdded"]
    assert (code, messages, err) == (0, said, "")
    assert {"AddPartialTranscript", "AddTranscript"} < {message["message"] for message in messages}


def test_jsonl_keeps_what_came_before_a_session_that_did_not_start() -> None:
    with LocalServer(quota=0) as full:
        code, out, err = run("transcribe", SPEECH, "-f", "jsonl", "--url", full.url)
    assert code == 1
    assert [json.loads(line)["type"] for line in out.splitlines()] == ["quota_exceeded"]
    assert err.startswith("speechmatics-rt: error: ")


def test_json_is_the_transcript_at_the_end(server) -> None:
    _, out, _ = transcribe(server, SPEECH, "--format", "json")
    assert str(Transcript.from_dict(json.loads(out))) == " ".join(SENTENCES)


@pytest.mark.parametrize(("form", "head"), [("srt", "1\n00:00:00,"), ("vtt", "WEBVTT\n")])
def test_captions(server, form: str, head: str) -> None:
    _, out, _ = transcribe(server, SPEECH, "-f", form)
    assert out.startswith(head)
    assert "welcome to the reading room." in " ".join(out.split())


def test_output_in_any_locale_is_utf8(server) -> None:
    code, out, _ = transcribe(server, "-", *RAW, "--entities", stdin=SECOND * 34, LC_ALL="C", PYTHONUTF8="0")
    assert code == 0
    assert "£42" in out


def test_options_reach_the_service(server, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        '{"language": "de", "max_delay": 2, "operating_point": "standard", "domain": "medical",'
        ' "conversation_config": {"end_of_utterance_silence_trigger": 0.3},'
        ' "punctuation_overrides": {"sensitivity": 0.4}}'
    )
    options = ["--config", config, "-l", "en", "--max-delay", 1.5, "--model", "enhanced", "--partials"]
    options += ["--vocab", "Ravelin", "--vocab", "Quillon", "--punctuation", ".?", "--end-of-utterance", 0.6]
    options += ["--output-locale", "en-GB", "--diarization", "speaker", "--max-speakers", 3, "--entities"]
    options += ["--translate", "fr", "--audio-events", "music"]
    code, _, err = transcribe(server, SPEECH, *options)
    assert (code, err) == (0, "")
    start = server.sessions[-1].start
    assert start["translation_config"] == {"target_languages": ["fr"], "enable_partials": True}
    assert start["audio_events_config"] == {"types": ["music"]}
    assert start["transcription_config"] == {
        "language": "en",
        "model": "enhanced",
        "domain": "medical",
        "output_locale": "en-GB",
        "max_delay": 1.5,
        "enable_partials": True,
        "enable_entities": True,
        "additional_vocab": ["Ravelin", "Quillon"],
        "diarization": "speaker",
        "speaker_diarization_config": {"max_speakers": 3},
        "punctuation_overrides": {"permitted_marks": [".", "?"], "sensitivity": 0.4},
        "conversation_config": {"end_of_utterance_silence_trigger": 0.6},
    }


def test_speed_paces_the_audio(server) -> None:
    transcribe(server, "-", *RAW, "--speed", "4", stdin=SECOND * 4)
    times = server.sessions[-1].times
    assert times["end"] - times["started"] > 0.8


# -- files -----------------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_and_keeps_its_mode(server, tmp_path: Path) -> None:
    place, link = tmp_path / "talk.txt", tmp_path / "link.txt"
    place.write_text("before")
    place.chmod(0o640)
    link.symlink_to(place)
    assert transcribe(server, SPEECH, "-o", link) == (0, "", "")
    assert place.read_text().splitlines() == SENTENCES
    assert (place.stat().st_mode & 0o777, link.is_symlink()) == (0o640, True)
    assert sorted(tmp_path.iterdir()) == [link, place]


def test_a_file_stays_as_it_was_if_nothing_was_heard(server, tmp_path: Path) -> None:
    place = tmp_path / "talk.txt"
    place.write_text("before")
    code, _, _ = transcribe(server, "-", "-o", place, stdin=b"")
    assert (code, place.read_text(), list(tmp_path.iterdir())) == (5, "before", [place])


def test_a_file_that_cannot_be_written_is_named_before_any_connection(server, tmp_path: Path) -> None:
    count = len(server.sessions)
    code, _, err = transcribe(server, SPEECH, "-o", tmp_path / "none" / "talk.txt")
    assert code == 2
    assert (
        err == f"speechmatics-rt: error: can't write '{tmp_path}/none/talk.txt': No such file or directory\n"
    )
    assert len(server.sessions) == count


@pytest.mark.skipif(os.name == "nt", reason="Windows asks for a right to make links")
def test_an_output_that_is_a_link_to_nowhere_is_told_where_it_leads(server, tmp_path: Path) -> None:
    target, link = tmp_path / "gone" / "talk.txt", tmp_path / "talk.txt"
    link.symlink_to(target)
    code, _, err = transcribe(server, SPEECH, "-o", link)
    assert code == 2
    assert f"it is a link to '{target}', whose folder is not there" in err


def test_jsonl_grows_in_its_file_as_it_comes(server, tmp_path: Path) -> None:
    place = tmp_path / "talk.jsonl"
    os.mkfifo(place)  # a file one can wait for
    with start("transcribe", "-", *RAW, "--url", server.url, "-f", "jsonl", "-o", place) as process:
        with place.open() as lines:
            process.stdin.write(SECOND * 9)
            process.stdin.flush()
            kinds = iter(json.loads(line)["message"] for line in lines)
            assert "AddTranscript" in kinds  # reads up to there
            assert process.poll() is None
            process.stdin.close()
            assert [*kinds][-1] == "EndOfTranscript"
        assert process.wait(10) == 0


@pytest.mark.parametrize("form", ["text", "json", "srt", "tsv"])
def test_a_run_that_is_killed_has_left_what_was_heard(server, tmp_path: Path, form: str) -> None:
    place = tmp_path / "out"
    with start("transcribe", "-", *RAW, "--url", server.url, "-f", form, "-o", place) as process:
        seconds = 0
        while not (place.exists() and "train" in place.read_text()):
            assert seconds < 200
            process.stdin.write(SECOND)
            process.stdin.flush()
            time.sleep(0.1)
            seconds += 1
        process.kill()
        process.wait(10)
    text = place.read_text()
    assert "Good" in text
    if form == "json":
        assert "train" in Transcript.from_dict(json.loads(text)).text


def test_a_place_that_is_no_regular_file_is_written_directly(server) -> None:
    assert transcribe(server, SPEECH, "-o", "/dev/null") == (0, "", "")
    assert Path("/dev/null").is_char_device()


# -- captions for a player ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "head"), [("srt", "1\n00:00:00,"), ("vtt", "WEBVTT\n")])
def test_captions_are_whole_at_any_moment_while_it_runs(server, tmp_path: Path, form: str, head: str) -> None:
    place = tmp_path / f"live.{form}"
    with start("transcribe", "-", *RAW, "--url", server.url, "--captions", place) as process:
        process.stdin.write(SECOND * 9)
        process.stdin.flush()
        assert process.stdout.readline().decode().strip() == SENTENCES[0]
        process.stdin.write(SECOND * 4)
        process.stdin.flush()
        process.stdout.read(len("The train"))
        seconds, text = 13, place.read_text()  # replaced, never written to: it is not cut
        while "welcome to the reading room." not in " ".join(text.split()):
            assert text.startswith(head)
            assert seconds < 100
            process.stdin.write(SECOND)  # where writing was slow, the next messages bring it up to date
            process.stdin.flush()
            time.sleep(0.1)
            seconds, text = seconds + 1, place.read_text()
        assert text.startswith(head)
        process.stdin.close()
        assert process.wait(10) == 0
    _, out, _ = transcribe(server, "-", *RAW, "-f", form, stdin=SECOND * seconds)
    assert place.read_text() == out
    assert list(tmp_path.iterdir()) == [place]


def test_captions_keep_what_was_heard_before_an_error(tmp_path: Path) -> None:
    with LocalServer(faults=[Fault.error("job_error", after_seconds=12)]) as server:
        code, _, _ = transcribe(server, SPEECH, "--captions", tmp_path / "live.vtt")
    assert code == 1
    assert "reading room." in " ".join((tmp_path / "live.vtt").read_text().split())


def test_captions_of_a_session_that_does_not_start_stay_as_they_were(server, tmp_path: Path) -> None:
    place = tmp_path / "live.vtt"
    place.write_text("before")
    assert transcribe(server, "-", "--captions", place, stdin=b"")[0] == 5
    assert (place.read_text(), list(tmp_path.iterdir())) == ("before", [place])


# -- channels ----------------------------------------------------------------------------------------------


def channels(**files: object) -> list[str]:
    return [part for label, file in files.items() for part in ("--channel", f"{label}={file}")]


def test_channels_share_a_session_and_their_labels_stand_where_they_change(server, tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    with wave.open(str(SPEECH)) as speech, wave.open(str(short), "wb") as file:
        file.setparams(speech.getparams())
        file.writeframes(speech.readframes(16000 * 9))
    code, out, err = transcribe(server, *channels(agent=SPEECH, caller=short))
    record = server.sessions[-1]
    config = record.start["transcription_config"]
    assert (code, err) == (0, "")
    assert (config["diarization"], config["channel_diarization_labels"]) == ("channel", ["agent", "caller"])
    assert len(record.audio_of("caller")) == 9 * 32000
    said, whole = said_by(out), " ".join(SENTENCES)
    assert said.keys() == {"agent", "caller"}
    assert said["agent"] == whole
    assert whole.startswith(said["caller"])
    assert said["caller"].startswith(" ".join(SENTENCES[:2]))
    assert out.splitlines()[-1].endswith(SENTENCES[-1])


def test_speakers_of_channels_are_told_apart(server) -> None:
    _, out, _ = transcribe(server, *channels(a=SPEECH, b=SPEECH), "--diarization", "speaker")
    assert server.sessions[-1].start["transcription_config"]["diarization"] == "channel_and_speaker"
    turns = {"S1": " ".join(SENTENCES[::2]), "S2": " ".join(SENTENCES[1::2])}
    assert said_by(out) == {f"{channel} {who}": said for channel in "ab" for who, said in turns.items()}


def test_a_channel_may_come_from_standard_input(server) -> None:
    code, out, _ = transcribe(server, *channels(a=SPEECH, b="-"), "-f", "json", stdin=SPEECH.read_bytes())
    words = Transcript.from_dict(json.loads(out)).words
    assert code == 0
    assert {word.channel for word in words} == {"a", "b"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--channel", str(SPEECH)], "write LABEL=FILE"),
        (["--channel", f"={SPEECH}"], "write LABEL=FILE"),
        (["--channel", "a="], "write LABEL=FILE"),
        (channels(a=SPEECH) * 2, "there already is a channel 'a'"),
        (channels(a="-", b="-"), "only one of them can be standard input"),
        ([SPEECH, *channels(a=SPEECH)], "name a FILE or --channel, not both"),
        ([], "name a FILE"),
        (channels(a=SPEECH, b="none.wav"), "channel 'b': "),
    ],
)
def test_channels_that_are_wrong_are_told_before_any_connection(server, options, says: str) -> None:
    count = len(server.sessions)
    code, out, err = transcribe(server, *options)
    assert (code, out) == (5 if "none.wav" in err else 2, "")
    assert says in err
    assert err.count("\n") == 1
    assert len(server.sessions) == count


# -- real speech -------------------------------------------------------------------------------------------


@pytest.mark.speech
@pytest.mark.timeout(180)  # the recogniser computes for seconds, and others may, too
@pytest.mark.parametrize("seconds", [A_SENTENCE, pytest.param(20, marks=pytest.mark.reliability)])
def test_real_speech_is_transcribed_offline(tmp_path: Path, seconds: float) -> None:
    pytest.importorskip("ctranslate2")
    path, spoken = speech(tmp_path, seconds)
    code, out, err = run("transcribe", path, "--local", patience=170)
    assert (code, err) == (0, "")
    assert distance(spoken, words_of(out)) <= 2


def speech(folder: Path, seconds: float) -> tuple[Path, list[str]]:
    """Return the beginning of the recording, and what is said in it."""
    path = folder / "speech.wav"
    with wave.open(str(SPEECH)) as whole, wave.open(str(path), "wb") as part:
        part.setparams(whole.getparams())
        part.writeframes(whole.readframes(int(seconds * whole.getframerate())))
    return path, SPOKEN[: SPOKEN.index("had he married") if seconds == A_SENTENCE else None].split()


def words_of(text: str) -> list[str]:
    return "".join(c for c in text.lower().replace("mr.", "mister") if c.isalpha() or c.isspace()).split()


def distance(expected: list[str], found: list[str]) -> int:
    """The least number of words to insert, delete or replace."""
    row = list(range(len(found) + 1))
    for above, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], above
        for place, other in enumerate(found, 1):
            diagonal, row[place] = (
                row[place],
                min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other)),
            )
    return row[-1]


@pytest.mark.speech
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("seconds", "every", "drops"), [(A_SENTENCE, 3, 1), pytest.param(20, 5, 2, marks=pytest.mark.reliability)]
)
def test_drop_every_shows_that_no_word_is_lost_over_broken_connections(
    tmp_path: Path, seconds: float, every: int, drops: int
) -> None:
    path, spoken = speech(tmp_path, seconds)
    code, out, err = run("transcribe", path, "--local", "--drop-every", every, patience=170)
    assert code == 0, err
    assert err.count("connected again after") >= drops
    assert distance(spoken, words_of(out)) <= 2
