"""Every option of every public method: a wrong value is named before anything is opened, read or sent."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import math
import socket
from collections.abc import Iterator
from typing import Any, Callable

import pytest

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioFormat,
    Client,
    ConfigurationError,
    ConnectionConfig,
    JWTAuth,
    Microphone,
    MultiChannelClient,
    Recorder,
    ResumePolicy,
    StaticKeyAuth,
    TranscriptionConfig,
    available_features,
    split_channels,
    transcribe_many,
)
from speechmatics_rt.local import Fault, LocalServer, Script, ScriptedEngine, ServerForTests

NAN, INF = math.nan, math.inf
NO_SECONDS = [NAN, INF, -1, -0.1, "5", b"5", True, [], {}, object(), 1j, 10**400]
NO_MAPPING = ["x", 5, 1.5, True, ["a"], object(), {5}]
NO_TEXT = ["", 5, b"x", True, [], {}]
RAW = AudioFormat("pcm_s16le", 16000)
NOWHERE = "ws://127.0.0.1:1/v2"


def progress_by_generator(progress: Any) -> Iterator[Any]:
    yield progress


async def progress_by_coroutine(progress: Any) -> None:
    pass


CLIENT: dict[str, list[Any]] = {
    "auth": ["s3cret", b"key", 5, {}, object(), StaticKeyAuth, dict],
    "api_key": ["", 5, b"s3cret", [], {}, "s3cret\n", '"s3cret"', "Bearer s3cret"],
    "url": ["", 5, "https://h/v2", "h", [], b"wss://h/v2"],
    "conn_config": [{}, {"open_timeout": 5}, 5, "x", ConnectionConfig],
    "sdk_identifier": NO_TEXT,
    "app": NO_TEXT,
    "keep_transcript": ["3600", "", -1, NAN, True, []],
    "resume": ["yes", "", 1, 0, None, {}, ResumePolicy],
    "handler_errors": ["", "no", None, 5, []],
}
SESSION: dict[str, list[Any]] = {
    "transcription_config": [*NO_MAPPING, {"langage": "en"}, {"language": 5}, {"ctrl": {"a": NAN}}, RAW],
    "audio_format": [*NO_MAPPING, {"type": "raw"}, {"encoding": "pcm_s16le"}, {"codec": "mp3"}],
    "translation_config": [*NO_MAPPING, {}, {"target_languages": "fr"}, TranscriptionConfig()],
    "audio_events_config": [*NO_MAPPING, {"types": "music"}],
    "ws_headers": [*NO_MAPPING, [("A", "b")], {"A": 5}, {5: "b"}, {"A": None}, {"A": "b\n"}, {"Host": "h"}],
}
SOURCE: dict[str, list[Any]] = {**SESSION, "timeout": NO_SECONDS, "speed": [*NO_SECONDS, 0, 0.0]}
NAMED = {  # how a wrong part of an option is named, where it is not by the option
    "api_key": "API key",
    "url": "URL",
    "mp_url": "URL",
    "transcription_config": "langage|language|ctrl",
    "audio_format": "type|sample_rate|codec",
    "translation_config": "target_languages",
    "audio_events_config": "types",
    "ws_headers": "header",
    "labels": "label",
    "channels": "label",
    "sources": "label",
}
LABELS = ["ab", b"ab", "", 5, None, [], [""], [5], ["a", None]]


class Unread:
    """A source that nobody may touch."""

    def read(self, size: int) -> bytes:
        raise AssertionError("the source was read")


class Unlisted:
    """Sources that nobody may take."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("the sources were taken")


CASES: list[tuple[str, str, list[Any], Callable[[dict[str, Any]], Any]]] = []


def case(where: str, options: dict[str, list[Any]], call: Callable[[dict[str, Any]], Any]) -> None:
    CASES.extend((where, name, values, call) for name, values in options.items())


def on_loop(coroutine: Any) -> None:
    asyncio.run(coroutine)


for kind in (Client, MultiChannelClient, AsyncClient, AsyncMultiChannelClient):
    case(kind.__name__, CLIENT, lambda options, kind=kind: kind(**options))

single, several = Client(url=NOWHERE), MultiChannelClient(url=NOWHERE)
awaited, awaited_several = AsyncClient(url=NOWHERE), AsyncMultiChannelClient(url=NOWHERE)
UNREAD = {"a": Unread(), "b": Unread()}
NO_SOURCES = [5, "ab", None, ["a"], object(), {}, {"": Unread()}, {5: Unread()}]
NO_MOMENT = {"timestamp": NO_SECONDS}
NO_CHANNEL = {"channel": [5, "", b"a", [], True]}

case("start_session", SESSION, lambda options: single.start_session(**options))
case("transcribe", SOURCE, lambda options: single.transcribe(Unread(), **options))
case("stream", SOURCE, lambda options: single.stream(Unread(), **options))
case("stop_session", {"timeout": NO_SECONDS}, lambda options: single.stop_session(**options))
NO_FLAG = ["yes", 1, 0, None]
ASKED = {"final": NO_FLAG, "wait": NO_FLAG, "timeout": NO_SECONDS}
# A session that is not there would be said first.
case("utterances", {"partials": NO_FLAG}, lambda options: single.utterances(Unread(), **options))
case("utterances", SOURCE, lambda options: single.utterances(Unread(), **options))
case("channels: utterances", {"partials": NO_FLAG}, lambda o: several.utterances(UNREAD, **o))
case("async utterances", {"partials": NO_FLAG}, lambda options: awaited.utterances(Unread(), **options))
case("get_speakers", ASKED, lambda options: single.get_speakers(**options))
case("async get_speakers", ASKED, lambda options: on_loop(awaited.get_speakers(**options)))
FINALIZED = {"timestamp": NO_SECONDS, "timeout": NO_SECONDS}
case("finalize", FINALIZED, lambda options: single.finalize(**options))
case("async finalize", FINALIZED, lambda options: on_loop(awaited.finalize(**options)))
case("channels: finalize", {"timeout": NO_SECONDS}, lambda options: several.finalize(**options))
case("force", NO_MOMENT, lambda options: single.force_end_of_utterance(**options))
case("send_message", {"message": [5, "x", None, {}, {"message": 5}]}, lambda o: single.send_message(**o))

case("channels: start", SESSION, lambda options: several.start_session(channels=["a"], **options))
case("channels: start", {"channels": LABELS}, lambda options: several.start_session(**options))
case("channels: transcribe", SOURCE, lambda options: several.transcribe(UNREAD, **options))
case("channels: transcribe", {"sources": NO_SOURCES}, lambda options: several.transcribe(**options))
case("channels: stream", {"sources": NO_SOURCES}, lambda options: several.stream(**options))
case("channels: force", {**NO_MOMENT, **NO_CHANNEL}, lambda o: several.force_end_of_utterance(**o))

NO_LABEL = {"channel": [5, "", b"a", [], ["a"], None]}
case("channels: send_audio", NO_LABEL, lambda o: several.send_audio(payload=b"", **o))
case("channels: end_channel", NO_LABEL, lambda o: several.end_channel(**o))
case("async channels: send", NO_LABEL, lambda o: on_loop(awaited_several.send_audio(payload=b"", **o)))
case("async start", SESSION, lambda options: on_loop(awaited.start_session(**options)))
case("async transcribe", SOURCE, lambda options: on_loop(awaited.transcribe(Unread(), **options)))
case("async stop", {"timeout": NO_SECONDS}, lambda options: on_loop(awaited.stop_session(**options)))
case("async force", NO_MOMENT, lambda o: on_loop(awaited.force_end_of_utterance(**o)))
case("async channels", SOURCE, lambda options: on_loop(awaited_several.transcribe(UNREAD, **options)))
case("async channels", {"sources": NO_SOURCES}, lambda o: on_loop(awaited_several.transcribe(**o)))
case("async channels", {"channels": LABELS}, lambda o: on_loop(awaited_several.start_session(**o)))

NO_EVENT = {"event": [5, None, b"AddTranscript", ["AddTranscript"], Client]}
for emitter in (single, awaited):
    case(f"{type(emitter).__name__}.on", NO_EVENT, lambda o, e=emitter: e.on(callback=print, **o))
    case(f"{type(emitter).__name__}.once", NO_EVENT, lambda o, e=emitter: e.once(callback=print, **o))
    case(f"{type(emitter).__name__}.off", NO_EVENT, lambda o, e=emitter: e.off(callback=print, **o))
    case(f"{type(emitter).__name__}.listeners", NO_EVENT, lambda o, e=emitter: e.listeners(**o))

KEY = {
    "api_key": CLIENT["api_key"],
    "ttl": [0, 59, 86401, "60", 60.0, True, None, NAN],
    "region": NO_TEXT,
    "client_ref": [5, b"x", {}],
    "mp_url": [5, "", "h", "ws://h", "https://[::1", "https://h:x", "https://h:0"],
    "request_id": ["", "a b", "a\n", 5],
}
case("JWTAuth", KEY, lambda options: JWTAuth(**options))
case("JWTAuth.token", {"at_least": NO_SECONDS}, lambda options: JWTAuth("key").token(**options))
FEATURES = {"url": [url for url in CLIENT["url"] if url != []], "conn_config": CLIENT["conn_config"]}
case("available_features", FEATURES, lambda options: available_features(**options))
case("split_channels", {"labels": LABELS}, lambda options: split_channels("nowhere.wav", **options))
case(
    "Recorder",
    {"client": [None, "x", Client], "path": [5, None, b"x"], "audio": ["yes", 1, None]},
    lambda options: Recorder(**{"client": single, "path": "never-written.jsonl", **options}),
)
NO_COUNT = [0, -1, 1.5, NAN, "5", True, [], None]
case(
    "Microphone",
    {"sample_rate": NO_COUNT, "chunk_size": NO_COUNT, "channels": [2, 0, "1", True, None]},
    lambda options: Microphone(**options),
)
MANY: dict[str, list[Any]] = {
    "sources": ["a.wav", b"RIFF", {"a": b""}, 5, None, object()],
    "executor": ["threads", 5, object(), dict],
    "max_sessions": [*NO_COUNT[:-1]],
    "limiter": [5, "lock", object()],
    "on_progress": [5, "print", True, progress_by_generator, progress_by_coroutine],
    **CLIENT,
    **SOURCE,
}
case("transcribe_many", MANY, lambda options: transcribe_many(**{"sources": Unlisted(), **options}))
SECONDS = ("open_timeout", "start_timeout", "send_timeout", "end_timeout", "close_timeout", "window_seconds")
COUNTS = ("max_size", "max_queue", "window_frames", "read_limit", "write_limit")
CONNECTION: dict[str, list[Any]] = {
    **dict.fromkeys(SECONDS, NO_SECONDS),
    **{key: [*NO_SECONDS, 0, 0.001] for key in ("ping_interval", "ping_timeout")},
    **{key: [count for count in NO_COUNT if count is not None] for key in COUNTS},
    "ssl_context": [True, "ca.pem", 5, {}],
    "proxy": [5, b"http://h", True, []],
}
case("ConnectionConfig", CONNECTION, lambda options: ConnectionConfig(**options))
POLICY: dict[str, list[Any]] = {
    **{key: [*NO_SECONDS, None] for key in ("min_delay", "max_delay", "busy_delay", "buffer_seconds")},
    "max_outage": NO_SECONDS,
    "max_attempts": [count for count in NO_COUNT if count is not None],
    "replay_speed": [*NO_SECONDS, 0, 0.5, None],
}
case("ResumePolicy", POLICY, lambda options: ResumePolicy(**options))


LOCAL: dict[str, list[Any]] = {
    "engine": [5, "siri", ScriptedEngine, Script.default(), {}],
    "tls": ["yes", 1, None],
    "keys": ["secret", 5],
    "port": [-1, 65536, "9000", 1.5, True, None],
    "host": [5, b"::", None],
    "faults": [Fault.reset(), [Fault.reset], ["reset"], "reset", None, Fault.reset, 5, [503]],
    **{name: [*NO_SECONDS, 0] for name in ("speed", "time_scale")},
    **{name: [-1, 1.5, "1", True] for name in ("quota", "keep_sessions")},
    "container": ["yes", 1, None],
    **dict.fromkeys(("dictionary_delay", "duration_limit", "keep_audio"), NO_SECONDS),
}
case("LocalServer", LOCAL, lambda options: LocalServer(**options))


def put_faults(options: dict[str, Any]) -> None:
    LocalServer().faults = options["faults"]


case("LocalServer.faults", {"faults": LOCAL["faults"]}, put_faults)
NO_SCRIPT = {"script": [5, "Hello.", ["Hello."], {"agent": 5}, Script]}
case("ScriptedEngine", NO_SCRIPT, lambda options: ScriptedEngine(**options))
NO_WORDS = {"words": [5, None, ["Hello."], {"agent": 5}, {5: "Hello."}, Script]}
case("ServerForTests.says", NO_WORDS, lambda options: ServerForTests().says(**options))
TEXT: dict[str, list[Any]] = {
    "text": [5, None, b"Hello.", ["Hello."]],
    **dict.fromkeys(("start", "pause"), NO_SECONDS),
    "rate": [*NO_SECONDS, 0],
    "speakers": ["S1", (), [], (5,), ("",), None],
}
case("Script.from_text", TEXT, lambda options: Script.from_text(**{"text": "Hello.", **options}))
NO_ITEMS: dict[str, list[Any]] = {"words": ["Hi.", ["Hi."], 5, None], "sounds": ["laughter", ["laughter"]]}
case("Script", NO_ITEMS, lambda options: Script(**{"words": (), **options}))
FAULT: dict[str, list[Any]] = {
    **{name: ["1", -1, 1.5, True, []] for name in ("after_messages", "after_bytes")},
    **{
        name: [value for value in NO_SECONDS if value != 10**400] for name in ("after_seconds", "after_final")
    },
    "delay": ["1", -1, NAN, True],
    "sessions": ["0", -1, [-1], ["a"], 1.5, [None]],
    "status": ["503", None, 5.5],
    "retry_after": ["1", -1, NAN],
}
case("Fault.refuse", FAULT, lambda options: Fault.refuse(**options))


def test_the_table_has_every_option() -> None:
    for kind, options in ((ConnectionConfig, CONNECTION), (ResumePolicy, POLICY)):
        assert options.keys() == {field.name for field in dataclasses.fields(kind)}
    for call, options in (
        (Client.__init__, CLIENT),
        (AsyncMultiChannelClient.__init__, CLIENT),
        (Client.start_session, SESSION),
        (Client.transcribe, {"source": [], **SOURCE}),
        (MultiChannelClient.stream, {"sources": [], **SOURCE}),
        (JWTAuth.__init__, KEY),
        (transcribe_many, MANY),
        (LocalServer.__init__, LOCAL),
    ):
        assert options.keys() == inspect.signature(call).parameters.keys() - {"self"}


@pytest.fixture
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.mark.parametrize(
    ("where", "name", "values", "call"), CASES, ids=[f"{where}-{name}" for where, name, *_ in CASES]
)
def test_a_wrong_value_is_named_before_anything_else(
    where: str, name: str, values: list[Any], call: Callable[[dict[str, Any]], Any], no_way_out: None
) -> None:
    for value in values:
        with pytest.raises(ConfigurationError) as caught:
            call({name: value})
        said = caught.value.text.lower()
        names = [name, *NAMED.get(name, name).split("|")]
        assert any(one.lower() in said or f"a {one.lower()}" in said for one in names), (value, said)
        assert "s3cret" not in said


def test_a_number_that_no_float_can_hold_is_not_told_that_it_is_accepted() -> None:
    with pytest.raises(ConfigurationError, match=r"accepted: a whole number, 1 or more, up to 1\.8e308"):
        transcribe_many(Unlisted(), max_sessions=10**400)
    with pytest.raises(ConfigurationError, match=r"accepted: a whole number, 1 or more$"):
        transcribe_many(Unlisted(), max_sessions=0)


def test_what_changes_in_a_session_is_checked_before_it_is_sent() -> None:
    with LocalServer() as server, Client(url=server.url) as client:
        client.start_session(audio_format=RAW)
        for changes in ({"max_delay": "x"}, {"max_delay": NAN}, {"enable_partials": 1}, {"language": "de"}):
            with pytest.raises(ConfigurationError, match=next(iter(changes))):
                client.update_config(**changes)
        with pytest.raises(ConfigurationError, match="mood"):
            client.update_config(mood=NAN)
        with pytest.raises(ConfigurationError, match=r"a\.b"):
            client.send_message({"message": "New", "a": {"b": object()}})
        client.stop_session(timeout=30)
        assert [message["message"] for message in server.sessions[0].messages] == [
            "StartRecognition",
            "EndOfStream",
        ]


def test_none_and_numbers_of_other_libraries_are_fine() -> None:
    numpy = pytest.importorskip("numpy")
    with LocalServer() as server, Client(url=server.url, api_key=None, conn_config=None) as client:
        options = {**dict.fromkeys(SOURCE), "audio_format": RAW, "timeout": numpy.float64(30)}
        assert client.transcribe(bytes(32000), **{**options, "speed": numpy.int64(50)}).words


def test_a_key_in_the_place_of_auth_says_what_to_write() -> None:
    for kind in (Client, MultiChannelClient, AsyncClient, AsyncMultiChannelClient):
        with pytest.raises(ConfigurationError, match=r"Client\(api_key=\.\.\.\)"):
            kind("s3cret")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keyword", "where"),
    [
        ("language", r"transcription_config=TranscriptionConfig\(language=...\)"),
        ("diarization", r"transcription_config=TranscriptionConfig\(diarization=...\)"),
        ("sample_rate", r"audio_format=AudioFormat\(sample_rate=...\)"),
        ("target_languages", r"translation_config=TranslationConfig\(target_languages=...\)"),
        ("lang", r"did you mean 'language', which is a field of .*TranscriptionConfig\(language=...\)"),
        ("langage", r"did you mean 'language', which is a field of .*TranscriptionConfig\(language=...\)"),
        ("config", "did you mean 'transcription_config'"),
        ("url", r"belongs to the client, as Client\(url=...\)"),
        ("api_key", r"belongs to the client, as Client\(api_key=...\)"),
        ("resume", r"belongs to the client, as Client\(resume=...\)"),
        ("handler_errors", r"belongs to the client, as Client\(handler_errors=...\)"),
        ("proxy", r"belongs to the client, as Client\(conn_config=ConnectionConfig\(proxy=...\)\)"),
        ("pace", "'pace'; accepted: transcription_config, audio_format"),
    ],
)
def test_a_field_that_is_given_as_a_keyword_is_told_where_it_belongs(keyword: str, where: str) -> None:
    with Client(url=NOWHERE) as client, pytest.raises(TypeError, match=where):
        client.transcribe("audio.wav", **{keyword: "en"})


@pytest.mark.parametrize("kind", [Client, MultiChannelClient, AsyncClient, AsyncMultiChannelClient])
@pytest.mark.parametrize(
    ("keyword", "where"),
    [
        ("language", r"transcribe\(\) or start_session\(\), as .*TranscriptionConfig\(language=...\)"),
        ("audio_format", r"it belongs to transcribe\(\) or start_session\(\)"),
        ("timeout", r"it belongs to transcribe\(\)"),
        ("proxy", r"it is a field of conn_config=ConnectionConfig\(proxy=...\)"),
        ("min_delay", r"it is a field of resume=ResumePolicy\(min_delay=...\)"),
        ("apikey", "did you mean 'api_key'"),
        ("resum", "did you mean 'resume'"),
        ("anything", "accepted: auth, api_key, url"),
    ],
)
def test_a_keyword_that_a_client_does_not_have_is_told_where_it_belongs(
    kind: Callable[..., Any], keyword: str, where: str
) -> None:
    said = rf"^{kind.__name__}\(\) got an unexpected keyword argument '{keyword}'.*{where}"
    with pytest.raises(TypeError, match=said):
        kind(**{keyword: "en"})


@pytest.mark.parametrize("keyword", inspect.signature(Client).parameters)
def test_every_option_of_a_client_is_known_to_belong_there(keyword: str) -> None:
    with pytest.raises(TypeError, match=rf"it belongs to the client, as Client\({keyword}=...\)"):
        single.transcribe(Unread(), **{keyword: None})


@pytest.mark.parametrize("keyword", SOURCE)
def test_every_option_of_a_session_is_known_to_belong_there(keyword: str) -> None:
    with pytest.raises(TypeError, match=rf"it belongs to transcribe\(\).*, as {keyword}=..."):
        Client(**{keyword: None})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "keyword", "hint"),
    [
        (TranscriptionConfig, "langage", "did you mean 'language'"),
        (TranscriptionConfig, "end_of_utterance_silence_trigger", "put it into conversation_config"),
        (TranscriptionConfig, "audio_format", r"pass audio_format= to transcribe\(\)"),
        (TranscriptionConfig, "mood", "what this package does not know is sent from extra={'mood': ...}"),
        (AudioFormat, "codec", "accepted: encoding, sample_rate, chunk_size"),
        (ConnectionConfig, "open_timeot", "did you mean 'open_timeout'"),
        (ResumePolicy, "max_outages", "did you mean 'max_outage'"),
    ],
)
def test_a_misspelt_field_of_a_config_gets_the_hint_of_a_mapping(
    kind: Callable[..., Any], keyword: str, hint: str
) -> None:
    with pytest.raises(TypeError, match=rf"^{kind.__name__}\(\) got .* argument '{keyword}'; {hint}"):
        kind(**{keyword: 5})
