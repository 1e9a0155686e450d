"""Programs of the official asyncio SDK, ported by their import line: its names and signatures are here."""

from __future__ import annotations

import inspect

import pytest

import speechmatics_rt
from speechmatics_rt import aio

OFFICIAL = """
    AsyncClient AsyncMultiChannelClient AudioEncoding AudioError AudioEventsConfig AudioFormat AuthBase
    AuthenticationError ClientMessageType ConfigurationError ConnectionConfig ConnectionError
    ConversationConfig EndOfTranscriptError EventEmitter JWTAuth Microphone Model OperatingPoint
    ServerMessageType SessionError
    SessionInfo SpeakerDiarizationConfig SpeakerIdentifier StaticKeyAuth TimeoutError TranscriptResult
    TranscriptionConfig TranscriptionError TranslationConfig TransportError
"""
TAKES = {
    aio.AsyncClient: "auth api_key url conn_config sdk_identifier",
    aio.AsyncClient.start_session: "transcription_config audio_format translation_config "
    "audio_events_config ws_headers",
    aio.AsyncClient.transcribe: "source transcription_config audio_format translation_config "
    "audio_events_config ws_headers timeout",
    aio.AsyncClient.force_end_of_utterance: "timestamp",
    aio.Microphone: "sample_rate channels chunk_size device_index loop",
    aio.Microphone.read: "chunk_size",
    aio.JWTAuth: "api_key ttl region client_ref mp_url request_id",
}


def test_every_name_of_the_official_sdk_is_imported_from_the_face_of_asyncio() -> None:
    assert set(OFFICIAL.split()) <= set(aio.__all__)


def test_what_is_no_face_of_asyncio_is_the_same_thing_by_both_imports() -> None:
    for name in set(aio.__all__) - {"Microphone"}:
        assert getattr(aio, name) is getattr(speechmatics_rt, name), name
    assert set(speechmatics_rt.__all__) - set(aio.__all__) == {
        "__version__",
        "BaseClient",
        "Client",
        "MultiChannelClient",
        "MessageStream",
        "UtteranceStream",
        "Recorder",
        *("transcribe_many", "Outcome", "Outcomes", "Progress", "Running"),
    }


def test_what_the_official_sdk_awaits_is_awaited() -> None:
    for client in (aio.AsyncClient, aio.AsyncMultiChannelClient):
        for method in ("start_session", "stop_session", "transcribe", "send_audio", "send_message", "close"):
            assert inspect.iscoroutinefunction(getattr(client, method)), method
    assert inspect.iscoroutinefunction(aio.Microphone.read)


@pytest.mark.parametrize(
    ("call", "names"), TAKES.items(), ids=lambda value: getattr(value, "__qualname__", "")
)
def test_a_call_takes_what_it_takes_in_the_official_sdk(call, names: str) -> None:
    assert set(names.split()) <= set(inspect.signature(call).parameters)
