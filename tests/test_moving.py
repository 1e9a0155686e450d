"""The pages for those who come from other packages: each line is run, and what it says is checked."""

from __future__ import annotations

import inspect
import logging
import re
import shutil
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import speechmatics_rt
from speechmatics_rt import AudioFormat, Client, ConnectionConfig, JWTAuth, Transcript
from speechmatics_rt.local import Fault, LocalServer
from speechmatics_rt.log import wire
from speechmatics_rt.session import opener
from speechmatics_rt.session.connector import DEFAULT_URL

FOLDER = Path(__file__).parent.parent / "examples" / "moving"
SPEECH = FOLDER.parent / "audio" / "librivox_3_sentences.wav"
ASYNC, DEPRECATED = FOLDER / "from_async_sdk.md", FOLDER / "from_speechmatics_python.md"
RAW = AudioFormat("pcm_s16le", 16000)

# What version 1.2.1 of the official async SDK exports and its clients have; the same of speechmatics-python.
OFFICIAL = re.findall(
    r"\w+",
    """
    AsyncClient AsyncMultiChannelClient AudioEncoding AudioError AudioEventsConfig AudioFormat AuthBase
    AuthenticationError ClientMessageType ConfigurationError ConnectionConfig ConnectionError
    ConversationConfig EndOfTranscriptError EventEmitter JWTAuth Microphone Model OperatingPoint
    ServerMessageType SessionError SessionInfo SpeakerDiarizationConfig SpeakerIdentifier StaticKeyAuth
    TimeoutError TranscriptResult TranscriptionConfig TranscriptionError TranslationConfig TransportError
    """,
)
OFFICIAL_METHODS = re.findall(
    r"\w+",
    """
    start_session stop_session send_audio force_end_of_utterance transcribe close send_message on once off
    emit listeners remove_all_listeners audio_seconds_sent audio_bytes_sent request_id session_id
    """,
)
FORMER_SETTINGS = re.findall(
    r"\w+",
    """
    url message_buffer_size ssl_context semaphore_timeout_seconds ping_timeout_seconds auth_token
    generate_temp_token mp_url region client_ref
    """,
)
FORMER_METHODS = re.findall(
    r"\w+",
    """
    run_synchronously run stop add_event_handler add_middleware update_transcription_config send_message
    get_language_pack_info
    """,
)


def rows(page: Path) -> list[tuple[str, str, str]]:
    """There, here, what differs."""
    lines = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return lines[2:]


ROWS = [(page.stem, *row) for page in (ASYNC, DEPRECATED) for row in rows(page)]


async def a_coroutine_function(message: Any) -> None:
    pass


class World:
    """What the code of a row finds, and what a check of it may look at."""

    def __init__(self, server: LocalServer) -> None:
        self.server = server
        self.names: dict[str, Any] = {
            name: getattr(speechmatics_rt, name) for name in speechmatics_rt.__all__
        }
        self.names.update(
            ssl=ssl,
            logging=logging,
            RAW=RAW,
            SECOND=bytes(32000),
            a_coroutine_function=a_coroutine_function,
            client=Client(),
        )
        self.value: Any = None
        self.error: Any = None

    def run(self, code: str) -> None:
        session = None
        try:
            if re.search(r"\bsession\.", code):
                session = self.names["session"] = Client()
                session.start_session(audio_format=RAW)
            try:
                self.value = eval(code, self.names)
            except SyntaxError:
                exec(code, self.names)
            if session is not None and session.is_connected:
                session.stop_session()
        except Exception as exc:
            self.error = exc
        finally:
            for client in (session, self.names["client"]):
                if client is not None:
                    client.close()

    @property
    def last(self) -> Any:
        """The server's record of the last session."""
        return self.server.sessions[-1].wait_closed()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    shutil.copy(SPEECH, tmp_path / "audio.wav")
    monkeypatch.chdir(tmp_path)
    with LocalServer() as server:
        monkeypatch.setenv("SPEECHMATICS_RT_URL", server.url)
        monkeypatch.setenv("SM_MANAGEMENT_PLATFORM_URL", f"http://127.0.0.1:{server.port}")
        yield World(server)


def heard_all(world: World) -> bool:
    return world.last.said("EndOfTranscript") != []


def sent(world: World, kind: str) -> list[dict[str, Any]]:
    return world.last.heard(kind)


def header(world: World) -> bool:
    return world.last.headers["x-tenant"] == "blue"


def key_of(world: World) -> str:
    """The key that the client, which is the value, sends."""
    world.value.transcribe("audio.wav")
    return world.last.headers["authorization"].split()[1]


def refused(**options: Any) -> bool:
    with pytest.raises(speechmatics_rt.ConfigurationError, match=next(iter(options))):
        speechmatics_rt.TranscriptionConfig(**options).to_dict()
    return True


def too_late(world: World) -> bool:
    with pytest.raises(speechmatics_rt.TimeoutError) as late, Client() as client:
        client.transcribe("audio.wav", timeout=0.5, speed=2.0)
    return isinstance(world.value, Transcript) and isinstance(late.value.transcript, Transcript)


def in_order(world: World) -> bool:
    called: list[int] = []
    with Client() as client:
        for number in (3, 1, 2):
            client.on("RecognitionStarted", lambda message, number=number: called.append(number))
        client.transcribe("audio.wav")
    return called == [3, 1, 2]


def raises_of_handlers(world: World) -> bool:
    world.value.on("AddTranscript", lambda message: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        world.value.transcribe("audio.wav")
    return True


def fetched_once(world: World) -> bool:
    pytest.importorskip("jwt")
    world.value.transcribe("audio.wav")
    world.value.transcribe("audio.wav")
    return len(world.server.key_requests) == 1


def goes_on_after_a_loss(world: World) -> bool:
    world.server.faults = (Fault.fin(after_seconds=10, sessions=[0, 1]),)
    with pytest.raises(speechmatics_rt.TransportError) as lost, Client() as client:
        client.transcribe("audio.wav")
    assert isinstance(lost.value, ConnectionError)
    return world.value.transcribe("audio.wav").text.endswith("Please keep your seats")


def ends_early(world: World) -> bool:
    with Client() as client:
        client.on("AddTranscript", lambda message: client.request_stop())
        client.transcribe("audio.wav", speed=10.0)
    return heard_all(world) and world.last.audio_seconds < 19


# How the claim of a row is checked, by how the row begins; its code has run before.
CHECKS: dict[str, Callable[[World], Any]] = {
    "`async with AsyncClient()": heard_all,
    "`await client.transcribe(file)`": lambda w: w.names["transcript"].text.startswith("Good morning"),
    "`AudioFormat()`, the default": lambda w: w.last.start["audio_format"]["type"] == "raw",
    "`AudioFormat(encoding=Audio": lambda w: w.value == AudioFormat("pcm_s16le", 16000),
    "a field that the SDK": lambda w: w.value.to_dict()["some_preview"] is True,
    "`from speechmatics.rt import AsyncClient`": lambda w: w.names["Client"] is Client,
    '`TranscriptionConfig(language="en", max_delay': lambda w: refused(max_delay="soon")
    and w.value.max_delay == 1,
    "`await client.transcribe(f, timeout": too_late,
    "`await client.transcribe(f, ws_headers": header,
    "`@client.on(": in_order,
    "`client.once(": lambda w: w.names["client"].listeners("Info") == [],
    "a handler that raises": raises_of_handlers,
    "`TranscriptResult": lambda w: w.names["client"].listeners("AddTranscript"),
    "`StaticKeyAuth": lambda w: key_of(w) == "key",
    '`JWTAuth("key", ttl=60)`': fetched_once,
    "`ConnectionConfig(ssl_context": lambda w: w.value.proxy == "",
    "`Microphone(": lambda w: callable(w.value.read),
    "`logging.getLogger": lambda w: wire.name == f"{w.value.name}.wire",
    "an `async def` handler": lambda w: isinstance(w.error, ValueError) and "coroutine" in str(w.error),
    "`await client.start_session": lambda w: speechmatics_rt.ConnectionConfig().start_timeout == 30,
    "`await client.send_audio": lambda w: w.last.audio_size == 32000,
    "`await client.force_end": lambda w: sent(w, "ForceEndOfUtterance"),
    "`await client.send_message": lambda w: sent(w, "GetSpeakers"),
    "`await client.stop_session": heard_all,
    "`await client.close": lambda w: not heard_all(w),
    "`client.session_id`": lambda w: w.value == (w.last.session_id, w.last.request_id),
    "`client.audio_bytes_sent`": lambda w: w.value == (0, 0.0),
    "`AsyncMultiChannelClient()": lambda w: {word.channel for word in w.value.words} == {"left", "right"},
    '`message["results"][0]["channel"]`': lambda w: (
        set(w.value) == {"left"} and not all(final["results"] for final in w.last.said("AddTranscript"))
    ),
    "`async def get_auth_headers": lambda w: Client(w.names["Own"]()),
    "`ConnectionConfig(ping_timeout=60)`": lambda w: (w.value.open_timeout, w.value.end_timeout) == (10, 60),
    "`except TranscriptionError`, and": lambda w: all(issubclass(kind, w.value[0]) for kind in w.value),
    "a lost connection": lambda w: issubclass(
        speechmatics_rt.ConnectionError, speechmatics_rt.TransportError
    ),
    "`wss://eu2": lambda w: DEFAULT_URL == "wss://eu.rt.speechmatics.com/v2",
    # speechmatics-python
    "`ws = WebsocketClient": lambda w: isinstance(w.names["client"], Client),
    "`ConnectionSettings(url": lambda w: "of wss://eu2.rt.speechmatics.com/v2," in repr(w.value),
    "`ConnectionSettings(auth_token": lambda w: key_of(w) == "key",
    "`ConnectionSettings(generate_temp_token": fetched_once,
    "`ConnectionSettings(mp_url": lambda w: isinstance(w.value, JWTAuth),
    "`ConnectionSettings(ssl_context": lambda w: w.value.transcribe("audio.wav").words,
    "`ConnectionSettings(message_buffer": lambda w: w.value == ConnectionConfig(),
    "`ConnectionSettings(semaphore": lambda w: w.value == ConnectionConfig(),
    "`ConnectionSettings(ping": lambda w: w.value == ConnectionConfig(),
    "`AudioSettings()": lambda w: w.value.to_dict() == {"type": "file"},
    "`AudioSettings(encoding": lambda w: w.value == RAW,
    '`TranscriptionConfig(language="en", enable_partials': lambda w: w.value.to_dict()["enable_partials"],
    "`ws.add_event_handler(ServerMessageType": lambda w: w.names["client"].listeners("AddTranscript")
    == [print],
    '`ws.add_event_handler("all"': lambda w: w.names["client"].listeners("Anything") == [print],
    "`raise ForceEndSession`": ends_early,
    "`except TranscriptionError`": lambda w: not speechmatics_rt.TranscriptionError().retryable,
    "`websockets.exceptions": lambda w: issubclass(speechmatics_rt.ConnectionError, ConnectionError),
    "`LOGGER`": lambda w: opener.logger.name.startswith(f"{w.value.name}."),
    "`ws.run_synchronously(file": lambda w: w.names["transcript"].words,
    '`ws.run_synchronously({"left"': lambda w: {word.channel for word in w.value.words} == {"left", "right"},
    "`ws.run_synchronously(..., timeout": lambda w: isinstance(w.value, Transcript),
    "`await ws.run": lambda w: inspect.iscoroutinefunction(w.value.transcribe),
    "`run(..., extra_headers": header,
    "`ws.add_middleware": lambda w: w.last.audio_size == 32000,
    "`ws.update_transcription_config": lambda w: sent(w, "SetRecognitionConfig"),
    '`await ws.send_message("GetSpeakers"': lambda w: sent(w, "GetSpeakers")[0]["final"],
    "`ws.stop()`": heard_all,
    "`ws.get_language_pack_info": lambda w: w.value["language_description"] == "English",
    "`ws.session_running`": lambda w: w.value is True,
    "`EndOfTranscriptException`": heard_all,
}


@pytest.mark.parametrize(
    ("page", "there", "here", "why"), ROWS, ids=[f"{row[0]}: {row[1][:40]}" for row in ROWS]
)
def test_a_line_runs_as_printed_and_does_what_it_says(
    world, page: str, there: str, here: str, why: str
) -> None:
    code = re.fullmatch(r"`([^`]+)`", here)
    assert code, here
    world.run(code[1])
    if not there.startswith("an `async def` handler"):
        assert world.error is None, world.error
    checks = [check for begin, check in CHECKS.items() if there.startswith(begin)]
    assert checks, "what this line says is not checked"
    assert all(check(world) for check in checks)


def test_every_check_belongs_to_a_line() -> None:
    begins = [row[1] for row in ROWS]
    assert [begin for begin in CHECKS if not any(there.startswith(begin) for there in begins)] == []


def test_every_name_of_the_official_sdk_is_here() -> None:
    assert set(OFFICIAL) <= set(speechmatics_rt.__all__)
    assert [name for name in OFFICIAL_METHODS if not hasattr(Client, name)] == []


def test_every_setting_and_method_of_the_former_package_has_its_line() -> None:
    text = "\n".join(row[1] for row in ROWS if row[0] == DEPRECATED.stem)
    assert [name for name in FORMER_SETTINGS + FORMER_METHODS if not re.search(rf"\b{name}\b", text)] == []
