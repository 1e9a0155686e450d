"""The options of ``speechmatics-rt doctor``."""

from __future__ import annotations

import argparse

from .profiles import add_profile

__all__ = ["DOCTOR_EXAMPLES", "add_doctor"]

DOCTOR_EXAMPLES = """\
examples:
  speechmatics-rt doctor                           the service, with the key in SPEECHMATICS_API_KEY
  speechmatics-rt doctor --url wss://asr.example.com:9000/v2
  speechmatics-rt doctor --temporary-key           also check temporary keys
  speechmatics-rt doctor --local                   what --local and the microphone need
  speechmatics-rt doctor --report                  for a ticket: without keys, passwords, and names
"""


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Add them."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--url", help="default: SPEECHMATICS_RT_URL, or the EU service")
    place.add_argument(
        "--local", action="store_true", help="check the installation: packages, recogniser, microphone"
    )
    parser.add_argument(
        "--api-key", metavar="KEY", help="prefer SPEECHMATICS_API_KEY, which other users can't see"
    )
    parser.add_argument(
        "--temporary-key",
        action="store_true",
        help="exchange the key for one that is valid for a minute",
    )
    add_profile(parser, help="use its address and key; see transcribe --help")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object, with all figures")
    form.add_argument("--report", action="store_true", help="a report for a support ticket, without secrets")
