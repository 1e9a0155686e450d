"""``speechmatics-rt serve``: the local server, for programs that are being written or tested."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NoReturn, Optional

from ..config import AudioFormat
from ..exceptions import ConfigurationError, TimeoutError
from .arguments import ExitCode

if TYPE_CHECKING:
    from ..local import LocalServer, SessionRecord

__all__ = ["serve"]

_A_DAY = 86400.0
_ATTENTIVE = 1.0  # s between two looks for Ctrl-C, which a wait on Windows doesn't see


def serve(arguments: argparse.Namespace) -> ExitCode:
    """Run the command, until Ctrl-C or SIGTERM.

    Raises:
        ConfigurationError: An option is wrong, the port is taken, or a package is missing.
    """
    try:
        from ..local import LocalServer
    except ImportError as exc:
        raise ConfigurationError(str(exc)) from exc
    signal.signal(signal.SIGTERM, _leave)
    server = LocalServer(
        arguments.engine,
        tls=arguments.tls,
        keys=arguments.key,
        port=arguments.port,
        speed=arguments.speed,
        quota=arguments.quota,
    )
    server.engine.language_pack_info("en")  # loads the model, so that the first session needn't wait
    watchers: list[threading.Thread] = []
    with ExitStack() as stack:
        try:
            stack.enter_context(server)
        except (OSError, OverflowError) as exc:
            why = getattr(exc, "strerror", None) or exc
            raise ConfigurationError(f"can't listen on port {arguments.port}: {why}") from exc
        _introduce(server, arguments, stack.enter_context(_certificate(server)))
        try:
            for index in itertools.count():
                watchers = [watcher for watcher in watchers if watcher.is_alive()]
                watchers.append(_watch(_next(server, index)))
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
    for watcher in watchers:
        watcher.join(_ATTENTIVE)  # their sessions are closed; this is for their last lines
    return ExitCode.OK


def _leave(*_: object) -> NoReturn:
    raise KeyboardInterrupt


@contextmanager
def _certificate(server: LocalServer) -> Iterator[Optional[str]]:
    """Write the throwaway certificate where a client can be told to find it."""
    if server.ca_pem is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="speechmatics-rt-") as folder:
        path = os.path.join(folder, "ca.pem")
        with open(path, "wb") as file:
            file.write(server.ca_pem)
        yield path


def _introduce(server: LocalServer, arguments: argparse.Namespace, certificate: Optional[str]) -> None:
    command = f"speechmatics-rt transcribe FILE --url {server.url}"
    if certificate is not None:
        command = f"SSL_CERT_FILE={certificate} {command}"
    if arguments.key:
        command += f" --api-key {arguments.key[0]}"
    print(server.url, flush=True)
    print(
        f"The {arguments.engine} engine listens; Ctrl-C ends it. Try:\n  {command}",
        file=sys.stderr,
        flush=True,
    )


def _next(server: LocalServer, index: int) -> SessionRecord:
    while True:
        try:
            return server.wait_for_session(index, timeout=_ATTENTIVE)
        except TimeoutError:
            pass  # nobody came; on


def _watch(record: SessionRecord) -> threading.Thread:
    name = f"speechmatics-rt-watch-{record.index}"
    thread = threading.Thread(target=_tell, args=(record,), name=name, daemon=True)
    thread.start()
    return thread


def _tell(record: SessionRecord) -> None:
    """Write a line when a session begins and one when it ends."""
    began = time.monotonic()
    _wait(record, started=True)
    if record.start is not None and not record.closed.is_set():
        _log(record, f"began: {beginning(record)}")
    _wait(record, started=False)
    _log(record, ending(record, time.monotonic() - began))


def _wait(record: SessionRecord, *, started: bool) -> None:
    while not record.closed.is_set():
        try:
            record.wait_for(lambda r: r.closed.is_set() or (started and "started" in r.times), _A_DAY)
        except TimeoutError:
            continue  # a long session
        return


def _log(record: SessionRecord, text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} session {record.index + 1} {text}", file=sys.stderr, flush=True)


def beginning(record: SessionRecord) -> str:
    """Say what a session is about."""
    start = record.start or {}
    audio = start.get("audio_format") or {"type": "file"}
    kind = f"{audio['encoding']} {audio['sample_rate']} Hz" if audio.get("type") == "raw" else "a file"
    request = f", request {record.request_id}" if record.request_id else ""
    return f"{start.get('transcription_config', {}).get('language')}, {kind}{request}"


def ending(record: SessionRecord, elapsed: float) -> str:
    """Say how a session went."""
    if record.status != 101:
        return "was refused" if record.status is None else f"was refused: HTTP {record.status}"
    errors = record.said("Error")
    how = f"with {errors[0]['type']}: {errors[0]['reason']}" if errors else "without EndOfTranscript"
    if record.said("EndOfTranscript"):
        how = "well"
    code = "none" if record.close_code is None else record.close_code
    return (
        f"ended {how}, after {elapsed:.1f} s: {_heard(record)} heard, "
        f"{len(record.said('AddTranscript'))} finals, close code {code}"
    )


def _heard(record: SessionRecord) -> str:
    size = sum(record.frames)
    audio = (record.start or {}).get("audio_format") or {}
    if audio.get("type") != "raw":
        return f"{size} bytes"
    audio_format = AudioFormat.from_dict(audio)
    return f"{size / audio_format.bytes_per_sample / audio_format.sample_rate:.1f} s of audio"
