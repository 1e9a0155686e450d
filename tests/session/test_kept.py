"""What a call was given is taken as it was then, whatever the program does to its objects afterwards."""

from __future__ import annotations

import types
from typing import Any, Callable

import pytest

from speechmatics_rt import (
    AudioFormat,
    ChunkError,
    Client,
    ConnectionConfig,
    MultiChannelClient,
    ResumePolicy,
    TranscriptionConfig,
    TranslationConfig,
    transcribe_many,
)
from speechmatics_rt.local import Fault

SECOND = bytes(32000)


class Given:
    """Options, and how they look when they are left alone."""

    def __init__(self) -> None:
        self.vocabulary: list[Any] = ["Bergen", {"content": "gnocchi", "sounds_like": ["nyohki"]}]
        self.config = TranscriptionConfig(
            additional_vocab=self.vocabulary, conversation_config={"end_of_utterance_silence_trigger": 0.5}
        )
        self.audio_format = AudioFormat("pcm_s16le", 16000)
        self.translation = TranslationConfig(["de"])
        self.headers = {"X-Order": "17"}
        self.start = self.config.to_dict(), self.audio_format.to_dict(), self.translation.to_dict()

    @property
    def options(self) -> dict[str, Any]:
        return {
            "transcription_config": self.config,
            "audio_format": self.audio_format,
            "translation_config": self.translation,
            "ws_headers": self.headers,
        }

    def change(self) -> None:
        self.vocabulary[1]["sounds_like"].append("x")
        self.vocabulary.append("Oslo")
        self.config.conversation_config["end_of_utterance_silence_trigger"] = 1.0  # type: ignore[index]
        self.config.language = "de"
        self.audio_format.encoding = "mulaw"
        self.audio_format.sample_rate = 8000
        self.audio_format.chunk_size = 1
        self.translation.target_languages = ["fr"]
        self.headers["X-Order"] = "18"

    def was_taken(self, record: Any) -> bool:
        start = record.start
        sent = start["transcription_config"], start["audio_format"], start["translation_config"]
        return sent == self.start and record.headers["x-order"] == "17"


@pytest.mark.parametrize("resume", [False, True], ids=["", "resume"])
def test_options_of_a_session_by_hand(serve, client_of, resume: bool) -> None:
    faults = [Fault.reset(after_seconds=4, sessions=[0])] if resume else []
    server = serve(faults=faults)
    policy = ResumePolicy(min_delay=0.01, max_delay=0.01, replay_speed=40)
    given = Given()
    with client_of(server, resume=policy if resume else False) as client:
        client.start_session(**given.options)
        given.change()
        with pytest.raises(ChunkError):
            client.send_audio(b"odd")
        for _ in range(10):
            client.send_audio(SECOND)
        client.stop_session()
        assert client.audio_seconds_sent == 10
    assert len(server.sessions) == 1 + resume
    assert all(map(given.was_taken, server.sessions))


def test_options_of_a_source_that_is_being_sent(serve, client_of) -> None:
    server, given = serve(), Given()
    with client_of(server) as client, client.stream([SECOND] * 10, **given.options) as messages:
        given.change()
        for _ in messages:
            pass
        assert client.audio_seconds_sent == 10
    assert given.was_taken(server.sessions[0])


def test_labels_of_channels(serve, client_of) -> None:
    server, labels = serve(), ["agent", "caller"]
    with client_of(server, kind=MultiChannelClient) as client:
        client.start_session(channels=labels, audio_format=AudioFormat("pcm_s16le", 16000))
        labels.append("third")
        client.send_audio("agent", SECOND)
        client.force_end_of_utterance(channel="caller")
        client.stop_session()
        start = client._session.start
    assert start["transcription_config"]["channel_diarization_labels"] == ["agent", "caller"]


def test_a_change_of_settings(serve, client_of) -> None:
    server, filtering = serve(faults=[Fault.reset(after_seconds=4, sessions=[0])]), {"volume_threshold": 3.0}
    policy = ResumePolicy(min_delay=0.01, max_delay=0.01, replay_speed=40)
    with client_of(server, resume=policy) as client:
        client.start_session(audio_format=AudioFormat("pcm_s16le", 16000))
        client.update_config(audio_filtering_config=filtering)
        filtering["volume_threshold"] = 99.0
        for _ in range(10):
            client.send_audio(SECOND)
        client.stop_session()
    assert "99" not in str([record.messages for record in server.sessions])


def spoil(config: Any, *names: str) -> None:
    for name in names:
        setattr(config, name, "spoiled")


TIMES = ("open_timeout", "start_timeout", "end_timeout", "close_timeout", "ping_interval", "ping_timeout")


def test_options_of_a_client(serve) -> None:
    server = serve(faults=[Fault.reset(after_seconds=4, sessions=[0])])
    config = ConnectionConfig(ssl_context=server.ssl_context)
    policy = ResumePolicy(min_delay=0.01, replay_speed=40)
    with Client(url=server.url, conn_config=config, resume=policy) as client:
        spoil(config, *TIMES, "send_timeout", "ssl_context", "proxy", "max_size", "window_seconds")
        spoil(policy, "max_attempts", "min_delay", "max_outage", "buffer_seconds", "replay_speed")
        assert client.transcribe([SECOND] * 10, audio_format=AudioFormat("pcm_s16le", 16000)).text
    assert len(server.sessions) == 2


@pytest.mark.parametrize("channels", [False, True], ids=["", "channels"])
@pytest.mark.parametrize("wrapped", [dict, types.MappingProxyType], ids=["dict", "proxy"])
def test_options_of_a_run(serve, wrapped: Callable[[Any], Any], channels: bool) -> None:
    server, given = serve(), Given()
    config, policy = ConnectionConfig(ssl_context=server.ssl_context), ResumePolicy(min_delay=0.01)
    options = {**given.options, "ws_headers": wrapped(given.headers)}
    source: Any = {"agent": SECOND, "caller": SECOND} if channels else SECOND
    run = transcribe_many(
        [source] * 3, url=server.url, conn_config=config, resume=policy, max_sessions=1, **options
    )
    outcomes = [next(run)]
    given.change()
    spoil(config, *TIMES, "ssl_context", "proxy")
    spoil(policy, "max_attempts", "min_delay")
    outcomes += run
    assert [outcome.error for outcome in outcomes] == [None] * 3
    for record in server.sessions:
        for name in ("diarization", "channel_diarization_labels"):
            record.start["transcription_config"].pop(name, None)
        assert given.was_taken(record)
