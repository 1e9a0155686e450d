"""What a person sees of an object, and what a pickle takes along: into a log, a notebook, another process."""

from __future__ import annotations

import asyncio
import copy
import io
import pickle
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioError,
    AudioFormat,
    Client,
    ConnectionConfig,
    JWTAuth,
    MultiChannelClient,
    NoAuth,
    Outcome,
    Recorder,
    StaticKeyAuth,
    Transcript,
    split_channels,
    transcribe_many,
)
from speechmatics_rt.audio import check_chunk
from speechmatics_rt.local import LocalServer

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)


# -- reprs -----------------------------------------------------------------------------------------------


def test_a_client_says_where_it_goes_and_how_far_it_is(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    assert repr(client) == f"<Client of {server.url}, no session>"
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    assert repr(client) == f"<Client of {server.url}, session {client.request_id} open, 1.0 s sent>"
    client.stop_session()
    assert repr(client) == f"<Client of {server.url}, session {client.request_id} over, 1.0 s sent>"
    client.transcribe(b"ID3" + bytes(997))
    assert repr(client).endswith("over, 1000 bytes sent>")


def test_no_key_is_shown_as_no_key() -> None:
    assert repr(NoAuth()) == "NoAuth()"


def test_a_client_shows_no_secret_and_never_fails_to_show_itself(monkeypatch) -> None:
    assert (
        repr(Client(url="wss://h/v2?jwt=s3cret", api_key="s3cret"))
        == "<Client of wss://h/v2?jwt=***, no session>"
    )
    monkeypatch.setenv("SPEECHMATICS_RT_URL", "nonsense")
    assert "invalid URL" in repr(Client())
    half_made = Client.__new__(Client)
    half_made._session = None
    assert repr(half_made) == "<Client of nowhere, no session>"
    assert repr(MultiChannelClient(url="ws://h/v2")).startswith("<MultiChannelClient of ws://h/v2")


def test_a_local_server_says_where_it_is_and_how_many_came(client_of) -> None:
    server = LocalServer()
    assert repr(server) == "<LocalServer of ws://127.0.0.1:0/v2, not started, 0 connections>"
    with server:
        client_of(server).transcribe(SECOND, audio_format=PCM)
        assert repr(server) == f"<LocalServer of {server.url}, running, 1 connections>"
    assert repr(server).endswith("closed, 1 connections>")


def test_a_stream_says_of_which_session_it_is_and_whether_that_is_over() -> None:
    with LocalServer() as server, Client(url=server.url) as client:
        for begin in (client.stream, client.utterances):
            stream = begin(SECOND, audio_format=PCM)
            of = f"<{type(stream).__name__} of session {client.request_id}"
            assert repr(stream) == f"{of}, running>"
            with stream:
                assert list(stream)
            assert repr(stream) == f"{of}, over>"


def test_an_asyncio_stream_says_so_too_and_before_it_has_started() -> None:
    async def run() -> None:
        with LocalServer() as server:
            async with AsyncClient(url=server.url) as client:
                for begin in (client.stream, client.utterances):
                    stream = begin(SECOND, audio_format=PCM)
                    name = type(stream).__name__
                    assert repr(stream) == f"<{name}, not started>"
                    async with stream:
                        assert repr(stream) == f"<{name} of session {client.request_id}, running>"
                        assert [each async for each in stream]
                    assert repr(stream) == f"<{name} of session {client.request_id}, over>"
                unused = client.stream(SECOND, audio_format=PCM)
                await unused.close()
                assert repr(unused) == "<AsyncMessageStream, over>"

    asyncio.run(run())


def test_the_asyncio_clients_show_themselves_alike() -> None:
    async def run() -> str:
        with LocalServer() as server:
            async with AsyncClient(url=server.url) as client:
                await client.transcribe(SECOND, audio_format=PCM)
                return repr(client)

    assert asyncio.run(run()).startswith("<AsyncClient of ws://127.0.0.1:")
    assert (
        repr(AsyncMultiChannelClient(url="ws://h/v2")) == "<AsyncMultiChannelClient of ws://h/v2, no session>"
    )


def test_a_stream_and_a_record_fit_on_a_line(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    with client.stream(SECOND * 20, audio_format=PCM) as messages:
        assert repr(messages) == f"<MessageStream of session {client.request_id}, running>"
        for _ in messages:
            pass
    assert repr(messages).endswith(", over>")
    record = server.sessions[0].wait_closed()
    assert repr(record) == f"<SessionRecord 0: 20.00 s of audio, {len(record.sent)} messages sent, closed>"


# -- pickles ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_config_of_a_connection_is_the_same_in_another_process(protocol: int) -> None:
    config = ConnectionConfig(open_timeout=3, ping_interval=None, proxy="http://user:word@proxy:3128")
    assert pickle.loads(pickle.dumps(config, protocol)) == config


def test_a_tls_context_can_not_go_along_and_the_error_says_what_to_do() -> None:
    config = ConnectionConfig(ssl_context=ssl.create_default_context(), open_timeout=3)
    with pytest.raises(TypeError, match=r"in the process that uses it.*SSL_CERT_FILE"):
        pickle.dumps(config)
    assert copy.copy(config) == config
    assert copy.copy(config).ssl_context is config.ssl_context


class OwnAuth(JWTAuth):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tenant = "blue"


@pytest.mark.parametrize("again", [lambda auth: pickle.loads(pickle.dumps(auth)), copy.deepcopy])
def test_temporary_keys_go_on_in_another_process_by_their_arguments(again: Any) -> None:
    pytest.importorskip("jwt")
    with LocalServer(keys=["s3cret"]) as server:
        mp_url = f"http://127.0.0.1:{server.port}"
        auth = OwnAuth("s3cret", ttl=300, region="us", client_ref="me", mp_url=mp_url, request_id="r1")
        before = auth.get_auth_headers()
        auth.configure(ConnectionConfig(ssl_context=ssl.create_default_context()))  # which has no pickle
        copied = again(auth)
        assert (repr(copied), copied.tenant) == (repr(auth), "blue")
        assert copied.get_auth_headers() != before  # the token stays in its process
        first, second = server.key_requests
        assert first.body == second.body
        assert (second.headers["x-request-id"], second.headers["authorization"]) == ("r1", "Bearer s3cret")
        with Client(copied, url=server.url) as client:
            client.transcribe(SECOND, audio_format=PCM)


def test_a_key_of_the_environment_stays_where_it_is(monkeypatch) -> None:
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "s3cret")
    for auth in (JWTAuth(), StaticKeyAuth(), NoAuth()):
        assert b"s3cret" not in pickle.dumps(auth)
        assert type(pickle.loads(pickle.dumps(auth))) is type(auth)


@pytest.mark.parametrize("kind", [Client, MultiChannelClient, AsyncClient, AsyncMultiChannelClient])
def test_a_client_has_no_pickle_and_says_what_to_do(kind: type) -> None:
    client = kind(url="ws://127.0.0.1:1/v2")
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match=f"{kind.__name__} can't be pickled.*create it where it is used"):
            take(client)


def test_a_local_server_and_its_records_have_no_pickle_and_say_what_to_do() -> None:
    with LocalServer() as server, Client(url=server.url) as client:
        client.transcribe(SECOND, audio_format=PCM)
        for take in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=r"a LocalServer can't be pickled.*hand on its url"):
                take(server)
            with pytest.raises(TypeError, match=r"a SessionRecord can't be pickled.*recording\(\)"):
                take(server.sessions[0])


@pytest.mark.parametrize("kind", [Client, MultiChannelClient])
def test_a_subclass_that_forgot_to_initialise_its_base_can_be_shown(kind: type) -> None:
    class Forgot(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            self.tenant = "blue"

    assert repr(Forgot()) == "<Forgot of nowhere, no session>"


def test_a_stream_has_no_pickle_but_its_transcript_has(serve, client_of) -> None:
    with client_of(serve()).stream(SECOND, audio_format=PCM) as messages:
        with pytest.raises(TypeError, match="its transcript can be"):
            pickle.dumps(messages)
        messages.finish()
        assert pickle.loads(pickle.dumps(messages.transcript)) == messages.transcript


# -- audio -------------------------------------------------------------------------------------------------

AUDIO = b"\x01\x02VOICE\x03" * 50_000


def _held(audio: bytes) -> dict[str, Any]:
    """Return the audio in whatever a caller may hold it."""
    return {
        "bytes": audio,
        "bytearray": bytearray(audio),
        "memoryview": memoryview(audio),
        "list": [audio[:4], audio[4:]],
        "tuple": (audio,),
        "BytesIO": io.BytesIO(audio),
        "iterator": iter([audio]),
        "mapping": {"agent": audio, "caller": [audio]},
    }


def _calls(client: Client, several: MultiChannelClient) -> dict[str, Callable[[Any], object]]:
    """Return everything public that takes a source, or something that a source may be mistaken for."""
    noise = AudioFormat("pcm_f32le", 8000)
    return {
        "transcribe": client.transcribe,
        "transcribe as": lambda held: client.transcribe(held, audio_format=noise, speed=0),
        "transcribe with": lambda held: client.transcribe(b"", transcription_config=held),
        "format": lambda held: client.transcribe(b"", audio_format=held),
        "several": several.transcribe,
        "several, one": lambda held: several.transcribe({"a": held, "b": b"ab"}),
        "channels": lambda held: several.start_session(channels=held),
        "channel": lambda held: several.send_audio(held, b"agent"),
        "end_channel": several.end_channel,
        "message": client.send_message,
        "timestamp": lambda held: client.force_end_of_utterance(timestamp=held),
        "chunk": lambda held: check_chunk(held if isinstance(held, (list, tuple, str)) else [held], noise),
        "split": lambda held: split_channels(held, ["agent", "caller"]),
        "labels": lambda held: split_channels(b"", held),
        "many": lambda held: [transcribe_many(held), transcribe_many([], executor=held)],
        "player": Transcript().player,
        "recorder": lambda held: Recorder(client, held),
        "client": lambda held: Recorder(held, "never"),
        "from_dict": Transcript.from_dict,
    }


def test_no_error_shows_the_audio_that_was_given() -> None:
    with LocalServer() as server, Client(url=server.url) as one, MultiChannelClient(url=server.url) as two:
        for name, call in _calls(one, two).items():
            for kind, held in _held(AUDIO).items():
                try:
                    call(held)
                except Exception as exc:
                    for each in (exc, exc.__cause__):
                        assert "VOICE" not in str(each), (name, kind)
                        assert len(str(each)) < 500, (name, kind)


def test_audio_as_text_is_no_path_and_is_not_shown() -> None:
    text = AUDIO.decode("latin-1")
    for call in (Client(url="ws://h/v2").transcribe, lambda held: split_channels(held, ["a", "b"])):
        with pytest.raises(
            AudioError, match=r"a text of 400000 characters is no path; audio is given as bytes$"
        ):
            call(text)


def test_an_outcome_fits_on_a_line_and_shows_what_matters() -> None:
    with LocalServer() as server:
        (outcome,) = transcribe_many([SECOND * 20], url=server.url, audio_format=PCM)
    assert repr(outcome) == (
        f"Outcome(index=0, source=<640000 bytes>, transcript={outcome.transcript!r}, stats=<"
        f"{outcome.stats.seconds_transcribed:.1f} of 20.0 s final>, request_id={outcome.request_id!r}, "
        f"session_id={outcome.session_id!r})"
    )
    assert repr(replace(outcome, tries=3, transcript=None, error=AudioError("cut"))).startswith(
        "Outcome(index=0, source=<640000 bytes>, error=AudioError('cut'), tries=3, stats=<"
    )


def test_no_outcome_shows_the_audio_of_its_source() -> None:
    seen: list[Any] = []
    held = _held(AUDIO)
    with LocalServer() as server:
        options = {"url": server.url, "audio_format": PCM, "on_progress": seen.append}
        seen += transcribe_many([*held.values(), "nowhere.wav"], **options)
    for each in seen:
        assert "VOICE" not in repr(each)
        assert len(repr(each)) < 1000
    sources = [repr(each) for each in seen if isinstance(each, Outcome)]
    for shown in (
        "source=<400000 bytes>,",
        "source=[b'\\x01\\x02VO', <399996 bytes>],",
        "source=<_io.BytesIO object at",
        "'nowhere.wav'",
    ):
        assert any(shown in each for each in sources), shown
    assert any("source={'agent': <400000 bytes>, 'caller': [<400000 bytes>]}" in each for each in sources)
