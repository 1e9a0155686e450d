"""``speechmatics-rt transcribe``: a file or standard input, in; text, out."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Optional

from ..audio import open_source
from ..auth import NoAuth
from ..client import Client
from ..config import AudioEventsConfig, AudioFormat, ConnectionConfig, TranscriptionConfig, TranslationConfig
from ..conversation import MessageStream
from ..exceptions import ConfigurationError, SpeechmaticsError
from ..transcript import Transcript
from . import ExitCode
from .output import WHOLE, AtomicFile, json_line, opened
from .show import Flow, Screen, Token, progress

__all__ = ["transcribe", "transcription_config"]

_BAR = 20  # columns


def transcribe(arguments: argparse.Namespace) -> ExitCode:
    """Run the command.

    Raises:
        SpeechmaticsError: What went wrong; what was heard before is printed.
    """
    asked, source = _asked(arguments), _source(arguments.file)
    screen = Screen(_utf8(sys.stdout), sys.stderr, live=not arguments.verbose)
    with ExitStack() as stack:
        view = stack.enter_context(_View(arguments, screen))
        client = stack.enter_context(_client(arguments, stack, asked["transcription_config"]))
        for kind in _BEFORE:
            client.on(kind, view.take)
        session = stack.enter_context(_Session(client, screen))
        messages = stack.enter_context(session.start(source, asked))
        view.begin(client, _length(arguments, asked["audio_format"]))
        for message in messages:
            if message["message"] not in _BEFORE:
                view.take(message)
            view.draw()
    return ExitCode.INTERRUPTED if session.stopping else ExitCode.OK


# A session that does not start has no iterator: these reach the view as events, so that none is lost.
_BEFORE = ("Info", "Warning", "Error")


# -- what is asked for -------------------------------------------------------------------------------------


def _asked(arguments: argparse.Namespace) -> dict[str, Any]:
    """Turn the command line into what ``Client.stream`` takes; all that can be wrong in it is wrong here."""
    if (arguments.raw is None) != (arguments.sample_rate is None):
        raise ConfigurationError("--raw and --sample-rate go together")
    if arguments.engine is not None and not arguments.local:
        raise ConfigurationError("--engine goes with --local")
    if arguments.local and arguments.api_key is not None:
        raise ConfigurationError("--local needs no --api-key")
    asked: dict[str, Any] = {
        "transcription_config": TranscriptionConfig.from_dict(transcription_config(arguments)),
        "audio_format": None,
        "speed": arguments.speed,
        "timeout": arguments.timeout,
    }
    if arguments.raw is not None:
        asked["audio_format"] = AudioFormat(arguments.raw, arguments.sample_rate)
        asked["audio_format"].check()
    if arguments.translate:
        asked["translation_config"] = TranslationConfig(arguments.translate, arguments.partials)
    if arguments.audio_events:
        types = None if "all" in arguments.audio_events else arguments.audio_events
        asked["audio_events_config"] = AudioEventsConfig(types)
    return asked


def transcription_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read ``--config`` and lay the options over it; inside of what is nested, too.

    Raises:
        ConfigurationError: The file can't be read, or holds no JSON object.
    """
    config = _read_config(arguments.config) if arguments.config is not None else {}
    if arguments.model is not None:
        config.pop("operating_point", None)  # the same setting by its former name
    for name in (
        "language",
        "model",
        "domain",
        "output_locale",
        "max_delay",
        "diarization",
        "enable_entities",
        "enable_partials",
        "additional_vocab",
        "speaker_diarization_config.max_speakers",
        "punctuation_overrides.permitted_marks",
        "conversation_config.end_of_utterance_silence_trigger",
    ):
        value = getattr(arguments, _OPTIONS.get(name, name))
        if value is None:
            continue
        if name == "punctuation_overrides.permitted_marks":
            value = list(value)
        outer, _, inner = name.rpartition(".")
        if outer:
            nested = config.get(outer)
            config[outer] = {**(nested if isinstance(nested, Mapping) else {}), inner: value}
        else:
            config[name] = value
    return config


_OPTIONS = {
    "enable_entities": "entities",
    "enable_partials": "partials",
    "additional_vocab": "vocab",
    "speaker_diarization_config.max_speakers": "max_speakers",
    "punctuation_overrides.permitted_marks": "punctuation",
    "conversation_config.end_of_utterance_silence_trigger": "end_of_utterance",
}


def _read_config(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except OSError as exc:
        raise ConfigurationError(f"can't read --config {path!r}: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise ConfigurationError(f"--config {path!r} is no JSON: {exc}") from exc
    if not isinstance(config, dict):
        raise ConfigurationError(f"--config {path!r} holds {type(config).__name__}, not a JSON object")
    return config


# -- where the audio comes from, and where it goes -----------------------------------------------------------


def _source(file: str) -> Any:
    if file != "-":
        return file
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigurationError("standard input is a terminal; pipe audio in, or name a file")
    # Not sys.stdin.buffer: a thread waiting in there holds a lock that the interpreter wants when it exits.
    return io.FileIO(sys.stdin.fileno(), "rb", closefd=False)


def _length(arguments: argparse.Namespace, audio_format: Optional[AudioFormat]) -> Optional[float]:
    """Find how long a file sounds, if that can be known before it is heard."""
    if not os.path.isfile(arguments.file):
        return None
    if audio_format is not None:
        size = os.path.getsize(arguments.file)
        return size / audio_format.bytes_per_sample / audio_format.sample_rate
    source = open_source(arguments.file)
    source.close()
    return source.duration


def _client(arguments: argparse.Namespace, stack: ExitStack, config: TranscriptionConfig) -> Client:
    # What is over needs no long goodbye: the second Ctrl-C is to be felt.
    connection = ConnectionConfig(close_timeout=1)
    if not arguments.local:
        return Client(
            api_key=arguments.api_key, url=arguments.url, conn_config=connection, handler_errors="raise"
        )
    url = stack.enter_context(_local_server(arguments.engine or "whisper", config.language))
    return Client(NoAuth(), url=url, conn_config=connection, handler_errors="raise")


@contextmanager
def _local_server(engine: str, language: str) -> Iterator[str]:
    try:
        from ..local import LocalServer
    except ImportError as exc:
        raise ConfigurationError(
            f"--local needs more packages ({exc.__cause__ or exc}): pip install 'speechmatics-rt-sync[local]'"
        ) from exc
    with LocalServer(engine) as server:
        server.engine.language_pack_info(language)  # loads the model: what is missing is missed here
        yield server.url


class _Session:
    """Ends the session on Ctrl-C: first the audio, so that its transcript comes; at once on the second."""

    def __init__(self, client: Client, screen: Screen) -> None:
        self.stopping = False
        self._client = client
        self._screen = screen
        self._begun = False
        self._before: dict[int, Any] = {}

    def start(self, source: Any, asked: dict[str, Any]) -> MessageStream:
        messages = self._client.stream(source, **asked)
        self._begun = True
        return messages

    def __enter__(self) -> _Session:
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


# -- what is seen ------------------------------------------------------------------------------------------


class _View:
    """Shows a session while it runs, and keeps its transcript when it ends, in whatever way."""

    def __init__(self, arguments: argparse.Namespace, screen: Screen) -> None:
        self._format: str = arguments.format
        self._path: Optional[str] = arguments.output
        self._partials = bool(arguments.partials)
        self._screen = screen
        self._flow = Flow()
        self._client: Optional[Client] = None
        self._transcript = Transcript()
        self._length: Optional[float] = None
        self._began = time.monotonic()
        self._stack = ExitStack()
        self._lines: Any = None  # the file of jsonl
        self._whole: Optional[AtomicFile] = None

    def __enter__(self) -> _View:
        if self._path is not None and self._format == "jsonl":
            self._lines = self._stack.enter_context(opened(self._path))
        elif self._path is not None:
            self._whole = AtomicFile(self._path)
            self._stack.callback(self._whole.close)
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], _: object
    ) -> None:
        with self._stack:
            if isinstance(error, BrokenPipeError):
                return
            self._screen.clear()
            self._print(self._flow.end())
            heard = error.transcript if isinstance(error, SpeechmaticsError) else None
            if heard is not None:
                self._transcript = heard
            if self._format == "jsonl" or (error is not None and not self._transcript.words):
                return
            if self._whole is not None:
                self._whole.keep(WHOLE[self._format](self._transcript))
            elif self._format != "text":
                self._screen.write([Token(WHOLE[self._format](self._transcript))])

    def begin(self, client: Client, length: Optional[float]) -> None:
        """Take the session that has started."""
        self._client, self._length = client, length
        self._transcript = client.transcript
        self._began = time.monotonic()

    def take(self, message: dict[str, Any]) -> None:
        """Show a message."""
        kind = message["message"]
        if self._format == "jsonl":
            self._print_line(json_line(message))
        elif kind == "AddTranscript":
            if self._live_text:
                self._print(self._flow.more(self._transcript.words))
        elif kind == "AddTranslation" and self._live_text:
            text = " ".join(str(item.get("content", "")) for item in message.get("results", []))
            self._print(self._flow.line(f"[{message.get('language')}] {text}"))
        elif kind == "AudioEventStarted" and self._live_text:
            self._print(self._flow.line(f"[{message.get('event', {}).get('type')}]"))
        if kind == "Warning":
            self._screen.note(f"speechmatics-rt: warning: {message.get('reason')} ({message.get('type')})")

    @property
    def _live_text(self) -> bool:
        return self._format == "text" and self._path is None

    def _print(self, tokens: list[Token]) -> None:
        self._screen.write(tokens)

    def _print_line(self, line: str) -> None:
        if self._lines is not None:
            self._lines.write(line)
        else:
            self._screen.write([Token(line)])

    def draw(self) -> None:
        """Draw what changes in place: the partial, and how far the audio is."""
        if not self._screen.live or self._client is None:
            return
        stats = self._client.stats
        elapsed = time.monotonic() - self._began
        if stats.seconds_sent:
            heard, lag = stats.seconds_acknowledged, stats.seconds_acknowledged - stats.seconds_transcribed
            status = progress(heard, self._length, elapsed, lag, bar=_BAR)
        else:  # a file in a container: only the service knows its time
            status = progress(stats.seconds_transcribed, self._length, elapsed, None, bar=_BAR)
        self._screen.draw(self._transcript.partial if self._partials else "", status)
