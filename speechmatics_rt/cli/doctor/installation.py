"""The checks of ``--local``: the installation itself, its recogniser, and the microphone."""

from __future__ import annotations

import platform
import time
from importlib.util import find_spec

from ..._version import __version__
from ...audio import Microphone
from ...auth import NoAuth
from ...client import Client
from ...config import ConnectionConfig
from ...exceptions import ConfigurationError
from ..options import PROG, ExitCode, installed_parts
from ..shell import in_shell_words
from ..sources import MicrophoneInput
from ..transcribe import local_server
from .checks import Check, Finding, failed, ok, warning
from .judge import microphone_finding
from .session import one_second

__all__ = ["INSTALLATION", "LOCAL"]

_BLOCKS = 5  # of 0.1 s that are listened to
_BLOCK = 4096  # bytes; the last of one may come by itself


def _installation(_: object) -> Finding:
    text = f"{PROG} {__version__}, Python {platform.python_version()}, {platform.system()}"
    if find_spec("websocket") is None:
        advice = "pip install --force-reinstall speechmatics-rt-sync"
        return failed(f"{text}, without websocket-client", advice, ExitCode.USAGE)
    found = installed_parts()
    version = next(part.version for part in found if not part.extra)
    text += f", websocket-client {version or 'of an unknown version'}"
    missing = [part.extra for part in found if part.version is None and part.extra]
    if missing:
        text += f"; without the extras {', '.join(missing)}"
    return ok(text, missing=missing)


def _recogniser(_: object) -> Finding:
    began = time.monotonic()
    with local_server("whisper", "en", None) as url:
        loaded = time.monotonic() - began
        limits = ConnectionConfig(close_timeout=1, proxy="")
        with Client(NoAuth(), url=url, conn_config=limits) as client:
            timing = one_second(client)
    return ok(
        f"loaded after {loaded:.1f} s, and ended {timing.ended:.2f} s after a second of silence",
        loaded=loaded,
        ended=timing.ended,
    )


def _microphone(_: object) -> Finding:
    try:
        devices = Microphone.list_devices()
    except ConfigurationError as exc:
        return warning(in_shell_words(exc.text), "only 'transcribe mic' needs it")
    if not devices:
        return warning("no device records", "plug one in, or allow this program to use the microphone")
    loudest = -float("inf")
    with MicrophoneInput(None, None, None) as recording:
        for _block in range(_BLOCKS):
            recording.read(_BLOCK)
            loudest = max(loudest, recording.level)
    return microphone_finding(recording.name, loudest, recording.audio_format.sample_rate)


INSTALLATION = Check("installation", _installation)

LOCAL = [
    INSTALLATION,
    Check("recogniser", _recogniser, needs=("installation",)),
    Check("microphone", _microphone),
]
