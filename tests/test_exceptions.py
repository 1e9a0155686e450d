"""What an error tells a program: whether to try again, and when; also after a pickle."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
import socket
import ssl
import sys
import traceback
from collections.abc import Iterator
from typing import Any, Callable, Optional

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioError,
    AudioFormat,
    AuthBase,
    AuthenticationError,
    Client,
    ConfigurationError,
    ConnectionConfig,
    ConnectionError,
    EndOfTranscriptError,
    ProtocolError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    TranscriptionError,
)
from speechmatics_rt.exceptions import ChunkError, NotRunningError, amend, without_frames
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.protocol.state import _MEANING

PCM = AudioFormat("pcm_s16le", 16000)

ADVICE: list[tuple[SpeechmaticsError, bool, Optional[float]]] = [
    (ConnectionError("not reached", stage="tcp"), True, None),
    (ConnectionError("not found", stage="dns"), True, None),
    (ConnectionError("refused", stage="tls", lasting=True), False, None),
    (ConnectionError("refused", status=404), False, None),
    (ConnectionError("refused", status=302), False, None),
    (ConnectionError("refused", status=429), True, None),
    (ConnectionError("refused", status=500), True, None),
    (ConnectionError("refused", status=503, retry_after=2.0), True, 2.0),
    (ConnectionError("closed", code=1000), False, None),
    (ConnectionError("closed", code=1001), True, None),
    (ConnectionError("closed", code=1003), False, None),
    (ConnectionError("closed", code=1005), True, None),
    (ConnectionError("lost", code=1006), True, None),
    (ConnectionError("closed", code=1008), False, None),
    (ConnectionError("closed", code=1011), True, 5.0),
    (ConnectionError("closed", code=1012), True, None),
    (ConnectionError("closed", code=1013), True, None),
    (ConnectionError("closed", code=4000), False, None),
    (TimeoutError("", stage="open"), True, None),
    (TimeoutError("", stage="start"), True, None),
    (TimeoutError("", stage="send"), True, None),
    (TimeoutError("", stage="end"), True, None),
    (TimeoutError("", stage="answer"), True, None),
    (TimeoutError("", stage="whole"), False, None),
    (TranscriptionError("", type="quota_exceeded", code=4005), True, 5.0),
    (TranscriptionError("", type="job_error"), True, 5.0),
    (TranscriptionError("", type="unknown_error", code=1011), True, 5.0),
    (TranscriptionError("", type="unknown_error"), True, 5.0),
    (TranscriptionError("", type="unknown_error", code=1003), False, 5.0),
    (TranscriptionError("", type="start_recognition_timeout"), True, None),
    (TranscriptionError("", type="session_timeout", code=1008), True, None),
    (TranscriptionError("", type="idle_timeout", code=1008), False, None),
    (TranscriptionError("", type="invalid_config", code=1008), False, None),
    (TranscriptionError("", type="timelimit_exceeded", code=4006), False, None),
    (TranscriptionError("", reason="restarting", code=1012), True, None),
    (TranscriptionError("", reason="broken", code=1011), True, 5.0),
    (TranscriptionError("", reason="something", code=1006), False, None),
    (EndOfTranscriptError("", type="end_of_transcript"), False, None),
    (AuthenticationError("", status=401), False, None),
    (ProtocolError("", code=1002), False, None),
    (ConfigurationError(""), False, None),
    (AudioError(""), False, None),
    (ChunkError(""), False, None),
    (SessionError(""), False, None),
    (NotRunningError(""), False, None),
]


@pytest.mark.parametrize(("error", "retryable", "retry_after"), ADVICE, ids=lambda value: repr(value)[:60])
def test_every_error_says_whether_and_when_to_try_again(
    error: SpeechmaticsError, retryable: bool, retry_after: Optional[float]
) -> None:
    for one in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (one.retryable, one.retry_after) == (retryable, retry_after)


def test_every_class_of_error_is_in_the_table() -> None:
    def below(kind: type) -> set[type]:
        return {kind}.union(*(below(sub) for sub in kind.__subclasses__()))

    leaves = {kind for kind in below(SpeechmaticsError) if kind.__module__ == SpeechmaticsError.__module__}
    assert {type(error) for error, _, _ in ADVICE} == {
        kind for kind in leaves if kind.__name__ not in ("SpeechmaticsError", "TransportError")
    }


PASSING: dict[str, tuple[Fault, Optional[float]]] = {
    "429": (Fault.refuse(429), None),
    "503": (Fault.refuse(503, retry_after=7), 7.0),
    "a full quota": (Fault.error("quota_exceeded", at="open"), 5.0),
    "an unknown error": (Fault.error("unknown_error", after_seconds=1), 5.0),
    "1011": (Fault.close(1011, after_seconds=1), 5.0),
    "1012": (Fault.close(1012, after_seconds=1), None),
    "1013": (Fault.close(1013, after_seconds=1), None),
    "a reset": (Fault.reset(after_seconds=1), None),
    "48 h": (Fault.error("session_timeout", after_seconds=1), None),
}


@pytest.mark.parametrize("face", ["sync", "async"])
@pytest.mark.parametrize("what", PASSING)
def test_what_may_pass_is_retryable_in_both_faces_and_after_a_pickle(
    serve: Callable[..., LocalServer], what: str, face: str
) -> None:
    fault, retry_after = PASSING[what]
    server = serve(faults=[fault])
    options: Any = {"url": server.url, "conn_config": ConnectionConfig(ssl_context=server.ssl_context)}

    async def transcribe() -> None:
        async with AsyncClient(**options) as client:
            await client.transcribe([bytes(32000)] * 5, audio_format=PCM)

    with pytest.raises(SpeechmaticsError) as caught:
        if face == "async":
            asyncio.run(transcribe())
        else:
            with Client(**options) as client:
                client.transcribe([bytes(32000)] * 5, audio_format=PCM)
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.retryable, error.retry_after) == (True, retry_after)
    if retry_after is not None:  # a result back end that keeps the text alone keeps the advice
        assert f"Try again after {'' if retry_after == 7 else 'at least '}{retry_after:g} s" in str(error)


def test_a_certificate_that_is_refused_is_refused_again() -> None:
    with LocalServer(tls=True) as server:
        stranger = ConnectionConfig(ssl_context=ssl.create_default_context())
        with Client(url=server.url, conn_config=stranger) as client, pytest.raises(ConnectionError) as caught:
            client.transcribe(bytes(32000), audio_format=PCM)
    assert caught.value.stage == "tls"
    assert not caught.value.retryable
    assert not pickle.loads(pickle.dumps(caught.value)).retryable


def test_tls_with_a_server_that_speaks_none_is_not_retryable() -> None:
    with LocalServer() as server:
        url = server.url.replace("ws://", "wss://")
        with Client(url=url) as client, pytest.raises(ConnectionError) as caught:
            client.transcribe(bytes(32000), audio_format=PCM)
    assert not caught.value.retryable


# -- the next step ---------------------------------------------------------------------------------------


def test_a_refusal_without_a_key_says_that_none_was_sent(serve, client_of) -> None:
    server = serve(keys=["k3y"])
    with pytest.raises(
        AuthenticationError, match="No key was sent: set SPEECHMATICS_API_KEY, or pass api_key="
    ):
        client_of(server).start_session()
    with pytest.raises(AuthenticationError, match="Check the key"):
        client_of(server, api_key="another").start_session()
    with pytest.raises(AuthenticationError, match="Check the key"):
        trusting = ConnectionConfig(ssl_context=server.ssl_context)
        Client(url=f"{server.url}?jwt=bad", conn_config=trusting).start_session()


def test_a_key_that_was_kept_back_since_nothing_is_encrypted_is_not_asked_for_again(monkeypatch) -> None:
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "k3y")
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **options: look_up("127.0.0.1", *more, **options)
    )
    with LocalServer(keys=["k3y"]) as server:
        url = server.url.replace("127.0.0.1", "another.machine.example")
        with pytest.raises(
            AuthenticationError, match=r"No key was sent: .* from the environment is kept back"
        ):
            Client(url=url).start_session()


def test_an_ordinary_page_in_place_of_an_upgrade_is_told_as_such(serve, client_of) -> None:
    with pytest.raises(ConnectionError, match=r"HTTP 200.*web page.*Check the address.*wss://eu\.rt"):
        client_of(serve(faults=[Fault.refuse(200)])).start_session()


def test_what_nobody_answers_names_the_doctor_below_its_traceback() -> None:
    with pytest.raises(ConnectionError) as caught:
        Client(url="ws://127.0.0.1:1/v2").start_session()
    assert caught.value.unreached
    assert "doctor" not in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    for error in (caught.value, again, TimeoutError("late", stage="open")):
        shown = "".join(traceback.format_exception(type(error), error, None))
        # Before Python 3.11 only a package that other packages bring along shows notes.
        notes = sys.version_info >= (3, 11) or "exceptiongroup" in sys.modules
        assert ("speechmatics-rt doctor" in shown) == notes
    assert not hasattr(ConnectionError("lost", code=1006), "__notes__")


@pytest.mark.parametrize("kind", ["idle_timeout", "buffer_error", "not_allowed", "quota_exceeded"])
@pytest.mark.parametrize("reason", ["", "of its own"])
def test_an_error_without_a_reason_says_what_its_type_means(serve, client_of, kind: str, reason: str) -> None:
    server = serve(faults=[Fault.error(kind, reason, at="start")])
    with pytest.raises(TranscriptionError) as caught:
        client_of(server).start_session(audio_format=PCM)
    told = caught.value.text
    assert (_MEANING[kind] in told) == (not reason)
    assert kind in told
    assert reason in told


def test_what_can_not_be_done_now_names_the_call_that_can(serve, client_of) -> None:
    client = client_of(serve())
    told: list[str] = []

    def ask(_: Any) -> None:
        for call in (client.finalize, client.get_speakers):
            with pytest.raises(SessionError) as caught:
                call()
            told.append(caught.value.text)

    client.once("AddTranscript", ask)
    client.transcribe(bytes(320000), audio_format=PCM)
    assert "call force_end_of_utterance() instead" in told[0]
    assert "call get_speakers(wait=False) instead" in told[1]
    with pytest.raises(SessionError, match=r"start_session\(\) begins another session"):
        client.send_audio(bytes(320))


@dataclasses.dataclass(frozen=True)
class StorageError(LookupError):
    """As programs define them: nobody may assign to it, Python's own contextlib included."""

    code: int


def _from_a_source() -> Iterator[bytes]:
    yield bytes(32000)
    raise StorageError(503)


class _Vault(AuthBase):
    def get_auth_headers(self) -> dict[str, str]:
        raise StorageError(503)


class _PatientVault(_Vault):
    def configure(self, conn_config: ConnectionConfig) -> None: ...


@pytest.mark.parametrize("resume", [False, True], ids=["plain", "resume"])
@pytest.mark.parametrize("auth", [_Vault(), _PatientVault()], ids=["a key", "a key by a deadline"])
def test_an_exception_that_allows_no_assignment_comes_out_of_a_call_as_it_is(
    serve, client_of, auth: AuthBase, resume: bool
) -> None:
    client = client_of(serve(), auth=auth, resume=resume)
    with pytest.raises(StorageError) as caught:
        client.transcribe(bytes(32000), audio_format=PCM)
    assert caught.value == StorageError(503)


def test_an_exception_that_allows_no_assignment_is_the_cause_of_ours(serve, client_of) -> None:
    client = client_of(serve())
    with pytest.raises(AudioError, match="StorageError: 503") as caught:
        client.transcribe(_from_a_source(), audio_format=PCM)
    assert caught.value.__cause__ == StorageError(503)
    without_frames(caught.value)
    assert caught.value.__cause__.__traceback__ is None


@dataclasses.dataclass(frozen=True)
class _StorageAudioError(AudioError):
    code: int


def test_a_callers_kind_of_our_error_that_allows_no_assignment_has_ids_and_transcript(
    serve, client_of
) -> None:
    def audio() -> Iterator[bytes]:
        yield bytes(32000)
        raise _StorageAudioError(503)

    client = client_of(serve())
    with pytest.raises(_StorageAudioError) as caught:
        client.transcribe(audio(), audio_format=PCM)
    assert (caught.value.code, caught.value.session_id) == (503, client.session_id)
    assert caught.value.transcript is client.transcript
    amend(caught.value, "; it is amended")
    assert "; it is amended" in str(caught.value)
    assert "StorageAudioError" in "".join(caught.value._render_traceback_())


def test_in_an_event_loop_an_exception_that_allows_no_assignment_comes_out_as_it_is(serve) -> None:
    async def main() -> None:
        async with AsyncClient(_Vault(), url=serve().url) as client:
            await client.transcribe(bytes(32000), audio_format=PCM)

    with pytest.raises(StorageError):
        asyncio.run(main())
