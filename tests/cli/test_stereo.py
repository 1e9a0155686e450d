"""Recordings of several channels, as telephone systems make them."""

from __future__ import annotations

import re
import struct
import sys
import wave
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local import LocalServer, ScriptedEngine

from ..held import HeldEngine
from .command import LOCAL, SENTENCES, SPEECH, run, start
from .terminal import OnTerminal


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """Ten seconds: a voice on the left, silence on the right."""
    with wave.open(str(SPEECH)) as speech:
        voice = array("h", speech.readframes(160000))
    both = array("h", bytes(4 * len(voice)))
    both[::2] = voice
    if sys.byteorder == "big":
        both.byteswap()
    with wave.open(str(tmp_path / "call.wav"), "wb") as recording:
        recording.setparams((2, 2, 16000, 0, "NONE", ""))
        recording.writeframes(both.tobytes())
    return tmp_path / "call.wav"


@pytest.fixture(scope="module")
def server():
    with LocalServer() as running:
        yield running


def test_each_channel_is_transcribed_under_its_label(server, call: Path) -> None:
    code, out, err = run("transcribe", call, "--split", "agent, caller", "--url", server.url)
    assert (code, err) == (0, "")
    assert {line.partition(":")[0] for line in out.splitlines() if ":" in line} == {"agent", "caller"}
    record = server.sessions[-1]
    assert record.start["transcription_config"]["channel_diarization_labels"] == ["agent", "caller"]
    assert any(record.audio_of("agent"))
    assert not any(record.audio_of("caller"))


def test_channels_may_be_of_several_speakers_each(server, call: Path) -> None:
    run("transcribe", call, "--split", "a,b", "--diarization", "speaker", "--url", server.url)
    assert server.sessions[-1].start["transcription_config"]["diarization"] == "channel_and_speaker"


def test_the_bar_knows_how_long_a_split_recording_is(call: Path) -> None:
    with OnTerminal("transcribe", call, "--split", "a,b", "--speed", "4", *LOCAL) as running:
        running.until(r"━.* 0:0\d / 0:10")


def test_channels_are_mixed_to_one(server, call: Path) -> None:
    code, out, err = run("transcribe", call, "--mix", "--url", server.url)
    assert (code, err) == (0, "")
    assert out.startswith(SENTENCES[0])
    record = server.sessions[-1]
    assert record.start["audio_format"] == {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
    with wave.open(str(call)) as recording:
        left = struct.unpack("<320000h", recording.readframes(160000))[::2]
    assert bytes(record.audio) == struct.pack("<160000h", *(sample // 2 for sample in left))


def test_a_pipe_is_taken_apart_as_it_comes(server, call: Path) -> None:
    code, out, _ = run("transcribe", "-", "--split", "a,b", "--url", server.url, stdin=call.read_bytes())
    assert code == 0
    assert {line.partition(":")[0] for line in out.splitlines() if ":" in line} == {"a", "b"}
    record = server.sessions[-1]
    assert any(record.audio_of("a"))
    assert not any(record.audio_of("b"))
    assert len(record.audio_of("a")) == len(record.audio_of("b")) == 320000


def test_a_pipe_can_be_mixed(server, call: Path) -> None:
    assert run("transcribe", "-", "--mix", "--url", server.url, stdin=call.read_bytes())[0] == 0
    assert server.sessions[-1].audio_size == 320000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--split", "a,a"], "--split 'a,a': each channel needs a label of its own"),
        (["--split", "a,"], "--split: the label is ''; it is blank"),
        (["--split", "a,b", "--mix"], "use --split or --mix, not both"),
        (["--mix", "--raw", "mulaw"], "--mix takes a WAV, not --raw"),
        (["--split", "a,b", "--diarization", "none"], "--split needs no --diarization none"),
    ],
)
def test_what_does_not_fit_is_refused(call: Path, options: list[str], says: str) -> None:
    code, out, err = run("transcribe", call, *options, *LOCAL)
    assert (code, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1


def test_as_many_labels_as_channels_are_needed(call: Path) -> None:
    for labels, given in (("one", "1 label was"), ("a,b,c", "3 labels were")):
        code, out, err = run("transcribe", call, "--split", labels, *LOCAL)
        assert (code, out) == (5, "")
        assert f"has 2 channels, but {given} given" in err


def test_what_is_no_wav_can_t_be_mixed(tmp_path: Path) -> None:
    (tmp_path / "talk.mp3").write_bytes(b"ID3" + bytes(4000))
    code, _, err = run("transcribe", tmp_path / "talk.mp3", "--mix", *LOCAL)
    assert code == 5
    assert "it is not a WAV; convert it beforehand: ffmpeg -i FILE -c:a pcm_s16le out.wav" in err


def test_a_wav_that_is_not_what_it_is_said_to_be_is_refused_in_words_of_the_shell(call: Path) -> None:
    code, _, err = run("transcribe", call, "--raw", "mulaw", "--sample-rate", "8000", *LOCAL)
    assert code == 5
    assert (
        "holds 16-bit PCM at 16000 Hz in 2 channels, but --raw says mulaw at 8000 Hz in one channel; " in err
    )
    assert "leave --raw out, and add --split agent,caller" in err
    code, _, err = run("transcribe", SPEECH, "--raw", "pcm_s16le", "--sample-rate", "8000", *LOCAL)
    assert code == 5
    assert err.endswith("but --raw says pcm_s16le at 8000 Hz in one channel; leave --raw out\n")


def test_a_stereo_recording_that_has_to_be_converted_is_said_to_be_so(call: Path) -> None:
    data = bytearray(call.read_bytes())
    data[20:22], data[34:36] = b"\x11\0", b"\x04\0"  # IMA ADPCM
    call.write_bytes(data)
    code, _, err = run("transcribe", call, *LOCAL)
    assert code == 5
    assert err.endswith("one is expected; convert it beforehand: ffmpeg -i FILE -c:a pcm_s16le out.wav\n")


class _OneIsLate(ScriptedEngine):
    """Hears the agent only when all of his audio has come."""

    def recogniser(self, settings: Mapping[str, Any]) -> Any:
        recogniser: Any = super().recogniser(settings)
        if settings.get("channel") == "agent":
            feed, finish = recogniser.feed, recogniser.finish
            late: list[Any] = []

            def keep(audio: bytes) -> list[Any]:
                late.extend(feed(audio))
                return []

            recogniser.feed, recogniser.finish = keep, lambda: [*late, *finish()]
        return recogniser


@pytest.mark.parametrize("to_file", [True, False])
def test_what_is_said_first_is_written_first_though_it_is_heard_last(tmp_path: Path, to_file: bool) -> None:
    options = ["--channel", f"agent={SPEECH}", "--channel", f"caller={SPEECH}", "--timestamps"]
    with LocalServer(_OneIsLate()) as late:
        name = tmp_path / "a.txt"
        where = ["-o", name] if to_file else []
        code, out, err = run("transcribe", *options, *where, "--url", late.url)
    assert (code, err) == (0, "")
    lines = (name.read_text() if to_file else out).splitlines()
    times = [line.partition("]")[0] for line in lines]
    assert times == sorted(times)
    said = [re.sub(r"^\[.*?\] (\w+: )?", "", line) for line in lines]
    assert said == [sentence for sentence in SENTENCES for _ in range(2)]  # none torn


def test_sentences_of_channels_leave_a_pipe_while_their_session_runs() -> None:
    channels = ["--channel", f"agent={SPEECH}", "--channel", f"caller={SPEECH}"]
    engine = HeldEngine()
    with LocalServer(engine) as server, start("transcribe", *channels, "--url", server.url) as process:
        first = [process.stdout.readline().decode() for _ in range(2)]
        engine.let_go.set()  # before that it does not end
        process.communicate(timeout=30)
    assert first == [f"{label}: {SENTENCES[0]}\n" for label in ("agent", "caller")]
