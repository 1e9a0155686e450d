"""A key is in no place where somebody reads who has none: each way in which a session may go, each place.

The places: what is logged at any level by anybody, what is printed, warnings, errors as text, as a pickle,
and as a traceback with all locals, as crash reporters send them; recordings; what the process lists.
"""

from __future__ import annotations

import gc
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import (
    AudioFormat,
    Client,
    ConnectionConfig,
    JWTAuth,
    Recorder,
    SpeechmaticsError,
    StaticKeyAuth,
    available_features,
    transcribe_many,
)
from speechmatics_rt.local import Fault, LocalServer

from ..cli.command import SPEECH
from ..conftest import a_closed_port
from .attacks import answering, frame, message
from .servers import HostileServer
from .test_told import session

KEY = "s3cret-k3y-0f-mine"
PASSWORD = "w0rd-0f-mine"  # in a header of the caller's
PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
LIMITS = {"open_timeout": 2, "close_timeout": 0.3}


def run(url: str, auth: Any = None, *, folder: Path, **config: Any) -> None:
    """Hold a session, as a program that logs, records, and looks at all it has."""
    conn_config = ConnectionConfig(**{**LIMITS, **config})
    how = {"api_key": KEY} if auth is None else {"auth": auth} if auth is not True else {}
    client = Client(url=url, conn_config=conn_config, **how)
    with client, Recorder(client, folder / "session.jsonl", audio=True):
        logging.getLogger("program").info("%r %r %r %r", client, conn_config, auth, client.stats)
        client.transcribe(SECOND, audio_format=PCM, ws_headers={"X-Password": PASSWORD})


def well(folder: Path) -> None:
    with LocalServer(keys=[KEY]) as server:
        run(server.url, folder=folder)


def with_tls_nobody_trusts(folder: Path) -> None:
    with LocalServer(tls=True) as server:
        run(server.url, folder=folder)


def refused(folder: Path) -> None:
    with LocalServer(keys=["another"]) as server:
        run(server.url, folder=folder)


def refused_with_the_key_repeated(folder: Path) -> None:
    told = f'{{"error": "no such key: {KEY}"}}'.encode()
    head = b"HTTP/1.1 401 no\r\nContent-Length: %d\r\n\r\n" % len(told)
    with HostileServer(answering(head, told)) as server:
        run(f"ws://127.0.0.1:{server.port}/v2", folder=folder)


def sent_elsewhere(folder: Path) -> None:
    place = f"Location: wss://evil.example/?token={KEY}".encode()
    with HostileServer(answering(b"HTTP/1.1 302 go\r\n", place, b"\r\nContent-Length: 0\r\n\r\n")) as server:
        run(f"ws://127.0.0.1:{server.port}/v2", folder=folder)


def refused_in_the_session(folder: Path) -> None:
    error = message("Error", type="not_authorised", reason="no")
    with HostileServer(session("1", error)) as server:
        run(f"ws://127.0.0.1:{server.port}/v2", folder=folder)


def lost(folder: Path) -> None:
    with LocalServer(faults=[Fault.reset(after_messages=1)]) as server:
        run(server.url, folder=folder)


def nobody_there(folder: Path) -> None:
    with a_closed_port() as port:
        run(f"ws://127.0.0.1:{port}/v2", folder=folder)


def no_answer(folder: Path) -> None:
    with LocalServer(faults=[Fault.hang()]) as server:
        run(server.url, folder=folder, open_timeout=0.2)


def no_websocket(folder: Path) -> None:
    with LocalServer(faults=[Fault.bad_accept()]) as server:
        run(server.url, folder=folder)


def in_the_url(folder: Path) -> None:
    with LocalServer(faults=[Fault.refuse(503)]) as server:
        run(f"{server.url}?jwt={KEY}", folder=folder)


def in_a_url_that_is_none(folder: Path) -> None:
    os.environ["SPEECHMATICS_RT_URL"] = f"wss://user:{KEY}@eu.rt.speechmatics.com/v2"
    try:
        with Client(conn_config=ConnectionConfig(**LIMITS)) as client:
            logging.getLogger("program").info("%r", client)
            client.start_session(audio_format=PCM)
    finally:
        del os.environ["SPEECHMATICS_RT_URL"]


def in_a_url_of_the_environment(folder: Path) -> None:
    try:
        with a_closed_port() as port:
            os.environ["SPEECHMATICS_RT_URL"] = f"ws://127.0.0.1:{port}/v2?api_key={KEY}&jwt={KEY}"
            with Client(conn_config=ConnectionConfig(**LIMITS)) as client:
                logging.getLogger("program").info("%r", client)
                client.start_session(audio_format=PCM)
    finally:
        del os.environ["SPEECHMATICS_RT_URL"]


def through_a_proxy_that_refuses(folder: Path) -> None:
    with HostileServer(answering(b"HTTP/1.1 407 no\r\nContent-Length: 0\r\n\r\n")) as proxy:
        url = f"http://user:{KEY}@127.0.0.1:{proxy.port}"
        run("wss://asr.example/v2", folder=folder, proxy=url)


def through_a_proxy_that_is_none(folder: Path) -> None:
    run("wss://asr.example/v2", folder=folder, proxy=f"gopher://user:{KEY}@127.0.0.1:1")


def a_key_that_is_none(folder: Path) -> None:
    run("ws://127.0.0.1:1/v2", StaticKeyAuth(f"{KEY}\n"), folder=folder)


def a_header_that_is_none(folder: Path) -> None:
    with Client(url="ws://127.0.0.1:1/v2") as client:
        client.start_session(audio_format=PCM, ws_headers={"X-Password": f"{KEY}\r\nX-More: {KEY}"})


def unencrypted_from_the_environment(folder: Path) -> None:
    os.environ["SPEECHMATICS_API_KEY"] = KEY
    try:
        # A name that is never looked up: the resolver is told to find this machine.
        run("ws://asr.example:9/v2", True, folder=folder)
    finally:
        del os.environ["SPEECHMATICS_API_KEY"]


def temporary(folder: Path) -> None:
    with LocalServer(keys=[KEY]) as server:
        run(server.url, JWTAuth(KEY, mp_url=f"http://127.0.0.1:{server.port}"), folder=folder)


def temporary_refused(folder: Path) -> None:
    with LocalServer(keys=["another"]) as server:
        run(server.url, JWTAuth(KEY, mp_url=f"http://127.0.0.1:{server.port}"), folder=folder)


def temporary_sent_elsewhere(folder: Path) -> None:
    place = f"Location: https://evil.example/?key={KEY}".encode()
    with HostileServer(answering(b"HTTP/1.1 307 go\r\n", place, b"\r\nContent-Length: 0\r\n\r\n")) as server:
        url = f"http://127.0.0.1:{server.port}"
        run(url.replace("http", "ws"), JWTAuth(KEY, mp_url=url), folder=folder)


def features(folder: Path) -> None:
    with a_closed_port() as port:
        available_features(f"ws://127.0.0.1:{port}/v2?jwt={KEY}", conn_config=ConnectionConfig(**LIMITS))


def many(folder: Path) -> None:
    with LocalServer(keys=["another"]) as server:
        for outcome in transcribe_many(
            [str(SPEECH)], url=server.url, api_key=KEY, conn_config=ConnectionConfig(**LIMITS)
        ):
            logging.getLogger("program").info("%r %r", outcome, pickle.dumps(outcome))
            raise outcome.error


def dropped(folder: Path) -> None:
    """A stream and a session that are left to the garbage collector, which warns of them."""
    with LocalServer(keys=[KEY]) as server:
        stream = Client(url=server.url, api_key=KEY).stream([SECOND] * 100, audio_format=PCM)
        next(iter(stream))
        by_hand = Client(url=server.url, api_key=KEY)
        by_hand.start_session(audio_format=PCM)
        del stream, by_hand
        gc.collect()


ESCAPED = "".join(f"\\u{ord(char):04X}" for char in KEY)
REPEATED = {
    "its id": [],
    "an Info": [message("Info", type="x", reason=f"you are {KEY}"), frame(8, b"\x03\xf3")],
    "an Error": [message("Error", type=f"x {KEY}", reason=f"no such key: {KEY}")],
    "an Error of its type": [message("Error", type="not_authorised", reason=f"Bearer {KEY}")],
    "an Error that spells it otherwise": [
        frame(1, f'{{"message":"Error","type":"job_error","reason":"{ESCAPED}"}}'.encode())
    ],
    "a close reason": [frame(8, b"\x03\xf3" + KEY.encode())],
    "a name": [message(KEY), frame(8, b"\x03\xf3")],
    "a name out of turn": [message("RecognitionStarted", id=KEY)],
    "what is no message": [frame(1, KEY.encode()), frame(1, f'["{KEY}"]'.encode()), frame(8, b"\x03\xf3")],
    "what is no transcript": [frame(1, b'{"message":"AddTranscript" ' + KEY.encode()), frame(8, b"\x03\xf3")],
    "what is not UTF-8": [frame(1, b"\xff" + KEY.encode())],
}


def repeated_in(place: str) -> Callable[[Path], None]:
    """A server that repeats the key within a session."""

    def scene(folder: Path) -> None:
        identity = KEY if place == "its id" else "1"
        end = message("Error", type="job_error", reason="why")
        with HostileServer(session(identity, *(REPEATED[place] or [end]))) as server:
            run(f"ws://127.0.0.1:{server.port}/v2", folder=folder)

    scene.__name__ = f"repeated in {place}"
    return scene


SCENES: list[Callable[[Path], None]] = [
    *(well, with_tls_nobody_trusts, refused, refused_with_the_key_repeated, sent_elsewhere),
    *(refused_in_the_session, lost, nobody_there, no_answer, no_websocket, in_the_url),
    *(in_a_url_that_is_none, in_a_url_of_the_environment, through_a_proxy_that_refuses),
    *(through_a_proxy_that_is_none, a_key_that_is_none, a_header_that_is_none),
    *(unencrypted_from_the_environment, temporary, temporary_refused, temporary_sent_elsewhere),
    *(features, many, dropped),
    *map(repeated_in, REPEATED),
]


# Where the caller's own argument is what is wrong, it stands in his frames, and in those that check it.
ARGUMENTS = (in_the_url, a_key_that_is_none, a_header_that_is_none, features)


@contextmanager
def watched(places: dict[str, str]) -> Iterator[None]:
    """Collect what comes out of warnings, threads and the log of everybody, at the lowest level."""

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            places["log"] += f"{record.getMessage()} {record.__dict__!r}\n"

    handler, root = Collect(0), logging.getLogger()
    before, hook = root.level, threading.excepthook
    root.addHandler(handler)
    root.setLevel(1)
    threading.excepthook = lambda args: places.update(threads=places["threads"] + repr(args))
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield
        places["warnings"] = "\n".join(str(warning.message) for warning in warned)
    finally:
        root.setLevel(before)
        root.removeHandler(handler)
        threading.excepthook = hook


def in_full(error: BaseException, with_locals: bool) -> str:
    """Tell an error and its causes, with the locals of all frames but those of this module."""
    told = traceback.TracebackException.from_exception(error, capture_locals=with_locals)
    parts, waiting = [str(error), repr(error), repr(error.__dict__)], [told]
    while waiting:
        one = waiting.pop()
        waiting += [cause for cause in (one.__cause__, one.__context__) if cause is not None]
        parts += one.format_exception_only()
        parts += [f"{frame} {frame.locals}" for frame in one.stack if frame.filename != __file__]
    return "\n".join(parts)


@pytest.mark.usefixtures("brief_grace")
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_no_key_comes_out_anywhere_however_a_session_goes(
    scene, tmp_path, monkeypatch, capfd, report
) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *args, **more: real("127.0.0.1" if host == "asr.example" else host, *args, **more),
    )
    places = {"log": "", "threads": "", "error": "", "pickle": "", "recording": ""}
    with watched(places):
        try:
            scene(tmp_path)
        except SpeechmaticsError as exc:
            places["error"] = in_full(exc, scene not in ARGUMENTS)
            places["pickle"] = repr(pickle.dumps(exc))
    places["printed"] = "".join(capfd.readouterr())
    for path in tmp_path.glob("*"):
        places["recording"] += path.read_text(encoding="utf-8")
    leaks = [
        f"{place}: {line[:300]}"
        for place, text in places.items()
        for line in text.splitlines()
        if KEY in line or (PASSWORD in line and place != "error")
    ]
    assert leaks == []
    assert places["log"] or places["error"]


@pytest.mark.parametrize("how", ["variable", "profile"])
def test_the_list_of_processes_shows_no_key_that_was_not_on_the_command_line(how, tmp_path) -> None:
    if not os.path.isdir("/proc/self"):
        pytest.skip("there is no /proc")
    profiles = tmp_path / "speechmatics-rt"
    profiles.mkdir()
    (profiles / "config.toml").write_text(f'[default]\napi-key = "{KEY}"\n', encoding="utf-8")
    (profiles / "config.toml").chmod(0o600)
    environment = {name: value for name, value in os.environ.items() if "SPEECHMATICS" not in name}
    own = {"SPEECHMATICS_API_KEY": KEY} if how == "variable" else {"XDG_CONFIG_HOME": str(tmp_path)}
    with LocalServer(keys=[KEY]) as server:
        command = [sys.executable, "-m", "speechmatics_rt", "transcribe", str(SPEECH), "--url", server.url]
        process = subprocess.Popen(
            [*command, "--speed", "1"],
            env={**environment, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        record = server.wait_for_session()
        record.wait_for(lambda record: record.heard("StartRecognition"))
        lists = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        lists += Path(f"/proc/{process.pid}/environ").read_bytes() if how == "profile" else b""
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    assert KEY.encode() not in lists + out + err
    assert children == ""  # it starts nobody who could inherit it
