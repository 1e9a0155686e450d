"""Several channels in one session: each under its own label, to its own end, none lost."""

from __future__ import annotations

import io
import struct
import threading
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from speechmatics_rt import (
    AsyncMultiChannelClient,
    AudioError,
    AudioFormat,
    ConfigurationError,
    ConnectionError,
    MultiChannelClient,
    SessionError,
    TranscriptionConfig,
    TranscriptionError,
    split_channels,
)
from speechmatics_rt.local import Fault
from speechmatics_rt.session import sender

from .aio.test_aio import face, run

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
FIRST = "Good morning, and welcome to the reading room."


@pytest.fixture
def multi(client_of):
    return lambda server, **options: client_of(server, kind=MultiChannelClient, **options)


def marked(number: int, seconds: int) -> bytes:
    """Audio that tells which channel it belongs to."""
    return struct.pack("<h", number) * (16000 * seconds)


def order_of(record) -> list[str]:
    return [m["channel"] for m in record.messages if m["message"] == "AddChannelAudio"]


def test_channels_are_bound_by_label_and_each_runs_to_its_own_end(serve, multi) -> None:
    server = serve()
    with multi(server) as client:
        sources = {"zeta": marked(1, 7), "alpha": marked(2, 4)}
        transcript = client.transcribe(sources, audio_format=PCM)
    (record,) = server.sessions
    assert record.audio_of("zeta") == marked(1, 7)
    assert record.audio_of("alpha") == marked(2, 4)
    ends = [m for m in record.messages if m["message"] == "EndOfChannel"]
    assert {m["channel"]: m["last_seq_no"] for m in ends} == {"zeta": 55, "alpha": 32}
    assert record.messages[-1]["message"] == "EndOfChannel"  # no EndOfStream needed
    texts = {
        label: " ".join(p.text for p in transcript.paragraphs if p.channel == label) for label in sources
    }
    assert texts["alpha"] == FIRST
    assert texts["zeta"].startswith(FIRST)
    assert len(texts["zeta"]) > len(texts["alpha"])


def test_every_word_of_every_channel_comes_before_the_end(serve, multi) -> None:
    server = serve()
    kinds = []
    with multi(server) as client:
        client.on_any(lambda message: kinds.append(message["message"]))
        client.transcribe({"a": SECOND * 5, "b": SECOND}, audio_format=PCM)
    assert kinds[-1] == "EndOfTranscript"


def test_prompt_sources_take_turns_chunk_by_chunk(serve, multi, monkeypatch) -> None:
    monkeypatch.setattr(sender, "_PATIENCE", 10.0)  # on a busy machine a prompt source, too, may be late
    server = serve()
    with multi(server) as client:
        client.transcribe({"a": SECOND * 5, "b": SECOND * 5}, audio_format=PCM)
    ahead = dict.fromkeys("ab", 0)
    for channel in order_of(server.sessions[0]):
        ahead[channel] += 1
        assert max(ahead.values()) - min(ahead.values()) <= 3


def test_a_silent_leg_does_not_hold_up_the_other(serve, multi) -> None:
    release = threading.Event()

    def silent():
        yield SECOND
        release.wait(20)

    server = serve()
    with multi(server) as client:
        finals = []

        @client.on("AddTranscript")
        def heard(message):
            if message["channel"] == "talks":
                finals.append(message)
            if message["metadata"]["end_time"] > 8:
                release.set()

        client.transcribe({"silent": silent(), "talks": SECOND * 9}, audio_format=PCM)
    assert finals
    assert server.sessions[0].audio_of("talks") == SECOND * 9


def test_speed_paces_all_channels_on_one_clock(serve, multi) -> None:
    server = serve()
    took = []
    with multi(server) as client:
        for _ in range(3):
            began = time.monotonic()
            client.transcribe({"a": SECOND * 2, "b": SECOND * 2}, audio_format=PCM, speed=2)
            took.append(time.monotonic() - began)
            if took[-1] <= 1.8:  # who is busy with other things may be late, but not each time
                break
    assert 0.8 <= min(took) <= 1.8


def test_labels_and_diarization_are_set_and_the_callers_config_is_not_touched(serve, multi) -> None:
    server = serve()
    config = TranscriptionConfig(max_delay=1.0)
    with multi(server) as client:
        for _ in range(2):
            client.transcribe({"b": SECOND, "a": SECOND}, transcription_config=config, audio_format=PCM)
    sent = server.sessions[1].start["transcription_config"]
    assert (sent["diarization"], sent["channel_diarization_labels"]) == ("channel", ["b", "a"])
    assert config == TranscriptionConfig(max_delay=1.0)


def test_the_official_way_of_naming_labels_works_in_any_order(serve, multi) -> None:
    config = TranscriptionConfig(diarization="channel_and_speaker", channel_diarization_labels=["a", "b"])
    with multi(serve()) as client:
        client.transcribe({"b": SECOND, "a": SECOND}, transcription_config=config, audio_format=PCM)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (TranscriptionConfig(channel_diarization_labels=["left", "right"], diarization="channel"), "labels"),
        (TranscriptionConfig(diarization="speaker"), "channel_and_speaker"),
    ],
)
def test_a_config_that_contradicts_the_channels_is_refused_before_any_io(serve, multi, config, told) -> None:
    server = serve()
    with multi(server) as client, pytest.raises(ConfigurationError, match=told):
        client.transcribe({"a": SECOND, "b": SECOND}, transcription_config=config, audio_format=PCM)
    assert server.sessions == []


def test_no_channel_at_all_is_refused(serve, multi) -> None:
    with multi(serve()) as client:
        with pytest.raises(ConfigurationError, match="at least one"):
            client.transcribe({}, audio_format=PCM)
        with pytest.raises(ConfigurationError, match="at least one"):
            client.start_session(channels=[], audio_format=PCM)


def test_one_empty_channel_ends_with_zero_frames_but_not_all_may_be_empty(serve, multi) -> None:
    server = serve()
    with multi(server) as client:
        client.transcribe({"a": SECOND, "empty": b""}, audio_format=PCM)
        with pytest.raises(AudioError, match="all"):
            client.transcribe({"a": b"", "b": []}, audio_format=PCM)
    ends = [m for m in server.sessions[0].messages if m["message"] == "EndOfChannel"]
    assert {"message": "EndOfChannel", "channel": "empty", "last_seq_no": 0} in ends
    assert len(server.sessions) == 1


def test_a_failing_source_stops_the_others_and_names_its_channel_within_a_second(serve, multi) -> None:
    failed_at = []

    def failing():
        yield SECOND
        failed_at.append(time.monotonic())
        raise OSError("line dropped")

    server = serve()
    with multi(server) as client, pytest.raises(AudioError, match="line dropped") as caught:
        client.transcribe({"good": SECOND * 3600, "bad": failing()}, audio_format=PCM, speed=1)
    assert time.monotonic() - failed_at[0] < 1
    assert caught.value.channel == "bad"
    assert isinstance(caught.value.__cause__, OSError)
    ends = [m["channel"] for m in server.sessions[0].messages if m["message"] == "EndOfChannel"]
    assert ends == []


def test_sources_of_different_formats_are_refused_before_any_io(serve, multi, tmp_path) -> None:
    for name, rate in (("a.wav", 16000), ("b.wav", 8000)):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(bytes(3200))
    server = serve()
    with multi(server) as client, pytest.raises(AudioError, match="share one audio format"):
        client.transcribe({"a": tmp_path / "a.wav", "b": tmp_path / "b.wav"})
    assert server.sessions == []


def test_sending_by_hand_counts_per_channel(serve, multi) -> None:
    server = serve()
    with multi(server) as client:
        client.start_session(channels=["agent", "caller"], audio_format=PCM)
        for _ in range(3):
            client.send_audio("caller", SECOND)
        client.send_audio("agent", SECOND)
        client.force_end_of_utterance(channel="caller")
        client.force_end_of_utterance(channel="agent", timestamp=0.5)
        client.force_end_of_utterance(channel="agent", timestamp=None)
        client.end_channel("caller")
        with pytest.raises(SessionError, match="ended"):
            client.send_audio("caller", SECOND)
        with pytest.raises(SessionError, match="nobody"):
            client.send_audio("nobody", SECOND)
        client.end_channel("agent")
        client.stop_session()
    said = [
        m for m in server.sessions[0].messages if m["message"] not in ("StartRecognition", "AddChannelAudio")
    ]
    assert said == [
        {"message": "ForceEndOfUtterance", "channel": "caller", "timestamp": 3.0},
        {"message": "ForceEndOfUtterance", "channel": "agent", "timestamp": 0.5},
        {"message": "ForceEndOfUtterance", "channel": "agent"},
        {"message": "EndOfChannel", "channel": "caller", "last_seq_no": 3},
        {"message": "EndOfChannel", "channel": "agent", "last_seq_no": 1},
    ]


@pytest.mark.parametrize("resume", [False, True])
def test_a_channel_that_is_not_there_is_refused_and_the_session_goes_on(serve, multi, resume: bool) -> None:
    client = multi(serve(), resume=resume)
    client.start_session(channels=["a", "b"], audio_format=PCM)
    for call in (
        lambda: client.send_audio("c", SECOND),
        lambda: client.end_channel("c"),
        lambda: client.force_end_of_utterance(channel="c"),
        lambda: client.finalize(channel="c"),
    ):
        with pytest.raises(SessionError, match=r"names channel 'c'; the session has 'a', 'b'"):
            call()
    client.send_audio("a", SECOND)
    client.stop_session()
    assert client.transcript.text == "Good"


def test_stop_ends_all_channels_at_once(serve, multi) -> None:
    server = serve()
    with multi(server) as client:
        client.start_session(channels=["a", "b"], audio_format=PCM)
        client.send_audio("a", SECOND)
        client.send_audio("b", SECOND)
    assert server.sessions[0].messages[-1] == {"message": "EndOfStream", "last_seq_no": 2}


def test_partials_are_kept_per_channel(serve, multi) -> None:
    with multi(serve()) as client:
        config = TranscriptionConfig(enable_partials=True)
        seen = set()
        with client.stream(
            {"a": SECOND * 3, "b": SECOND * 3}, transcription_config=config, audio_format=PCM
        ) as s:
            for message in s:
                if message["message"] == "AddPartialTranscript":
                    seen.add(message["channel"])
                    assert len(s.transcript.partial.splitlines()) <= 2
    assert seen == {"a", "b"}


@pytest.mark.parametrize("fault", ["error", "fin"])
def test_failures_in_mid_session_are_raised_as_for_one_channel(serve, multi, fault) -> None:
    faults = {"error": Fault.error("job_error", after_seconds=4), "fin": Fault.fin(after_seconds=4)}
    kind = {"error": TranscriptionError, "fin": ConnectionError}[fault]
    with multi(serve(faults=[faults[fault]])) as client, pytest.raises(kind) as caught:
        client.transcribe({"a": SECOND * 60, "b": SECOND * 60}, audio_format=PCM)
    assert caught.value.transcript is not None


def stereo(path, left: bytes, right: bytes, width: int = 2) -> None:
    frames = b"".join(left[i : i + width] + right[i : i + width] for i in range(0, len(left), width))
    with wave.open(str(path), "wb") as file:
        file.setparams((2, width, 16000, 0, "NONE", ""))
        file.writeframes(frames)


def test_a_stereo_wav_is_split_into_channels_by_one_call(serve, multi, tmp_path) -> None:
    path = tmp_path / "call.wav"
    stereo(path, marked(1, 3), marked(2, 3))
    server = serve()
    with multi(server) as client:
        client.transcribe(split_channels(path, ["agent", "caller"]))
    assert server.sessions[0].audio_of("agent") == marked(1, 3)
    assert server.sessions[0].audio_of("caller") == marked(2, 3)
    assert server.sessions[0].start["audio_format"]["sample_rate"] == 16000


def test_one_source_that_is_read_once_is_not_shared_out_among_channels(serve, multi) -> None:
    server = serve()
    file, chunks = io.BytesIO(SECOND), iter([SECOND])
    for one in (file, chunks):
        with pytest.raises(AudioError, match="'a' and 'b' are given one source") as caught:
            multi(server).transcribe({"a": one, "b": one}, audio_format=PCM)
        assert caught.value.channel == "b"
    assert file.tell() == 0
    for one in (SECOND, [SECOND]):  # what can be read again is no trouble
        multi(server).transcribe({"a": one, "b": one}, audio_format=PCM)
        assert server.sessions[-1].audio_of("a") == server.sessions[-1].audio_of("b") == SECOND


def test_nor_is_one_asynchronous_source(serve) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield SECOND

    async def main() -> None:
        one = chunks()
        async with face(server, AsyncMultiChannelClient) as client:
            with pytest.raises(AudioError, match="'a' and 'b' are given one source"):
                await client.transcribe({"a": one, "b": one}, audio_format=PCM)

    server = serve()
    run(main)
    assert server.sessions == []


def test_splitting_asks_for_a_label_for_each_channel(tmp_path) -> None:
    path = tmp_path / "call.wav"
    stereo(path, marked(1, 1), marked(2, 1))
    with pytest.raises(AudioError, match=r"2 channels.*3 labels"):
        split_channels(path, ["a", "b", "c"])
    with pytest.raises(AudioError):
        split_channels(tmp_path / "missing.wav", ["a", "b"])
    other = tmp_path / "noise.bin"
    other.write_bytes(bytes(1000))
    with pytest.raises(AudioError, match="not a WAV; convert it"):
        split_channels(other, ["a", "b"])


def test_a_channel_without_audio_takes_the_format_of_the_others(serve, client_of) -> None:
    server = serve()
    wav = (Path(__file__).parents[1] / "examples" / "audio" / "librivox_3_sentences.wav").read_bytes()
    for sources in ({"a": wav, "b": b""}, {"a": io.BytesIO(), "b": wav}):
        client_of(server, kind=MultiChannelClient).transcribe(sources)
        assert server.sessions[-1].start["audio_format"]["encoding"] == "pcm_s16le"
        assert sum(map(bool, (server.sessions[-1].audio_of(label) for label in sources))) == 1
