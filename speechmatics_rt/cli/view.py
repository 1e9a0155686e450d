"""What is seen of ``speechmatics-rt transcribe``, and the files it leaves."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from typing import Any, Optional

from ..client import BaseClient
from ..exceptions import ConfigurationError, SpeechmaticsError
from ..messages import channel_of
from ..stats import SessionStats
from ..transcript import Transcript
from .options import PROG
from .options.asked import Asked
from .outputs.beside import Beside
from .outputs.flow import Flow, Token, plain
from .outputs.output import CAPTIONS, Captions, Output, cause_of, json_line, json_text, opened
from .outputs.places import Place, check_apart
from .outputs.wav import WavFile
from .shell import in_shell_words
from .show import GREY, Screen, ending_of, meter, progress, width
from .sources import MICROPHONE
from .streams import Stream

__all__ = ["View", "output_of", "side_by_side"]

_BAR = 20  # columns


def output_of(arguments: argparse.Namespace) -> Place:
    """Return where the transcript is to go."""
    if arguments.output is None:
        return Place("standard output", "", 1)
    return Place.of("-o", arguments.output, standard=1)


class View:
    """Shows a session while it runs, and writes its transcript when it ends, in whatever way.

    Args:
        out: Where the transcript goes if its file can't be written.
        saved: What is kept of a microphone.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        session: Asked,
        screen: Screen,
        out: Stream,
        saved: Optional[WavFile] = None,
    ) -> None:
        self._arguments = arguments
        self._format: str = arguments.format
        self._place = output_of(arguments)
        self._partials = bool(arguments.partials)
        self._durations = session.audio.durations
        self._recording = session.audio.recording
        self._saved = saved
        self._screen = screen
        self._out = out
        self._flow = Flow()
        self._client: Optional[BaseClient] = None
        self._transcript = Transcript()
        # By channel: words of several come in the order of their times, not in that of their arrival.
        self._channels = {label: Transcript() for label in session.audio.channels}
        self._beside = Beside(session.options)
        self._text: list[str] = []  # of a file that is written at the end
        self._held: list[str] = []  # lines of a file that stays as it was if no session begins
        self._began = time.monotonic()
        self._files = ExitStack()
        self._output: Optional[Output] = None
        self._captions: Optional[Captions] = None
        self._homeless = False  # the file can't take what is for it

    @property
    def complete(self) -> bool:
        """Whether all that was asked for was written where it was to be."""
        files = (self._captions, self._saved)
        return not self._homeless and all(file is None or file.whole for file in files)

    def __enter__(self) -> View:
        outputs = [self._place]
        captions: Optional[Place] = None
        if self._arguments.captions is not None:
            Captions.form_of(self._arguments.captions)
            captions = Place.of("--captions", self._arguments.captions, standard=1)
            outputs.append(captions)
        if self._saved is not None:
            outputs.append(self._saved.place)
        if self._place.is_standard_output and self._out.missing:
            if captions is None:
                raise ConfigurationError("standard output is closed; name a file with -o")
            outputs.remove(self._place)  # captions alone will do
        check_apart(outputs, _read(self._arguments))
        with ExitStack() as stack:
            if captions is not None:
                self._captions = stack.enter_context(closing(Captions(captions, self._warn)))
            if not self._place.is_standard_output:
                self._output = stack.enter_context(closing(opened(self._place)))
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
                self._captions.write(self._transcript, last=True)
            if isinstance(error, BrokenPipeError) or self._format == "jsonl":
                return
            self._flow_on()
            self._print(self._flow.end())
            if self._output is None and self._format == "text":
                return
            if error is None or self._transcript.words:
                self._write(self._whole())

    def begin(self, client: BaseClient) -> None:
        """Take the session that has started."""
        self._client = client
        self._transcript = client.transcript
        self._began = time.monotonic()
        for line in self._held:
            self._write_line(line)
        if self._recording is not None:
            self._note(f"listening to {self._recording.name}; Ctrl-C ends it")
        if self._captions is not None:
            self._captions.write(self._transcript)  # a player may open it now

    def take(self, message: Mapping[str, Any]) -> None:
        """Show a message."""
        kind = message["message"]
        self._sort(message)
        if self._captions is not None:
            self._captions.take(self._transcript, changed=kind == "AddTranscript")
        if self._format == "jsonl":
            self._write_line(json_line(message))
        elif kind == "AddTranscript":
            self._flow_on()
        else:
            self._beside.add(message)
            if kind == "AddTranslation":
                text = " ".join(str(item.get("content", "")) for item in message.get("results", []))
                self._print(self._flow.line(f"[{message.get('language')}] {text}"))
            elif kind == "AudioEventStarted":
                self._print(self._flow.line(f"[{message.get('event', {}).get('type')}]"))
        if kind == "Reconnecting":
            self._note(f"{message['cause']}; again in {message['delay']:.1f} s")
        elif kind == "Resumed":
            self._note(
                f"connected again after {message['gap']:.1f} s; "
                f"{message['replayed']:.1f} s of audio sent again"
            )
        elif kind == "Warning":
            self._warn(f"{message.get('reason')} ({message.get('type')})")

    def _sort(self, message: Mapping[str, Any]) -> None:
        """Give a message to the transcripts of its channel, or of all."""
        label = channel_of(message)
        for channel, transcript in self._channels.items():
            if label in (None, channel):
                transcript.add(message)

    # -- what is said ------------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        self._screen.note(f"{PROG}: {in_shell_words(text)}")

    def _warn(self, text: str) -> None:
        self._note(f"warning: {text}")

    # -- what is written ---------------------------------------------------------------------------------

    def _flow_on(self) -> None:
        """Give the words that are new, in the one format that is made of them."""
        if self._format != "text":
            return
        channels = list(self._channels.values()) or [self._transcript]
        self._print(self._flow.more(*(transcript.words for transcript in channels)))

    def _print(self, tokens: list[Token]) -> None:
        """Give text, now or for the end."""
        if self._format != "text":
            return
        if self._output is None:
            self._screen.write(tokens)
        else:
            self._text.append(plain(tokens))

    def _whole(self) -> str:
        if self._format == "text":
            return "".join(self._text)
        if self._format == "json":
            return json_text({**self._transcript.to_dict(), **self._beside.to_dict()})
        return CAPTIONS[self._format](self._transcript)

    def _write(self, text: str) -> None:
        """Write the whole where it is to be, or where it still can be."""
        if self._output is not None:
            try:
                self._output.write(text)
            except OSError as exc:
                self._cannot_write(exc)
            else:
                return
        self._give(text)

    def _write_line(self, line: str) -> None:
        """Write a line, and all that follow, where they are to be, or where they still can be."""
        if self._output is not None:
            if self._client is None and self._output.live:
                self._held.append(line)
                return
            try:
                self._output.append(line)
            except BrokenPipeError:
                raise  # as of stdout: who reads it has had enough
            except OSError as exc:
                self._cannot_write(exc)
                self._output = None
            else:
                return
        self._give(line)

    def _cannot_write(self, exc: OSError) -> None:
        """Say it. What was heard is not lost: it goes to stdout, or with no stdout to stderr."""
        self._homeless = True
        self._screen.rest()
        where = "standard error" if self._out.missing else "standard output"
        self._note(f"error: can't write {self._place.shown}: {cause_of(exc)}; it goes to {where} instead")

    def _give(self, text: str) -> None:
        try:
            if not (self._homeless and self._out.missing):
                self._screen.write([Token(text)])
                return
        except OSError:
            if not self._homeless:
                raise  # it was for stdout alone
        self._screen.note(text.rstrip("\n"))

    # -- what is drawn -----------------------------------------------------------------------------------

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
        longest = max(known) if len(known) == len(self._durations) else None
        if not stats.seconds_sent:  # a file in a container: only the service knows its time
            return progress(stats.seconds_transcribed, longest, elapsed, None, bar=_BAR)
        if self._recording is not None:
            recording = self._recording
            return meter(recording.level, recording.silent, stats.seconds_sent, stats.lag, bar=_BAR)
        heard = side_by_side(stats.seconds_acknowledged, self._durations)
        lag = stats.lag if self._channels else heard - stats.seconds_transcribed
        return progress(heard, longest, elapsed, lag, bar=_BAR)


def side_by_side(total: float, durations: Sequence[Optional[float]]) -> float:
    """Tell how far channels are that flow side by side, each to its own end: so many seconds in all.

    Example:
        >>> side_by_side(10.0, [20.0, 2.0])  # 2 s of both, and 6 more of the first
        8.0
    """
    ends = sorted(math.inf if duration is None else duration for duration in durations)
    reached = 0.0
    for ended, end in enumerate(ends):
        share = (total - sum(ends[:ended])) / (len(ends) - ended)
        reached = min(share, end)
        if share <= end:
            break
    return reached


def _read(arguments: argparse.Namespace) -> list[Place]:
    """List what is read, and must not be written over."""
    file = None if arguments.file == MICROPHONE else arguments.file
    read = [("", file), ("--config", arguments.config)]
    for channel in arguments.channel or []:
        label, _, file = channel.partition("=")
        read.append((f"--channel {label}", file))
    return [Place.of(option, name, standard=0) for option, name in read if name is not None]
