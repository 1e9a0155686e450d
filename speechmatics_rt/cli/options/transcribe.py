"""The options of ``speechmatics-rt transcribe``."""

from __future__ import annotations

import argparse
from typing import Any

from ...config import AudioEncoding
from .profiles import add_profile
from .values import LINES, PAUSE, SECONDS, SHARE, SPEED, VOLUME, WIDTH, Languages, entry, forms
from .vocabulary import replacement, vocabulary

__all__ = [
    "TRANSCRIBE_EXAMPLES",
    "add_beside",
    "add_place",
    "add_recognition",
    "add_samples",
    "add_shape",
    "add_transcribe",
]

TRANSCRIBE_EXAMPLES = """\
examples:
  speechmatics-rt transcribe talk.wav                        the key is in SPEECHMATICS_API_KEY
  speechmatics-rt transcribe talk.wav --local                offline, without a key
  speechmatics-rt transcribe talk.wav --speed 1 --partials   in real time
  speechmatics-rt transcribe talk.mp3 -l fr --diarization speaker -o talk.srt
  speechmatics-rt transcribe talk.mp3 -f txt,srt,json --output-dir out   out/talk.txt, out/talk.srt, ...
  speechmatics-rt transcribe --channel agent=agent.wav --channel caller=caller.wav
  speechmatics-rt transcribe call.wav --split agent,caller               a stereo recording, one line per turn
  speechmatics-rt transcribe talk.wav --speed 1 --captions live.vtt      captions for a player, while it runs
  speechmatics-rt transcribe mic --partials --save talk.wav              until Ctrl-C; nothing is lost
  arecord -q -f S16_LE -r 16000 -t raw | speechmatics-rt transcribe - --raw pcm_s16le --sample-rate 16000
  speechmatics-rt transcribe talk.wav -f jsonl | jq -c 'select(.message == "AddTranscript").metadata'
"""


def add_transcribe(parser: argparse.ArgumentParser) -> None:
    """Add them, in groups."""
    _add_source(parser)
    add_place(parser, timeout="limit on the whole run")
    add_beside(add_recognition(parser), beside="srt, vtt, tsv: one file each")
    _add_output(parser)


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("audio")
    group.add_argument(
        "file", metavar="FILE", nargs="?", help="the audio; - for standard input, mic for the microphone"
    )
    group.add_argument(
        "--channel",
        action="append",
        metavar="LABEL=FILE",
        help="instead of FILE: the audio of a channel, or mic; repeatable, all in one session",
    )
    group.add_argument(
        "--split",
        metavar="LABEL,LABEL",
        help="for a WAV of several channels: transcribe each as a channel of its own",
    )
    group.add_argument("--mix", action="store_true", help="for a WAV of several channels: mix them into one")
    group.add_argument(
        "--device", metavar="NAME", help="for mic: a number or name from 'speechmatics-rt devices'"
    )
    group.add_argument("--save", metavar="FILE.wav", help="for mic: save the audio")
    add_samples(group, rate="for --raw, or for mic (default: 16000)")


def add_samples(group: argparse._ArgumentGroup, *, rate: str) -> None:
    """Add what headerless audio is, and how fast any is sent; ``rate`` says what the sample rate is for."""
    group.add_argument(
        "--raw",
        choices=[encoding.value for encoding in AudioEncoding],
        help="the audio is headerless samples of one channel; a WAV needs no --raw",
    )
    group.add_argument("--sample-rate", type=int, metavar="HZ", help=rate)
    group.add_argument("--speed", type=SPEED, metavar="X", help="1 = real time; default: as fast as possible")


def add_place(parser: argparse.ArgumentParser, *, timeout: str) -> None:
    """Add where the service is, and how it is reached; ``timeout`` says what is limited."""
    group = parser.add_argument_group("service")
    place = group.add_mutually_exclusive_group()
    place.add_argument(
        "--url",
        help="default: SPEECHMATICS_RT_URL, or the EU service; set SSL_CERT_FILE to trust a CA of your own",
    )
    place.add_argument(
        "--local", action="store_true", help="recognise offline, in this process, without a key"
    )
    _add(
        group,
        "--api-key",
        former=["--auth-token"],
        metavar="KEY",
        help="prefer SPEECHMATICS_API_KEY, which other users can't see",
    )
    _add(
        group,
        "--temporary-key",
        former=["--generate-temp-token"],
        action="store_true",
        help="exchange the key for one that is valid for a minute",
    )
    _add(
        group,
        "--header",
        former=["--extra-headers"],
        action="append",
        metavar="NAME=VALUE",
        help="an additional HTTP header; repeatable",
    )
    group.add_argument(
        "--ssl-mode",
        choices=["regular", "insecure"],
        help="insecure: do not check certificates, for tests only; others may read everything, even the key",
    )
    add_profile(
        group,
        help="options from the table [NAME] of config.toml in ~/.config/speechmatics-rt; default: [default]",
    )
    group.add_argument("--engine", choices=["whisper", "scripted"], help="for --local; default: whisper")
    group.add_argument(
        "--resume", action="store_true", help="replace a lost connection, without losing a word"
    )
    group.add_argument(
        "--drop-every",
        type=SECONDS,
        metavar="SECONDS",
        help="for --local: cut the connection after each SECONDS of finals, to see it resume",
    )
    group.add_argument("--timeout", type=SECONDS, metavar="SECONDS", help=timeout)


def add_recognition(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add what is to be recognised, and how."""
    group = parser.add_argument_group("recognition")
    _add(group, "-l", "--language", former=["--lang"], metavar="CODE", help="default: en")
    group.add_argument("--model", help="enhanced (default), standard, ...")
    group.add_argument(
        "--operating-point", metavar="MODEL", help="the former name of --model, for older containers"
    )
    group.add_argument("--domain", help="a specialised language pack, e.g. medical")
    group.add_argument("--output-locale", metavar="LOCALE", help="spelling, e.g. en-GB")
    group.add_argument(
        "--max-delay", type=PAUSE, metavar="SECONDS", help="from the end of a word to its final, 0.7 to 4"
    )
    group.add_argument(
        "--max-delay-mode",
        choices=["flexible", "fixed"],
        help="flexible (default): an entity, such as a number, may take longer",
    )
    group.add_argument(
        "--diarization", choices=["none", "speaker"], help="speaker: label the speakers S1, S2, ..."
    )
    _add(
        group,
        "--max-speakers",
        former=["--speaker-diarization-max-speakers"],
        type=int,
        metavar="N",
        help="with --diarization speaker",
    )
    _add(
        group,
        "--speaker-sensitivity",
        former=["--speaker-diarization-sensitivity"],
        type=SHARE,
        metavar="X",
        help="0 to 1; higher finds more speakers",
    )
    _add(
        group,
        "--prefer-current-speaker",
        former=["--speaker-diarization-prefer-current-speaker"],
        action="store_true",
        default=None,
        help="switch less often between similar voices",
    )
    _add(
        group,
        "--entities",
        former=["--enable-entities"],
        action="store_true",
        default=None,
        help="return numbers, dates, money as entities",
    )
    _add(
        group,
        "--punctuation",
        former=["--punctuation-permitted-marks"],
        metavar="MARKS",
        help="only these marks, e.g. '.?'; '' for none",
    )
    group.add_argument(
        "--punctuation-sensitivity", type=SHARE, metavar="X", help="0 to 1; higher gives more punctuation"
    )
    _add_words(group)
    group.add_argument(
        "--volume-threshold", type=VOLUME, metavar="N", help="0 to 100: do not transcribe quieter audio"
    )
    _add(
        group,
        "--end-of-utterance",
        former=["--end-of-utterance-silence-trigger"],
        type=PAUSE,
        metavar="SECONDS",
        help="silence that ends an utterance, 0 to 2",
    )
    _add(
        group,
        "--config",
        former=["--config-file"],
        metavar="FILE.json",
        help="a transcription_config, or a whole StartRecognition; options override it",
    )
    return group


def add_beside(group: argparse._ArgumentGroup, *, beside: str) -> None:
    """Add translations and sounds.

    Args:
        beside: Which forms of a translation are files of their own.
    """
    _add(
        group,
        "--translate",
        former=["--translation-langs", "--translation-languages"],
        action=Languages,
        metavar="CODE",
        help=f"translate into this language (or these: fr,de); repeatable; {beside}",
    )
    group.add_argument(
        "--audio-events",
        action="append",
        choices=["all", "laughter", "applause", "music"],
        help="also report these sounds; repeatable",
    )


def _add_words(group: argparse._ArgumentGroup) -> None:
    _add(
        group,
        "--vocab",
        former=["--additional-vocab"],
        action="append",
        type=entry(vocabulary),
        metavar="WORD[:SOUND,SOUND]",
        help="a word or phrase to recognise, and what it sounds like; repeatable",
    )
    _add(
        group,
        "--vocab-file",
        former=["--additional-vocab-file"],
        metavar="FILE",
        help="the same, one per line; or additional_vocab as JSON",
    )
    _add(
        group,
        "--replace",
        former=["--replacement-words"],
        action="append",
        type=entry(replacement),
        metavar="FROM:TO",
        help="replace a word, or /REGEX/, in the transcript; repeatable",
    )
    _add(
        group,
        "--replace-file",
        former=["--replacement-words-file"],
        metavar="FILE",
        help="the same, one per line; or replacements as JSON",
    )
    group.add_argument("--remove-disfluencies", action="store_true", default=None, help="remove hm and er")


def _add(group: argparse._ActionsContainer, *names: str, former: list[str], help: str, **how: Any) -> None:
    """Add an option that the former command had by other names, which are understood and not shown."""
    option = group.add_argument(*names, help=help, **how)
    group.add_argument(*former, dest=option.dest, help=argparse.SUPPRESS, **how)


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "-f",
        "--format",
        type=forms,
        metavar="FORMAT",
        help="default: what the name after -o ends in, or text. text: one sentence per line, as it is "
        "transcribed; jsonl: every message as it comes "
        "(without acknowledgements); json, srt, vtt, tsv: the transcript, at the end; or several, with "
        "--output-dir",
    )
    group.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="instead of stdout (-); written whole, at the end and about each second before (jsonl as it "
        "comes), so that a run that is killed has left what was heard",
    )
    group.add_argument(
        "--output-dir",
        metavar="DIR",
        help="write a file for each format, named after the audio, and captions of translations beside it",
    )
    add_shape(group)
    group.add_argument(
        "--captions",
        metavar="FILE.vtt",
        help="also write captions (or FILE.srt), kept complete and up to date while it runs; "
        "one more file for each --translate",
    )
    _add(
        group,
        "--partials",
        former=["--enable-partials"],
        action="store_true",
        default=None,
        help="on a terminal or in jsonl: show words before they are final",
    )
    group.add_argument("--no-progress", action="store_true", help="on a terminal: no bar")
    group.add_argument(
        "--stats",
        action="store_true",
        help="at the end, on stderr and in json: show latencies (p50, p90, p99), lag, reconnects",
    )


def add_shape(group: argparse._ArgumentGroup) -> None:
    """Add how lines and captions look."""
    group.add_argument(
        "--timestamps", action="store_true", help="in text: begin each line with its time, [00:01:02.345]"
    )
    group.add_argument(
        "--caption-width",
        type=WIDTH,
        default=42,
        metavar="N",
        help="maximum width of a caption line; default: 42",
    )
    group.add_argument(
        "--caption-lines", type=LINES, default=2, metavar="N", help="maximum lines of a caption; default: 2"
    )
