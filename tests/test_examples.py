"""The examples, run as a user runs them: each in a process of its own, against the local server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import wave
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import Transcript
from speechmatics_rt.local import Fault, LocalServer, Script, ScriptedEngine

from .cli import test_microphone

pulse = test_microphone.pulse  # a sound server

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SPEECH = EXAMPLES / "audio" / "librivox_3_sentences.wav"
SCRIPTS = {path.name for path in EXAMPLES.glob("*.py")}
HEARD = "Good morning, and welcome to the reading room."


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


def environment(server: LocalServer) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "SPEECHMATICS_RT_URL": server.url}


def run(server: LocalServer, folder: Path, *command: object) -> tuple[str, str]:
    """Run ``python ...`` in a folder to its good end; return its stdout and its stderr."""
    code, out, err = attempt(server, folder, *command)
    assert code == 0, out + err
    return out, err


def attempt(server: LocalServer, folder: Path, *command: object) -> tuple[int, str, str]:
    """Run it to whatever end; return its exit code as well."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *map(str, command)],
        cwd=folder,
        env=environment(server),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=170,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_transcribe_file_prints_the_turns_and_writes_captions(server, tmp_path) -> None:
    out, err = run(server, tmp_path, EXAMPLES / "transcribe_file.py", SPEECH)
    assert out.startswith(f"S1: {HEARD}\nS2: The train")
    assert err == ""
    assert "reading room." in (tmp_path / f"{SPEECH.stem}.srt").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", ["transcribe_file.py", "call_center.py"])
def test_a_second_recording_that_is_named_by_mistake_is_not_written_over(server, tmp_path, example) -> None:
    for name in ("one.wav", "two.wav"):
        shutil.copy(SPEECH, tmp_path / name)
    for names in (["one.wav"], ["one.wav", "two.wav"]):
        attempt(server, tmp_path, EXAMPLES / example, *names)
        for path in tmp_path.glob("*.wav"):
            assert path.read_bytes() == SPEECH.read_bytes()


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (example, words)
        for example, few, many, bad in [
            ("transcribe_file.py", None, 2, True),
            ("async_client.py", None, 2, True),
            ("async_multichannel.py", 1, 3, False),
            ("call_center.py", None, 1, False),
            ("captions.py", 0, 3, True),
            ("legacy_script.py", 0, None, True),
            ("logging_ids.py", None, 1, False),
            ("microphone.py", None, 2, False),
            ("multichannel.py", 0, 3, True),
            ("send_by_hand.py", None, 2, True),
            ("stream_messages.py", None, 3, True),
            ("temporary_keys.py", None, 2, False),
        ]
        for words in [
            *(["talk.wav"] * count for count in (few, many) if count is not None),
            *([name] for name in ("missing.wav", "folder", "page.wav") if bad),
            *(["missing.wav", "talk.wav"] for _ in range(example == "async_multichannel.py")),
            *(["talk.wav", "fast"] for _ in range(example == "stream_messages.py")),
        ]
    ],
)
def test_what_an_example_cannot_run_with_is_told_in_one_line(server, tmp_path, example, words) -> None:
    shutil.copy(SPEECH, tmp_path / "talk.wav")
    (tmp_path / "folder").mkdir()
    (tmp_path / "page.wav").write_text("<html>404 Not Found</html>")
    code, out, err = attempt(server, tmp_path, EXAMPLES / example, *words)
    assert (code, out, err.count("\n")) == (1, "", 1), out + err
    assert err.startswith(("usage: python", "failed: ", words[0] if words else "usage"))


@pytest.mark.parametrize("example", ["transcribe_file.py", "captions.py"])
def test_captions_that_cannot_be_written_are_told_in_one_line(server, tmp_path, example) -> None:
    shutil.copy(SPEECH, tmp_path / "talk.wav")
    (tmp_path / "talk.srt").mkdir()
    code, _, err = attempt(server, tmp_path, EXAMPLES / example, "talk.wav")
    assert (code, err.count("\n")) == (1, 1), err
    assert err.startswith("failed: ")
    assert "talk.srt" in err


def test_stream_messages_prints_partials_finals_and_the_whole(server, tmp_path) -> None:
    out, err = run(server, tmp_path, EXAMPLES / "stream_messages.py", SPEECH, 20)
    assert "... Good\n" in out
    assert out.count("--\n") >= 4
    assert out.splitlines()[-1].startswith(HEARD)
    assert err == ""


def test_send_by_hand_sends_all_and_hears_all(server, tmp_path) -> None:
    out, err = run(server, tmp_path, EXAMPLES / "send_by_hand.py")
    assert out.startswith("speak: ")
    assert out.splitlines()[-1].startswith(f"19.4 s sent: {HEARD}")
    assert err == ""
    assert server.sessions[-1].heard("ForceEndOfUtterance")


def test_logging_ids_logs_lines_of_json_with_ids_and_without_words(server, tmp_path) -> None:
    out, err = run(server, tmp_path, EXAMPLES / "logging_ids.py")
    lines = [json.loads(line) for line in err.splitlines()]
    assert {line["request_id"] for line in lines} == {"web-request-42"}
    assert lines[-1]["session_id"] == server.sessions[-1].session_id
    assert out.split()[:2] == ["web-request-42", server.sessions[-1].session_id]
    assert "reading" not in err


def test_your_code_passes_its_own_tests(server, tmp_path) -> None:
    command = ["-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", EXAMPLES / "test_your_code.py"]
    out, _ = run(server, tmp_path, *command)
    assert " passed" in out


@contextmanager
def flask(server: LocalServer, folder: Path, example: str) -> Iterator[str]:
    """Run one of the applications, and give its address."""
    pytest.importorskip("flask")
    command = [sys.executable, "-m", "flask", "--app", EXAMPLES / example, "run", "--port", "0"]
    with subprocess.Popen(
        list(map(str, command)), cwd=folder, env=environment(server), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            said = ""
            while "Running on" not in said:
                said = process.stderr.readline()
                assert said, "flask ended before it was listening"
            yield re.search(r"http://\S+", said).group()
        finally:
            server.faults = ()  # the other examples use it, too
            process.terminate()


def test_flask_upload_transcribes_a_body_and_tells_bad_audio_and_when_to_come_again(server, tmp_path) -> None:
    with flask(server, tmp_path, "flask_upload.py") as address:
        url = f"{address}/transcripts"
        answer = json.loads(post(url, SPEECH.read_bytes()))
        assert answer["text"].startswith(HEARD)
        assert answer["request_id"] == server.sessions[-1].request_id
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(url, b"")
        with refused.value as response:
            assert response.code == 400
            assert "empty" in json.load(response)["error"]
        busy, wrong = Fault.refuse(503, retry_after=7), Fault.error("invalid_model", at="start")
        for fault, status, wait in ((busy, 503, "7"), (wrong, 502, None)):
            server.faults = (fault,)
            with pytest.raises(urllib.error.HTTPError) as refused:
                post(url, SPEECH.read_bytes())
            with refused.value as response:
                assert (response.code, response.headers["Retry-After"]) == (status, wait)


def test_flask_events_sends_partials_and_finals_as_they_come_and_how_it_ended(server, tmp_path) -> None:
    with flask(server, tmp_path, "flask_events.py") as address:
        sent = events_of(post(f"{address}/captions", SPEECH.read_bytes()))
        assert {name for name, _ in sent} == {"partial", "final", "done"}
        assert sent[-1][0] == "done"
        assert sent[-1][1].replace("\n", " ").startswith("Good morning")
        assert "".join(text for name, text in sent if name == "final").startswith(HEARD)
        server.faults = (Fault.close(1011, after_seconds=10),)
        *some, (name, told) = events_of(post(f"{address}/captions", SPEECH.read_bytes()))
        assert some
        assert (name, told["retryable"]) == ("failed", True)


def test_flask_events_ends_the_session_when_its_reader_leaves(tmp_path) -> None:
    with LocalServer(speed=2.0) as live, flask(live, tmp_path, "flask_events.py") as address:
        leave(f"{address}/captions", SPEECH.read_bytes())
        record = live.sessions[0].wait_closed(30)
        assert not record.said("EndOfTranscript")


def events_of(body: bytes) -> list[tuple[str, Any]]:
    pairs = [part.split("\n") for part in body.decode("utf-8").split("\n\n") if part]
    return [(name.partition(": ")[2], json.loads(data.partition(": ")[2])) for name, data in pairs]


def leave(url: str, body: bytes) -> None:
    """Ask, and go away after the first event."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, body), timeout=20) as response:
        assert response.readline().startswith(b"event: ")


def post(url: str, body: bytes) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, body, {"Content-Type": "audio/wav"})
    with opener.open(request, timeout=20) as response:
        return bytes(response.read())


def test_every_example_has_a_test() -> None:
    here = Path(__file__).parent
    tests = [Path(__file__), *here.glob("e2e/test_*.py")]
    named = {path: set(re.findall(r'"(\w+\.py)"', path.read_text(encoding="utf-8"))) for path in tests}
    assert set().union(*named.values()) >= SCRIPTS
    assert named[Path(__file__)] <= SCRIPTS


def test_every_example_says_first_what_it_is_and_how_it_is_run() -> None:
    for name in SCRIPTS:
        assert re.match(r'"""[A-Z].+', (EXAMPLES / name).read_text(encoding="utf-8")), name


def two_recordings(folder: Path) -> tuple[Path, Path]:
    """Cut the recording into two of unequal length, at a pause.

    Each sample is another by one: of parts of a recording that broke off, the server knows the place.
    """
    with wave.open(str(SPEECH)) as wav:
        parameters, samples = wav.getparams(), array("h", wav.readframes(wav.getnframes()))
    frames = array("h", (sample ^ 1 for sample in samples)).tobytes()
    cut = int(7.4 * 16000) * 2
    paths = folder / "left.wav", folder / "right.wav"
    for path, part in zip(paths, (frames[:cut], frames[cut:])):
        with wave.open(str(path), "wb") as wav:
            wav.setparams(parameters)
            wav.writeframes(part)
    return paths


@pytest.mark.parametrize("script", ["multichannel.py", "async_multichannel.py"])
def test_two_channels_are_printed_under_their_own_labels(server, tmp_path, script) -> None:
    out, err = run(server, tmp_path, EXAMPLES / script, *two_recordings(tmp_path))
    assert "[left]: Good" in out
    assert "[right]: Good" in out
    assert err == ""


def test_a_stereo_recording_is_split(server, tmp_path) -> None:
    stereo = tmp_path / "call.wav"
    with wave.open(str(SPEECH)) as wav:
        samples = wav.readframes(16000 * 5)
    with wave.open(str(stereo), "wb") as wav:
        wav.setparams((2, 2, 16000, 0, "NONE", ""))
        wav.writeframes(b"".join(samples[i : i + 2] * 2 for i in range(0, len(samples), 2)))
    out, _ = run(server, tmp_path, EXAMPLES / "multichannel.py", stereo)
    assert "left: Good morning" in out
    assert "right: Good morning" in out


def test_a_legacy_script_writes_a_text_beside_each_recording_and_stops_at_a_bad_one(server, tmp_path) -> None:
    names = two_recordings(tmp_path)
    assert run(server, tmp_path, EXAMPLES / "legacy_script.py", *names) == ("", "")
    for name in names:
        assert "Good morning" in Path(f"{name}.txt").read_text(encoding="utf-8")
    (tmp_path / "empty.wav").touch()
    code, _, err = attempt(server, tmp_path, EXAMPLES / "legacy_script.py", "empty.wav")
    assert (code, err) == (1, "empty.wav failed: 'empty.wav': the audio source is empty\n")
    assert not (tmp_path / "empty.wav.txt").exists()


def test_captions_are_written_and_those_of_a_broken_session_too(server, tmp_path) -> None:
    shutil.copy(SPEECH, tmp_path / "talk.wav")
    assert run(server, tmp_path, EXAMPLES / "captions.py", "talk.wav") == ("", "")
    whole = (tmp_path / "talk.srt").read_text(encoding="utf-8")
    assert "reading room." in whole
    assert "<v S1>" in (tmp_path / "talk.vtt").read_text(encoding="utf-8")
    with LocalServer(faults=[Fault.error("job_error", after_seconds=10, sessions=[0])], quota=1) as breaking:
        breaking.faults += (Fault.error("invalid_model", at="start", sessions=[1]),)
        code, _, err = attempt(breaking, tmp_path, EXAMPLES / "captions.py", "talk.wav")
    assert code == 1
    assert "the captions end at" in err
    assert whole.startswith((tmp_path / "talk.srt").read_text(encoding="utf-8")[:100])
    code, _, err = attempt(server, tmp_path, EXAMPLES / "captions.py", "nowhere.wav")
    assert code == 1
    assert "nowhere.wav" in err


def test_a_call_is_heard_line_by_line_while_it_is_spoken_over_a_line_that_breaks(tmp_path) -> None:
    script = ScriptedEngine(
        {"agent": Script.from_text("Good day."), "caller": Script.from_text("Well. Hello.")}
    )
    with LocalServer(script, faults=[Fault.reset(after_seconds=2, sessions=[0])]) as exchange:
        command = [sys.executable, "-W", "error", str(EXAMPLES / "call_center.py")]
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment(exchange), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as call:
            silence = bytes([0xFF]) * (5 * 8000 * 2)
            call.stdin.write(silence[:777])  # a pipe knows no frames
            call.stdin.write(silence[777:])
            call.stdin.flush()
            spoken = {call.stdout.readline(), call.stdout.readline()}  # while the line is open
            call.stdin.close()
            rest = call.stdout.read().decode()
            assert call.wait(30) == 0
    assert {line.partition(b":")[0] for line in spoken} <= {b"agent", b"caller"}
    assert "agent: Good day." in rest
    heard = Transcript.from_dict(json.loads((tmp_path / "call.json").read_text(encoding="utf-8")))
    assert {word.channel for word in heard.words} == {"agent", "caller"}
    assert str(heard) == rest.split("\n\n")[-1].strip()
    record = exchange.sessions[-1]
    assert record.start["audio_format"] == {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}


def test_the_microphone_is_heard_until_ctrl_c_and_to_its_last_word(tmp_path, pulse, monkeypatch) -> None:
    for name, value in pulse.env.items():
        monkeypatch.setenv(name, value)
    with LocalServer() as listening:
        command = [sys.executable, "-W", "error", str(EXAMPLES / "microphone.py")]
        with subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(listening),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,  # what a readline() had read ahead would be lost to the communicate() behind it
        ) as script:
            assert script.stderr.readline() == b"speak; Ctrl-C ends it\n"
            first = script.stdout.readline().decode()
            script.send_signal(signal.SIGINT)
            rest, err = (part.decode() for part in script.communicate(timeout=30))
    assert first.startswith("Good")
    assert (script.returncode, err) == (0, "")
    said = [message["metadata"]["transcript"] for message in listening.sessions[0].said("AddTranscript")]
    assert (first + rest).split() == "".join(said).split()


@pytest.mark.speech
@pytest.mark.timeout(180)  # the recogniser computes for seconds, and others may, too
@pytest.mark.parametrize(
    "script", ["multichannel.py", pytest.param("async_multichannel.py", marks=pytest.mark.reliability)]
)
def test_real_speech_on_two_channels_stays_on_its_own_and_none_is_lost(tmp_path, script) -> None:
    with LocalServer("whisper") as whisper:
        out, _ = run(whisper, tmp_path, EXAMPLES / script, *two_recordings(tmp_path))
    heard: dict[str, str] = {"left": "", "right": ""}
    for line in out.splitlines():
        if line.startswith("["):
            label, _, text = line[1:].partition("]: ")
            heard[label] += text.lower()
    assert "dashwood had then leisure to consider" in heard["left"]
    assert "in his power to do for them" in heard["left"]
    assert "married a more amiable woman" in heard["right"]
    assert "made amiable himself" in heard["right"]
    assert "dashwood" not in heard["right"]


def test_the_official_quick_start_runs_with_only_the_import_changed(server, tmp_path) -> None:
    out, err = run(server, tmp_path, EXAMPLES / "async_client.py")
    assert out.startswith("Final: ")
    assert "Good" in out
    assert err == ""


def test_temporary_keys_are_fetched_from_the_key_service(tmp_path, monkeypatch) -> None:
    with LocalServer(keys=["long-lived"]) as guarded:
        monkeypatch.setenv("SPEECHMATICS_API_KEY", "long-lived")
        monkeypatch.setenv("SM_MANAGEMENT_PLATFORM_URL", guarded.url.replace("ws", "http").replace("/v2", ""))
        out, _ = run(guarded, tmp_path, EXAMPLES / "temporary_keys.py")
        assert out.startswith(HEARD)
        (session,) = (record for record in guarded.sessions if record.start is not None)
    assert "long-lived" not in session.headers["authorization"]
