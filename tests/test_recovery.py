"""What follows from a loss: decided without a socket, a thread or a clock."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from speechmatics_rt import (
    AudioFormat,
    AuthenticationError,
    ConnectionError,
    ResumePolicy,
    SessionError,
    SessionStats,
    TimeoutError,
    TranscriptionError,
)
from speechmatics_rt.resume.replay import Piece
from speechmatics_rt.resume.state import Recovery

START = {"message": "StartRecognition", "transcription_config": {"language": "en"}}
SECOND = bytes(32000)
LOST = ConnectionError("lost", code=1006)
NOTHING = SessionStats()


def begun(labels: tuple[str, ...] = (), **policy: Any) -> Recovery:
    config = {"language": "en", "diarization": "channel", "channel_diarization_labels": list(labels)}
    start = {**START, "transcription_config": config} if labels else START
    recovery = Recovery(start, AudioFormat("pcm_s16le", 16000), ResumePolicy(**policy))
    recovery.hear({"message": "RecognitionStarted", "id": "1"})
    return recovery


def said(recovery: Recovery, seconds: int = 1, channel: Optional[str] = None) -> None:
    for _ in range(seconds):
        recovery.replay.said(recovery.replay.keep(channel, SECOND))


def final(end: float) -> dict[str, Any]:
    word = {"type": "word", "start_time": end - 0.4, "end_time": end, "alternatives": [{"content": "so"}]}
    return {"message": "AddTranscript", "metadata": {"start_time": 0, "end_time": end}, "results": [word]}


def lost(recovery: Recovery, error: Any = LOST, now: float = 0.0) -> Optional[dict[str, Any]]:
    return recovery.lose(error, NOTHING, now, 0.0)


def test_a_loss_is_announced_with_its_cause_and_the_delay() -> None:
    recovery = begun(min_delay=0.5)
    message = lost(recovery)
    assert message == {
        "message": "Reconnecting",
        "attempt": 1,
        "cause": "lost",
        "delay": 0.5,
        "reconnect": True,
    }
    assert recovery.ahead == [message]
    assert recovery.recovering
    assert recovery.outage is not None
    assert recovery.outage.due == 0.5
    assert recovery.news


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("gone for good", code=4000),
        TranscriptionError("bad model", type="invalid_model"),
        TimeoutError("too slow", stage="whole"),
    ],
    ids=str,
)
def test_what_another_connection_would_not_mend_is_the_end(error: Any) -> None:
    recovery = begun()
    assert lost(recovery, error) is None
    with pytest.raises(type(error), match=error.text):
        recovery.raise_verdict()


def test_after_a_reason_of_our_own_no_loss_is_mended() -> None:
    recovery = begun()
    recovery.fail(SessionError("the microphone was pulled out"), None)
    assert recovery.verdict is None  # what has arrived is still delivered
    assert lost(recovery) is None
    with pytest.raises(SessionError, match="pulled out"):
        recovery.raise_verdict()


def test_a_handler_may_forbid_the_attempt() -> None:
    recovery = begun()
    assert not recovery.forbidden()
    message = lost(recovery)
    assert message is not None
    assert not recovery.forbidden()
    message["reconnect"] = False
    assert recovery.forbidden()
    with pytest.raises(ConnectionError, match="lost"):
        recovery.raise_verdict()


def test_what_was_said_and_is_not_final_is_due_again_in_its_order() -> None:
    recovery = begun()
    said(recovery, 3)
    recovery.hear(final(1.5))
    lost(recovery)
    again = recovery.replay.begin()
    recovery.replay.keep(None, SECOND)  # a caller goes on in the outage
    assert recovery.resumed(again, NOTHING, "2", now=2.5) == 2.5
    assert recovery.ahead[-1] == {
        "message": "Resumed",
        "attempt": 1,
        "gap": 2.5,
        "replayed": again,
        "id": "2",
    }
    seconds = 0.0
    while (item := recovery.due()) is not None:
        assert isinstance(item, Piece)
        seconds += len(item.audio) / 32000
        assert recovery.recovering
        recovery.replay.said(item)
    assert seconds == pytest.approx(again + 1)
    assert not recovery.recovering  # from here on everybody speaks again


def test_who_wants_to_stop_in_an_outage_is_obeyed_when_all_is_said() -> None:
    recovery = begun()
    said(recovery)
    lost(recovery)
    recovery.stop = True
    recovery.resumed(recovery.replay.begin(), NOTHING, "2", now=1.0)
    piece = recovery.due()
    assert isinstance(piece, Piece)
    recovery.replay.said(piece)
    assert recovery.due() is recovery.replay.end_stream()


def test_attempts_are_counted_over_connections_that_were_of_no_use() -> None:
    recovery = begun(max_attempts=2, min_delay=0.1)
    lost(recovery)
    recovery.resumed(recovery.replay.begin(), NOTHING, "2", now=0.2)
    second = lost(recovery, now=0.3)
    assert second is not None
    assert second["attempt"] == 2
    recovery.resumed(recovery.replay.begin(), NOTHING, "3", now=0.4)
    assert lost(recovery, now=0.5) is None
    with pytest.raises(
        ConnectionError, match=r"2 attempts to reconnect failed within 0 s.*Heard up to 0.00 s"
    ):
        recovery.raise_verdict()


def test_a_connection_that_heard_something_new_begins_a_new_count() -> None:
    recovery = begun(max_attempts=1, min_delay=0.1)
    said(recovery, 2)
    lost(recovery)
    recovery.resumed(recovery.replay.begin(), NOTHING, "2", now=0.2)
    recovery.hear({"message": "RecognitionStarted", "id": "2"})
    recovery.hear(final(1.5))
    again = lost(recovery, now=0.3)
    assert again is not None
    assert again["attempt"] == 1


def test_a_refused_token_is_renewed_once_and_tried_at_once() -> None:
    recovery = begun(min_delay=1.0)
    lost(recovery)
    refused = AuthenticationError("expired", status=401)
    planned = recovery.attempt_failed(refused, renewed=True, now=1.0, jitter=0.9)
    assert planned is not None
    assert planned["delay"] == 0
    assert recovery.outage is not None
    assert recovery.outage.renewed
    assert recovery.attempt_failed(refused, renewed=False, now=1.0, jitter=0.9) is None
    with pytest.raises(AuthenticationError, match="expired"):
        recovery.raise_verdict()


def test_audio_that_is_kept_no_more_ends_it_with_the_second_up_to_which_was_heard() -> None:
    recovery = begun(buffer_seconds=2)
    said(recovery, 5)
    recovery.hear(final(1.5))
    assert lost(recovery) is None
    with pytest.raises(ConnectionError, match=r"kept no more \(buffer_seconds\)\. Heard up to 1\.50 s"):
        recovery.raise_verdict()


def test_giving_up_names_every_channel() -> None:
    recovery = begun(("caller", "agent"), max_attempts=1)
    lost(recovery)
    recovery.attempt_failed(ConnectionError("refused", status=503), renewed=False, now=1.0, jitter=0.0)
    with pytest.raises(ConnectionError, match=r"0\.00 s of 'caller' and 0\.00 s of 'agent'"):
        recovery.raise_verdict()


def test_an_error_of_the_server_is_delivered_only_when_it_ends_the_session() -> None:
    recovery = begun(max_attempts=1)
    error = {"message": "Error", "type": "quota_exceeded", "reason": "full"}
    full = TranscriptionError("full", type="quota_exceeded", retryable=True)
    assert recovery.hear(error) is None
    lost(recovery, full)
    recovery.resumed(recovery.replay.begin(), NOTHING, "2", now=1.0)
    assert error not in recovery.ahead  # it was mended
    assert recovery.hear(dict(error)) is None
    assert lost(recovery, full, now=1.0) is None
    assert recovery.ahead[-1] == error


def test_the_first_verdict_stays() -> None:
    recovery = begun()
    recovery.complete()
    recovery.conclude(LOST, None)
    assert recovery.verdict is not None
    assert recovery.verdict.normal


@pytest.mark.parametrize(
    ("kind", "channel", "text"),
    [
        ("AddAudio", None, "no channels|the session has 'a'"),
        ("AddChannelAudio", "b", "names channel 'b'; the session has 'a'"),
    ],
)
def test_a_channel_that_does_not_exist_is_refused(kind: str, channel: Optional[str], text: str) -> None:
    with pytest.raises(SessionError, match=text):
        begun(("a",)).check_turn(kind, channel)


def test_nothing_is_said_after_the_end() -> None:
    recovery = begun()
    recovery.check_turn("AddAudio")
    recovery.replay.end_stream()
    assert recovery.draining
    with pytest.raises(SessionError, match="after the end of the audio"):
        recovery.check_turn("AddAudio")


def test_what_was_acknowledged_once_stays_so() -> None:
    recovery = begun()
    said(recovery, 4)
    figures = SessionStats(seconds_sent=4, seconds_acknowledged=3)
    recovery.lose(LOST, figures, 0.0, 0.0)
    recovery.resumed(recovery.replay.begin(), figures, "2", now=1.0)
    stats = recovery.stats(NOTHING)  # all four are to be said again
    assert stats.seconds_acknowledged == 3
    assert stats.unacknowledged_frames == 4
    assert (stats.reconnects, stats.replayed_seconds) == (1, 4.0)
