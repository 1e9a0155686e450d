"""The options of ``speechmatics-rt serve``."""

from __future__ import annotations

import argparse

from .values import COUNT, PORT, SECONDS, SPEED, THREADS

__all__ = ["SERVE_EXAMPLES", "add_serve"]

SERVE_EXAMPLES = """\
examples:
  speechmatics-rt serve                            scripted words over any audio, any key
  speechmatics-rt serve --engine whisper           real recognition, offline
  speechmatics-rt serve --script play.txt          these words; S1 and S2 alternate by sentence
  speechmatics-rt serve --replay talk.jsonl        what "transcribe -f jsonl" has written
  speechmatics-rt serve --key secret --quota 2     refuse other keys, and a third session
  speechmatics-rt serve --fault reset:after_bytes=32000 --fault refuse:status=503,sessions=0
  speechmatics-rt serve --list-faults              everything that can go wrong
"""


def add_serve(parser: argparse.ArgumentParser) -> None:
    """Add them, in groups."""
    _add_server(parser)
    _add_script(parser)


def _add_server(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("server")
    group.add_argument("--port", type=PORT, default=9000, help="default: 9000; 0 for any free one")
    group.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="default: 127.0.0.1; 0.0.0.0 for other machines",
    )
    group.add_argument("--tls", action="store_true", help="wss, with a throwaway certificate")
    group.add_argument("--key", action="append", metavar="KEY", help="accept only this key; repeatable")
    group.add_argument("--quota", type=COUNT, metavar="N", help="at most N sessions at once")
    group.add_argument(
        "--container",
        action="store_true",
        help="behave like a container: no keys, health pages, no time limits",
    )
    group.add_argument(
        "--duration-limit", type=SECONDS, metavar="SECONDS", help="end a session after so much audio"
    )
    group.add_argument(
        "--speed", type=SPEED, metavar="X", help="process at most X seconds of audio per second"
    )


def _add_script(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what it says, and what goes wrong")
    group.add_argument(
        "--engine",
        choices=["scripted", "whisper", "replay"],
        help="default: scripted",
    )
    group.add_argument(
        "--threads",
        type=THREADS,
        metavar="N",
        help="for --engine whisper: how many sessions are recognised in parallel; default: one per core",
    )
    group.add_argument("--script", metavar="FILE.txt", help="what --engine scripted says")
    group.add_argument(
        "--replay", metavar="FILE.jsonl", help="what --engine replay says, one message per line"
    )
    group.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[:OPTION=VALUE,...]",
        help="what goes wrong, and when; repeatable",
    )
    group.add_argument("--list-faults", action="store_true", help="print the table of faults, and exit")
