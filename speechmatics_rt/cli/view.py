"""What is seen of ``speechmatics-rt transcribe``, and the files it leaves."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any, Optional

from ..baseclient import BaseClient
from ..exceptions import ConfigurationError, SpeechmaticsError
from ..messages import channel_of, span, time_of
from ..stats import SessionStats
from ..transcript import OPEN, CaptionShape, Transcript, Word, width
from .asked import Asked, settings_read
from .options import PROG
from .outputs import (
    WORDS_ALONE,
    Captions,
    Contents,
    Document,
    Place,
    WavFile,
    beside_of,
    check_apart,
    make_folder,
)
from .shell import in_shell_words
from .show import ALERT, GREY, Screen, ending_of, meter, progress
from .sources import MICROPHONE
from .streams import Stream
from .text import Flow, Line, Token, stats_dict, stats_lines

__all__ = ["View", "progress_of", "side_by_side", "unanswered"]

_BEHIND = 20.0  # s of audio by which a channel may be heard later than another before that waits no longer
_HEARD = ("AddTranscript", "AddTranslation", "AudioEventStarted", "AudioEventEnded")
_ROUNDED = 0.1  # s by which the last final may end before the audio
_PATIENCE = 5.0  # s without an answer, after which that is shown


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
        self._partials = bool(arguments.partials)
        self._durations = session.audio.durations
        self._recording = session.audio.recording
        self._saved = saved
        self._screen = screen
        self._out = out
        # Of recordings that are read as fast as they can be, one channel may be heard long before another.
        live = arguments.speed is not None or None in session.audio.durations
        self._flow = Flow(timestamps=arguments.timestamps, patience=_BEHIND if live else math.inf)
        self._beside: list[Line] = []  # lines of the text that are no sentences
        self._client: Optional[BaseClient] = None
        self._transcript = Transcript()
        # By channel: words of several come in the order of their times, not in that of their arrival.
        self._channels = {label: Transcript() for label in session.audio.channels}
        self._spoken: list[list[Word]] = [[] for _ in session.audio.channels or [""]]
        self._asked = session.options
        self._began = time.monotonic()
        self._busy = self._said = False
        self._elapsed = self._most_lag = 0.0
        self._files = ExitStack()
        self._documents = [Document(*asked, screen, out) for asked in session.documents]
        self._flows = any(each.flows for each in self._documents)
        self._lines = next((each for each in self._documents if each.form == "jsonl"), None)
        self._documents += [
            Document(each.form, beside_of(each.place, language), screen, out, language)
            for each in self._documents
            for language in session.languages
            if each.form in WORDS_ALONE and not each.place.is_standard_output
        ]
        self._shape = CaptionShape(arguments.caption_width, arguments.caption_lines)
        self._languages = session.languages
        self._captions: dict[str, Captions] = {}  # by language; "": what was said

    @property
    def complete(self) -> bool:
        """Whether all that was asked for was written where it was to be."""
        if self._saved is not None and not self._saved.whole:
            return False
        captions = all(each.whole for each in self._captions.values())
        return captions and not any(each.homeless for each in self._documents)

    def __enter__(self) -> View:
        outputs = [each.place for each in self._documents]
        captions = self._captions_places()
        outputs += captions.values()
        if self._saved is not None:
            outputs.append(self._saved.place)
        if self._out.missing:
            if not captions and outputs[0].is_standard_output:
                raise ConfigurationError("standard output is closed; name a file with -o")
            outputs = [place for place in outputs if not place.is_standard_output]  # captions alone will do
        if self._arguments.output_dir is not None:
            make_folder("--output-dir", self._arguments.output_dir)
        check_apart(outputs, _read(self._arguments))
        with ExitStack() as stack:
            for language, place in captions.items():
                opened = Captions(place, self._shape, self._warn)
                self._captions[language] = stack.enter_context(closing(opened))
            for document in self._documents:
                stack.enter_context(document)
            self._files = stack.pop_all()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], _: object
    ) -> None:
        with self._files:
            self._screen.clear()
            if isinstance(error, SpeechmaticsError) and error.transcript is not None:
                self._transcript = error.transcript
            for language, captions in self._captions.items() if self._client is not None else ():
                captions.write(self._heard(language), last=True)
            if isinstance(error, BrokenPipeError):
                return
            self._flow_on()
            if self._flows:
                self._screen.write(self._flow.end())
            if self._client is not None:
                self._elapsed = time.monotonic() - self._began
            if error is None or self._transcript.words:
                self._finish()
            if self._arguments.stats and self._client is not None:
                self._tell_stats(self._client)

    def _finish(self) -> None:
        """Write what is written at the end."""
        for document in self._documents:
            document.finish(self._made_of(document.language))
        if self._arguments.output_dir is not None:
            written = [each.place.name for each in self._documents if each.written]
            if written:
                self._note(f"wrote {', '.join(written)}")

    def _captions_places(self) -> dict[str, Place]:
        """Say where the captions of what was said go, and those of each translation beside them."""
        name = self._arguments.captions
        if name is None:
            return {}
        Captions.form_of(name)
        place = Place.of("--captions", name, standard=1)
        return {"": place, **{language: beside_of(place, language) for language in self._languages}}

    def _heard(self, language: str) -> Transcript:
        """Give what was said, or what it is in another language."""
        if not language:
            return self._transcript
        return self._transcript.translations.get(language) or Transcript()

    def _made_of(self, language: str) -> Contents:
        stats = None
        if self._arguments.stats and self._client is not None:
            elapsed = self._elapsed or time.monotonic() - self._began
            stats = stats_dict(self._client.stats, elapsed, self._most_lag)
        return Contents(self._heard(language), self._whole_text, self._asked, stats, self._shape)

    def _tell_stats(self, client: BaseClient) -> None:
        ids = f"{client.session_id} (request {client.request_id})"
        for line in stats_lines(client.stats, self._elapsed, self._most_lag, ids):
            self._screen.tell(f"{PROG}: {line}")

    def wait_for(self, what: str) -> None:
        """Show what is waited for, until there is something else to show."""
        if not self._arguments.no_progress:
            self._screen.draw("", [[Token(f"{what} ...", GREY)]])

    def begin(self, client: BaseClient) -> None:
        """Take the session that has started."""
        self._client = client
        self._transcript = client.transcript
        self._began = time.monotonic()
        for document in self._documents:
            document.begin()
        if self._recording is not None:
            self._note(f"listening to {self._recording.name}; Ctrl-C ends it")
        for language, captions in self._captions.items():
            captions.write(self._heard(language))  # a player may open it now

    def take(self, message: Mapping[str, Any]) -> None:
        """Show a message."""
        self._busy = True
        self._take(message)
        self._busy = False

    def _take(self, message: Mapping[str, Any]) -> None:
        kind = message["message"]
        self._sort(message)
        if self._lines is not None:
            self._lines.add_message(message)
        for language, captions in self._captions.items():
            ours = kind == "AddTranslation" and message.get("language") == language
            changed = ours if language else kind == "AddTranscript"
            captions.take(partial(self._heard, language), changed=changed)
        if kind == "AddTranscript":
            if self._arguments.stats and self._client is not None:
                self._most_lag = max(self._most_lag, self._client.stats.lag)
            self._flow_on()
        elif kind == "AddTranslation":
            parts = message.get("results", [])
            text = " ".join(str(item.get("content", "")) for item in parts)
            ends = [span(item)[1] for item in parts]
            self._put_beside(Line(max(ends, default=0.0), f"[{message.get('language')}] {text}"))
        elif kind == "AudioEventStarted":
            event = message.get("event", {})
            self._put_beside(Line(time_of(event.get("start_time")), f"[{event.get('type')}]"))
        elif kind == "Reconnecting":
            self._note(f"{message['cause']}; again in {message['delay']:.1f} s")
        elif kind == "Resumed":
            self._note(
                f"connected again after {message['gap']:.1f} s; "
                f"{message['replayed']:.1f} s of audio sent again"
            )
        elif kind == "Warning":
            self._warn(f"{message.get('reason')} ({message.get('type')})")
        self._keep(message)

    def _keep(self, message: Mapping[str, Any]) -> None:
        """Have the files hold what was heard so far; until something was, they stay as they were."""
        changed = message["message"] in _HEARD and bool(message.get("results", True))
        self._said |= changed
        for document in self._documents if self._said else ():
            document.keep(partial(self._made_of, document.language), changed=changed)

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

    def _flow_on(self) -> None:
        """Show the words that are new, as far as they are not to wait for others."""
        if self._flows:
            heard = [
                math.inf
                if seconds is not None and transcript.end_time > seconds - _ROUNDED
                else transcript.end_time
                for transcript, seconds in zip(self._channels.values(), self._durations)
            ]
            for words, transcript in zip(self._spoken, self._each()):
                settled = max(0, len(words) - OPEN)
                words[settled:] = transcript._words_since(settled)
            self._screen.write(self._flow.more(*self._spoken, heard=heard))

    def _put_beside(self, line: Line) -> None:
        """Have a line stand among those of the text."""
        self._beside.append(line)
        if self._flows:
            self._screen.write(self._flow.line(line))

    def _each(self) -> Collection[Transcript]:
        """Give the transcript of each channel."""
        return self._channels.values() or [self._transcript]

    def _whole_text(self) -> str:
        words = [transcript.words for transcript in self._each()]
        return Flow.whole(words, self._beside, timestamps=self._arguments.timestamps)

    # -- what is drawn -----------------------------------------------------------------------------------

    def draw(self) -> None:
        """Draw what changes in place: the partials, and how far the audio is."""
        self._busy = True
        self._draw()
        self._busy = False

    def beat(self) -> None:
        """Draw anew though nothing has come. For a signal handler, unless that interrupts us ourselves."""
        if not self._busy:
            self.draw()

    def _draw(self) -> None:
        if not self._screen.live or self._client is None:
            return
        status = []
        if not self._arguments.no_progress:
            stats = self._client.stats
            late = unanswered(stats)
            columns = self._screen.size.columns - 1 - sum(width(token.text) for token in late)
            status = [[*self._status(stats, columns), *late]]
        if not self._channels:
            self._screen.draw(self._transcript.partial if self._partials else "", status)
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
        self._screen.draw(partial, [*rows, *status])

    def _status(self, stats: SessionStats, columns: int) -> list[Token]:
        if self._recording is not None:
            recording = self._recording
            sent = side_by_side(stats.seconds_sent, self._durations)
            return meter(recording.level, recording.silent, sent, stats.lag, columns=columns)
        return progress_of(stats, self._durations, time.monotonic() - self._began, columns=columns)


def unanswered(stats: SessionStats) -> list[Token]:
    """Say for how long nothing has come from the service, though there is audio to be acknowledged."""
    if stats.silence < _PATIENCE or not stats.unacknowledged_frames:
        return []
    return [Token(f"  no answer for {stats.silence:.0f} s", ALERT)]


def progress_of(
    stats: SessionStats, durations: Sequence[Optional[float]], elapsed: float, *, columns: int = 80
) -> list[Token]:
    """Write how far a session is, of sources that last so long (None: who knows), in so many columns."""
    if stats.seconds_sent and stats.seconds_total is None:  # there is more than was announced
        durations = [None] * len(durations)
    known = [seconds for seconds in durations if seconds is not None]
    longest = max(known) if len(known) == len(durations) else None
    if not stats.seconds_sent:  # a file in a container: only the service knows its time
        return progress(stats.seconds_transcribed, longest, elapsed, None, columns=columns)
    heard = side_by_side(stats.seconds_acknowledged, durations)
    lag = heard - stats.seconds_transcribed if len(durations) == 1 else stats.lag
    return progress(heard, longest, elapsed, lag, columns=columns)


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
    read = [("", file)]
    for channel in arguments.channel or []:
        label, _, file = channel.partition("=")
        read.append((f"--channel {label}", None if file == MICROPHONE else file))
    given = [Place.of(option, name, standard=0) for option, name in read if name is not None]
    return given + settings_read(arguments)
