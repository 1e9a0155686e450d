"""A session as a file, and the file as a session again."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import json
import os
import stat
import sys
from pathlib import Path
from typing import Any, Optional

import pytest

from speechmatics_rt import (
    AsyncClient,
    AudioFormat,
    Client,
    ConfigurationError,
    ConnectionError,
    EventEmitter,
    MultiChannelClient,
    Recorder,
    ResumePolicy,
    SessionError,
    TranscriptionConfig,
    TranscriptionError,
)
from speechmatics_rt.local import Fault, LocalServer, ReplayEngine
from speechmatics_rt.session.recorder import _cleaned

PCM = AudioFormat("pcm_s16le", 16000)
SECONDS = bytes(32000 * 8)
RICH = TranscriptionConfig(diarization="speaker", enable_partials=True, max_delay=1.0)
OF_EVERY_SESSION = ("RecognitionStarted", "AudioAdded", "ChannelAudioAdded", "EndOfTranscript", "Info")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bug.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def said(server: LocalServer, index: int = 0) -> list[dict[str, Any]]:
    """Each message of an engine with its place in the audio; what came after its end stands at that.

    Of several channels at that of its own: which of them ends last is for chance.
    """
    record = server.sessions[index].wait_closed()
    entries = [e for e in record.recording() if e["message"]["message"] not in OF_EVERY_SESSION]

    def end(channel: Optional[str]) -> float:
        return record.audio_seconds if channel is None else len(record.audio_of(channel)) / 32000

    return [
        {**e, "audio": end(e["message"].get("channel")) if e["audio"] is None else e["audio"]}
        for e in entries
    ]


def test_what_was_recorded_is_served_back_exactly_and_at_its_place(serve, client_of, path) -> None:
    server = serve()
    client = client_of(server)
    with Recorder(client, path):
        transcript = client.transcribe(SECONDS, audio_format=PCM, transcription_config=RICH)
    replaying = serve(ReplayEngine(path))
    again = client_of(replaying).transcribe(SECONDS, audio_format=PCM, transcription_config=RICH)
    assert again == transcript
    assert len(said(server)) > 20
    assert said(replaying) == said(server)


def test_several_channels_are_served_back_each_to_its_own(serve, client_of, path) -> None:
    server = serve()
    client = client_of(server, kind=MultiChannelClient)
    sources = {"a": SECONDS, "b": SECONDS[:64000]}
    with Recorder(client, path):
        transcript = client.transcribe(sources, audio_format=PCM)
    replaying = serve(ReplayEngine(path))
    again = client_of(replaying, kind=MultiChannelClient).transcribe(sources, audio_format=PCM)
    for channel in "ab":  # what is said on both at one moment comes in any order
        heard = [[word for word in one.words if word.channel == channel] for one in (again, transcript)]
        assert heard[0] == heard[1]
        one, other = (
            [e for e in said(s) if e["message"].get("channel") == channel] for s in (server, replaying)
        )
        assert one == other


def test_a_session_by_hand_is_recorded_with_what_was_said_in_it(serve, client_of, path) -> None:
    client = client_of(serve())
    with Recorder(client, path):
        client.start_session(audio_format=PCM, transcription_config=RICH)
        client.send_audio(SECONDS)
        client.update_config(max_delay=2.0)
        client.get_speakers()
        client.force_end_of_utterance()
        client.stop_session()
    sent = [line["sent"]["message"] for line in lines(path) if "sent" in line]
    assert sent == [
        "StartRecognition",
        "AddAudio",
        "SetRecognitionConfig",
        "GetSpeakers",
        "ForceEndOfUtterance",
    ]
    replaying = serve(ReplayEngine(path))
    again = client_of(replaying)
    again.start_session(audio_format=PCM, transcription_config=RICH)
    again.send_audio(SECONDS)
    again.force_end_of_utterance()
    again.stop_session()
    assert again.transcript == client.transcript
    assert replaying.sessions[0].said("EndOfUtterance")[-1]["forced"]


def test_every_line_has_its_time_the_first_the_ids_and_the_last_the_end(serve, client_of, path) -> None:
    client = client_of(serve())
    with Recorder(client, path):
        client.transcribe(SECONDS, audio_format=PCM)
    first, *rest, last = lines(path)
    assert first["request_id"] == client.request_id
    assert set(first) == {"time", "began", "package", "request_id"}
    assert last["ended"] is None
    assert all(len(line) == 2 and line["time"] >= 0 for line in rest)
    kinds = [(line.get("sent") or line["received"])["message"] for line in rest]
    assert kinds[0] == "StartRecognition"
    assert kinds[-1] == "EndOfTranscript"
    assert kinds.count("AddAudio") == kinds.count("AudioAdded") > 10


def test_the_recording_may_be_had_as_it_is_before_a_handler_touches_it(serve, client_of, path) -> None:
    client = client_of(serve())
    client.on("AddTranscript", lambda message: message.clear())
    with Recorder(client, path):
        client.transcribe(SECONDS, audio_format=PCM)
    assert [line for line in lines(path) if line.get("received", {}).get("message") == "AddTranscript"]


def test_the_audio_goes_along_only_if_it_is_asked_for(serve, client_of, path) -> None:
    client = client_of(serve())
    audio = bytes(range(256)) * 250
    with Recorder(client, path):
        client.transcribe(audio, audio_format=PCM)
    assert '"data"' not in path.read_text(encoding="utf-8")
    with Recorder(client, path, audio=True):
        client.transcribe(audio, audio_format=PCM)
    data = [base64.b64decode(line["sent"]["data"]) for line in lines(path) if "data" in line.get("sent", {})]
    assert b"".join(data) == audio


def test_no_secret_is_in_it_and_only_its_owner_reads_it(serve, client_of, path) -> None:
    voice = base64.b64encode(b"whose voice").decode()
    config = TranscriptionConfig(
        diarization="speaker",
        speaker_diarization_config={
            "get_speakers": True,
            "speakers": [{"label": "Alice", "speaker_identifiers": [voice]}],
        },
    )
    client = client_of(serve(keys=["s3cret-key"]), api_key="s3cret-key")
    with Recorder(client, path):
        client.transcribe(
            SECONDS, audio_format=PCM, transcription_config=config, ws_headers={"X-Pass": "s3cret"}
        )
    text = path.read_text(encoding="utf-8")
    assert "s3cret" not in text
    assert voice not in text
    assert "Alice" in text
    (result,) = [
        line["received"]
        for line in lines(path)
        if line.get("received", {}).get("message") == "SpeakersResult"
    ]
    assert {voice for speaker in result["speakers"] for voice in speaker["speaker_identifiers"]} == {
        "cmVtb3ZlZA=="
    }
    assert _cleaned({"agent": [{"auth_token": "s3cret", "name": "a"}]}) == {
        "agent": [{"auth_token": "***", "name": "a"}]
    }
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_file_that_others_could_read_is_closed_to_them_before_anything_is_in_it(path) -> None:
    path.write_bytes(b"of last week")
    path.chmod(0o644)
    with Client(url="ws://127.0.0.1:1/v2") as client, contextlib.closing(Recorder(client, path)):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="there links are for administrators")
def test_a_link_is_not_followed_to_what_somebody_would_have_written_over(path, tmp_path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"kept")
    path.symlink_to(precious)
    with Client(url="ws://127.0.0.1:1/v2") as client, pytest.raises(ConfigurationError, match="can't write"):
        Recorder(client, path)
    assert precious.read_bytes() == b"kept"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_user_is_refused_and_left_alone(path) -> None:
    path.write_bytes(b"his")
    os.chown(path, 12345, 12345)
    with Client(url="ws://127.0.0.1:1/v2") as client, pytest.raises(ConfigurationError, match="another user"):
        Recorder(client, path)
    assert path.read_bytes() == b"his"


def test_an_error_of_the_service_is_met_again(serve, client_of, path) -> None:
    client = client_of(serve(faults=[Fault.error("job_error", after_seconds=3)]))
    with Recorder(client, path), pytest.raises(TranscriptionError) as first:
        client.transcribe(SECONDS, audio_format=PCM)
    assert lines(path)[-1]["ended"].startswith("TranscriptionError: ")
    with pytest.raises(TranscriptionError) as second:
        client_of(serve(ReplayEngine(path))).transcribe(SECONDS, audio_format=PCM)
    assert (second.value.type, second.value.reason) == (first.value.type, first.value.reason)
    assert second.value.transcript.words == first.value.transcript.words


def test_what_was_heard_before_a_loss_is_in_it(serve, client_of, path) -> None:
    client = client_of(serve(faults=[Fault.fin(after_seconds=4)]))
    with Recorder(client, path), pytest.raises(ConnectionError):
        client.transcribe(SECONDS, audio_format=PCM, transcription_config=RICH, speed=8.0)
    assert lines(path)[-1]["ended"].startswith("ConnectionError: ")
    with pytest.raises(ConnectionError, match="lost") as again:
        client_of(serve(ReplayEngine(path))).transcribe(SECONDS, audio_format=PCM, transcription_config=RICH)
    assert again.value.transcript.words == client.transcript.words != []


def test_a_session_over_two_connections_is_one_recording(serve, client_of, path) -> None:
    client = client_of(
        serve(faults=[Fault.reset(after_seconds=4, sessions=[0])]),
        resume=ResumePolicy(min_delay=0.01, replay_speed=1000),
    )
    with Recorder(client, path):
        transcript = client.transcribe(SECONDS, audio_format=PCM)
    assert "Resumed" in path.read_text(encoding="utf-8")
    again = client_of(serve(ReplayEngine(path))).transcribe(SECONDS, audio_format=PCM)
    assert again.text == transcript.text


def test_one_session_is_recorded_the_next_that_starts(serve, client_of, path) -> None:
    server = serve(
        faults=[Fault.refuse(503, sessions=[0]), Fault.error("quota_exceeded", at="start", sessions=[1])]
    )
    client = client_of(server)
    with Recorder(client, path):
        for kind in (ConnectionError, TranscriptionError):
            with pytest.raises(kind):
                client.transcribe(SECONDS, audio_format=PCM)
        client.transcribe(SECONDS, audio_format=PCM)
        recorded = client.request_id
        client.transcribe(SECONDS, audio_format=PCM)
    assert [line["request_id"] for line in lines(path) if "request_id" in line] == [recorded]
    assert "quota_exceeded" not in path.read_text(encoding="utf-8")


def test_leaving_it_ends_the_recording_and_not_the_session(serve, client_of, path) -> None:
    client = client_of(serve())
    with Recorder(client, path):
        client.start_session(audio_format=PCM)
        client.send_audio(SECONDS[:32000])
    size = path.stat().st_size
    client.send_audio(SECONDS[:32000])
    client.stop_session()
    assert path.stat().st_size == size > 100


def test_the_asyncio_client_is_recorded_as_well(path) -> None:
    async def run(url: str) -> Any:
        async with AsyncClient(url=url) as client:
            with Recorder(client, path):
                return await client.transcribe(SECONDS, audio_format=PCM)

    with LocalServer() as server:
        asyncio.run(run(server.url))
        recorded = said(server)
    with LocalServer(ReplayEngine(path)) as server, Client(url=server.url) as client:
        client.transcribe(SECONDS, audio_format=PCM)
        assert said(server) == recorded


def test_a_full_disk_ends_the_recording_with_a_warning_and_not_the_session(
    serve, client_of, path, monkeypatch, caplog
) -> None:
    client = client_of(serve())
    recorder = Recorder(client, path)
    file = recorder._recording._file

    class Full:
        closed = False

        def fileno(self) -> int:
            return file.fileno()

        def seek(self, place: int) -> None:
            file.seek(place)

        def truncate(self) -> None:
            file.truncate()

        def write(self, line: bytes) -> int:
            if file.tell() > 2000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return file.write(line)

        def close(self) -> None:
            self.closed = True
            file.close()

    monkeypatch.setattr(recorder._recording, "_file", Full())
    with recorder:
        assert client.transcribe(SECONDS, audio_format=PCM).words
    assert [record.message for record in caplog.records if "No space left" in record.message]
    assert lines(path)


def test_a_message_that_no_file_can_hold_ends_the_recording_alone(serve, client_of, path, caplog) -> None:
    client = client_of(serve())
    endless: dict[str, Any] = {"message": "Info"}
    endless["again"] = endless
    with Recorder(client, path) as recorder:
        client.start_session(audio_format=PCM)
        recorder._recording.received(endless)
        client.send_audio(SECONDS)
        client.stop_session()
    assert client.transcript.words
    assert "the recording ends here" in caplog.text
    assert [line["sent"]["message"] for line in lines(path) if "sent" in line] == ["StartRecognition"]


def test_a_recording_that_was_cut_in_its_last_line_is_served_to_there(serve, client_of, path) -> None:
    client = client_of(serve())
    with Recorder(client, path):
        client.transcribe(SECONDS, audio_format=PCM)
    path.write_bytes(path.read_bytes()[:-5])
    assert client_of(serve(ReplayEngine(path))).transcribe(SECONDS, audio_format=PCM) == client.transcript


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
@pytest.mark.parametrize("kind", [Client, MultiChannelClient])
def test_a_recording_that_was_cut_off_is_told_and_ends_with_a_lost_connection(
    serve, client_of, path, kind, share: float
) -> None:
    source = SECONDS if kind is Client else {"a": SECONDS, "b": SECONDS}
    client = client_of(serve(faults=[Fault.error("job_error", after_seconds=6)]), kind=kind)
    with Recorder(client, path), pytest.raises(TranscriptionError):
        client.transcribe(source, audio_format=PCM)
    whole = path.read_bytes()
    for end in (int(len(whole) * share), whole.index(b"\n", int(len(whole) * share)) + 1):
        path.write_bytes(whole[:end])
        with pytest.warns(UserWarning, match="ends in the middle of its session"):
            engine = ReplayEngine(path)
        with pytest.raises(ConnectionError, match="lost"):
            client_of(serve(engine), kind=kind).transcribe(source, audio_format=PCM)


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_no_recording(path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"bug\.jsonl is empty: no session was recorded"):
        ReplayEngine(path)


def test_what_is_recorded_already_stays_until_another_session_is_opened(serve, client_of, path) -> None:
    client = client_of(serve(faults=[Fault.refuse(503, sessions=[1])]))
    with Recorder(client, path):
        client.transcribe(SECONDS, audio_format=PCM)
    recorded = path.read_bytes()
    with pytest.raises(ZeroDivisionError), Recorder(client, path):
        raise ZeroDivisionError
    assert path.read_bytes() == recorded
    with pytest.raises(ConnectionError), Recorder(client, path):
        client.transcribe(SECONDS, audio_format=PCM)
    assert lines(path)[-1]["failure"]["status"] == 503
    with Recorder(client, path):
        client.transcribe(SECONDS[:32000], audio_format=PCM)
    assert lines(path)[0]["request_id"] == client.request_id
    assert 0 < path.stat().st_size < len(recorded)


def test_a_recorder_of_the_wrong_client_says_so_and_leaves_no_empty_file(serve, client_of, path) -> None:
    one, other = client_of(serve()), client_of(serve())
    unused = "no session of this client began, so .* was not written"
    with pytest.warns(UserWarning, match=unused) as told, Recorder(one, path):
        other.transcribe(SECONDS, audio_format=PCM)
    assert told[0].filename == __file__
    assert not path.exists()


def test_a_second_recorder_of_a_client_is_refused_until_the_first_has_ended(serve, client_of, path) -> None:
    client, other = client_of(serve()), path.with_name("other.jsonl")

    def second() -> None:
        with pytest.raises(SessionError, match=rf"is written to .*{path.name}'; close\(\) that Recorder"):
            Recorder(client, other)
        assert not other.exists()

    with Recorder(client, path):
        second()
        client.start_session(audio_format=PCM)
        second()
        client.stop_session()
        with Recorder(client, other):  # the first is over, though not closed
            client.transcribe(SECONDS, audio_format=PCM)
    assert [lines(each)[-1]["ended"] for each in (path, other)] == [None, None]


def test_a_recorder_says_whose_and_where_and_how_far_it_is(serve, client_of, path) -> None:
    client = client_of(serve())
    recorder = Recorder(client, path)
    assert repr(recorder) == f"<Recorder of Client to {str(path)!r}, waiting for a session>"
    with recorder:
        client.start_session(audio_format=PCM)
        assert repr(recorder).endswith("recording>")
        client.stop_session()
    assert repr(recorder).endswith("over>")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"client": None}, "client"),
        ({"client": "Client"}, "client"),
        ({"client": Client}, "client"),
        ({"client": EventEmitter()}, "client"),
        ({"path": 5}, "path"),
        ({"path": None}, "path"),
        ({"path": "/nowhere/at/all.jsonl"}, "all.jsonl"),
        ({"audio": "yes"}, "audio"),
        ({"audio": 1}, "audio"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_recorded(path, options: dict[str, Any], named: str) -> None:
    client = Client(url="ws://127.0.0.1:1/v2")
    given = {"client": client, "path": path, **options}
    with pytest.raises(ConfigurationError, match=named):
        Recorder(given["client"], given["path"], audio=given.get("audio", False))
    assert client._recorder is None
    assert not path.exists()
