"""Sessions that outlive their connections, over real sockets; the words are read from numbered audio."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import signal
import threading
import time
import warnings
from typing import Any, Callable

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioError,
    AuthBase,
    AuthenticationError,
    Client,
    ConfigurationError,
    ConnectionConfig,
    ConnectionError,
    MultiChannelClient,
    SessionError,
    TimeoutError,
    TranscriptionConfig,
    TranscriptionError,
)
from speechmatics_rt.config.connection import ResumePolicy
from speechmatics_rt.local import Fault
from speechmatics_rt.resume.backoff import Outage

from ..reliability.numbered import FORMAT, RATE, NumberedEngine, speak

QUICK = ResumePolicy(min_delay=0.01, max_delay=0.05, busy_delay=0.1, replay_speed=1000)
SLOW = ResumePolicy(min_delay=20, max_delay=20)
CONFIG = TranscriptionConfig(max_delay=0.7, enable_partials=True)
AUDIO, WORDS = speak(60, random.Random(7))
CHUNK = 2 * RATE // 4

Serve = Callable[..., Any]
ClientOf = Callable[..., Any]


def pieces(audio: bytes = AUDIO) -> list[bytes]:
    return [audio[at : at + CHUNK] for at in range(0, len(audio), CHUNK)]


def contents(transcript: Any) -> list[str]:
    return [word.content for word in transcript.words]


ALL = [word.content for word in WORDS]


class Diary:
    """What the handlers of a client hear."""

    def __init__(self, client: Any) -> None:
        self.messages: list[dict[str, Any]] = []
        self._news = threading.Condition()
        client.on_any(self._write)

    def _write(self, message: dict[str, Any]) -> None:
        with self._news:
            self.messages.append(message)
            self._news.notify_all()

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["message"] == kind]

    def wait_for(self, kind: str, count: int = 1) -> dict[str, Any]:
        with self._news:
            assert self._news.wait_for(lambda: len(self.of(kind)) >= count, 10), f"no {kind} came"
        return self.of(kind)[count - 1]


@pytest.mark.parametrize(
    "faults",
    [
        [Fault.reset(after_seconds=20, sessions=[0])],
        [Fault.cut_output(size=30, after_seconds=20, sessions=[0])],
        [Fault.close(1001, after_seconds=20, sessions=[0])],
        [Fault.reset(at="start", sessions=[0])],
        [Fault.fin(at="drain", sessions=[0])],
        [Fault.fin(after_seconds=20, sessions=[0]), Fault.reset(after_seconds=3, sessions=[1])],
        [Fault.fin(after_seconds=20, sessions=[0]), Fault.close(1012, at="start", sessions=[1])],
        [
            Fault.error("job_error", after_seconds=20, sessions=[0]),
            Fault.refuse(503, sessions=[1]),
            Fault.error("quota_exceeded", at="open", sessions=[2]),
            Fault.hang(seconds=0.1, sessions=[3]),
        ],
    ],
    ids=lambda faults: "+".join(fault.kind for fault in faults),
)
def test_no_word_is_lost_or_said_twice_wherever_the_connection_breaks(
    serve: Serve, client_of: ClientOf, faults: list[Fault]
) -> None:
    server = serve(NumberedEngine(blur=0.04), faults=faults)
    client = client_of(server, resume=QUICK)
    diary = Diary(client)
    transcript = client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    assert contents(transcript) == ALL
    for kind in ("RecognitionStarted", "EndOfTranscript"):
        assert len(diary.of(kind)) == 1
    assert not diary.of("Error")
    assert [message["seq_no"] for message in diary.of("AudioAdded")] == list(range(1, len(pieces()) + 1))
    assert len(diary.of("Reconnecting")) == len(server.sessions) - 1
    assert diary.messages[-1]["message"] == "EndOfTranscript"


def test_events_tell_of_the_loss_and_of_the_overlap(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=QUICK)
    heard = [
        message
        for message in client.stream(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
        if message["message"] in ("Reconnecting", "Resumed")
    ]
    reconnecting, resumed = heard
    assert reconnecting["attempt"] == 1
    assert "lost in mid-stream" in reconnecting["cause"]
    assert 0.01 <= reconnecting["delay"] <= 0.05
    assert 0 < resumed["gap"] < 5
    assert 0 < resumed["replayed"] < 20
    assert client.session_id == server.sessions[1].session_id


def test_each_connection_has_its_own_id_and_the_session_keeps_the_first(
    serve: Serve, client_of: ClientOf
) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=QUICK)
    client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    first, second = (session.headers["x-request-id"] for session in server.sessions)
    assert first == client.request_id != second


def test_figures_add_up_over_connections(serve: Serve, client_of: ClientOf) -> None:
    faults = [Fault.reset(after_seconds=20, sessions=[0]), Fault.fin(after_seconds=10, sessions=[1])]
    server = serve(NumberedEngine(), faults=faults)
    client = client_of(server, resume=QUICK)
    diary, acknowledged = Diary(client), [0.0]
    client.on_any(lambda message: acknowledged.append(client.stats.seconds_acknowledged))
    client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    stats = client.stats
    assert stats.frames_sent == len(pieces())
    assert stats.bytes_sent == client.audio_bytes_sent == len(AUDIO)
    assert stats.seconds_sent == client.audio_seconds_sent == pytest.approx(len(AUDIO) / 2 / RATE)
    assert stats.seconds_acknowledged == stats.seconds_sent
    assert acknowledged == sorted(acknowledged)  # what was acknowledged once stays so
    assert stats.unacknowledged_frames == 0
    assert stats.lag == 0
    assert stats.messages_received > sum(server.sessions[2].tally.values()) / 2
    assert stats.reconnects == 2
    assert stats.replayed_seconds == pytest.approx(sum(m["replayed"] for m in diary.of("Resumed")), abs=0.01)


def test_latency_counts_from_the_first_sending_through_the_outage(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=4, sessions=[0])])
    client = client_of(server, resume=ResumePolicy(min_delay=0.8, max_delay=0.8, replay_speed=1000))
    audio = pieces(AUDIO[: 2 * RATE * 8])
    transcript = client.transcribe(audio, audio_format=FORMAT, transcription_config=CONFIG, speed=40)
    stats = client.stats
    assert stats.final_latency is not None
    assert stats.partial_latency is not None
    assert stats.seconds_transcribed == transcript.end_time
    assert 0.8 <= stats.final_latency.p99 < 3  # said before the outage, heard after it


def test_channels_break_and_go_on_together(serve: Serve, client_of: ClientOf) -> None:
    other, other_words = speak(31, random.Random(8))
    server = serve(NumberedEngine(blur=0.04), faults=[Fault.fin(after_seconds=20, sessions=[0])])
    client = client_of(server, kind=MultiChannelClient, resume=QUICK)
    sources = {"a": pieces(), "b": pieces(other)}
    transcript = client.transcribe(sources, audio_format=FORMAT, transcription_config=CONFIG)
    words = {label: [w.content for w in transcript.words if w.channel == label] for label in sources}
    assert words == {"a": ALL, "b": [word.content for word in other_words]}


def test_each_of_two_channels_is_sent_again_at_the_replay_speed(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.fin(after_seconds=0.2, sessions=[0])])
    policy = ResumePolicy(min_delay=0.3, max_delay=0.3, replay_speed=20)
    client = client_of(server, kind=MultiChannelClient, resume=policy)
    began: list[float] = []
    client.on("Resumed", lambda _: began.append(time.monotonic()))
    client.start_session(channels=["a", "b"], audio_format=FORMAT, transcription_config=CONFIG)
    for piece in pieces():
        client.send_audio("a", piece)
        client.send_audio("b", piece)
    client.stop_session()
    assert 2.9 < time.monotonic() - began[0] < 5, "60 s, 20 times as fast, are 3 s"


def test_the_asyncio_face_resumes_without_holding_up_its_loop(serve: Serve) -> None:
    faults = [Fault.reset(after_seconds=20, sessions=[0]), Fault.hang(seconds=1, sessions=[1])]
    server = serve(NumberedEngine(blur=0.04), faults=faults)

    async def main() -> tuple[list[str], int]:
        ticks, out, done = 0, False, asyncio.Event()

        def goes_out(message: dict[str, Any]) -> None:
            nonlocal out
            out = message["message"] == "Reconnecting"

        async def tick() -> None:
            nonlocal ticks
            while not done.is_set():
                await asyncio.sleep(0.01)
                ticks += out

        ticking = asyncio.ensure_future(tick())
        config = ConnectionConfig(ssl_context=server.ssl_context)
        async with AsyncClient(url=server.url, resume=QUICK, conn_config=config) as client:
            client.on("Reconnecting", goes_out)
            client.on("Resumed", goes_out)
            await client.start_session(audio_format=FORMAT, transcription_config=CONFIG)
            for piece in pieces():
                await client.send_audio(piece)
            await client.stop_session()
            done.set()
            await ticking
            return contents(client.transcript), ticks

    heard, ticks = asyncio.run(main())
    assert heard == ALL
    assert ticks > 5  # of some 100, while the attempt hangs


# -- sessions by hand ----------------------------------------------------------------------------------


def test_a_live_caller_goes_on_sending_through_an_outage(serve: Serve, client_of: ClientOf) -> None:
    faults = [Fault.reset(after_seconds=20, sessions=[0]), Fault.refuse(503, sessions=[1])]
    server = serve(NumberedEngine(blur=0.04), faults=faults)
    with client_of(server, resume=QUICK) as client:
        client.start_session(audio_format=FORMAT, transcription_config=CONFIG)
        for piece in pieces():
            client.send_audio(piece)
        client.stop_session()
    assert contents(client.transcript) == ALL
    assert len(server.sessions) == 3


def test_audio_beyond_the_buffer_is_refused_and_the_error_says_so(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=1, sessions=[0])])
    client = client_of(server, resume=ResumePolicy(min_delay=20, max_delay=20, buffer_seconds=3))
    diary = Diary(client)
    client.start_session(audio_format=FORMAT)
    client.send_audio(bytes(2 * RATE))
    diary.wait_for("Reconnecting")
    client.send_audio(bytes(2 * RATE))
    with pytest.raises(TimeoutError, match="3 s of audio wait already"):
        client.send_audio(bytes(4 * RATE))
    assert client.is_connected
    client.close()


def test_requests_and_settings_survive(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_messages=84, sessions=[0])])
    client = client_of(server, resume=QUICK)
    diary = Diary(client)
    config = TranscriptionConfig(max_delay=0.7, diarization="speaker")
    client.start_session(audio_format=FORMAT, transcription_config=config)
    client.get_speakers(final=True)
    client.update_config(max_delay=2.0)
    for piece in pieces()[:80]:
        client.send_audio(piece)
    client.force_end_of_utterance()
    resumed = diary.wait_for("Resumed")
    before = [message["message"] for message in diary.messages[: diary.messages.index(resumed)]]
    forced = diary.wait_for("EndOfUtterance", 1 + before.count("EndOfUtterance"))
    client.stop_session()
    again = server.sessions[1]
    assert again.start["transcription_config"]["max_delay"] == 2.0
    assert [m["message"] for m in again.messages if m["message"] in ("GetSpeakers", "ForceEndOfUtterance")]
    asked = [m for m in again.messages if m["message"] == "ForceEndOfUtterance"]
    assert asked[0]["timestamp"] < 20
    assert len(diary.of("SpeakersResult")) == 1
    assert forced["metadata"]["end_time"] <= 20.2


def test_request_stop_during_an_outage_ends_the_session_with_all_that_was_sent(
    serve: Serve, client_of: ClientOf
) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=QUICK)
    client.on("Reconnecting", lambda message: client.request_stop())
    client.start_session(audio_format=FORMAT, transcription_config=CONFIG)
    sent = 0
    for piece in pieces():
        try:
            client.send_audio(piece)
        except SessionError:
            break
        sent += len(piece)
    client.stop_session()
    ended = [w.content for w in WORDS if w.end * 2 * RATE <= sent][: len(ALL)]
    begun = [w.content for w in WORDS if w.start * 2 * RATE < sent][: len(ALL)]
    assert contents(client.transcript) in (ended, begun)  # the last one may have been cut


def test_after_request_stop_one_more_attempt_is_made_at_once_and_no_other(
    serve: Serve, client_of: ClientOf
) -> None:
    lost = [Fault.reset(after_seconds=20, sessions=[0]), Fault.refuse(503, sessions=range(1, 20))]
    server = serve(NumberedEngine(), faults=lost)
    client = client_of(server, resume=SLOW)
    began = time.monotonic()
    client.on("Reconnecting", lambda message: client.request_stop())
    with pytest.raises(ConnectionError, match="1 attempt to reconnect failed") as caught:
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    assert time.monotonic() - began < 15  # and not the 20 s of a pause
    assert len(server.sessions) == 2
    assert contents(caught.value.transcript)


@pytest.mark.parametrize("refused", [Fault.refuse(429), Fault.error("quota_exceeded", at="start")])
def test_request_stop_before_the_first_session_ends_at_once_with_the_reason(
    serve: Serve, client_of: ClientOf, caplog: pytest.LogCaptureFixture, refused: Fault
) -> None:
    server = serve(NumberedEngine(), faults=[refused])
    client = client_of(server, resume=SLOW)

    def stop_soon(record: logging.LogRecord) -> bool:
        if record.levelname == "WARNING":
            threading.Timer(0.2, client.request_stop).start()
        return True

    caplog.handler.addFilter(stop_soon)
    began = time.monotonic()
    with pytest.raises((ConnectionError, TranscriptionError)) as caught:
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    assert time.monotonic() - began < 15  # and not the 20 s of a pause
    assert len(server.sessions) == 1
    assert "Transcribed up to" not in str(caught.value)
    (told,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert told.getMessage().startswith(caught.value.text)  # nobody waits without knowing why
    assert "; attempt 1 in 20.0 s" in told.getMessage()


def test_a_reason_that_has_not_changed_is_told_once(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.error("quota_exceeded", at="start")])
    policy = ResumePolicy(max_attempts=2, min_delay=0.01, max_delay=0.02, busy_delay=0.02)
    with pytest.raises(TranscriptionError, match=r"2 attempts to reconnect failed within 0 s") as caught:
        client_of(server, resume=policy).transcribe(
            pieces(), audio_format=FORMAT, transcription_config=CONFIG
        )
    assert str(caught.value).count("quota_exceeded") == 1


# -- the end of patience -------------------------------------------------------------------------------


def test_giving_up_says_what_was_heard_and_up_to_when(serve: Serve, client_of: ClientOf) -> None:
    faults = [Fault.reset(after_seconds=20, sessions=[0]), Fault.refuse(503, sessions=[1, 2])]
    server = serve(NumberedEngine(), faults=faults)
    policy = ResumePolicy(max_attempts=2, min_delay=0.01, max_delay=0.02, busy_delay=0.02)
    client = client_of(server, resume=policy)
    with pytest.raises(ConnectionError, match="lost in mid-stream") as caught:
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    error = caught.value
    assert "2 attempts to reconnect failed" in str(error)
    assert "503" in str(error)
    assert f"Transcribed up to {error.transcript.end_time:.2f} s" in str(error)
    assert contents(error.transcript) == ALL[: len(error.transcript.words)]
    assert error.request_id == client.request_id
    assert isinstance(error.__cause__, ConnectionError)
    assert error.__cause__.status == 503


def test_what_cannot_be_mended_passes_through_unchanged(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.error("timelimit_exceeded", after_seconds=20)])
    client = client_of(server, resume=QUICK)
    diary = Diary(client)
    with pytest.raises(TranscriptionError) as caught:
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    assert caught.value.type == "timelimit_exceeded"
    assert [message["type"] for message in diary.of("Error")] == ["timelimit_exceeded"]
    assert len(server.sessions) == 1


@pytest.mark.parametrize("at", ["open", "start", "started"])
def test_handlers_hear_an_error_that_ends_the_session_as_it_begins(
    serve: Serve, client_of: ClientOf, at: str
) -> None:
    server = serve(NumberedEngine(), faults=[Fault.error("invalid_model", at=at)])
    client = client_of(server, resume=QUICK)
    diary = Diary(client)
    with pytest.raises(TranscriptionError, match="invalid_model"):
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    assert [message["type"] for message in diary.of("Error")] == ["invalid_model"]
    assert len(server.sessions) == 1


def test_a_refused_configuration_on_the_way_back_ends_it(serve: Serve, client_of: ClientOf) -> None:
    faults = [
        Fault.reset(after_seconds=20, sessions=[0]),
        Fault.error("not_allowed", at="start", sessions=[1]),
    ]
    client = client_of(serve(NumberedEngine(), faults=faults), resume=QUICK)
    diary = Diary(client)
    with pytest.raises(TranscriptionError, match="not_allowed") as caught:
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    assert [message["type"] for message in diary.of("Error")] == ["not_allowed"]
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert caught.value.transcript.words


def test_a_handler_may_forbid_the_reconnect(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=QUICK)
    client.on("Reconnecting", lambda message: message.update(reconnect=False))
    with pytest.raises(ConnectionError, match="lost in mid-stream"):
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    assert len(server.sessions) == 1


def test_what_a_source_gave_before_it_failed_in_an_outage_is_transcribed_after_it(
    serve: Serve, client_of: ClientOf
) -> None:
    gone = threading.Event()

    def source() -> Any:
        yield from pieces()[:80]
        gone.wait(10)
        raise OSError("unplugged")

    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, delay=0.1, sessions=[0])])
    client = client_of(server, resume=ResumePolicy(min_delay=0.5, max_delay=0.5, replay_speed=1000))
    client.on("Reconnecting", lambda message: gone.set())
    with pytest.raises(AudioError, match="unplugged") as caught:
        client.transcribe(source(), audio_format=FORMAT, transcription_config=CONFIG)
    whole = client_of(serve(NumberedEngine())).transcribe(
        pieces()[:80], audio_format=FORMAT, transcription_config=CONFIG
    )
    assert contents(caught.value.transcript) == contents(whole)


@pytest.mark.parametrize("moment", ["backoff", "dial"])
def test_close_ends_an_outage_at_once(serve: Serve, client_of: ClientOf, moment: str) -> None:
    faults = [Fault.reset(after_seconds=1, sessions=[0]), Fault.hang(sessions=[1])]
    server = serve(NumberedEngine(), faults=faults)
    client = client_of(server, resume=SLOW if moment == "backoff" else QUICK, open_timeout=20)
    diary = Diary(client)
    client.start_session(audio_format=FORMAT)
    client.send_audio(bytes(4 * RATE))
    diary.wait_for("Reconnecting")
    if moment == "dial":
        server.wait_for_session(1)
    began = time.monotonic()
    client.close()
    assert time.monotonic() - began < 2  # of 20
    assert not client.is_connected
    with pytest.raises(SessionError):
        client.send_audio(bytes(2 * RATE))


def test_ctrl_c_ends_an_outage_at_once(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=SLOW)
    press = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    client.on("Reconnecting", lambda message: press.start())
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    press.join()
    assert time.monotonic() - began < 5
    assert not client.is_connected


def test_a_deadline_of_the_whole_call_counts_in_an_outage(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=SLOW)
    with pytest.raises(TimeoutError) as caught:
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG, timeout=0.7)
    assert caught.value.stage == "whole"


def test_a_client_dropped_in_an_outage_is_collected(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=1, sessions=[0])])
    reconnecting = threading.Event()

    def drop() -> None:
        client = Client(url=server.url, resume=SLOW, conn_config=client_of(server)._connector.config)
        client.on("Reconnecting", lambda message: reconnecting.set())
        client.start_session(audio_format=FORMAT)
        client.send_audio(bytes(4 * RATE))
        assert reconnecting.wait(10)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drop()
        gc.collect()
    assert any(issubclass(warning.category, ResourceWarning) for warning in caught)


class Tokens(AuthBase):
    """The first token serves one connection, renewed ones as many as they are good for."""

    def __init__(self, *keys: str) -> None:
        self.keys = list(keys)

    def get_auth_headers(self) -> dict[str, str]:
        key = self.keys[0]
        if key == "once":
            self.keys[0] = "stale"
        return {"Authorization": f"Bearer {key}"}

    def refresh(self) -> bool:
        self.keys.pop(0)
        return bool(self.keys)


def test_a_refused_token_is_renewed_once(serve: Serve, client_of: ClientOf) -> None:
    server = serve(
        NumberedEngine(), keys=["once", "new"], faults=[Fault.reset(after_seconds=20, sessions=[0])]
    )
    client = client_of(server, auth=Tokens("once", "new"), resume=QUICK)
    assert contents(client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)) == ALL


def test_a_token_refused_again_ends_it(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), keys=["once"], faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, auth=Tokens("once", "wrong", "wrong"), resume=QUICK)
    with pytest.raises(AuthenticationError):
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    assert len(server.sessions) == 3


def test_connections_that_break_at_once_count_as_one_outage(serve: Serve, client_of: ClientOf) -> None:
    faults = [Fault.reset(after_seconds=20, sessions=[0]), Fault.reset(sessions=range(1, 99))]
    server = serve(NumberedEngine(), faults=faults)
    client = client_of(server, resume=ResumePolicy(max_attempts=5, min_delay=0.01, max_delay=1))
    with pytest.raises(ConnectionError, match="5 attempts to reconnect failed"):
        client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    assert len(server.sessions) == 6


def test_what_the_service_asks_to_wait_is_waited(serve: Serve, client_of: ClientOf) -> None:
    faults = [
        Fault.reset(after_seconds=20, sessions=[0]),
        Fault.refuse(503, retry_after=1, sessions=[1]),
        Fault.error("quota_exceeded", at="open", sessions=[2]),
    ]
    server = serve(NumberedEngine(), faults=faults)
    client = client_of(server, resume=QUICK)
    diary = Diary(client)
    assert contents(client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)) == ALL
    first, second, third = (message["delay"] for message in diary.of("Reconnecting"))
    assert first < 0.1 <= third < 0.2
    assert 1 <= second < 1.1


@pytest.mark.parametrize("fault", ["silence", "stop_reading"])
def test_a_server_that_goes_quiet_is_left_for_another(serve: Serve, client_of: ClientOf, fault: str) -> None:
    server = serve(NumberedEngine(), faults=[getattr(Fault, fault)(after_seconds=20, sessions=[0])])
    client = client_of(
        server, resume=QUICK, send_timeout=0.3, ping_interval=0.2, ping_timeout=0.6, close_timeout=0.2
    )
    assert contents(client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)) == ALL


def test_our_own_sender_pauses_in_an_outage(serve: Serve, client_of: ClientOf) -> None:
    taken = []

    def source() -> Any:
        for piece in pieces():
            taken.append(piece)
            yield piece

    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=SLOW)
    with client.stream(source(), audio_format=FORMAT, transcription_config=CONFIG) as messages:
        for message in messages:
            if message["message"] == "Reconnecting":
                break
        kept = len(taken)
        threading.Event().wait(0.1)  # what must not happen rings no bell
        assert len(taken) <= kept + 1


def test_handlers_may_ask_for_things_in_an_outage(serve: Serve, client_of: ClientOf) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=QUICK)
    client.on("Reconnecting", lambda message: client.update_config(max_delay=3.0))
    client.on("Reconnecting", lambda message: client.get_speakers(wait=False))
    diary = Diary(client)
    config = TranscriptionConfig(max_delay=0.7, diarization="speaker")
    client.transcribe(pieces(), audio_format=FORMAT, transcription_config=config)
    assert server.sessions[1].start["transcription_config"]["max_delay"] == 3.0
    assert len(diary.of("SpeakersResult")) == 1


def test_a_message_that_its_sender_changes_while_audio_is_sent_again_is_sent_as_it_was(
    serve: Serve, client_of: ClientOf
) -> None:
    server = serve(NumberedEngine(), faults=[Fault.reset(after_seconds=20, sessions=[0])])
    client = client_of(server, resume=ResumePolicy(min_delay=0.01, max_delay=0.05, replay_speed=12))
    volume = {"volume_threshold": 3}
    settings = {"language": "en", "audio_filtering_config": volume}

    @client.on("Resumed")
    def change(_: Any) -> None:
        client.send_message({"message": "SetRecognitionConfig", "transcription_config": settings})
        volume["volume_threshold"] = 50

    client.transcribe(pieces(), audio_format=FORMAT, transcription_config=CONFIG)
    changes = [m for m in server.sessions[1].messages if m["message"] == "SetRecognitionConfig"]
    assert [m["transcription_config"]["audio_filtering_config"] for m in changes] == [{"volume_threshold": 3}]


# -- before any I/O, and the policy --------------------------------------------------------------------


def test_the_format_file_is_refused_before_the_first_byte() -> None:
    client = Client(url="ws://127.0.0.1:9/v2", resume=True)
    with pytest.raises(ConfigurationError, match=r"AudioFormat\('pcm_s16le'"):
        client.transcribe(b"ID3 and so on")
    with pytest.raises(ConfigurationError, match="resume"):
        Client(resume=3)  # type: ignore[arg-type]


def test_pauses_double_with_jitter_and_honour_what_the_service_asks() -> None:
    policy = ResumePolicy(min_delay=1, max_delay=8, busy_delay=5, max_attempts=6, max_outage=100)
    lost = ConnectionError("", code=1006)
    outage = Outage(lost, policy, now=0.0)
    pauses = []
    while outage.plan(0.0, delay := outage.pause(lost, 1.0)):
        pauses.append(delay)
    assert pauses == [2, 4, 8, 8, 8, 8], "the first one too, so that not all come back at once"
    busy = TranscriptionError("", type="quota_exceeded")
    assert Outage(busy, policy, now=0.0).pause(busy, 0.0) == 5
    asked = ConnectionError("", status=503, retry_after=7)
    assert Outage(asked, policy, now=0.0).pause(asked, 0.0) == 7
    assert not Outage(lost, policy, now=0.0).plan(99.5, 1.0)
    endless = Outage(lost, ResumePolicy(max_attempts=None, max_outage=None), now=0.0)
    assert all(endless.plan(day * 86400.0, 30.0) for day in range(1000))
