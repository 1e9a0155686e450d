# pyright: strict
"""A user's program. Nobody runs it: type checkers read it, strictly, and must find nothing."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Optional, Union

from typing_extensions import assert_type

from speechmatics_rt import (
    AudioEncoding,
    AudioError,
    AudioFormat,
    Client,
    ConfigurationError,
    ConnectionConfig,
    ConnectionError,
    ConversationConfig,
    EventEmitter,
    JWTAuth,
    MessageStream,
    Model,
    MultiChannelClient,
    Outcome,
    Progress,
    ServerMessageType,
    SessionStats,
    SpeakerDiarizationConfig,
    SpeechmaticsError,
    TimeoutError,
    Transcript,
    TranscriptionConfig,
    TranscriptionError,
    TranscriptResult,
    TranslationConfig,
    Utterance,
    split_channels,
    transcribe_many,
)
from speechmatics_rt.aio import AsyncClient, AsyncMultiChannelClient
from speechmatics_rt.local import Fault, LocalServer, Script, ScriptedEngine, SessionRecord
from speechmatics_rt.messages import (
    AddPartialTranscriptMessage,
    AddTranscriptMessage,
    EndOfTranscriptMessage,
    EndOfUtteranceMessage,
    ErrorMessage,
    ReconnectingMessage,
    ServerMessage,
    TranscriptMessage,
)

RAW = AudioFormat(encoding=AudioEncoding.PCM_S16LE, sample_rate=16000)
RAW_BY_NAME = AudioFormat(encoding="pcm_s16le", sample_rate=16000)


def is_final(message: AddTranscriptMessage) -> bool:
    return message["message"] == "AddTranscript"


def is_error(message: ErrorMessage) -> str:
    return message["reason"]


def callbacks(client: Client, finals: queue.Queue[AddTranscriptMessage], log: list[dict[str, Any]]) -> None:
    # By enum or by name, at once or by a decorator, with the message, a union, a mapping, or a dict.
    @client.on(ServerMessageType.ADD_TRANSCRIPT)
    def final(message: AddTranscriptMessage) -> str:
        return message["metadata"]["transcript"]

    @client.on("AddTranscript")
    @client.once("AddPartialTranscript")
    def both(message: TranscriptMessage) -> None:
        assert_type(message, Union[AddTranscriptMessage, AddPartialTranscriptMessage])
        for result in message["results"]:
            assert_type(result["start_time"], float)
            assert_type(result["alternatives"][0]["content"], str)
            if result["type"] == "entity":
                print(result.get("entity_class"))

    @client.on(ServerMessageType.END_OF_UTTERANCE)
    @client.on(ServerMessageType.ADD_TRANSLATION)
    def mapping(message: Mapping[str, Any]) -> None:
        print(message["whatever"])

    @client.once(ServerMessageType.WARNING)
    @client.on("Error")
    @client.on("SomethingNew")
    def plain(message: dict[str, Any]) -> None:
        message["seen"] = True

    def everything(message: ServerMessage) -> None:
        print(message["message"])

    # A decorator gives back what it was put on.
    assert_type(final({"message": "AddTranscript", "metadata": _METADATA, "results": []}), str)
    plain(message={})
    both(message={"message": "AddPartialTranscript", "metadata": _METADATA, "results": []})

    client.on(ServerMessageType.ADD_TRANSCRIPT, final)
    client.on("AddTranscript", plain)
    client.once("AddTranscript", callback=mapping)
    client.once(event=ServerMessageType.ERROR, callback=plain)
    client.on("AddTranscript", everything)
    client.on("AddTranscript", print)
    client.on("AddTranscript", finals.put)
    client.on("AddTranscript", log.append)
    client.on("AddTranscript")(final)
    for kind in ServerMessageType:
        client.on(kind, everything)
        client.on(kind, plain)
    for name in ("AddTranscript", "SomethingNew"):
        client.on(name, plain)

    # A lambda is given the message of its event: is_final() takes no other one.
    client.on(ServerMessageType.ADD_TRANSCRIPT, lambda message: is_final(message))
    client.once("AddTranscript", lambda message: is_final(message))
    client.on("Error", lambda message: is_error(message))
    client.on("AddTranscript", lambda message: print(message["metadata"]["transcript"].upper()))
    client.on("SomethingNew", lambda message: print(message["whatever"]))

    client.on_any(everything)
    client.off("AddTranscript", final)
    client.remove_all_listeners(ServerMessageType.ERROR)
    client.emit("AddTranscript", {"message": "AddTranscript"})


_METADATA: Any = {"start_time": 0.0, "end_time": 1.0, "transcript": ""}


class Screen:
    def __init__(self, emitter: EventEmitter) -> None:
        emitter.on("AddTranscript", self.show)
        emitter.on(ServerMessageType.END_OF_TRANSCRIPT, self.end)

    def show(self, message: AddTranscriptMessage) -> None:
        result = TranscriptResult.from_message(message)
        assert_type(result, TranscriptResult)

    def end(self, message: EndOfTranscriptMessage) -> None: ...


def iterator(client: Client) -> None:
    with client.stream("audio.wav", timeout=60) as messages:
        assert_type(messages, MessageStream)
        for message in messages:
            assert_type(message, ServerMessage)
            if message["message"] == "AddTranscript":
                assert_type(message, AddTranscriptMessage)
                assert_type(message["metadata"]["transcript"], str)
            elif message["message"] == "EndOfUtterance":
                assert_type(message, EndOfUtteranceMessage)
                assert_type(message["metadata"]["end_time"], float)
            elif message["message"] == "Error" or message["message"] == "Warning":
                print(message["type"], message["reason"])
            elif message["message"] == "SpeakersResult":
                for speaker in message["speakers"]:
                    assert_type(speaker["speaker_identifiers"], list[str])
        assert_type(messages.transcript, Transcript)


def iterator_by_enum(client: Client) -> None:
    for message in client.stream("audio.wav"):
        if message["message"] == ServerMessageType.ADD_TRANSCRIPT.value:
            assert_type(message, AddTranscriptMessage)
        elif message["message"] == ServerMessageType.END_OF_UTTERANCE.value:
            assert_type(message["metadata"]["end_time"], float)
        elif message["message"] == "Resumed":
            assert_type(message["gap"], float)


def over_lost_connections() -> None:
    client = Client(resume=True, keep_transcript=3600)

    @client.on("Reconnecting")
    def ask(message: ReconnectingMessage) -> None:
        message["reconnect"] = message["attempt"] < 3 and message["delay"] < 10

    client.on("Resumed", lambda message: print(message["gap"] + message["replayed"]))
    client.on("SessionEnded", lambda message: print(message["error"] is None or message["error"].retryable))
    client.on("Utterance", lambda message: print(message["speaker"], message["text"].upper()))
    latency = client.stats.final_latency
    if latency is not None:
        assert_type(latency.p99, float)


def by_hand() -> None:
    connection = ConnectionConfig(open_timeout=5, ping_interval=None)
    with Client(JWTAuth("key"), url="wss://example.com/v2", conn_config=connection) as client:
        client.start_session(
            audio_format={"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000},
            transcription_config=TranscriptionConfig(extra={"mood": "calm"}),
            translation_config={"target_languages": ["fr"]},
        )
        for chunk in (b"\0\0", bytearray(2), memoryview(b"\0\0")):
            client.send_audio(chunk)
        client.update_config(max_delay=1.0)
        client.get_speakers(final=True)
        client.send_message({"message": "GetSpeakers"})
        for speaker in client.get_speakers()["speakers"]:
            assert_type(speaker["label"], str)
        utterance = client.finalize()
        if utterance is not None:
            assert_type(utterance.text, str)
        client.force_end_of_utterance(timestamp=1.5)
        client.stop_session(timeout=10)
        assert_type(client.stats, SessionStats)
        assert_type(client.stats.seconds_transcribed, float)
        assert_type(client.request_id, str)


def several_channels() -> None:
    with MultiChannelClient(api_key="key") as client:
        client.on("ChannelAudioAdded", lambda message: print(message["channel"], message["seq_no"] + 1))
        transcript = client.transcribe({"agent": "agent.wav", "caller": Path("caller.wav")})
        assert_type({word.channel for word in transcript.words}, set[Optional[str]])
        for message in client.stream(split_channels("call.wav", ["agent", "caller"])):
            assert_type(message, ServerMessage)
        client.start_session(channels=["agent", "caller"], audio_format=RAW)
        client.send_audio("agent", b"\0\0")
        client.end_channel("agent")
        client.force_end_of_utterance(channel="caller")


def configurations() -> TranscriptionConfig:
    AudioFormat()
    TranslationConfig(target_languages=["de"], enable_partials=True)
    return TranscriptionConfig(
        language="en",
        model=Model.ENHANCED,
        additional_vocab=["Bergen", {"content": "Fløyen", "sounds_like": ["floyen"]}],
        diarization="speaker",
        speaker_diarization_config=SpeakerDiarizationConfig(max_speakers=2),
        conversation_config=ConversationConfig(end_of_utterance_silence_trigger=0.5),
        enable_partials=True,
    )


def errors(client: Client) -> Optional[Transcript]:
    try:
        return client.transcribe("audio.wav", transcription_config={"language": "en"})
    except ConfigurationError:
        return None
    except AudioError as error:
        assert_type(error.channel, Optional[str])
    except TranscriptionError as error:
        assert_type(error.retryable, bool)
        assert_type(error.retry_after, Optional[float])
        assert_type(error.transcript, Optional[Transcript])
    except TimeoutError as error:
        assert_type(error.stage, Optional[str])
    except ConnectionError as error:
        assert_type(error.status, Optional[int])
        assert_type(error.code, Optional[int])
    except SpeechmaticsError as error:
        assert_type(error.request_id, Optional[str])
        assert_type(error.session_id, Optional[str])
    return None


def results(transcript: Transcript) -> None:
    for word in transcript.words:
        assert_type(word.text, str)
        assert_type(word.start_time, float)
        assert_type(word.confidence, Optional[float])
        assert_type(word.speaker, Optional[str])
    assert_type([paragraph.text for paragraph in transcript.paragraphs], list[str])
    for text in (transcript.text, transcript.to_srt(), transcript.to_vtt(), str(transcript)):
        assert_type(text, str)
    assert_type(Transcript.from_dict(transcript.to_dict()), Transcript)


def many(paths: Iterator[Path]) -> None:
    def show(progress: Progress) -> None:
        for running in progress.running:
            assert_type(running.stats, Optional[SessionStats])

    with ProcessPoolExecutor() as pool:
        outcomes = transcribe_many(paths, executor=pool, max_sessions=8, on_progress=show, speed=2.0)
        for outcome in outcomes:
            assert_type(outcome, Outcome)
            if outcome.transcript is None:
                print(outcome.source, outcome.error, outcome.tries)
                if isinstance(outcome.error, SpeechmaticsError):
                    assert_type(outcome.error.retryable, bool)
            else:
                assert_type(outcome.transcript.text, str)
            assert_type(outcome.result().text, str)
    transcribe_many([b"", "a.wav", Path("b.wav")])
    with transcribe_many([{"agent": b"", "caller": b""}], audio_format=RAW) as more:
        assert_type(next(more), Outcome)
        more.request_stop()


def local() -> None:
    script = Script.from_text("It rained in Bergen.")
    faults = [Fault("reset", after_seconds=1.0), Fault.error("quota_exceeded", "busy", at="start")]
    with LocalServer(ScriptedEngine(script), faults=faults, tls=True) as server:
        assert_type(server.url, str)
        secured = ConnectionConfig(ssl_context=server.ssl_context)
        with Client(url=server.url, conn_config=secured) as client:
            client.transcribe(bytes(32000), audio_format=RAW)
        record = server.wait_for_session()
        assert_type(record, SessionRecord)
        assert_type(record.messages, list[dict[str, Any]])


def turns(client: Client) -> None:
    for utterance in client.utterances("audio.wav", partials=True):
        assert_type(utterance, Utterance)
        if utterance.ended_by is None:
            assert_type(utterance.partial, str)


async def in_an_event_loop() -> None:
    async with AsyncClient(keep_transcript=0) as client, client.stream("audio.wav") as messages:

        @client.on("AddTranscript")
        async def final(message: AddTranscriptMessage) -> None:
            print(message["metadata"]["transcript"])

        async def error(message: dict[str, Any]) -> None: ...

        client.on(ServerMessageType.ERROR, error)
        client.once("AddTranscript", final)
        client.on("AddTranscript", lambda message: is_final(message))
        await final({"message": "AddTranscript", "metadata": _METADATA, "results": []})
        async for message in messages:
            assert_type(message, ServerMessage)
            if message["message"] == "AddTranscript":
                assert_type(message["metadata"]["transcript"], str)
    async with AsyncMultiChannelClient() as several:
        transcript = await several.transcribe({"agent": b""}, audio_format=RAW, timeout=3)
        assert_type(transcript, Transcript)
        await several.start_session(channels=["agent"])
        await several.send_audio("agent", b"\0\0")
        await several.stop_session()
