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
from speechmatics_rt.resume.state import ResumeState

START = {"message": "StartRecognition", "transcription_config": {"language": "en"}}
SECOND = bytes(32000)
LOST = ConnectionError("lost", code=1006)
NOTHING = SessionStats()


def begun(labels: tuple[str, ...] = (), **policy: Any) -> ResumeState:
    config = {"language": "en", "diarization": "channel", "channel_diarization_labels": list(labels)}
    start = {**START, "transcription_config": config} if labels else START
    state = ResumeState(start, AudioFormat("pcm_s16le", 16000), ResumePolicy(**policy))
    state.receive({"message": "RecognitionStarted", "id": "1"})
    return state


def said(state: ResumeState, seconds: int = 1, channel: Optional[str] = None) -> None:
    for _ in range(seconds):
        state.replay.sent(state.replay.keep(channel, SECOND))


def final(end: float) -> dict[str, Any]:
    word = {"type": "word", "start_time": end - 0.4, "end_time": end, "alternatives": [{"content": "so"}]}
    return {"message": "AddTranscript", "metadata": {"start_time": 0, "end_time": end}, "results": [word]}


def lost(state: ResumeState, error: Any = LOST, now: float = 0.0) -> Optional[dict[str, Any]]:
    return state.lose(error, NOTHING, now, 0.0)


def test_a_loss_is_announced_with_its_cause_and_the_delay() -> None:
    state = begun(min_delay=0.5)
    message = lost(state)
    assert message == {
        "message": "Reconnecting",
        "attempt": 1,
        "cause": "lost",
        "delay": 0.5,
        "reconnect": True,
    }
    assert state.ahead == [message]
    assert state.recovering
    assert state.outage is not None
    assert state.outage.due == 0.5
    assert state.news


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
    state = begun()
    assert lost(state, error) is None
    with pytest.raises(type(error), match=error.text):
        state.raise_conclusion()


def test_after_a_reason_of_our_own_no_loss_is_mended() -> None:
    state = begun()
    state.fail(SessionError("the microphone was pulled out"), None)
    assert state.conclusion is None  # what has arrived is still delivered
    assert lost(state) is None
    with pytest.raises(SessionError, match="pulled out"):
        state.raise_conclusion()


def test_a_handler_may_forbid_the_attempt() -> None:
    state = begun()
    assert not state.forbidden()
    message = lost(state)
    assert message is not None
    assert not state.forbidden()
    message["reconnect"] = False
    assert state.forbidden()
    with pytest.raises(ConnectionError, match="lost"):
        state.raise_conclusion()


def test_an_attempt_that_fails_when_nobody_is_interested_any_more_ends_it_and_wakes_who_receives() -> None:
    state = begun()
    lost(state)
    state.claim()
    state.news = False
    state.abandoned = True  # by a finaliser, which takes no lock and wakes nobody
    assert state.attempt_failed(LOST, renewed=False, now=1.0, jitter=0.0) is None
    assert state.conclusion is not None
    assert state.news


def test_what_was_said_and_is_not_final_is_due_again_in_its_order() -> None:
    state = begun()
    said(state, 3)
    state.receive(final(1.5))
    lost(state)
    again = state.replay.begin()
    state.replay.keep(None, SECOND)  # a caller goes on in the outage
    assert state.resumed(again, NOTHING, "2", now=2.5) == 2.5
    assert state.ahead[-1] == {
        "message": "Resumed",
        "attempt": 1,
        "gap": 2.5,
        "replayed": again,
        "renamed": [],
        "id": "2",
    }
    seconds = 0.0
    while (item := state.due()) is not None:
        assert isinstance(item, Piece)
        seconds += len(item.audio) / 32000
        assert state.recovering
        state.replay.sent(item)
    assert seconds == pytest.approx(again + 1)
    assert not state.recovering  # from here on everybody speaks again


def test_who_wants_to_stop_in_an_outage_is_obeyed_when_all_is_said() -> None:
    state = begun()
    said(state)
    lost(state)
    state.stop = True
    state.resumed(state.replay.begin(), NOTHING, "2", now=1.0)
    piece = state.due()
    assert isinstance(piece, Piece)
    state.replay.sent(piece)
    assert state.due() is state.replay.end_stream()


def test_attempts_are_counted_over_connections_that_were_of_no_use() -> None:
    state = begun(max_attempts=2, min_delay=0.1)
    lost(state)
    state.resumed(state.replay.begin(), NOTHING, "2", now=0.2)
    second = lost(state, now=0.3)
    assert second is not None
    assert second["attempt"] == 2
    state.resumed(state.replay.begin(), NOTHING, "3", now=0.4)
    assert lost(state, now=0.5) is None
    with pytest.raises(ConnectionError, match=r"2 attempts to reconnect failed within 0 s"):
        state.raise_conclusion()


def test_after_a_stop_one_attempt_is_planned_at_once_and_no_other() -> None:
    state = begun(min_delay=5)
    state.stop = True
    first = lost(state)
    assert first is not None
    assert (first["attempt"], first["delay"]) == (1, 0.0)
    assert state.attempt_failed(LOST, renewed=False, now=1.0, jitter=0.0) is None
    with pytest.raises(ConnectionError, match=r"1 attempt to reconnect failed within 1 s$"):
        state.raise_conclusion()


def test_a_connection_that_heard_something_new_begins_a_new_count() -> None:
    state = begun(max_attempts=1, min_delay=0.1)
    said(state, 2)
    lost(state)
    state.resumed(state.replay.begin(), NOTHING, "2", now=0.2)
    state.receive({"message": "RecognitionStarted", "id": "2"})
    while (item := state.due()) is not None:
        state.replay.sent(item)
    state.receive(final(1.5))
    again = lost(state, now=0.3)
    assert again is not None
    assert again["attempt"] == 1


def test_a_session_that_lived_long_and_made_nothing_final_belongs_to_the_outage_before() -> None:
    state = begun(max_attempts=3, max_outage=5, min_delay=0.1)
    now, attempts = 0.0, []
    for _ in range(3):
        message = lost(state, now=now)
        assert message is not None
        attempts.append(message["attempt"])
        said(state)
        state.receive({"message": "AudioAdded", "seq_no": 1})  # read, but not transcribed
        state.resumed(state.replay.begin(), NOTHING, "2", now=now + 1)
        now += 3600.0
    assert attempts == [1, 2, 3]
    assert lost(state, now=now) is None
    with pytest.raises(ConnectionError, match="3 attempts to reconnect failed within 3 s"):
        state.raise_conclusion()


def test_an_outage_lasts_as_long_as_there_was_no_connection_in_it() -> None:
    state = begun(max_attempts=99, max_outage=5, min_delay=0.1)
    now = 0.0
    for _ in range(5):
        assert lost(state, now=now) is not None
        state.resumed(state.replay.begin(), NOTHING, "2", now=now + 1)
        now += 100.0
    assert lost(state, now=now) is None


def test_the_end_of_a_transcript_is_no_verdict_of_its_own() -> None:
    state = begun()
    said(state)
    state.replay.end_stream()
    assert state.draining
    state.receive({"message": "EndOfTranscript"})
    assert state.conclusion is None  # its connection knows whether it came in its time


IDENTIFIERS = TranscriptionError("what is GetSpeakers", type="invalid_message")


def with_speakers() -> ResumeState:
    config = {"language": "en", "diarization": "speaker"}
    state = ResumeState(
        {**START, "transcription_config": config}, AudioFormat("pcm_s16le", 16000), ResumePolicy()
    )
    state.receive({"message": "RecognitionStarted", "id": "1"})
    said(state)
    message = final(0.5)
    message["results"][0]["alternatives"][0]["speaker"] = "S1"
    state.receive(message)
    return state


def test_a_server_that_refuses_our_own_question_loses_us_once_and_is_asked_no_more() -> None:
    state = with_speakers()
    assert not state.may_mend(IDENTIFIERS)
    state.replay.asked(state.question() or {})
    assert state.may_mend(IDENTIFIERS)
    assert lost(state, IDENTIFIERS) is not None
    state.resumed(state.replay.begin(), NOTHING, "2", now=1.0)
    assert state.due() is not None
    assert state.question() is None
    assert lost(state, IDENTIFIERS) is None
    with pytest.raises(TranscriptionError, match="what is GetSpeakers"):
        state.raise_conclusion()


def test_a_server_that_refuses_to_know_speakers_again_gets_a_session_without() -> None:
    state = with_speakers()
    speakers = [{"label": "S1", "speaker_identifiers": ["one"]}]
    state.replay.asked(state.question() or {})
    state.receive({"message": "SpeakersResult", "speakers": speakers})
    lost(state)
    state.replay.begin()
    assert "speaker_diarization_config" in state.replay.start["transcription_config"]
    refused = TranscriptionError("no speakers here", type="invalid_config")
    assert state.attempt_failed(refused, renewed=False, now=1.0, jitter=0.0) is not None
    state.replay.begin()
    assert "speaker_diarization_config" not in state.replay.start["transcription_config"]
    state.resumed(0.0, NOTHING, "2", now=2.0)
    assert state.ahead[-1]["renamed"] == ["S1"]
    assert lost(state, refused, now=3.0) is None


def test_a_refused_token_is_renewed_once_and_tried_at_once() -> None:
    state = begun(min_delay=1.0)
    lost(state)
    refused = AuthenticationError("expired", status=401)
    planned = state.attempt_failed(refused, renewed=True, now=1.0, jitter=0.9)
    assert planned is not None
    assert planned["delay"] == 0
    assert state.outage is not None
    assert state.outage.renewed
    assert state.attempt_failed(refused, renewed=False, now=1.0, jitter=0.9) is None
    with pytest.raises(AuthenticationError, match="expired"):
        state.raise_conclusion()


def test_audio_that_is_kept_no_more_ends_it_with_the_second_up_to_which_was_heard() -> None:
    state = begun(buffer_seconds=2)
    said(state, 5)
    state.receive(final(1.5))
    assert lost(state) is None
    with pytest.raises(
        ConnectionError, match=r"no longer kept \(buffer_seconds\)\. Transcribed up to 1\.50 s"
    ):
        state.raise_conclusion()


def test_giving_up_names_every_channel() -> None:
    state = begun(("caller", "agent"), max_attempts=1)
    said(state, 2, "caller")
    state.receive({**final(1.5), "channel": "caller"})
    lost(state)
    state.attempt_failed(ConnectionError("refused", status=503), renewed=False, now=1.0, jitter=0.0)
    with pytest.raises(ConnectionError, match=r"1\.50 s of 'caller' and 0\.00 s of 'agent'"):
        state.raise_conclusion()


def test_an_error_of_the_server_is_delivered_only_when_it_ends_the_session() -> None:
    state = begun(max_attempts=1)
    error = {"message": "Error", "type": "quota_exceeded", "reason": "full"}
    full = TranscriptionError("full", type="quota_exceeded")
    assert state.receive(error) is None
    lost(state, full)
    state.resumed(state.replay.begin(), NOTHING, "2", now=1.0)
    assert error not in state.ahead  # it was mended
    assert state.receive(dict(error)) is None
    assert lost(state, full, now=1.0) is None
    assert state.ahead[-1] == error


def test_the_first_outcome_stays() -> None:
    state = begun()
    state.complete()
    state.conclude(LOST, None)
    assert state.conclusion is not None
    assert state.conclusion.normal


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
    state = begun()
    state.check_turn("AddAudio")
    state.replay.end_stream()
    assert state.draining
    with pytest.raises(SessionError, match="after the end of the audio"):
        state.check_turn("AddAudio")


def test_what_was_acknowledged_once_stays_so() -> None:
    state = begun()
    said(state, 4)
    figures = SessionStats(seconds_sent=4, seconds_acknowledged=3)
    state.lose(LOST, figures, 0.0, 0.0)
    state.resumed(state.replay.begin(), figures, "2", now=1.0)
    stats = state.stats(NOTHING)  # all four are to be said again
    assert stats.seconds_acknowledged == 3
    assert stats.unacknowledged_frames == 4
    assert (stats.reconnects, stats.replayed_seconds) == (1, 4.0)
