"""A session with the local server, from the first message to the last, over websockets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from speechmatics_rt import AudioFormat, Client
from speechmatics_rt.local import LocalServer, Script, ScriptedEngine, Word

from .raw_client import RAW, RawClient, start_message


@pytest.fixture(scope="module", params=[False, True], ids=["ws", "wss"])
def any_server(request: pytest.FixtureRequest) -> Any:
    with LocalServer(tls=request.param) as server:
        yield server


@pytest.fixture(scope="module")
def server() -> Any:
    with LocalServer() as server:
        yield server


def record_of(server: LocalServer) -> Any:
    return server.sessions[-1].wait_closed()


def text_of(messages: list[dict[str, Any]]) -> str:
    return "".join(message["metadata"]["transcript"] for message in messages)


def test_a_whole_session(any_server: LocalServer) -> None:
    with RawClient(any_server, additional_headers={"X-Request-Id": "abc"}) as client:
        started = client.start({"enable_partials": True, "max_delay": 0.7})
        count = client.send_audio(10)
        client.finish(count)
    assert started["id"]
    assert started["language_pack_info"]["word_delimiter"] == " "
    assert [ack["seq_no"] for ack in client.received_of("AudioAdded")] == list(range(1, count + 1))
    assert text_of(client.received_of("AddTranscript")).startswith(
        "Good morning, and welcome to the reading room. "
    )
    assert client.received_of("AddPartialTranscript")
    record = record_of(any_server)
    assert record.request_id == "abc"
    assert record.session_id == started["id"]
    assert record.start == start_message({"enable_partials": True, "max_delay": 0.7})
    assert (record.audio, record.frames) == (bytes(320000), [3200] * 100)
    assert record.messages[1] == {"message": "AddAudio", "size": 3200}
    assert record.messages[-1] == {"message": "EndOfStream", "last_seq_no": 100}
    assert record.sent == client.received
    assert (record.close_code, record.server_code) == (1000, 1000)


def test_usage_is_told_before_the_client_speaks_and_quality_before_the_start(server: LocalServer) -> None:
    with RawClient(server) as client:
        usage = client.receive()
        assert (usage["message"], usage["type"]) == ("Info", "concurrent_session_usage")
        client.start()
        assert [message.get("type") for message in client.received[1:]] == ["recognition_quality", None]


@pytest.mark.parametrize(
    ("audio_format", "quality"),
    [
        ({"type": "raw", "encoding": "mulaw", "sample_rate": 8000}, ["telephony"]),
        ({"type": "raw", "encoding": "pcm_s16le", "sample_rate": 11999}, ["telephony"]),
        ({"type": "raw", "encoding": "pcm_s16le", "sample_rate": 12000}, ["broadcast"]),
        ({"type": "file"}, []),
    ],
)
def test_quality_is_that_of_raw_audio(server: LocalServer, audio_format: Any, quality: list[str]) -> None:
    with RawClient(server) as client:
        client.start(audio_format=audio_format)
    assert [info["quality"] for info in client.received_of("Info")[1:]] == quality


def test_a_session_without_audio_ends_normally(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start()
        client.finish()
    assert [message["message"] for message in client.received][3:] == ["EndOfTranscript"]


def test_every_nonempty_final_ends_with_one_space_and_no_partial_does(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({"enable_partials": True, "max_delay": 0.7})
        client.finish(client.send_audio(20))
    finals = [message["metadata"]["transcript"] for message in client.received_of("AddTranscript")]
    partials = [message["metadata"]["transcript"] for message in client.received_of("AddPartialTranscript")]
    assert all(text.endswith(" ") and not text.endswith("  ") for text in finals if text)
    assert not any(text.endswith(" ") for text in partials)
    assert "" in finals
    assert ". " in finals  # a mark that comes late, alone


def test_a_final_is_followed_by_its_partial_and_both_lie_on_the_grid(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({"enable_partials": True, "max_delay": 0.7})
        client.finish(client.send_audio(12))
    told = [message for message in client.received if "metadata" in message]
    for earlier, later in zip(told, told[1:]):
        if earlier["message"] == "AddTranscript":
            assert later["message"] == "AddPartialTranscript"
            assert later["metadata"]["start_time"] == earlier["metadata"]["end_time"]
    for message in told:
        for when in (message["metadata"]["start_time"], message["metadata"]["end_time"]):
            assert round(when / 0.04) * 0.04 == pytest.approx(when)


@pytest.mark.parametrize("max_delay", [0.7, 2.0, 4.0])
def test_no_word_waits_longer_than_max_delay(server: LocalServer, max_delay: float) -> None:
    with RawClient(server) as client:
        client.start({"max_delay": max_delay})
        client.finish(client.send_audio(20, chunk=0.04))
    heard = 0.0
    delays = []
    for message in client.received:
        if message["message"] == "AudioAdded":
            heard += 0.04
        elif message["message"] == "AddTranscript" and heard < 19.9:
            delays += [heard - item["end_time"] for item in message["results"] if item["type"] == "word"]
    assert max_delay - 0.7 < max(delays) <= max_delay + 0.04


def test_silence_ends_an_utterance_once_after_its_final(server: LocalServer) -> None:
    engine = ScriptedEngine(Script((Word("Hello", 0.4, 0.8), Word("again", 6.0, 6.4))))
    with LocalServer(engine) as server, RawClient(server) as client:
        client.start(
            {
                "enable_partials": True,
                "max_delay": 0.7,
                "conversation_config": {"end_of_utterance_silence_trigger": 0.5},
            }
        )
        client.finish(client.send_audio(12))
    ends = client.received_of("EndOfUtterance")
    assert len(ends) == 2
    for end in ends:
        place = client.received.index(end)
        partial, final = client.received[place - 1], client.received[place - 2]
        assert partial["message"] == "AddPartialTranscript"
        assert partial["metadata"] == {**end["metadata"], "transcript": ""}
        assert final["message"] == "AddTranscript"
        assert end["metadata"]["start_time"] == pytest.approx(final["metadata"]["end_time"] + 0.08)
    assert 0.8 + 0.36 <= ends[0]["metadata"]["end_time"] <= 0.8 + 1.12


def test_without_a_trigger_no_utterance_ends(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({"max_delay": 0.7})
        client.finish(client.send_audio(10))
    assert not client.received_of("EndOfUtterance")


def test_force_end_of_utterance_gives_a_forced_final_then_a_forced_end(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({"max_delay": 4})
        client.send_audio(1.2)
        client.send({"message": "ForceEndOfUtterance", "timestamp": 1.2})
        end = client.until("EndOfUtterance")
        final = client.received_of("AddTranscript")[-1]
        assert (final["forced"], end["forced"]) == (True, True)
        assert final["metadata"]["transcript"] == "Good morning, "
        client.send({"message": "ForceEndOfUtterance"})
        assert client.until("EndOfUtterance")["forced"]
        assert client.received_of("AddTranscript")[-1] is final


def test_a_change_of_config_takes_effect(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({"enable_partials": True, "max_delay": 4})
        client.send_audio(3)
        client.send(
            {
                "message": "SetRecognitionConfig",
                "transcription_config": {"language": "en", "max_delay": 0.7, "enable_partials": False},
            }
        )
        client.send({"message": "GetSpeakers"})
        client.until("SpeakersResult")
        assert not text_of(client.received_of("AddTranscript"))
        before = len(client.received_of("AddPartialTranscript"))
        client.finish(client.send_audio(2))
        assert text_of(client.received_of("AddTranscript")).startswith("Good morning, and")
        assert len(client.received_of("AddPartialTranscript")) == before > 0


def test_speakers_now_and_at_the_end(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({"diarization": "speaker", "max_delay": 0.7})
        client.send({"message": "GetSpeakers", "final": True})
        client.send({"message": "GetSpeakers"})
        assert client.until("SpeakersResult")["speakers"] == []
        count = client.send_audio(12)
        client.send({"message": "GetSpeakers", "final": True})
        client.finish(count)
    results = client.received_of("SpeakersResult")
    assert len(results) == 2
    assert client.received[-2] is results[1]
    assert [speaker["label"] for speaker in results[1]["speakers"]] == ["S1", "S2"]
    assert all(speaker["speaker_identifiers"] for speaker in results[1]["speakers"])


def test_get_speakers_in_the_config_asks_for_them_at_the_end(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({"diarization": "speaker", "speaker_diarization_config": {"get_speakers": True}})
        client.finish()
    assert len(client.received_of("SpeakersResult")) == 1


def test_translations_follow_the_final_that_ends_a_sentence(server: LocalServer) -> None:
    with RawClient(server) as client:
        client.start({"max_delay": 0.7}, translation_config={"target_languages": ["fr", "de"]})
        client.finish(client.send_audio(5))
    translations = client.received_of("AddTranslation")
    assert [message["language"] for message in translations[:2]] == ["fr", "de"]
    content = translations[0]["results"][0]["content"]
    assert content == "[fr] Good morning, and welcome to the reading room."
    assert client.received[client.received.index(translations[0]) - 1]["message"] == "AddTranscript"


def test_the_time_of_a_wav_file_is_read_from_its_header(server: LocalServer) -> None:
    header = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0" + (8000).to_bytes(4, "little")
    header += (16000).to_bytes(4, "little") + b"\x02\0\x10\0data\xff\xff\xff\xff"
    with RawClient(server) as client:
        client.start(audio_format={"type": "file"})
        client.ws.send(header[:30])
        client.ws.send(header[30:] + bytes(16000 * 2))
        client.finish(2)
    assert client.received_of("AddTranscript")[-1]["metadata"]["end_time"] == pytest.approx(2.0, abs=0.3)


def test_audio_after_the_end_is_a_warning(server: LocalServer) -> None:
    with LocalServer(speed=5.0) as server, RawClient(server) as client:
        client.start()
        count = client.send_audio(5)  # for which it takes a second, in which we are late
        client.send({"message": "EndOfStream", "last_seq_no": count})
        client.ws.send(bytes(3200))
        client.until("EndOfTranscript")
    assert [warning["type"] for warning in client.received_of("Warning")] == ["add_audio_after_eos"]
    assert len(client.received_of("AudioAdded")) == count


def test_the_server_closes_if_the_client_does_not() -> None:
    with LocalServer(time_scale=50) as server, RawClient(server) as client:
        client.start()
        client.finish()
        assert client.closed() == (1000, "")


def test_a_message_in_pieces_is_one_message(server: LocalServer) -> None:
    with RawClient(server) as client:
        text = json.dumps(start_message())
        client.ws.send(iter([text[:40], text[40:]]))
        client.until("RecognitionStarted")
        client.ws.send(iter([bytes(1000), bytes(1001), b""]))
        assert client.until("AudioAdded")["seq_no"] == 1
        client.ws.send(b"")
        assert client.until("AudioAdded")["seq_no"] == 2
        client.finish(2)
    assert record_of(server).frames == [2001, 0]


OUT_OF_TURN: dict[str, tuple[list[Any], str, int]] = {
    "audio before the start": ([bytes(320)], "protocol_error", 1003),
    "the end before the start": ([{"message": "EndOfStream", "last_seq_no": 0}], "protocol_error", 1003),
    "a second start": ([start_message(), start_message()], "protocol_error", 1003),
    "JSON after the end": (
        [
            start_message(),
            bytes(32000),
            {"message": "EndOfStream", "last_seq_no": 1},
            {"message": "GetSpeakers"},
        ],
        "protocol_error",
        1003,
    ),
    "no JSON": (["{"], "invalid_message", 1003),
    "no object": (["[1]"], "invalid_message", 1003),
    "no name": (['{"message": 3}'], "invalid_message", 1003),
    "an unknown name": ([start_message(), {"message": "Hum"}], "invalid_message", 1003),
    "no count at the end": ([start_message(), {"message": "EndOfStream"}], "invalid_message", 1003),
    "a language change": (
        [start_message(), {"message": "SetRecognitionConfig", "transcription_config": {"language": "de"}}],
        "invalid_config",
        1008,
    ),
    "a change of what can't change": (
        [
            start_message(),
            {"message": "SetRecognitionConfig", "transcription_config": {"diarization": "speaker"}},
        ],
        "invalid_config",
        1008,
    ),
    "a negative time": (
        [start_message(), {"message": "ForceEndOfUtterance", "timestamp": -1}],
        "invalid_message",
        1003,
    ),
    "a time of 400 digits": (
        [start_message(), {"message": "ForceEndOfUtterance", "timestamp": 10**400}],
        "invalid_message",
        1003,
    ),
    "speakers, final a string": (
        [start_message(), {"message": "GetSpeakers", "final": "yes"}],
        "invalid_message",
        1003,
    ),
}


@pytest.mark.parametrize("name", list(OUT_OF_TURN))
def test_what_is_wrong_gets_an_error_and_a_close(name: str) -> None:
    says, kind, code = OUT_OF_TURN[name]
    with LocalServer(speed=1.0) as server, RawClient(server) as client:
        for item in says:
            client.ws.send(item if isinstance(item, (bytes, str)) else json.dumps(item))
        closed = client.closed()
        assert [error["type"] for error in client.received_of("Error")] == [kind], client.received_of("Error")
        assert client.received[-1]["message"] == "Error"
        assert closed[0] == code
        assert server.sessions[0].wait_closed().server_code == code


def test_a_late_start_is_an_error() -> None:
    with LocalServer(time_scale=1000) as server, RawClient(server) as client:
        assert client.closed() == (1008, "policy_violation")
        assert client.received_of("Error")[0]["type"] == "start_recognition_timeout"


@contextmanager
def begun(server: LocalServer, **options: Any) -> Iterator[RawClient]:
    """Give a client whose session has begun: where time is scaled, a busy machine may need a second try."""
    while True:
        with RawClient(server, **options) as client:
            try:
                client.start()
            except ConnectionClosed:
                continue
            yield client
            return


def test_a_silent_session_ends_after_three_minutes_unless_it_pings() -> None:
    with LocalServer(time_scale=600) as server:  # 3 minutes are 0.3 s
        with begun(server) as client:
            began = last = time.monotonic()
            longest, alive = 0.0, True
            while alive and time.monotonic() - began < 0.7:
                try:
                    alive = client.ws.ping().wait(0.5)
                except ConnectionClosed:
                    alive = False
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            assert alive or longest > 0.25  # on a machine that stood still the session may be gone
        with begun(server) as client:
            assert client.closed() == (1008, "policy_violation")
            assert client.received_of("Error")[0]["type"] == "idle_timeout"


def test_an_hour_without_audio_is_warned_of_and_ends() -> None:
    with LocalServer(time_scale=4000) as server, begun(server, ping_interval=0.005) as client:  # 0.9 s
        assert client.closed()[0] == 1008
    minutes = [message["reason"].split()[4] for message in client.received_of("Warning")]
    assert minutes == ["15m", "10m", "5m"][: len(minutes)]
    [error] = client.received_of("Error")
    assert error["type"] == "idle_timeout"
    # Where the machine stood still for 45 ms, after all warnings too, the pings came too late.
    if error["reason"] != "neither audio nor a ping within 3 minutes":
        assert (error["reason"], len(minutes)) == ("no audio within 60 minutes", 3)
    assert client.received[-1] is error


def test_over_the_quota_a_session_is_refused_in_band() -> None:
    with LocalServer(quota=1) as server:
        with RawClient(server) as first:
            first.start()
            with RawClient(server) as second:
                assert second.closed() == (4005, "quota_exceeded")
                assert second.received_of("Error")[0]["reason"] == "Concurrent Quota Exceeded"
            first.finish()
        server.sessions[0].wait_closed()
        server.sessions[1].wait_closed()
        with RawClient(server) as third:
            third.start()


def test_sessions_that_come_strictly_one_after_the_other_need_a_quota_of_one() -> None:
    with LocalServer(quota=1) as server, Client(url=server.url) as client:
        for _ in range(60):
            assert client.transcribe(bytes(3200), audio_format=AudioFormat("pcm_s16le", 16000)) is not None


def test_raw_formats_give_the_time_by_their_width() -> None:
    script = Script((Word("one", 0.4, 0.8),))
    with LocalServer(ScriptedEngine(script)) as server:
        for encoding, width in (("pcm_f32le", 4), ("pcm_s16le", 2), ("mulaw", 1)):
            with RawClient(server) as client:
                client.start(
                    {"max_delay": 0.7}, audio_format={**RAW, "encoding": encoding, "sample_rate": 8000}
                )
                client.ws.send(bytes(8000 * width * 3))
                client.finish(1)
            assert client.received_of("AddTranscript")[-1]["metadata"]["end_time"] == 3.0
