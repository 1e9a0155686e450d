"""An HTML player of a recording and its transcript, which highlights words as they are spoken."""

from __future__ import annotations

import base64
import html
import os
from typing import IO, Any, Optional, Union

from ..exceptions import AudioError, shown
from . import page
from .words import Paragraph, Word

__all__ = ["Player"]

Playable = Union[str, os.PathLike[str], bytes, bytearray, memoryview, IO[bytes]]

MOST = 50_000_000  # bytes of a recording: it stands in the page, and in the notebook's file, as text

_KINDS = (  # how files begin, and their media types
    (b"ID3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"\x1a\x45\xdf\xa3", "audio/webm"),
)

_STYLE = """
#{id} audio {{ width: 100%; max-width: 48em; color-scheme: light dark; }}
#{id} [data-t] {{ cursor: pointer; border-radius: .2em; }}
#{id} [data-t]:hover {{ text-decoration: underline; }}
#{id} .lit {{ background: rgba(47,127,214,.4) !important; box-shadow: 0 .12em currentColor; }}
#{id} small {{ font: inherit; font-size: .8em; opacity: .7; }}
"""

# Words of two channels may overlap, so it looks back over a few from the last one that has begun.
_SCRIPT = """
(function () {{
  const root = document.getElementById("{id}");
  const audio = root && root.querySelector("audio");
  if (!audio) return;
  const words = Array.from(root.querySelectorAll("[data-e]"));
  words.sort((one, other) => one.dataset.t - other.dataset.t);
  const begins = words.map((word) => Number(word.dataset.t));
  let lit = [];
  function show() {{
    const now = audio.currentTime;
    let low = 0, high = words.length;
    while (low < high) {{
      const middle = (low + high) >> 1;
      if (begins[middle] <= now) low = middle + 1; else high = middle;
    }}
    const sounding = words.slice(Math.max(0, low - 12), low).filter((word) => Number(word.dataset.e) > now);
    lit.filter((word) => !sounding.includes(word)).forEach((word) => word.classList.remove("lit"));
    sounding.forEach((word) => word.classList.add("lit"));
    lit = sounding;
    if (!audio.paused && root.isConnected) requestAnimationFrame(show);
  }}
  ["play", "seeked", "pause", "ended"].forEach((event) => audio.addEventListener(event, show));
  function go(target) {{
    const spot = target.closest("[data-t]");
    if (!spot) return false;
    audio.currentTime = Number(spot.dataset.t);
    const playing = audio.play();
    if (playing) playing.catch(() => {{}});
    return true;
  }}
  root.addEventListener("click", (event) => go(event.target));
  root.querySelectorAll("small[data-t]").forEach((time) => {{
    time.tabIndex = 0;
    time.setAttribute("role", "button");
  }});
  root.addEventListener("keydown", (event) => {{
    if ((event.key === "Enter" || event.key === " ") && event.target.matches("small") && go(event.target))
      event.preventDefault();
  }});
}})();
"""


class Player:
    """The result of :meth:`Transcript.player`: shown by notebooks, and HTML to embed elsewhere.

    It has the words of the moment it was made. The HTML contains everything it needs, the recording
    included, unless that was given as a URL. Where scripts don't run (GitHub, an untrusted notebook) the
    recording and the text remain.
    """

    def __init__(self, paragraphs: list[Paragraph], direction: str, recording: Playable) -> None:
        self._paragraphs = paragraphs
        self._direction = direction
        self._source = _source(recording)

    def __repr__(self) -> str:
        words = sum(len(paragraph.words) for paragraph in self._paragraphs)
        return f"<Player of {words} words; a notebook shows it, _repr_html_() gives its HTML>"

    def _repr_html_(self) -> str:
        name = f"speechmatics-{os.urandom(6).hex()}"  # several may stand in one page
        lines = "".join(page.rows(self._paragraphs, _spot))
        return (
            f'<div id="{name}" dir="{self._direction}"><style>{_STYLE.format(id=name)}</style>'
            f'<audio controls preload="metadata" src="{html.escape(self._source)}"></audio>'
            f"{lines}<script>{_SCRIPT.format(id=name)}</script></div>"
        )


def _spot(word: Word) -> str:
    """Write a word that can be highlighted and clicked."""
    begin, end = f"{word.start_time:.2f}", f"{word.end_time:.2f}"
    title = ", ".join(filter(None, (f"{begin} s", page.surely(word))))
    return (
        f'<span data-t="{begin}" data-e="{end}" title="{title}" style="{page.shade(word)}">'
        f"{html.escape(word.text)}</span>"
    )


def _source(recording: Playable) -> str:
    """Return the URL of the recording: the one that was given, or a ``data:`` URL."""
    if isinstance(recording, str) and recording.startswith(("https://", "http://")):
        return recording
    if isinstance(recording, (bytes, bytearray, memoryview)):
        data = bytes(recording)
    else:
        data = _read_file(recording) if hasattr(recording, "read") else _read_path(recording)
    if len(data) > MOST:
        raise AudioError(_too_large(len(data)))
    kind = _kind(data)
    if kind is None:
        raise AudioError(
            "browsers can't play this recording, only WAV, MP3, Ogg, FLAC, MP4 and WebM; write raw samples "
            "into a WAV with the module wave"
        )
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _read_path(recording: Any) -> bytes:
    try:
        path = os.fspath(recording)  # a number would be somebody's descriptor
        size = os.stat(path).st_size
        if size > MOST:  # before it is read
            raise AudioError(_too_large(size))
        with open(path, "rb") as file:
            return file.read()
    except (OSError, ValueError, TypeError) as exc:
        why = getattr(exc, "strerror", None) or exc
        raise AudioError(f"can't open the recording {shown(recording)}: {why}") from exc


def _read_file(recording: Any) -> bytes:
    """Read a file of the caller's from its beginning, and leave it where it stands."""
    try:
        # SpooledTemporaryFile has no seekable() before Python 3.11.
        start = recording.tell() if getattr(recording, "seekable", lambda: True)() else None
        if start is not None:
            recording.seek(0)
        data = recording.read(MOST + 1)
        if start is not None:
            recording.seek(start)
    except (OSError, ValueError) as exc:
        raise AudioError(f"can't read the recording {shown(recording)}: {exc}") from exc
    if not isinstance(data, bytes):
        raise AudioError(f"read() of the recording gave {type(data).__name__}, not bytes")
    return data


def _too_large(size: int) -> str:
    return (
        f"the recording has {size / 1e6:.0f} MB{' or more' * (size == MOST + 1)}; a player embeds "
        f"{MOST / 1e6:.0f} MB at most: give a URL (https://...), or a compressed recording (MP3, Ogg)"
    )


def _kind(data: bytes) -> Optional[str]:
    for beginning, kind in _KINDS:
        if data.startswith(beginning):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    if data[4:8] == b"ftyp":
        return "audio/mp4"
    if len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0:  # frames of MPEG without a tag
        return "audio/aac" if data[1] & 0x06 == 0 else "audio/mpeg"
    return None
