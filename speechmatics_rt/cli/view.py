"""What is seen of ``speechmatics-rt transcribe``, and the files it leaves."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Optional

from ..client import BaseClient
from ..exceptions import SpeechmaticsError
from ..messages import channel_of
from ..stats import SessionStats
from ..transcript import Transcript
from .asked import Asked
from .flow import Flow, Token
from .output import WHOLE, AtomicFile, Captions, json_line, opened
from .show import GREY, Screen, ending_of, progress, width

__all__ = ["View"]

_BAR = 20  # columns


class View:
    """Shows a session while it runs, and keeps its transcript when it ends, in whatever way."""

    def __init__(self, arguments: argparse.Namespace, session: Asked, screen: Screen) -> None:
        self._format: str = arguments.format
        self._path: Optional[str] = arguments.output
        self._partials = bool(arguments.partials)
        self._durations = session.durations
        self._screen = screen
        self._flow = Flow()
        self._client: Optional[BaseClient] = None
        self._transcript = Transcript()
        # By channel: words of several come in the order of their times, not in that of their arrival.
        self._channels = {label: Transcript() for label in session.channels}
        self._began = time.monotonic()
        self._files = ExitStack()
        self._lines: Any = None  # the file of jsonl
        self._whole: Optional[AtomicFile] = None
        self._captions: Optional[Captions] = None
        self._captions_path: Optional[str] = arguments.captions

    def __enter__(self) -> View:
        with ExitStack() as stack:
            if self._captions_path is not None:
                self._captions = Captions(self._captions_path)
                stack.callback(self._captions.close)
            if self._path is not None and self._format == "jsonl":
                self._lines = stack.enter_context(opened(self._path))
            elif self._path is not None:
                self._whole = AtomicFile(self._path)
                stack.callback(self._whole.close)
            self._files = stack.pop_all()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], _: object
    ) -> None:
        with self._files:
            self._screen.clear()
            if isinstance(error, SpeechmaticsError) and error.transcript is not None:
                self._transcript = error.transcript
            if self._captions is not None and self._client is not None:
                self._captions.write(self._transcript)
            if isinstance(error, BrokenPipeError):
                return
            self._print(self._flow.end())
            if self._format == "jsonl" or (error is not None and not self._transcript.words):
                return
            if self._whole is not None:
                self._whole.write(WHOLE[self._format](self._transcript))
            elif self._format != "text":
                self._screen.write([Token(WHOLE[self._format](self._transcript))])

    def begin(self, client: BaseClient) -> None:
        """Take the session that has started."""
        self._client = client
        self._transcript = client.transcript
        self._began = time.monotonic()
        if self._captions is not None:
            self._captions.write(self._transcript)  # a player may open it now

    def take(self, message: Mapping[str, Any]) -> None:
        """Show a message."""
        kind = message["message"]
        self._sort(message)
        if self._captions is not None:
            self._captions.take(self._transcript, changed=kind == "AddTranscript")
        if self._format == "jsonl":
            self._print_line(json_line(message))
        elif kind == "AddTranscript":
            if self._live_text:
                channels = self._channels.values() or [self._transcript]
                self._print(self._flow.more(*(transcript.words for transcript in channels)))
        elif kind == "AddTranslation" and self._live_text:
            text = " ".join(str(item.get("content", "")) for item in message.get("results", []))
            self._print(self._flow.line(f"[{message.get('language')}] {text}"))
        elif kind == "AudioEventStarted" and self._live_text:
            self._print(self._flow.line(f"[{message.get('event', {}).get('type')}]"))
        if kind == "Reconnecting":
            self._screen.note(f"speechmatics-rt: {message['cause']}; again in {message['delay']:.1f} s")
        elif kind == "Resumed":
            self._screen.note(
                f"speechmatics-rt: connected again after {message['gap']:.1f} s; "
                f"{message['replayed']:.1f} s of audio sent again"
            )
        elif kind == "Warning":
            self._screen.note(f"speechmatics-rt: warning: {message.get('reason')} ({message.get('type')})")

    def _sort(self, message: Mapping[str, Any]) -> None:
        """Give a message to the transcripts of its channel, or of all."""
        label = channel_of(message)
        for channel, transcript in self._channels.items():
            if label in (None, channel):
                transcript.add(message)

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
        """Draw what changes in place: the partials, and how far the audio is."""
        if not self._screen.live or self._client is None:
            return
        status = self._progress(self._client.stats, time.monotonic() - self._began)
        if not self._channels:
            self._screen.draw(self._transcript.partial if self._partials else "", [status])
            return
        partial, rows = "", []
        for number, (label, transcript) in enumerate(self._channels.items()):
            text = transcript.partial if self._partials else ""
            if self._flow.continues(number):
                partial = text
                continue
            text = f"{self._flow.held(number)} {text}".strip()
            if text:
                columns = self._screen.size.columns - 1 - width(label) - 2
                rows.append([Token(f"{label}: {ending_of(text, columns)}", GREY)])
        self._screen.draw(partial, [*rows, status])

    def _progress(self, stats: SessionStats, elapsed: float) -> list[Token]:
        known = [seconds for seconds in self._durations if seconds is not None]
        if len(known) < len(self._durations):
            known = []
        longest = max(known, default=None)
        if not stats.seconds_sent:  # a file in a container: only the service knows its time
            return progress(stats.seconds_transcribed, longest, elapsed, None, bar=_BAR)
        # Counted over all channels, which are sent side by side.
        total = sum(known)
        share = max(known) / total if total else 1 / len(self._durations)
        heard = stats.seconds_acknowledged * share
        return progress(heard, longest, elapsed, heard - stats.seconds_transcribed, bar=_BAR)
