"""The table of who may say what when, row by row, and its two ends joined by slow queues."""

from __future__ import annotations

import re
import ssl
from collections import deque
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.exceptions import (
    AuthenticationError,
    ConnectionError,
    ProtocolError,
    SessionError,
    TranscriptionError,
)
from speechmatics_rt.protocol.state import Phase, ProtocolState, Role

from ..samples import tried

START = {"message": "StartRecognition", "transcription_config": {"language": "en"}}
STARTED = {"message": "RecognitionStarted", "id": "5b0e"}
MULTI = {
    "message": "StartRecognition",
    "transcription_config": {
        "language": "en",
        "diarization": "channel",
        "channel_diarization_labels": ["agent", "caller"],
    },
}
ACTIVE = (Phase.NEW, Phase.STARTING, Phase.STREAMING, Phase.DRAINING)
REQUESTS = ("SetRecognitionConfig", "ForceEndOfUtterance", "GetSpeakers")
OUTPUT = (
    "AddTranscript",
    "AddPartialTranscript",
    "AddTranslation",
    "AddPartialTranslation",
    "AudioEventStarted",
    "AudioEventEnded",
    "EndOfUtterance",
    "SpeakersResult",
    "LanguageInfo",
)


def client_in(state: Phase, start: dict = START) -> ProtocolState:
    session = ProtocolState(Role.CLIENT)
    if state is Phase.NEW:
        return session
    session.send(start)
    if state is Phase.STARTING:
        return session
    session.receive(STARTED)
    if state is Phase.STREAMING:
        return session
    if state is Phase.FAILED:
        session.lose()
        return session
    session.send(session.end_of_stream())
    if state is Phase.DONE:
        session.receive({"message": "EndOfTranscript"})
    return session


def turns(kind: str, states: tuple[Phase, ...], role: str) -> list:
    return [
        pytest.param(kind, state, state in states, id=f"{role} says {kind} when {state.value}")
        for state in Phase
    ]


CLIENT_ROWS = [
    row
    for kind, states in [
        ("StartRecognition", (Phase.NEW,)),
        ("AddAudio", (Phase.STREAMING,)),
        *((kind, (Phase.STREAMING,)) for kind in REQUESTS),
        ("EndOfStream", (Phase.STREAMING,)),
    ]
    for row in turns(kind, states, "client")
]
SERVER_ROWS = [
    row
    for kind, states in [
        ("Info", ACTIVE),
        ("Warning", ACTIVE),
        ("Error", ACTIVE),
        ("RecognitionStarted", (Phase.STARTING,)),
        ("AudioAdded", (Phase.STREAMING, Phase.DRAINING)),
        *((kind, (Phase.STREAMING, Phase.DRAINING)) for kind in OUTPUT),
        ("EndOfTranscript", (Phase.STREAMING, Phase.DRAINING)),
    ]
    for row in turns(kind, states, "server")
]


@pytest.mark.parametrize(("kind", "state", "allowed"), CLIENT_ROWS)
def test_the_client_may_say_it_only_in_its_turn_and_otherwise_nothing_changes(
    kind: str, state: Phase, allowed: bool
) -> None:
    session = client_in(state)
    sent = session.sent
    if allowed:
        session.send({"message": kind})
    else:
        with pytest.raises(SessionError, match=kind):
            session.send({"message": kind})
        assert session.phase is state
        assert session.sent == sent


@pytest.mark.parametrize(("kind", "state", "allowed"), SERVER_ROWS)
def test_the_server_may_say_it_only_in_its_turn_and_otherwise_the_session_fails(
    kind: str, state: Phase, allowed: bool
) -> None:
    session = client_in(state)
    if state in (Phase.DONE, Phase.FAILED):
        assert session.receive({"message": kind}) is False
        assert session.phase is state
    elif allowed:
        assert session.receive({"message": kind}) is True
    else:
        with pytest.raises(ProtocolError, match=kind):
            session.receive({"message": kind})
        assert session.phase is Phase.FAILED


@pytest.mark.parametrize("state", Phase)
def test_a_lost_connection_fails_every_session_but_a_finished_one(state: Phase) -> None:
    session = client_in(state)
    session.lose(1011, "internal_error")
    assert session.phase is (Phase.DONE if state is Phase.DONE else Phase.FAILED)


@pytest.mark.parametrize("state", ACTIVE)
def test_a_message_nobody_knows_yet_passes_and_changes_nothing(state: Phase) -> None:
    session = client_in(state)
    assert session.receive({"message": "RecognitionPaused"})
    assert session.phase is state


def test_the_end_of_stream_counts_the_frames_that_were_sent_not_the_acknowledged() -> None:
    session = client_in(Phase.STREAMING)
    for _ in range(5):
        session.send_audio()
    session.receive({"message": "AudioAdded", "seq_no": 1})
    assert session.end_of_stream() == {"message": "EndOfStream", "last_seq_no": 5}
    assert session.unacknowledged == 4


def test_one_acknowledgement_too_many_is_counted_apart() -> None:
    session = client_in(Phase.STREAMING)
    session.receive({"message": "AudioAdded", "seq_no": 1})
    assert (session.acknowledged, session.surplus) == (0, 1)


def test_channels_count_for_themselves_and_the_last_to_end_drains_the_session() -> None:
    session = client_in(Phase.STREAMING, MULTI)
    for channel in ("agent", "caller", "caller"):
        session.send_audio(channel)
    session.receive({"message": "ChannelAudioAdded", "channel": "caller", "seq_no": 1})
    assert session.end_of_channel("caller")["last_seq_no"] == 2
    session.send(session.end_of_channel("caller"))
    assert session.phase is Phase.STREAMING
    with pytest.raises(SessionError, match="ended"):
        session.send_audio("caller")
    session.send(session.end_of_channel("agent"))
    assert session.phase is Phase.DRAINING
    assert session.channels["caller"].acknowledged == 1


@pytest.mark.parametrize("channel", [None, "CALLER"])
def test_audio_for_no_channel_or_a_wrong_one_is_refused_in_a_session_of_channels(channel: str | None) -> None:
    session = client_in(Phase.STREAMING, MULTI)
    with pytest.raises(SessionError, match="channel"):
        session.send_audio(channel)
    assert session.sent == 0


def test_an_in_band_error_names_the_cause_and_the_close_code_fills_the_gap() -> None:
    session = client_in(Phase.STREAMING)
    session.receive({"message": "Error", "type": "quota_exceeded", "reason": "Concurrent Quota Exceeded"})
    session.lose(4005, "quota_exceeded")
    error = session.ending.exception(2.0)
    assert isinstance(error, TranscriptionError)
    assert (error.type, error.reason, error.code) == ("quota_exceeded", "Concurrent Quota Exceeded", 4005)
    assert error.retryable
    assert error.retry_after == 5.0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (4003, "not_allowed"),
        (4004, "invalid_model"),
        (4005, "quota_exceeded"),
        (4006, "timelimit_exceeded"),
        (4013, "job_error"),
    ],
)
def test_a_close_code_alone_stands_for_its_error(code: int, kind: str) -> None:
    session = client_in(Phase.STREAMING)
    session.lose(code, kind)
    error = session.ending.exception()
    assert isinstance(error, TranscriptionError)
    assert (error.type, error.code) == (kind, code)


def test_close_code_4001_and_not_authorised_are_the_same_error() -> None:
    alone, told = client_in(Phase.NEW), client_in(Phase.NEW)
    alone.lose(4001, "not_authorised")
    told.receive({"message": "Error", "type": "not_authorised", "reason": "bad key"})
    for session in (alone, told):
        error = session.ending.exception()
        assert isinstance(error, AuthenticationError)
        assert "Check the key, which is valid in one region only" in error.text


@pytest.mark.parametrize("kind", [{}, {"type": None}, {"type": 5}, {"type": ["job_error"]}], ids=str)
def test_an_error_without_a_type_is_told_with_its_reason(kind: dict) -> None:
    session = client_in(Phase.STREAMING)
    session.receive({"message": "Error", "reason": "the engine is gone", **kind})
    session.lose()
    error = session.ending.exception(2.0)
    assert isinstance(error, TranscriptionError)
    assert (error.type, error.reason, error.retryable) == (None, "the engine is gone", False)
    assert str(error) == "the service ended the session in mid-stream, after 2.0 s: the engine is gone"


def test_an_error_without_a_word_is_still_the_service_that_ended_it() -> None:
    session = client_in(Phase.STREAMING)
    session.receive({"message": "Error"})
    session.lose(1011, "internal_error")
    error = session.ending.exception(2.0)
    assert isinstance(error, TranscriptionError)
    assert (error.type, error.code, error.retryable) == (None, 1011, True)


@pytest.mark.parametrize("kind", ["session_timeout", "idle_timeout"])
def test_a_close_1008_that_gives_a_timeout_as_its_reason_stands_for_it(kind: str) -> None:
    session = client_in(Phase.STREAMING)
    session.lose(1008, kind)
    assert session.ending.exception().type == kind


@pytest.mark.parametrize(
    ("state", "stage"),
    [(Phase.STARTING, "start"), (Phase.STREAMING, "streaming"), (Phase.DRAINING, "draining")],
)
def test_a_connection_that_just_ends_is_a_connection_error_that_names_the_stage(
    state: Phase, stage: str
) -> None:
    session = client_in(state)
    session.lose()
    error = session.ending.exception(3.5)
    assert isinstance(error, ConnectionError)
    assert (error.stage, error.code) == (stage, 1006)
    assert "3.5 s" in str(error)


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), r" \(Connection reset by peer\)"),
        (OSError(24, "Too many open files"), r" \(Too many open files\)"),
        (OSError("gone"), r" \(OSError\)"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:2427)"), r" \(SSLEOFError\)"),
        (MemoryError(), r" \(MemoryError\)"),
        (None, ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_lost_connection_says_what_reading_it_has_raised(cause: Optional[BaseException], told: str) -> None:
    session = client_in(Phase.STREAMING)
    session.lose()
    text = str(session.ending.exception(3.5, cause))
    assert re.fullmatch(
        f"the connection was lost in mid-stream, after 3.5 s, without a close frame{told}", text
    )


class End:
    """One end of the wire in the property test: says random things, but only what its session allows."""

    def __init__(self, role: Role, others: deque) -> None:
        self.session = ProtocolState(role)
        self.others = others

    def say(self, message: dict) -> bool:
        try:
            self.session.send(message)
        except SessionError:
            return False
        self.others.append(message)
        return True


SAYS = {
    Role.CLIENT: [
        START,
        MULTI,
        {"message": "AddAudio"},
        {"message": "GetSpeakers"},
        {"message": "EndOfStream"},
    ]
    + [
        {"message": kind, "channel": channel}
        for kind in ("AddChannelAudio", "EndOfChannel")
        for channel in ("agent", "caller")
    ],
    Role.SERVER: [
        STARTED,
        {"message": "AudioAdded"},
        {"message": "ChannelAudioAdded", "channel": "agent"},
        {"message": "AddTranscript"},
        {"message": "Info"},
        {"message": "EndOfTranscript"},
        {"message": "Error", "type": "job_error", "reason": ""},
        {"message": "SomethingNew"},
    ],
}
STEPS = st.lists(
    st.tuples(st.sampled_from(["client", "server", "to client", "to server"]), st.integers(0, 8)),
    max_size=120,
)


@tried(400)
@given(STEPS)
def test_two_ends_joined_by_slow_queues_never_disagree(steps: list) -> None:
    to_client: deque = deque()
    to_server: deque = deque()
    client, server = End(Role.CLIENT, to_server), End(Role.SERVER, to_client)

    def carry(queue: deque, end: End) -> None:
        if not queue:
            return
        message = queue.popleft()
        late = message["message"] in ("AddAudio", "AddChannelAudio")
        if end is server and late and end.session.phase is Phase.DRAINING:
            raise AssertionError("audio after the end of the audio")
        single = client.session.channels.keys() == {None}
        kind = message["message"]
        # A server that acknowledges on the wrong kind of session is wrong; ours never does.
        if end is client and kind in ("AudioAdded", "ChannelAudioAdded") and (kind == "AudioAdded") != single:
            return
        end.session.receive(message)

    for action, choice in steps:
        if action == "to client":
            carry(to_client, client)
        elif action == "to server":
            carry(to_server, server)
        else:
            end = client if action == "client" else server
            options = SAYS[end.session.role]
            end.say(options[choice % len(options)])
    while to_client or to_server:
        carry(to_server, server)
        carry(to_client, client)
    # Everything has arrived: nobody raised ProtocolError above, and the counts agree.
    if not client.session.over and not server.session.over:
        assert client.session.phase is server.session.phase
    if not server.session.over:
        assert {label: count.sent for label, count in client.session.channels.items()} == {
            label: count.sent for label, count in server.session.channels.items()
        }
