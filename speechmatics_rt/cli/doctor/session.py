"""A session of one second, which proves that all steps work together."""

from __future__ import annotations

import time

from ...client import Client
from ...config import AudioFormat
from .judge import Timing

__all__ = ["one_second"]

_RATE, _PIECES = 16000, 10
_SILENCE = bytes(2 * _RATE // _PIECES)  # 16-bit samples
_END = 30.0  # s for the end of a transcript of nothing


def one_second(client: Client) -> Timing:
    """Send a second of silence, piece by piece, and time what comes back.

    Raises:
        SpeechmaticsError: What hindered it.
    """
    sent: list[float] = []
    heard: list[float] = []  # in the order of what was sent
    began = time.monotonic()
    client.on("AudioAdded", lambda _: heard.append(time.monotonic()))
    client.start_session(audio_format=AudioFormat("pcm_s16le", _RATE))
    opened = time.monotonic() - began
    ids = f"{client.session_id} (request {client.request_id})"
    for _ in range(_PIECES):
        sent.append(time.monotonic())
        client.send_audio(_SILENCE)
        time.sleep(1 / _PIECES)  # as it would sound
    ending = time.monotonic()
    client.stop_session(timeout=_END)  # all handlers have run then
    acknowledged = [back - gone for gone, back in zip(sent, heard)]
    return Timing(opened, time.monotonic() - ending, acknowledged, ids)
