# pyright: strict
"""Mistakes in a user's program. Nobody runs it: type checkers read it, strictly.

They must refuse the lines marked ``no`` by the rule named there, mypy's first, then pyright's (``-``: that
one can't see it), and no other line.
"""

from __future__ import annotations

from typing import Any

from speechmatics_rt import (
    AudioEventsConfig,
    AudioFormat,
    Client,
    ConnectionConfig,
    MultiChannelClient,
    ServerMessageType,
    SpeechmaticsError,
    TranscriptionConfig,
    transcribe_many,
)
from speechmatics_rt.aio import AsyncClient
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.messages import AddTranscriptMessage, EndOfUtteranceMessage


def final(message: AddTranscriptMessage) -> None: ...
def utterance(message: EndOfUtteranceMessage) -> None: ...
def nothing() -> None: ...
def number(message: int) -> None: ...


def callbacks(client: Client, name: str) -> None:
    client.on("AddTranscript", utterance)  # no: arg-type | reportArgumentType
    client.on(ServerMessageType.ADD_TRANSCRIPT, utterance)  # no: arg-type | reportArgumentType
    client.once("EndOfUtterance", final)  # no: arg-type | reportArgumentType
    client.on("AddTranscript")(utterance)  # no: type-var | reportArgumentType
    client.once(ServerMessageType.ERROR)(final)  # no: type-var | reportArgumentType
    client.on("SomethingNew", final)  # no: arg-type | reportArgumentType
    client.on("SomethingNew")(final)  # no: type-var | reportArgumentType
    client.on(name, final)  # no: arg-type | reportArgumentType
    client.on("AddTranscript", nothing)  # no: arg-type | reportArgumentType
    client.on("AddTranscript", 7)  # no: call-overload | reportArgumentType
    client.on(7, final)  # no: call-overload | reportArgumentType
    client.on("AddTranscript", lambda: None)  # no: arg-type | reportArgumentType
    client.on("AddTranscript", lambda message: utterance(message))  # no: arg-type | reportArgumentType
    client.on("AddTranscript", lambda message: number(message))  # no: arg-type | reportArgumentType
    # mypy tries a lambda that fails with the message once more with a dict, where any key will do.
    client.on("AddTranscript", lambda message: print(message["no_key"]))  # no: - | reportGeneralTypeIssues
    client.on("AddTranscript", lambda message: print(message["metadata"] + 1))  # no: - | reportOperatorIssue

    @client.on("AddTranscript")  # no: type-var | reportArgumentType
    @client.on("EndOfUtterance")
    def one_of_two(message: EndOfUtteranceMessage) -> None:
        print(message["results"])  # no: typeddict-item | reportGeneralTypeIssues


def iterator(client: Client) -> None:
    for message in client.stream("audio.wav"):
        print(message["metadata"])  # no: typeddict-item | reportGeneralTypeIssues
        if message["message"] == "AddTranscript":
            print(message["transcript"])  # no: typeddict-item | reportGeneralTypeIssues
            text: int = message["metadata"]["transcript"]  # no: assignment | reportAssignmentType
            print(text)
        if message["message"] == "Error":
            final(message)  # no: arg-type | reportArgumentType
        if message["message"] == "AddTranscripts":  # no: comparison-overlap | reportUnnecessaryComparison
            pass
    client.stream("audio.wav", timeuot=3)  # no: call-arg | reportCallIssue


def iterator_not_followed(client: Client) -> None:
    # These are right, and refused: only message["message"] itself, compared with a string, tells the type.
    for message in client.stream("audio.wav"):
        kind = message["message"]
        if kind == "AddTranscript":
            print(message["metadata"])  # no: typeddict-item | reportGeneralTypeIssues
        if message["message"] in ("AddTranscript", "AddPartialTranscript"):
            print(message["metadata"])  # no: typeddict-item | reportGeneralTypeIssues


def by_hand(client: Client, several: MultiChannelClient) -> None:
    client.send_audio("text")  # no: arg-type | reportArgumentType
    client.start_session(audio_format="pcm_s16le")  # no: arg-type | reportArgumentType
    several.start_session()  # no: call-arg | reportCallIssue
    client.update_config(max_delay_mode="fast")  # no: arg-type | reportArgumentType
    several.send_audio(b"\0\0")  # no: call-arg | reportCallIssue
    client.stop_session(10)  # no: misc | reportCallIssue
    client.request_id = "id"  # no: misc | reportAttributeAccessIssue


def configurations() -> None:
    AudioFormat(sample_rate="16000")  # no: arg-type | reportArgumentType
    TranscriptionConfig(lang="en")  # no: call-arg | reportCallIssue
    TranscriptionConfig(diarization="speakers")  # no: arg-type | reportArgumentType
    TranscriptionConfig(max_delay_mode="fast")  # no: arg-type | reportArgumentType
    AudioEventsConfig(types=["clapping"])  # no: list-item | reportArgumentType
    TranscriptionConfig(enable_partials="yes")  # no: arg-type | reportArgumentType
    ConnectionConfig(open_timeout="5")  # no: arg-type | reportArgumentType
    Client(handler_errors="ignore")  # no: arg-type | reportArgumentType


def errors(error: SpeechmaticsError, client: Client) -> None:
    print(error.status)  # no: attr-defined | reportAttributeAccessIssue
    print(error.transcript.text)  # no: union-attr | reportOptionalMemberAccess
    print(client.transcript.words[0].begin)  # no: attr-defined | reportAttributeAccessIssue


def many() -> None:
    transcribe_many(["a.wav"], max_sessions="2")  # no: arg-type | reportArgumentType
    transcribe_many(["a.wav"], sessions=2)  # no: call-arg | reportCallIssue
    for outcome in transcribe_many(["a.wav"]):
        if outcome.error is not None:
            print(outcome.error.retryable)  # no: attr-defined | reportAttributeAccessIssue
    transcribe_many([5])  # no: list-item | reportArgumentType


def local() -> None:
    LocalServer(faults=Fault("reset"))  # no: arg-type | reportArgumentType
    LocalServer(quota="1")  # no: arg-type | reportArgumentType


async def in_an_event_loop(client: AsyncClient) -> None:
    async def later(message: EndOfUtteranceMessage) -> None: ...

    client.on("AddTranscript", later)  # no: arg-type | reportArgumentType
    client.transcribe("audio.wav")  # no: unused-coroutine | reportUnusedCoroutine
    await client.transcribe("audio.wav", timeuot=3)  # no: call-arg | reportCallIssue
    async for message in client.stream("audio.wav"):
        take_dict(message)  # no: arg-type | reportArgumentType
        print(message["metadata"])  # no: typeddict-item | reportGeneralTypeIssues


def take_dict(message: dict[str, Any]) -> None: ...
