"""A session in progress without sockets: what is written when, what time does, and how it ends."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.config.connection import ConnectionConfig
from speechmatics_rt.exceptions import (
    ConnectionError,
    EndOfTranscriptError,
    ProtocolError,
    SessionError,
    TimeoutError,
    TranscriptionError,
)
from speechmatics_rt.protocol import client, frames
from speechmatics_rt.protocol.client import CLOSE_GRACE, ClientProtocol
from speechmatics_rt.protocol.keepalive import Keepalive
from speechmatics_rt.protocol.outbox import Outbox
from speechmatics_rt.protocol.state import Phase
from speechmatics_rt.protocol.window import Window

START = {"message": "StartRecognition", "transcription_config": {"language": "en"}}


def protocol(**options) -> ClientProtocol:
    return ClientProtocol(ConnectionConfig(**options), block=65536, now=0.0)


def hear(subject: ClientProtocol, *said: dict, now: float = 1.0, wanted: bool = False) -> None:
    subject.receive([(m, m, 100) for m in said], now, lambda kind: wanted)


def streaming(**options) -> ClientProtocol:
    subject = protocol(**options)
    subject.send(START, b"start", 0.0)
    hear(subject, {"message": "RecognitionStarted", "id": "5b0e"}, now=0.1)
    subject.take()
    subject.take()
    subject.news = subject.room = False
    return subject


def written(subject: ClientProtocol) -> list[tuple[int, bytes]]:
    """The frames in the outbox, unmasked."""
    data = b""
    while subject.outbox:
        block = subject.outbox.take()
        data += block
        subject.outbox.wrote(len(block))
    found = []
    while data:
        size, head = data[1] & 0x7F, 2
        if size == 126:
            size, head = int.from_bytes(data[2:4], "big"), 4
        mask, payload = data[head : head + 4], data[head + 4 : head + 4 + size]
        found.append((data[0] & 0x0F, bytes(b ^ mask[i & 3] for i, b in enumerate(payload))))
        data = data[head + 4 + size :]
    return found


def audio(subject: ClientProtocol, count: int = 1, seconds: float = 0.1) -> None:
    for _ in range(count):
        subject.send_audio(frames.encode(frames.BINARY, bytes(4)), None, seconds, 4)


def test_the_end_of_the_stream_is_said_with_the_frames_sent() -> None:
    subject = streaming()
    written(subject)
    audio(subject, 3)
    subject.end_stream(2.0)
    assert json.loads(written(subject)[-1][1]) == {"message": "EndOfStream", "last_seq_no": 3}
    assert subject.state.phase is Phase.DRAINING


def test_an_end_asked_for_before_the_start_is_said_after_it() -> None:
    subject = protocol()
    subject.send(START, frames.encode(frames.TEXT, b"{}"), 0.0)
    subject.end_stream(0.0)
    assert subject.stop
    hear(subject, {"message": "RecognitionStarted", "id": "5b0e"})
    subject.tick(1.0)
    assert subject.state.phase is Phase.DRAINING


def test_acknowledgements_reach_the_window_but_only_listeners_get_them() -> None:
    subject = streaming()
    audio(subject, 2)
    hear(subject, {"message": "AudioAdded", "seq_no": 1})
    assert subject.take() == []
    hear(subject, {"message": "AudioAdded", "seq_no": 2}, wanted=True)
    assert [payload for _, payload, _ in subject.take()] == [{"message": "AudioAdded", "seq_no": 2}]
    assert subject.window.frames == 0


def test_the_window_closes_and_senders_are_called_when_it_is_half_open_again() -> None:
    subject = streaming(window_frames=10, window_seconds=None)
    audio(subject, 10)
    assert not subject.admits(None, 0.1, feeding=False)
    for number in range(1, 5):
        hear(subject, {"message": "AudioAdded", "seq_no": number})
        assert not subject.room
    hear(subject, {"message": "AudioAdded", "seq_no": 5})
    assert subject.room
    assert subject.admits(None, 0.1, feeding=False)


def test_a_window_of_seconds_calls_senders_at_half_of_them() -> None:
    window = Window(frames=None, seconds=10.0)
    for _ in range(10):
        window.sent(None, 1.0)
    assert [window.acknowledged(None) for _ in range(5)] == [False] * 4 + [True]


def test_a_sender_whose_acknowledgements_lag_by_most_of_the_window_gets_the_little_room_there_is() -> None:
    subject = streaming(window_frames=10)
    audio(subject, 10)
    hear(subject, *[{"message": "AudioAdded"}] * 2, now=2.0)
    assert (subject.room, subject.some_room) == (False, True)
    assert subject.tick(2.0) == pytest.approx(2.02)
    assert not subject.room
    hear(subject, {"message": "AudioAdded"}, now=2.01)  # no later for that
    assert subject.tick(2.01) == pytest.approx(2.02)
    subject.tick(2.02)
    assert subject.room


def test_a_slow_receiver_holds_back_the_sender_alone() -> None:
    subject = streaming(max_queue=2)
    hear(subject, *[{"message": "AddTranscript"}] * 3)
    assert not subject.admits(None, 0.1, feeding=True)
    assert subject.admits(None, 0.1, feeding=False)
    subject.take()
    assert not subject.admits(None, 0.1, feeding=True)  # still in the receiver's hands
    subject.room = False
    assert subject.take() == []  # it comes again, and is done with those
    assert subject.room
    assert subject.admits(None, 0.1, feeding=True)


def test_an_error_waits_for_the_close_frame_and_then_carries_its_code() -> None:
    subject = streaming()
    hear(subject, {"message": "Error", "type": "job_error", "reason": "died"}, now=5.0)
    assert subject.conclusion is None
    assert subject.ending
    assert subject.shut_at == 5.0 + CLOSE_GRACE
    subject.receive_close(frames.Close(4013, "job_error"))
    subject.receive_eof(None, None, 5.1)
    assert isinstance(subject.conclusion.error, TranscriptionError)
    assert subject.conclusion.error.code == 4013


def test_the_answer_to_our_own_close_frame_says_nothing_about_the_error() -> None:
    subject = streaming()
    hear(subject, {"message": "Error", "type": "job_error", "reason": "died"}, now=5.0)
    subject.tick(5.0 + CLOSE_GRACE)
    subject.receive_close(frames.Close(1000, ""))
    subject.receive_eof(None, None, 6.0)
    assert subject.conclusion.error.code is None


def test_a_broken_write_waits_for_the_servers_own_words() -> None:
    subject = streaming()
    subject.write_failed(BrokenPipeError(), 5.0)
    assert subject.tick(5.0) == 5.0 + CLOSE_GRACE
    assert not subject.must_shut
    hear(subject, {"message": "Error", "type": "quota_exceeded", "reason": ""}, now=5.2)
    subject.receive_eof(None, None, 5.3)
    assert subject.conclusion.error.type == "quota_exceeded"


def test_a_broken_write_without_last_words_is_a_lost_connection_with_its_cause() -> None:
    subject = streaming()
    broken = BrokenPipeError("broken pipe")
    subject.write_failed(broken, 5.0)
    subject.tick(5.0 + CLOSE_GRACE)
    assert subject.must_shut
    subject.receive_eof(None, None, 6.0)
    assert isinstance(subject.conclusion.error, ConnectionError)
    assert subject.conclusion.cause is broken


def test_a_sender_that_ends_after_a_broken_write_does_not_change_where_the_connection_was_lost() -> None:
    subject = streaming()
    subject.write_failed(BrokenPipeError(), 5.0)
    subject.end_stream(5.1)  # it was told that no audio is wanted any more
    assert not subject.outbox
    subject.receive_eof(None, None, 5.2)
    assert subject.conclusion.error.stage == "streaming"


@pytest.mark.parametrize(
    ("error", "close", "told"),
    [
        (
            {"message": "Error", "type": "job_error", "reason": "died"},
            frames.Close(4013, "job_error"),
            "5.0 s",
        ),
        (None, frames.Close(4013, "job_error"), "6.0 s"),
        (None, frames.Close(1011, ""), "6.0 s"),
        (None, None, "6.0 s"),
    ],
)
def test_the_time_that_is_told_is_that_of_the_end_and_not_of_the_start(error, close, told: str) -> None:
    subject = streaming()
    if error is not None:
        hear(subject, error, now=5.0)
    if close is not None:
        subject.receive_close(close)
    subject.receive_eof(None, None, 6.0)
    assert f"in mid-stream, after {told}" in subject.conclusion.error.text


def test_the_first_outcome_counts() -> None:
    subject = streaming()
    assert subject.conclude(SessionError("first"), now=1.0)
    assert not subject.conclude(SessionError("second"), now=1.0)
    subject.receive_eof(ProtocolError("third"), None, 1.0)
    assert subject.conclusion.error.args == ("first",)


def test_a_complete_transcript_sends_a_close_frame_at_once() -> None:
    subject = streaming()
    written(subject)
    audio(subject)
    subject.end_stream(1.0)
    hear(subject, {"message": "EndOfTranscript"}, now=2.0)
    assert subject.conclusion.normal
    assert written(subject)[-1] == (frames.CLOSE, (1000).to_bytes(2, "big"))
    assert subject.shut_at == 2.0 + 5


def test_a_transcript_that_ends_before_the_audio_is_an_error_unless_the_limit_was_announced() -> None:
    early, limited = streaming(), streaming()
    hear(early, {"message": "EndOfTranscript"})
    hear(limited, {"message": "Warning", "type": "duration_limit_exceeded"}, {"message": "EndOfTranscript"})
    assert isinstance(early.conclusion.error, EndOfTranscriptError)
    assert limited.conclusion.normal


def test_a_message_out_of_turn_keeps_those_before_it() -> None:
    subject = streaming()
    with pytest.raises(ProtocolError):
        hear(subject, {"message": "AddTranscript"}, {"message": "RecognitionStarted"}, {"message": "Info"})
    assert [payload for _, payload, _ in subject.take()] == [{"message": "AddTranscript"}]


def test_a_start_that_takes_too_long_is_concluded_at_its_deadline_and_not_before() -> None:
    subject = protocol(start_timeout=3, ping_interval=None)
    subject.send(START, b"start", 1.0)
    assert subject.tick(1.0) == 4.0
    assert subject.tick(3.9) == 4.0
    assert subject.conclusion is None
    subject.tick(4.0)
    assert isinstance(subject.conclusion.error, TimeoutError)
    assert subject.must_shut


def test_the_end_may_take_long_as_long_as_the_server_talks() -> None:
    subject = streaming(end_timeout=10, ping_interval=None)
    subject.end_stream(1.0)
    assert subject.tick(1.0) == 11.0
    hear(subject, {"message": "AddTranscript"}, now=9.0)
    assert subject.tick(11.0) == 19.0
    subject.tick(19.0)
    assert subject.conclusion.error.stage == "end"


@pytest.mark.parametrize(
    "happens",
    [
        lambda subject: subject.end_stream(2.0),
        lambda subject: hear(subject, {"message": "EndOfTranscript"}, now=2.0),
        lambda subject: hear(subject, {"message": "Error", "type": "job_error"}, now=2.0),
        lambda subject: subject.receive_eof(None, None, 2.0),
        lambda subject: subject.conclude(SessionError("closed"), now=2.0),
    ],
    ids=["end of stream", "end of transcript", "error", "end of the connection", "closed"],
)
def test_what_becomes_due_sooner_than_was_said_is_known_without_asking_again(
    happens: Callable[[ClientProtocol], object],
) -> None:
    subject = streaming(end_timeout=7, close_timeout=5)
    said = subject.tick(1.0)
    assert said == 20.0  # a ping
    happens(subject)
    assert subject.due_at() < said
    assert subject.due_at() == copy.deepcopy(subject).tick(2.0)


def test_the_usual_phases_make_nothing_due_sooner_than_a_ping() -> None:
    subject = protocol()
    said = subject.tick(0.0)
    subject.send(START, b"start", 0.0)
    assert subject.due_at() > said
    hear(subject, {"message": "RecognitionStarted", "id": "5b0e"}, now=0.1)
    assert subject.due_at() > said
    subject.end_stream(1.0)
    assert subject.due_at() > said


def test_an_end_asked_for_before_the_start_is_due_as_soon_as_that_has_come() -> None:
    subject = protocol()
    subject.send(START, b"start", 0.0)
    subject.end_stream(0.1)
    said = subject.tick(0.1)
    assert subject.due_at() > said
    hear(subject, {"message": "RecognitionStarted", "id": "5b0e"}, now=0.2)
    assert subject.due_at() < 0.2


def test_with_all_timeouts_off_only_events_matter() -> None:
    subject = protocol(start_timeout=None, end_timeout=None, ping_interval=None, ping_timeout=None)
    subject.send(START, b"start", 0.0)
    assert subject.tick(1e9) == subject.due_at() == float("inf")


def test_silence_after_a_ping_is_a_lost_connection_but_not_while_we_do_not_read() -> None:
    subject = streaming(ping_interval=20, ping_timeout=60)
    written(subject)
    subject.tick(20.0)
    assert written(subject) == [(frames.PING, b"")]
    big = ({"message": "AddTranscript"}, b"", 65 * 1024 * 1024)
    subject.tick(40.0)
    subject.receive([big], 41.0, lambda kind: False)
    subject.tick(60.0)
    subject.tick(130.0)  # flooded: we are not reading, so nobody can be heard
    assert subject.conclusion is None
    subject.take()
    subject.tick(131.0)
    subject.tick(191.0)
    assert subject.conclusion.error.stage == "keepalive"


@pytest.mark.parametrize("limit", ["end", "keepalive"])
def test_a_server_whose_words_nobody_has_come_to_read_is_not_silent_but_time_is_given_once(
    limit: str,
) -> None:
    draining = limit == "end"
    subject = streaming(end_timeout=10, ping_interval=None if draining else 1, ping_timeout=10)
    if draining:
        subject.end_stream(1.1)
    subject.tick(1.1)  # there is a ping in the other case
    subject.tick(11.1, lambda: True)
    assert subject.conclusion is None
    subject.tick(21.0)
    assert subject.conclusion is None
    subject.tick(21.1, lambda: True)  # a server that sends no messages could have it go on for ever
    assert subject.conclusion.error.stage == limit


@pytest.mark.parametrize("limit", ["end", "keepalive"])
def test_who_reads_again_just_before_the_time_is_over_has_it_anew(limit: str) -> None:
    draining = limit == "end"
    subject = streaming(end_timeout=10, ping_interval=None if draining else 1, ping_timeout=10)
    if draining:
        subject.end_stream(1.0)
    subject.receive([({"message": "AddTranscript"}, b"", 65 * 1024 * 1024)], 2.0, lambda kind: False)
    subject.tick(3.0)
    subject.tick(12.9)
    subject.take()  # at 22.8, say: nothing could be heard until then
    subject.tick(22.9)
    assert subject.conclusion is None
    subject.tick(32.9)
    assert subject.conclusion.error.stage == limit


def test_what_comes_before_the_start_never_pauses_reading_and_fails_the_session_beyond_its_own_bound(
    monkeypatch,
) -> None:
    monkeypatch.setattr(client, "INBOX_BYTES", 50)
    subject = protocol()
    subject.send(START, b"start", 0.0)
    news = {"message": "Info"}
    hear(subject, *[news] * 10)
    assert not subject.flooded  # nothing is delivered before the start: the pause would never end
    big = (news, news, client.EARLY_BYTES)
    with pytest.raises(ProtocolError, match="no RecognitionStarted"):
        subject.receive([big], 1.0, lambda kind: False)
    subject = protocol()
    subject.send(START, b"start", 0.0)
    # Its own words say more than we could.
    subject.receive([big, ({"message": "Error"}, {"message": "Error"}, 0)], 1.0, lambda kind: False)
    subject = streaming()
    subject.receive([big, big], 1.0, lambda kind: False)
    assert subject.flooded


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 12)), max_size=60))
def test_the_window_never_lets_more_out_than_it_may_and_never_locks_an_idle_channel(steps: list) -> None:
    window = Window(frames=5, seconds=10)
    unacknowledged: list[float] = []
    for send, seconds in steps:
        if send:
            if window.admits(None, seconds):
                assert not unacknowledged or (
                    len(unacknowledged) < 5 and sum(unacknowledged) + seconds < 10.001
                )
                window.sent(None, seconds)
                unacknowledged.append(seconds)
            else:
                assert unacknowledged
        elif unacknowledged:
            window.acknowledged(None)
            unacknowledged.pop(0)
        assert window.frames == len(unacknowledged)
        assert window.seconds == pytest.approx(sum(unacknowledged), abs=1e-6)


def test_an_acknowledgement_too_many_releases_nothing() -> None:
    window = Window(frames=5, seconds=10)
    assert not window.acknowledged(None)
    assert not window.acknowledged("nobody")
    assert window.frames == 0


FRAMES = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=30)


@given(FRAMES, st.lists(st.integers(0, 30)), st.integers(1, 50))
def test_the_outbox_gives_every_byte_once_in_order_and_the_same_block_until_it_is_written(
    given_frames: list, taken: list, block: int
) -> None:
    outbox = Outbox(block, limit=100)
    for frame in given_frames:
        outbox.put(frame)
    out = b""
    counts = iter(taken)
    while outbox:
        first = bytes(outbox.take())
        assert bytes(outbox.take()) == first
        assert 0 < len(first) <= block or len(first) <= 40
        count = min(next(counts, len(first)), len(first))
        out += first[:count]
        outbox.wrote(count)
    assert out == b"".join(given_frames)
    assert not outbox.full


def test_blocks_of_data_are_full_wherever_its_frames_end() -> None:
    outbox = Outbox(100, limit=1000)
    for _ in range(7):
        outbox.put(bytes(60))
    sizes = []
    while outbox:
        sizes.append(len(outbox.take()))
        outbox.wrote(sizes[-1])
    assert sizes == [100, 100, 100, 100, 20]


def test_control_frames_overtake_data_but_never_a_frame_that_has_begun() -> None:
    outbox = Outbox(100, limit=1000)
    outbox.put(b"begun-and-blocked")
    outbox.take()
    outbox.wrote(5)
    outbox.put(b"data")
    outbox.put_pong(b"old pong")
    outbox.put_pong(b"pong")
    outbox.put_ping(b"ping")
    blocks = []
    while outbox:
        blocks.append(bytes(outbox.take()))
        outbox.wrote(len(blocks[-1]))
    assert blocks == [b"-and-blocked", b"pongping", b"data"]


def test_nothing_follows_a_close_frame_and_what_had_not_begun_is_dropped() -> None:
    outbox = Outbox(100, limit=1000)
    outbox.put(b"begun")
    outbox.take()
    outbox.put(b"dropped")
    outbox.put_close(b"close")
    outbox.put(b"late")
    outbox.put_pong(b"late")
    outbox.put_close(b"second")
    blocks = []
    while outbox:
        blocks.append(bytes(outbox.take()))
        outbox.wrote(len(blocks[-1]))
    assert blocks == [b"begun", b"close"]


def test_pings_keep_their_interval_and_any_traffic_answers_them() -> None:
    keepalive = Keepalive(20, 60, now=0.0)
    assert keepalive.wake_at == 20
    assert not keepalive.ping_due(19.9)
    assert keepalive.ping_due(20.0)
    assert not keepalive.ping_due(20.1)
    assert keepalive.wake_at == 40
    keepalive.received_at = 70.0
    assert keepalive.ping_due(75.0)
    assert not keepalive.lost(134.9)
    assert keepalive.lost(135.0)


def test_without_an_interval_nobody_pings_and_nobody_is_lost() -> None:
    keepalive = Keepalive(None, 60, now=0.0)
    assert keepalive.wake_at == math.inf
    assert not keepalive.ping_due(1e9)
    assert not keepalive.lost(1e9)
