"""What servers differ in is left to them; where the cloud would refuse, the caller is warned, once."""

from __future__ import annotations

import asyncio
import socket
import warnings
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioFormat,
    Client,
    ConversationConfig,
    MultiChannelClient,
    SpeechmaticsError,
    TranscriptionConfig,
    TranscriptionError,
    TranslationConfig,
)
from speechmatics_rt.local import LocalServer

CLOUD = "wss://eu.rt.speechmatics.com/v2"
RAW = AudioFormat("pcm_s16le", 16000)
SLOW = TranscriptionConfig(max_delay=9, extra={"mood": "calm"})


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is known, so that nothing leaves this machine."""

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no network here")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for name in ("https_proxy", "all_proxy", "SPEECHMATICS_RT_URL"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def warned(record: list[warnings.WarningMessage]) -> list[str]:
    assert {warning.filename for warning in record} <= {__file__}
    return [str(warning.message) for warning in record]


def test_a_container_is_given_what_the_cloud_would_refuse_and_nobody_warns() -> None:
    with LocalServer() as server, Client(url=server.url) as client:
        # the local server is as strict as the cloud: what it read is what a container would take
        with pytest.raises(TranscriptionError):
            client.transcribe(
                bytes(32000),
                audio_format={"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000},
                transcription_config={"language": "en", "max_delay": 9, "mood": "calm"},
                translation_config=TranslationConfig(["de", "es", "fr", "it", "nl", "pt"]),
            )
        start = server.sessions[0].messages[0]
    assert start["transcription_config"]["max_delay"] == 9
    assert start["transcription_config"]["mood"] == "calm"
    assert len(start["translation_config"]["target_languages"]) == 6


def test_the_cloud_is_warned_of_once_at_the_line_of_the_caller(cut_off: None) -> None:
    client = Client(api_key="k")
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        for _ in range(2):
            with pytest.raises(SpeechmaticsError):
                client.transcribe(bytes(32000), audio_format=RAW, transcription_config=SLOW)
            with pytest.raises(SpeechmaticsError):
                client.start_session(transcription_config=SLOW)
    assert warned(record) == [
        "max_delay is 9, where 0.7 to 4 is documented: the service may refuse the session",
        "transcription_config.mood is not documented: the service may refuse the session",
    ]


def test_both_faces_and_several_channels_warn_alike(cut_off: None) -> None:
    async def run() -> None:
        with pytest.raises(SpeechmaticsError):
            await AsyncClient(api_key="k").transcribe(
                bytes(32000), audio_format=RAW, transcription_config=SLOW
            )

    async def by_hand() -> None:
        with pytest.raises(SpeechmaticsError):
            await AsyncMultiChannelClient(api_key="k").start_session(
                channels=["a"], transcription_config=SLOW
            )

    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        asyncio.run(by_hand())
        with pytest.raises(SpeechmaticsError):
            MultiChannelClient(api_key="k").start_session(channels=["a"], transcription_config=SLOW)
        asyncio.run(run())
    assert len(warned(record)) == 6


@pytest.mark.parametrize("url", [CLOUD, "wss://preview.rt.speechmatics.com/v2", None])
def test_what_is_documented_is_warned_of_nowhere(url: Any, cut_off: None) -> None:
    config = TranscriptionConfig(max_delay=0.7, conversation_config=ConversationConfig(0.5))
    with pytest.raises(SpeechmaticsError, match="no network here"):
        Client(api_key="k", url=url).start_session(
            transcription_config=config, translation_config=TranslationConfig(["de"] * 5)
        )


def test_a_warning_that_is_made_an_error_stops_the_call_before_anything_is_sent(cut_off: None) -> None:
    with pytest.raises(UserWarning, match="max_delay"):
        Client(api_key="k").start_session(transcription_config=SLOW)


@pytest.mark.parametrize("form", [dict, lambda form: AudioFormat.from_dict(form)])
def test_an_audio_format_is_a_mapping_as_well_in_both_faces(form: Any) -> None:
    wire = form({"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000})

    async def run(url: str) -> None:
        async def chunks() -> Any:
            for _ in range(10):
                yield bytes(3200)

        async with AsyncClient(url=url) as client:
            assert (await client.transcribe(chunks(), audio_format=wire)).words

    with LocalServer() as server:
        with Client(url=server.url) as client:
            assert client.transcribe(bytes(32000), audio_format=wire).words
            client.start_session(audio_format=wire)
            client.send_audio(bytes(3200))
            assert client.audio_seconds_sent == 0.1
        with MultiChannelClient(url=server.url) as several:
            sources = {"a": bytes(32000), "b": bytes(32000)}
            assert several.transcribe(sources, audio_format=wire).words
        asyncio.run(run(server.url))
        assert {session.start["audio_format"]["sample_rate"] for session in server.sessions} == {16000}  # type: ignore[index]
