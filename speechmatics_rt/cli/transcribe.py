"""``speechmatics-rt transcribe``: audio, in; text, out."""

from __future__ import annotations

import argparse
import io
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Optional

from ..auth import NoAuth
from ..client import BaseClient, Client
from ..config import ConnectionConfig
from ..exceptions import ConfigurationError
from ..session import MessageStream
from .arguments import ExitCode
from .asked import Asked, asked
from .show import Screen
from .view import View

__all__ = ["transcribe"]


def transcribe(arguments: argparse.Namespace) -> ExitCode:
    """Run the command.

    Raises:
        SpeechmaticsError: What went wrong; what was heard before is printed.
    """
    session = asked(arguments)
    screen = Screen(_utf8(sys.stdout), _utf8(sys.stderr), live=not arguments.verbose)
    with ExitStack() as stack:
        stack.enter_context(screen.with_log())
        view = stack.enter_context(View(arguments, session, screen))
        client = stack.enter_context(_client(arguments, session, stack))
        for kind in _BEFORE:
            client.on(kind, view.take)
        running = stack.enter_context(_Running(client, screen))
        messages = stack.enter_context(running.start(session))
        view.begin(client)
        for message in messages:
            if message["message"] not in _BEFORE:
                view.take(message)
            view.draw()
    return ExitCode.INTERRUPTED if running.stopping else ExitCode.OK


# A session that does not start has no iterator: these reach the view as events, so that none is lost.
_BEFORE = ("Info", "Warning", "Error")


# -- the session -------------------------------------------------------------------------------------------


def _client(arguments: argparse.Namespace, session: Asked, stack: ExitStack) -> BaseClient:
    kind: type[BaseClient] = Client
    if session.channels:
        from ..multichannel import MultiChannelClient

        kind = MultiChannelClient
    # What is over needs no long goodbye: the second Ctrl-C is to be felt.
    connection = ConnectionConfig(close_timeout=1)
    resume = arguments.resume or arguments.drop_every is not None
    if not arguments.local:
        return kind(
            api_key=arguments.api_key,
            url=arguments.url,
            conn_config=connection,
            resume=resume,
            handler_errors="raise",
        )
    language = session.options["transcription_config"].language
    engine = arguments.engine or "whisper"
    url = stack.enter_context(_local_server(engine, language, arguments.drop_every))
    return kind(NoAuth(), url=url, conn_config=connection, resume=resume, handler_errors="raise")


@contextmanager
def _local_server(engine: str, language: str, drop_every: Optional[float]) -> Iterator[str]:
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


class _Running:
    """Ends the session on Ctrl-C: first the audio, so that its transcript comes; at once on the second."""

    def __init__(self, client: Any, screen: Screen) -> None:
        self.stopping = False
        self._client = client
        self._screen = screen
        self._begun = False
        self._before: dict[int, Any] = {}

    def start(self, session: Asked) -> MessageStream:
        messages: MessageStream = self._client.stream(session.sources, **session.options)
        self._begun = True
        return messages

    def __enter__(self) -> _Running:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as in a script's background
                    self._before[number] = signal.signal(number, self._interrupted)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _interrupted(self, *_: object) -> None:
        # Runs between two instructions of the main thread, so it takes no lock and writes to no stream.
        if self.stopping or not (self._begun or self._client.is_connected):
            raise KeyboardInterrupt
        self.stopping = True
        self._client.request_stop()
        self._screen.stopping(
            "speechmatics-rt: stopping; waiting for the rest of the transcript (Ctrl-C again: at once)"
        )


def _utf8(stream: Any) -> Any:
    """Have output in UTF-8, as the formats want it: no word is beyond it, whatever the locale."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="replace")
    return stream
