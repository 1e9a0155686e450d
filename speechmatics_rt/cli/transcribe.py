"""``speechmatics-rt transcribe``: audio, in; text, out."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Optional

from ..auth import JWTAuth, NoAuth
from ..baseclient import BaseClient
from ..client import Client
from ..config import ConnectionConfig
from ..exceptions import ConfigurationError, SpeechmaticsError
from .asked import Asked, asked
from .options import PROG, ExitCode, config_path
from .outputs import FLOWING, Place, WavFile
from .show import ALERT, Screen
from .signals import Interrupts, on_signals, on_suspension, with_heartbeat
from .streams import Stream
from .view import View

if TYPE_CHECKING:
    import ssl

__all__ = ["client_options", "local_server", "tell_dangers", "transcribe"]


def transcribe(arguments: argparse.Namespace, out: Stream, err: Stream) -> ExitCode:
    """Run the command.

    Raises:
        SpeechmaticsError: The session failed; the transcript so far is written.
        KeyboardInterrupt: Here, too, the transcript so far is written.
    """
    saved = None if arguments.save is None else WavFile(Place.of("--save", arguments.save, standard=1))
    session = asked(arguments, saved)
    flows = any(form in FLOWING and place.is_standard_output for form, place in session.documents)
    screen = Screen(
        out,
        err,
        live=not arguments.verbose and not (flows and out.is_pipe),
        quiet=arguments.quiet,
        color=arguments.color,
    )
    interrupts = Interrupts(screen)
    with ExitStack() as stack:
        stack.enter_context(screen.with_log())
        stack.enter_context(on_suspension(screen.suspended))
        stack.enter_context(on_signals(interrupts))
        tell_dangers(arguments, screen)
        view = stack.enter_context(View(arguments, session, screen, out, saved))
        stack.callback(interrupts.write)
        if arguments.local:
            view.wait_for("loading the recogniser")
        client = stack.enter_context(_client(arguments, session, stack))
        recording = session.audio.recording
        if recording is not None:  # last of all: what is said while a model loads is not meant for us
            stack.enter_context(recording)
            if not session.audio.channels:
                session.options["audio_format"] = recording.audio_format
        for kind in _BEFORE:
            client.on(kind, view.take)
        awaited = ", ".join(session.audio.awaited)
        view.wait_for(f"waiting for audio from {awaited}" if awaited else "connecting")
        messages = stack.enter_context(interrupts.start(client, session))
        view.begin(client)
        if screen.live:
            stack.enter_context(with_heartbeat(view.beat))
        if recording is not None and screen.live:
            client.on("AudioAdded", lambda _: view.draw())  # the level meter moves even in silence
        try:
            for message in messages:
                if message["message"] not in _BEFORE:
                    view.take(message)
                view.draw()
        except SpeechmaticsError as exc:
            if interrupts.stopping and recording is None:
                raise KeyboardInterrupt(interrupts.stopping) from exc
            raise
        if interrupts.stopping and recording is None:  # which has no other end
            raise KeyboardInterrupt(interrupts.stopping)
    return ExitCode.OK if view.complete else ExitCode.OUTPUT


# A session that does not start has no iterator: these reach the view as events, so that none is lost.
_BEFORE = ("Info", "Warning", "Error")


def _client(arguments: argparse.Namespace, session: Asked, stack: ExitStack) -> BaseClient:
    kind: type[BaseClient] = Client
    if session.audio.channels:
        from ..multichannel import MultiChannelClient

        kind = MultiChannelClient
    language = session.options["transcription_config"].language
    return kind(**client_options(arguments, language, stack), handler_errors="raise")


def client_options(arguments: argparse.Namespace, language: str, stack: ExitStack) -> dict[str, Any]:
    """Turn what is asked of the service into the options of a client; starts the server of ``--local``.

    Raises:
        ConfigurationError: The local server can't be had.
    """
    # What is over needs no long goodbye: the second Ctrl-C is to be felt.
    insecure = arguments.ssl_mode == "insecure"
    connection = ConnectionConfig(close_timeout=1, ssl_context=_trusting_context() if insecure else None)
    options = {
        "conn_config": connection,
        "resume": arguments.resume or arguments.drop_every is not None,
    }
    if arguments.local:
        engine = arguments.engine or "whisper"
        url = stack.enter_context(local_server(engine, language, arguments.drop_every))
        return {**options, "auth": NoAuth(), "url": url}
    auth = JWTAuth(arguments.api_key) if arguments.temporary_key else None
    key = None if auth else arguments.api_key
    return {**options, "auth": auth, "api_key": key, "url": arguments.url}


def tell_dangers(arguments: argparse.Namespace, screen: Screen) -> None:
    """Warn of a key that others may read, and of a connection that others may."""
    if arguments.exposed:
        path = config_path()
        screen.note(f"{PROG}: warning: {path} holds a key, and others may read it; chmod 600 {path}")
    if arguments.ssl_mode == "insecure":
        screen.tell(f"{PROG}: warning: {_INSECURE}", ALERT)


def _trusting_context() -> ssl.SSLContext:
    """Return what takes any certificate, as ``--ssl-mode insecure`` asks."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


_INSECURE = (
    "--ssl-mode insecure: NO CERTIFICATE IS CHECKED. Whoever is in between reads the key and the audio, "
    "and may change the text. To trust a certificate of your own, name its CA in SSL_CERT_FILE"
)


@contextmanager
def local_server(engine: str, language: str, drop_every: Optional[float]) -> Iterator[str]:
    """Run the server of ``--local``, with its recogniser loaded; gives its URL.

    Raises:
        ConfigurationError: A package is missing.
    """
    try:
        from ..local import Fault, LocalServer
    except ImportError as exc:
        raise ConfigurationError(
            f"--local needs more packages ({exc.__cause__ or exc}): pip install 'speechmatics-rt-sync[local]'"
        ) from exc
    faults = [] if drop_every is None else [Fault.fin(after_final=drop_every)]
    with LocalServer(engine, faults=faults) as server:
        server.engine.language_pack_info(language)  # loads the model: what is missing is missed here
        yield server.url
