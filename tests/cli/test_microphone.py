"""The microphone in the command: a sound server of our own, whose null sink paces like one and never errs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import wave
from collections.abc import Iterator
from ctypes.util import find_library
from pathlib import Path

import pytest

from speechmatics_rt.cli.outputs import Place
from speechmatics_rt.cli.outputs.wav import WavFile
from speechmatics_rt.local import Fault, LocalServer

from .command import LOCAL, SENTENCES, SPEECH, run, start
from .terminal import OnTerminal

MIC = ("transcribe", "mic", *LOCAL)


class Pulse:
    """A sound server with one sink, ``speech``, whose monitor is the default microphone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        socket = folder / "native"
        (folder / ".asoundrc").write_text("pcm.!default { type pulse }\n")
        self.env = {
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "PULSE_SERVER": f"unix:{socket}",
            "PULSE_SOURCE": "speech.monitor",
        }
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        command += [f"--load=module-native-protocol-unix socket={socket} auth-anonymous=1"]
        # 50 ms at a time and not 2 s: PortAudio computes all the while that it waits for its first sound
        command += ["--load=module-null-sink sink_name=speech norewinds=1"]
        self.process = subprocess.Popen(
            command, env={**os.environ, **self.env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while not socket.exists():  # another maker's program, that tells in no other way
            assert self.process.poll() is None, "the sound server ended"
            assert time.monotonic() < deadline, "the sound server does not listen"
            time.sleep(0.05)

    def play(self, file: Path) -> subprocess.Popen:
        """Have it sound, beginning now."""
        command = ["paplay", "--device=speech", str(file)]
        return subprocess.Popen(command, env={**os.environ, **self.env})


@pytest.fixture(scope="module")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pulse]:
    for program in ("pulseaudio", "paplay"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program}: apt install pulseaudio pulseaudio-utils libasound2-plugins")
    if find_library("portaudio") is None:
        pytest.skip("there is no PortAudio: apt install libportaudio2")
    pytest.importorskip("sounddevice")
    running = Pulse(tmp_path_factory.mktemp("pulse"))
    try:
        devices = run("devices", **running.env)
        if devices[0]:
            pytest.skip(f"ALSA does not reach it: {devices[2].strip()}; apt install libasound2-plugins")
        yield running
    finally:
        running.process.terminate()
        running.process.wait(10)


def test_devices_are_listed_with_the_default_one_marked(pulse: Pulse) -> None:
    code, out, err = run("devices", **pulse.env)
    assert (code, err) == (0, "")
    assert sum(line.startswith("*") for line in out.splitlines()) == 1
    assert any(" pulse " in line and line.endswith(" Hz") for line in out.splitlines())


def test_what_is_said_is_transcribed_until_ctrl_c_and_kept(pulse: Pulse, tmp_path: Path) -> None:
    saved = tmp_path / "talk.wav"
    started = time.monotonic()
    with start(*MIC, "--save", saved, env=pulse.env) as process, pulse.play(SPEECH) as player:
        assert b"listening to the default microphone; Ctrl-C ends it" in process.stderr.readline()
        began = time.monotonic()
        assert process.stdout.readline().decode().strip() == SENTENCES[0]
        at_least = time.monotonic() - began
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        at_most = time.monotonic() - started
        player.kill()
    assert process.returncode == 0  # it has no other end
    assert out.decode().startswith(SENTENCES[1][:9])
    assert b"stopping" in err
    assert b"lost" not in err  # no overflow
    with wave.open(str(saved)) as recording:
        assert recording.getparams()[:3] == (1, 2, 16000)
        heard = recording.getnframes() / 16000
        samples = recording.readframes(recording.getnframes())
    assert at_least - 1.5 <= heard <= at_most
    assert any(samples)


def test_a_channel_may_be_the_microphone_beside_a_recording(pulse: Pulse) -> None:
    channels = ("--channel", f"caller={SPEECH}", "--channel", "agent=mic")
    command = ("transcribe", *channels, *LOCAL, "--format", "jsonl")
    with start(*command, env=pulse.env) as process, pulse.play(SPEECH) as player:
        assert b"listening to the default microphone" in process.stderr.readline()
        heard = set()
        while heard != {"agent", "caller"}:  # as it comes: the recording at once, what is said as it is said
            message = json.loads(process.stdout.readline())
            heard |= {message["channel"]} if message["message"] == "AddTranscript" else set()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        player.kill()
    assert process.returncode == 0


@pytest.mark.speech
def test_the_doctor_listens_to_the_microphone(pulse: Pulse) -> None:
    pytest.importorskip("ctranslate2")
    with pulse.play(SPEECH) as player:
        code, out, _ = run("doctor", "--local", **pulse.env)
        player.kill()
    assert code == 0
    assert "microphone   the default microphone records at 16000 Hz" in out


def test_the_bar_shows_how_loud_it_is_and_that_a_dead_one_is_silent(pulse: Pulse) -> None:
    with OnTerminal(*MIC, "--device", "pulse", **pulse.env) as running:
        running.until("listening to 'pulse'")
        running.until(r"─{20} silent for \d s  0:0\d  lag")
        with pulse.play(SPEECH) as player:
            running.until(r"━{3,}─* 0:\d\d  lag")
            player.kill()
        running.process.send_signal(signal.SIGINT)
        code, _ = running.finish()
    assert code == 0


def test_a_silent_one_is_told_in_a_log_too(pulse: Pulse) -> None:
    with start(*MIC, env=pulse.env) as process:
        process.stderr.readline()
        said = process.stderr.readline().decode()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert "warning: the default microphone is silent; is it muted, or the wrong one?" in said


def test_a_device_that_is_none_is_told_with_those_there_are(pulse: Pulse) -> None:
    code, _, err = run(*MIC, "--device", "Studio", **pulse.env)
    assert code == 2
    assert "--device 'Studio' is none of the input devices: " in err
    assert "'pulse'" in err


def test_a_full_disk_costs_the_recording_and_not_the_transcript(pulse: Pulse) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    with start(*MIC, "--save", "/dev/full", env=pulse.env) as process:
        first = process.stderr.readline()  # that it listens, or this already: it writes on another thread
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert b"warning: can't write --save '/dev/full': No space left on device" in first + err
    assert process.returncode == 6


def test_a_session_that_is_refused_leaves_the_former_recording(pulse: Pulse, tmp_path: Path) -> None:
    saved = tmp_path / "talk.wav"
    saved.write_bytes(b"the former one")
    with LocalServer(faults=[Fault.refuse(status=401)]) as server:
        code, _, _ = run(
            "transcribe", "mic", "--save", saved, "--url", server.url, "--api-key", "k", **pulse.env
        )
    assert code == 3
    assert saved.read_bytes() == b"the former one"


# -- without a microphone ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["mic", "--raw", "mulaw"], "a microphone takes no --raw"),
        (["mic", "--speed", "1"], "a microphone takes no --speed"),
        ([SPEECH, "--device", "1"], "--device goes with mic, the microphone"),
        ([SPEECH, "--save", "a.wav"], "--save goes with mic, the microphone"),
        (["--channel", "a=mic", "--channel", "b=mic"], "only one of them can be the microphone"),
        ([], "name a FILE, - for standard input, or mic for the microphone"),
    ],
)
def test_what_does_not_go_with_it_is_refused(options: list[str], says: str) -> None:
    code, _, err = run("transcribe", *options, *LOCAL)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1


def test_a_file_named_mic_is_reached_by_its_path(tmp_path: Path) -> None:
    shutil.copy(SPEECH, tmp_path / "mic")
    with start("transcribe", "./mic", *LOCAL, cwd=tmp_path) as process:
        out, _ = process.communicate(timeout=20)
    assert out.decode().startswith(SENTENCES[0])


def test_a_recording_is_whole_at_any_moment(tmp_path: Path) -> None:
    file = WavFile(Place.of("--save", str(tmp_path / "a.wav"), standard=1))
    file.append(b"\1\0" * 100)
    assert not (tmp_path / "a.wav").exists()  # not before a session has begun
    file.append(b"\2\0" * 100)
    assert (tmp_path / "a.wav").read_bytes()[44:] == b"\1\0" * 100 + b"\2\0" * 100
    file.close()
    file.append(b"\3\0")  # too late
    with wave.open(str(tmp_path / "a.wav")) as recording:
        assert (recording.getnframes(), recording.getframerate()) == (200, 16000)
    assert file.whole


def test_a_recording_may_flow_into_a_pipe() -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as ours:
        file = WavFile(Place("--save", "", writer))
        for _ in range(3):
            file.append(bytes(20))
        file.close()
        os.close(writer)
        said = ours.read()
    assert said[:4] == b"RIFF"
    assert said[40:44] == b"\xff\xff\xff\xff"  # a length that nobody knew
    assert len(said) == 44 + 60
