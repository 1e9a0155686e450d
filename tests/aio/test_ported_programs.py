"""Programs of users of the official asyncio SDK, in words of our own: each runs with its import line changed.

They use the calls and the names that its documentation shows: whole files, several channels, chunks pushed by
hand, the microphone, temporary keys, translations, speakers, a dictionary, forced ends, and errors.
"""

from __future__ import annotations

import asyncio
import os
import textwrap
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt.local import LocalServer

from ..audio.test_microphone import device, heard, library, loaded  # noqa: F401  # fixtures

IMPORT = "from speechmatics.rt import "  # the line that is changed

PROGRAMS = {
    "a file": """
        from speechmatics.rt import AsyncClient, ServerMessageType

        async def main():
            async with AsyncClient() as client:
                @client.on(ServerMessageType.ADD_TRANSCRIPT)
                def final(msg):
                    print(msg["metadata"]["transcript"])

                with open("audio.wav", "rb") as audio_file:
                    await client.transcribe(audio_file)
    """,
    "partials and a dictionary": """
        from speechmatics.rt import (
            AsyncClient, AudioFormat, AudioEncoding, ServerMessageType, TranscriptionConfig,
        )

        async def main():
            config = TranscriptionConfig(
                language="en", enable_partials=True, max_delay=1.0, additional_vocab=[{"content": "Norwich"}],
            )
            audio_format = AudioFormat(encoding=AudioEncoding.PCM_S16LE, sample_rate=16000, chunk_size=4096)
            async with AsyncClient(api_key="any") as client:
                client.on(ServerMessageType.ADD_PARTIAL_TRANSCRIPT, lambda msg: None)
                client.on(ServerMessageType.ADD_TRANSCRIPT, lambda msg: print(msg["metadata"]["transcript"]))
                with open("audio.raw", "rb") as audio:
                    await client.transcribe(audio, transcription_config=config, audio_format=audio_format)
    """,
    "several channels": """
        from speechmatics.rt import AsyncMultiChannelClient, ServerMessageType, TranscriptionConfig

        async def main():
            sources = {"left": open("audio.wav", "rb"), "right": open("audio.wav", "rb")}
            try:
                async with AsyncMultiChannelClient() as client:
                    @client.on(ServerMessageType.ADD_TRANSCRIPT)
                    def final(msg):
                        print(msg["metadata"]["transcript"])

                    await client.transcribe(
                        sources,
                        transcription_config=TranscriptionConfig(
                            language="en", diarization="channel", channel_diarization_labels=list(sources),
                        ),
                    )
            finally:
                for source in sources.values():
                    source.close()
    """,
    "a temporary key": """
        from speechmatics.rt import AsyncClient, JWTAuth

        async def main():
            auth = JWTAuth("any", ttl=60)
            async with AsyncClient(auth=auth) as client:
                client.on("AddTranscript", lambda msg: print(msg["metadata"]["transcript"]))
                with open("audio.wav", "rb") as audio:
                    await client.transcribe(audio)
    """,
    "headers of one's own": """
        from speechmatics.rt import AsyncClient, AuthBase

        class Vault(AuthBase):
            async def get_auth_headers(self):
                return {"Authorization": "Bearer any"}

        async def main():
            async with AsyncClient(auth=Vault()) as client:
                client.on("AddTranscript", lambda msg: print(msg["metadata"]["transcript"]))
                with open("audio.wav", "rb") as audio:
                    await client.transcribe(audio, timeout=30)
    """,
    "chunks by hand": """
        from speechmatics.rt import (
            AsyncClient, AudioFormat, AudioEncoding, TranscriptResult, ServerMessageType,
        )

        async def main():
            client = AsyncClient()
            ready = []

            @client.once(ServerMessageType.RECOGNITION_STARTED)
            def started(msg):
                ready.append(msg["id"])

            @client.on(ServerMessageType.ADD_TRANSCRIPT)
            def final(msg):
                print(TranscriptResult.from_message(msg).metadata.transcript)

            assert client.request_id
            try:
                await client.start_session(
                    audio_format=AudioFormat(encoding=AudioEncoding.PCM_S16LE, sample_rate=16000)
                )
                assert ready == [client.session_id]
                with open("audio.raw", "rb") as audio:
                    while chunk := audio.read(4096):
                        await client.send_audio(chunk)
                await client.force_end_of_utterance()
                assert client.audio_bytes_sent and client.audio_seconds_sent
                await client.stop_session()
            finally:
                await client.close()
    """,
    "the microphone, by hand": """
        from speechmatics.rt import AsyncClient, AudioFormat, AudioEncoding, Microphone, TranscriptionConfig

        async def main():
            mic = Microphone(sample_rate=16000, chunk_size=160)
            if not mic.start():
                raise SystemExit("no microphone")
            speak(mic)
            async with AsyncClient() as client:
                client.on("AddTranscript", lambda msg: print(msg["metadata"]["transcript"]))
                await client.start_session(
                    transcription_config=TranscriptionConfig(language="en"),
                    audio_format=AudioFormat(AudioEncoding.PCM_S16LE, 16000, 160),
                )
                try:
                    for _ in range(100):
                        frame = await mic.read(640)
                        await client.send_audio(frame)
                finally:
                    mic.stop()
    """,
    "the microphone, by name": """
        from speechmatics.rt import AsyncClient, AudioFormat, AudioEncoding, Microphone

        async def main():
            with_loop = Microphone(sample_rate=16000, channels=1, chunk_size=160, device_index=None)
            with_loop.start()
            speak(with_loop)
            client = AsyncClient()
            client.on("AddTranscript", lambda msg: print(msg["metadata"]["transcript"]))
            await client.start_session(audio_format=AudioFormat(AudioEncoding.PCM_S16LE, 16000))
            while True:
                frame = await with_loop.read(chunk_size=3200)
                if not frame:
                    break
                await client.send_audio(frame)
            await client.stop_session()
            await client.close()
    """,
    "the microphone, as a source": """
        from speechmatics.rt import AsyncClient, AudioFormat, AudioEncoding, Microphone

        async def main():
            mic = Microphone(16000)
            mic.start()
            speak(mic)
            async with AsyncClient() as client:
                client.on("AddTranscript", lambda msg: print(msg["metadata"]["transcript"]))
                await client.transcribe(mic, audio_format=AudioFormat(AudioEncoding.PCM_S16LE, 16000))
    """,
    "translations": """
        from speechmatics.rt import AsyncClient, ServerMessageType, TranslationConfig

        async def main():
            async with AsyncClient() as client:
                client.on(ServerMessageType.ADD_TRANSLATION, lambda msg: print(msg["results"][0]["content"]))
                client.on(ServerMessageType.ADD_TRANSCRIPT, lambda msg: print(msg["metadata"]["transcript"]))
                with open("audio.wav", "rb") as audio:
                    await client.transcribe(
                        audio,
                        translation_config=TranslationConfig(target_languages=["fr"], enable_partials=False),
                    )
    """,
    "speakers and audio events": """
        from speechmatics.rt import (
            AsyncClient, AudioEventsConfig, ConversationConfig, ServerMessageType, SpeakerDiarizationConfig,
            TranscriptionConfig,
        )

        async def main():
            config = TranscriptionConfig(
                diarization="speaker",
                speaker_diarization_config=SpeakerDiarizationConfig(max_speakers=2),
                conversation_config=ConversationConfig(end_of_utterance_silence_trigger=0.5),
            )
            async with AsyncClient() as client:
                client.on(ServerMessageType.END_OF_UTTERANCE, lambda msg: None)
                client.on(ServerMessageType.ADD_TRANSCRIPT, lambda msg: print(msg["metadata"]["transcript"]))
                with open("audio.wav", "rb") as audio:
                    await client.transcribe(
                        audio,
                        transcription_config=config,
                        audio_events_config=AudioEventsConfig(["laughter"]),
                    )
    """,
    "logging": """
        import logging
        import sys
        from speechmatics.rt import AsyncClient

        logging.getLogger("a program").setLevel(logging.DEBUG)

        async def main():
            async with AsyncClient() as client:
                client.on("AddTranscript", lambda msg: print(msg["metadata"]["transcript"]))
                with open("audio.wav", "rb") as audio:
                    await client.transcribe(audio)
    """,
    "errors": """
        from speechmatics.rt import (
            AsyncClient, AuthenticationError, ConfigurationError, ConnectionConfig, ConnectionError,
            TimeoutError, TranscriptionError, TransportError,
        )

        async def main():
            client = AsyncClient(conn_config=ConnectionConfig(open_timeout=30))
            try:
                await client.send_audio(b"")
            except TransportError:
                pass
            try:
                with open("audio.wav", "rb") as audio:
                    client.on("AddTranscript", lambda msg: print(msg["metadata"]["transcript"]))
                    await client.transcribe(audio)
            except (AuthenticationError, ConfigurationError, ConnectionError, TimeoutError):
                raise
            except TranscriptionError:
                raise
            finally:
                await client.close()
    """,
    "a subclass": """
        from speechmatics.rt import AsyncClient, AudioFormat, AudioEncoding, ServerMessageType

        class Agent(AsyncClient):
            def __init__(self, **options):
                super().__init__(**options)
                self.ready = False
                self.on(ServerMessageType.RECOGNITION_STARTED, self.begin)
                self.on(ServerMessageType.ADD_TRANSCRIPT, lambda msg: print(msg["metadata"]["transcript"]))

            def begin(self, msg):
                self.ready = True

            async def send_audio(self, payload):
                if self.ready:
                    await super().send_audio(payload)

        async def main():
            async with Agent() as agent:
                await agent.start_session(audio_format=AudioFormat(AudioEncoding.PCM_S16LE, 16000))
                with open("audio.raw", "rb") as audio:
                    while chunk := audio.read(3200):
                        await agent.send_audio(chunk)
                await agent.stop_session()
    """,
    "events of one's own": """
        from speechmatics.rt import AsyncClient, EventEmitter, ServerMessageType

        class Page(EventEmitter):
            pass

        async def main():
            page = Page()
            page.on(ServerMessageType.ADD_TRANSCRIPT, lambda msg: print(msg["metadata"]["transcript"]))
            async with AsyncClient() as client:
                client.on(ServerMessageType.ADD_TRANSCRIPT,
                          lambda msg: page.emit(ServerMessageType.ADD_TRANSCRIPT, msg))
                with open("audio.wav", "rb") as audio:
                    await client.transcribe(audio)
            page.remove_all_listeners()
    """,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    samples = bytes(32000 * 2)
    (tmp_path / "audio.raw").write_bytes(samples)
    with wave.open(str(tmp_path / "audio.wav"), "wb") as wav:
        wav.setparams((1, 2, 16000, 0, "NONE", ""))
        wav.writeframes(samples)
    before = os.getcwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_runs_with_its_import_line_changed(
    name: str,
    folder: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = textwrap.dedent(PROGRAMS[name])
    assert program.count(IMPORT) == 1
    known: dict[str, Any] = {}
    if "Microphone" in program:
        known["speak"] = speaking_on(request.getfixturevalue("device"))
    exec(compile(program.replace(IMPORT, "from speechmatics_rt.aio import "), name, "exec"), known)
    with LocalServer(keys=["any"]) as server:
        monkeypatch.setenv("SPEECHMATICS_API_KEY", "any")
        monkeypatch.setenv("SPEECHMATICS_RT_URL", server.url)
        monkeypatch.setenv("SM_MANAGEMENT_PLATFORM_URL", f"http://127.0.0.1:{server.port}")
        asyncio.run(known["main"]())
    assert "Good morning, and welcome" in capsys.readouterr().out.replace("\n", " ").replace("  ", " ")


def speaking_on(device: Any) -> Any:  # noqa: F811
    """Return what has two seconds recorded; then the microphone is switched off."""

    def speak(mic: Any) -> None:
        heard(device, 200)
        asyncio.get_running_loop().call_later(0.3, mic.stop)

    return speak


def test_there_are_as_many_as_its_documentation_has() -> None:
    assert len(PROGRAMS) == 15
