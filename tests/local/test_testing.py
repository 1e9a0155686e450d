"""The server of users' tests: told what to say while it runs, and hearing what a recording was made with."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import (
    AudioFormat,
    Client,
    ConfigurationError,
    ConnectionError,
    MultiChannelClient,
    ResumePolicy,
    split_channels,
)
from speechmatics_rt.local import Fault, LocalServer, Script, ServerForTests

PCM = AudioFormat("pcm_s16le", 16000)
FAST = ResumePolicy(min_delay=0.01, max_delay=0.05, busy_delay=0.01, replay_speed=1000)
SPEECH = Path(__file__).parents[2] / "examples" / "audio" / "librivox_3_sentences.wav"
SECONDS = bytes(32000 * 4)


@pytest.fixture
def server() -> Iterator[ServerForTests]:
    with ServerForTests() as running:
        yield running


def heard(server: LocalServer, source: Any, **options: Any) -> str:
    with Client(url=server.url) as client:
        return client.transcribe(source, **options).text


def test_it_says_the_default_until_it_is_told(server) -> None:
    assert heard(server, SECONDS, audio_format=PCM).startswith("Good morning")
    server.says("It rained in Bergen.")
    assert heard(server, SECONDS, audio_format=PCM) == "It rained in Bergen."
    server.says(Script.from_text("Then the sun came."))
    assert heard(server, SECONDS, audio_format=PCM) == "Then the sun came."


def test_a_script_for_each_channel(server) -> None:
    server.says({"a": Script.from_text("Here."), "b": "There."})
    with MultiChannelClient(url=server.url) as client:
        transcript = client.transcribe({"a": SECONDS, "b": SECONDS}, audio_format=PCM)
    assert {(word.channel, word.text) for word in transcript.words} == {("a", "Here."), ("b", "There.")}


def test_a_session_that_runs_goes_on_with_what_it_began_with(server) -> None:
    with Client(url=server.url) as client:
        client.start_session(audio_format=PCM)
        server.says("Something else.")
        client.send_audio(SECONDS)
        client.stop_session()
        assert client.transcript.text.startswith("Good")


def test_faults_come_and_go_while_it_runs(server) -> None:
    assert heard(server, SECONDS, audio_format=PCM)
    server.faults = [Fault.refuse(503)]
    with pytest.raises(ConnectionError, match="503"):
        heard(server, SECONDS, audio_format=PCM)
    server.faults = []
    assert heard(server, SECONDS, audio_format=PCM)
    assert [record.status for record in server.sessions] == [101, 503, 101]


@pytest.mark.parametrize("as_file", [False, True], ids=["raw", "file"])
def test_each_recording_is_heard_with_its_own_words_whatever_the_server_says(
    server, tmp_path, as_file
) -> None:
    server.says("Whoever hears this heard nothing.")
    for name, words in (("a", "It rained in Bergen."), ("b", "Then the sun came out."), ("c", "")):
        server.record_wav(tmp_path / f"{name}.wav", words=words)
    options = {"audio_format": AudioFormat()} if as_file else {}
    assert heard(server, tmp_path / "b.wav", **options) == "Then the sun came out."
    assert heard(server, tmp_path / "a.wav", **options) == "It rained in Bergen."
    assert heard(server, tmp_path / "c.wav", **options) == ""
    assert heard(server, SECONDS, audio_format=PCM) == "Whoever hears this heard nothing."


def test_what_is_called_last_decides_what_is_heard_in_a_recording(server, tmp_path) -> None:
    path = tmp_path / "a.wav"
    server.record_wav(path, words="Two teas.")
    assert heard(server, path) == "Two teas."
    server.says("It rained.")
    assert heard(server, path) == "It rained."
    server.record_wav(path, words="Two teas.")
    assert heard(server, path) == "Two teas."
    said = {"start_time": 0.0, "end_time": 1.0, "transcript": "Bergen "}
    spoken = {"content": "Bergen", "confidence": 1.0, "language": "en"}
    word = {"type": "word", "start_time": 0.0, "end_time": 1.0, "alternatives": [spoken]}
    server.replays([{"message": "AddTranscript", "format": "2.9", "metadata": said, "results": [word]}])
    assert heard(server, path) == "Bergen"


def test_two_recordings_are_two_channels(server, tmp_path) -> None:
    for name in ("Agent", "Caller"):
        server.record_wav(tmp_path / f"{name}.wav", words=f"{name} speaks here.")
    with MultiChannelClient(url=server.url) as client:
        transcript = client.transcribe({name: tmp_path / f"{name}.wav" for name in ("Agent", "Caller")})
    said = {
        name: [word.text for word in transcript.words if word.channel == name] for name in ("Agent", "Caller")
    }
    assert said == {"Agent": ["Agent", "speaks", "here."], "Caller": ["Caller", "speaks", "here."]}


def test_a_recording_that_is_sent_in_tiny_pieces_is_known_and_its_forced_end_too(server, tmp_path) -> None:
    path = tmp_path / "a.wav"
    server.record_wav(path, words="It rained in Bergen.", seconds=4)
    samples = path.read_bytes()[44:]
    with Client(url=server.url) as client:
        client.start_session(audio_format=PCM)
        for start in range(0, 640, 10):
            client.send_audio(samples[start : start + 10])
        client.send_audio(samples[640:])
        client.force_end_of_utterance()
        client.stop_session()
        assert client.transcript.text == "It rained in Bergen."


def test_what_was_asked_before_the_first_bytes_is_answered(server, tmp_path) -> None:
    server.record_wav(tmp_path / "a.wav", words="Never heard.")
    with Client(url=server.url) as client:
        client.start_session(
            audio_format=PCM, transcription_config={"language": "en", "diarization": "speaker"}
        )
        client.update_config(max_delay=2.0)
        client.get_speakers()
        client.force_end_of_utterance(timestamp=0.0)
        client.send_audio(SECONDS)
        client.stop_session()
    assert server.sessions[0].said("EndOfUtterance")
    assert server.sessions[0].said("SpeakersResult")


def test_a_recording_is_as_long_as_asked_for_or_as_its_words_take(server, tmp_path) -> None:
    def seconds(**options: Any) -> float:
        server.record_wav(tmp_path / "a.wav", **options)
        with wave.open(str(tmp_path / "a.wav")) as file:
            assert file.getparams()[:3] == (1, 2, 16000)
            return file.getnframes() / 16000

    assert seconds() == 3.0
    assert seconds(seconds=7.25) == 7.25
    assert seconds(words="") == 3.0
    one, two = seconds(words="One."), seconds(words="One. And some more words.")
    assert 0.5 < one < two < 6
    for wrong in (0.1, -1, float("nan"), "long"):
        with pytest.raises(ConfigurationError, match="seconds"):
            seconds(words="One. And some more words.", seconds=wrong)


def test_words_can_be_seen_in_the_samples(server, tmp_path: Path) -> None:
    server.record_wav(tmp_path / "a.wav", words="One.", seconds=2)
    samples = memoryview((tmp_path / "a.wav").read_bytes()[44:]).cast("h")
    assert max(samples[:4000]) < 8  # of 32768: silence, to an ear
    assert max(samples[6400:12000]) > 3000


# -- a connection that breaks ----------------------------------------------------------------------------

LONG = (
    "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty. And so on. Then it rained again."
)


@pytest.mark.parametrize("after", [0.5, 3, 5, 7, 8.3, 9, 11, 12.7])
@pytest.mark.parametrize("known", [True, False], ids=["its words", "any words"])
def test_every_word_comes_once_wherever_the_connection_breaks(server, tmp_path, known, after) -> None:
    server.record_wav(tmp_path / "a.wav", words=LONG if known else None, seconds=14)
    if not known:
        server.says(LONG)
    server.faults = [Fault.fin(after_seconds=after, sessions=[0])]
    with Client(url=server.url, resume=FAST) as client:
        assert client.transcribe(tmp_path / "a.wav", speed=40.0).text == LONG
    assert len(server.sessions) == 2


def test_every_word_comes_once_if_every_connection_breaks() -> None:
    faults = [Fault.fin(after_seconds=8)]
    with LocalServer() as whole, LocalServer(faults=faults) as broken:
        expected = heard(whole, SPEECH)
        with Client(url=broken.url, resume=FAST) as client:
            assert client.transcribe(SPEECH).text == expected
        assert len(broken.sessions) > 3


def test_the_settings_of_a_session_that_broke_are_those_of_the_next(server, tmp_path) -> None:
    server.record_wav(tmp_path / "a.wav", words=LONG)
    samples = (tmp_path / "a.wav").read_bytes()[44:]
    server.faults = [Fault.reset(after_seconds=7, sessions=[0])]
    with Client(url=server.url, resume=FAST) as client:
        client.start_session(audio_format=PCM)
        client.update_config(max_delay=1.0)
        for start in range(0, len(samples), 3200):
            client.send_audio(samples[start : start + 3200])
        client.stop_session()
        assert client.transcript.text == LONG


def test_parts_of_a_recording_that_was_heard_are_recordings_of_their_own() -> None:
    with LocalServer() as server:
        samples = SPEECH.read_bytes()[44:]
        for part in (samples, samples[320_000:], samples[160_000:], samples):
            assert heard(server, part, audio_format=PCM).startswith("Good morning")


def test_who_goes_on_by_hand_gets_the_rest(server, tmp_path) -> None:
    server.record_wav(tmp_path / "a.wav", words=LONG)
    samples = (tmp_path / "a.wav").read_bytes()[44:]
    server.faults = [Fault.fin(after_seconds=8, sessions=[0])]
    with Client(url=server.url) as client:
        with pytest.raises(ConnectionError) as lost:
            client.transcribe(samples, audio_format=PCM, speed=40.0)
        begun = lost.value.transcript
        rest = samples[2 * round(16000 * begun.end_time) :]
        assert f"{begun.text} {client.transcribe(rest, audio_format=PCM).text}" == LONG


def test_two_channels_go_on_each_with_its_own(server, tmp_path) -> None:
    texts = {"agent": LONG, "caller": "No. Not at all. " * 6 + "Goodbye."}
    for label, words in texts.items():
        server.record_wav(tmp_path / f"{label}.wav", words=words, seconds=22)
    server.faults = [Fault.fin(after_seconds=9, sessions=[0])]
    with MultiChannelClient(url=server.url, resume=FAST) as client:
        transcript = client.transcribe({label: tmp_path / f"{label}.wav" for label in texts}, speed=40.0)
    for label, words in texts.items():
        assert " ".join(word.text for word in transcript.words if word.channel == label) == words


# -- several speakers and channels -----------------------------------------------------------------------


def test_speakers_take_turns(server, tmp_path) -> None:
    server.record_wav(tmp_path / "a.wav", words="Good morning. Hello. Sit down.", speakers=("Ann", "Ben"))
    config = {"language": "en", "diarization": "speaker"}
    with Client(url=server.url) as client:
        transcript = client.transcribe(tmp_path / "a.wav", transcription_config=config)
    assert str(transcript) == "Ann: Good morning.\nBen: Hello.\nAnn: Sit down."


def test_a_call_has_both_sides_in_one_recording(server, tmp_path) -> None:
    server.record_wav(tmp_path / "call.wav", words=["Good morning, how can I help?", "It rains in."])
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert file.getnchannels() == 2
    with MultiChannelClient(url=server.url) as client:
        sides = split_channels(tmp_path / "call.wav", ["agent", "caller"])
        transcript = client.transcribe(sides)
    said = {
        label: " ".join(word.text for word in transcript.words if word.channel == label)
        for label in ("agent", "caller")
    }
    assert said == {"agent": "Good morning, how can I help?", "caller": "It rains in."}


def test_wrong_words_and_speakers_are_named(server, tmp_path) -> None:
    for words in ([], [1], 5, {"a": 1}):
        with pytest.raises(ConfigurationError, match="words"):
            server.record_wav(tmp_path / "a.wav", words=words)
    for speakers in ("S1", (), [5]):
        with pytest.raises(ConfigurationError, match="speakers"):
            server.record_wav(tmp_path / "a.wav", words="One.", speakers=speakers)
    assert not (tmp_path / "a.wav").exists()
