"""A server that does as little as possible, so that its client is what is measured.

``python -m peers.sink`` prints a line of JSON: its ports for ws and wss, and a file with its authority and
the system's. Then, for each line of its standard input, until that closes, it prints another one: what it has
received since the last, whether every byte was in its place, and how long it was busy. What it does in a
session is told by the language asked for: ``ack`` acknowledges audio, ``flood-N`` also sends N transcripts at
once, ``live-R`` R a second.

It runs on picows, a WebSocket in Cython, and has one thread.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trustme
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from .material import Verifier, encoded, transcript, transcripts
from .material import frame as text_frame
from .measure import raise_file_limit

ACKS = [text_frame(encoded({"message": "AudioAdded", "seq_no": n})) for n in range(1, 20_001)]
END = text_frame(encoded({"message": "EndOfTranscript"}))
STARTED = text_frame(
    encoded(
        {
            "message": "RecognitionStarted",
            "id": "5b0e7c1a-6d0f-4a53-9b3d-2f7f5a0c8e11",
            "language_pack_info": {"word_delimiter": " "},
        }
    )
)
BEFORE_FLOOD = 0.3  # seconds, for the client to start its clock
TRANSCRIPT, MOMENT = encoded(transcript(0, sent_at=0.125)).split(b'"sent_at":0.125')


class Tally:
    """What happened since the last report."""

    def __init__(self) -> None:
        self.frames = self.bytes = self.sessions = self.messages = 0
        self.misplaced = self.miscounted = 0
        self.began: tuple[float, float] | None = None
        self.ended = (0.0, 0.0)

    def tick(self) -> None:
        self.ended = time.process_time(), time.perf_counter()
        if self.began is None:
            self.began = self.ended

    def report(self) -> dict[str, Any]:
        began = self.began or self.ended
        cpu, wall = self.ended[0] - began[0], self.ended[1] - began[1]
        found = {name: value for name, value in vars(self).items() if name not in ("began", "ended")}
        self.__init__()  # type: ignore[misc]
        return {**found, "cpu": cpu, "wall": wall}


tally = Tally()


class Session(WSListener):  # type: ignore[misc]
    """One connection."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.write = transport.underlying_transport.write
        self.verifier = Verifier()
        self.frames = 0
        self.acknowledged = 0
        self.flooding = False
        self.timer: asyncio.TimerHandle | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.BINARY:
            self.frames += 1
            tally.frames += 1
            tally.bytes += frame.payload_size
            if not self.verifier.take(frame.get_payload_as_bytes()):
                tally.misplaced += 1
        elif kind == WSMsgType.TEXT:
            self.acknowledge()
            self.hear(json.loads(frame.get_payload_as_bytes()))
        elif kind == WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
            return
        if frame.last_in_buffer:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Acknowledge what one read brought, in one write."""
        first, last = self.acknowledged, self.frames
        if first < last:
            self.write(ACKS[first] if last - first == 1 else b"".join(ACKS[first:last]))
            self.acknowledged = last

    def hear(self, message: dict[str, Any]) -> None:
        kind = message["message"]
        tally.tick()
        if kind == "StartRecognition":
            self.write(STARTED)
            task, _, number = message["transcription_config"]["language"].partition("-")
            self.flooding = task == "flood"
            loop = asyncio.get_running_loop()
            if self.flooding:
                flood = b"".join(map(text_frame, transcripts(int(number)))) + END
                loop.call_later(BEFORE_FLOOD, self.write, flood)
            elif task == "live":
                self.live(loop, 1 / float(number), loop.time())
        elif kind == "EndOfStream":
            if message["last_seq_no"] != self.frames:
                tally.miscounted += 1
            if not self.flooding:
                self.write(END)

    def live(self, loop: asyncio.AbstractEventLoop, pause: float, at: float) -> None:
        sent_at = b'"sent_at":%.6f' % time.time()
        self.write(text_frame(TRANSCRIPT + sent_at + MOMENT))
        tally.messages += 1
        at += pause
        self.timer = loop.call_at(at, self.live, loop, pause, at)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.timer is not None:
            self.timer.cancel()
        tally.sessions += 1
        tally.tick()


def _system_authorities() -> bytes:
    """Return those that a client would load by default: loading them is part of its set-up."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() + b"\n" if file else b""


async def main(folder: Path) -> None:
    raise_file_limit()
    logging.getLogger("picows").setLevel(logging.ERROR)  # a flood does fill a buffer
    authority = trustme.CA()
    (folder / "ca.pem").write_bytes(_system_authorities() + authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ports = {}
    for scheme, tls in (("ws", None), ("wss", context)):
        server = await ws_create_server(
            lambda request: Session(), "127.0.0.1", 0, ssl=tls, backlog=2048, max_frame_size=1 << 22
        )
        ports[scheme] = server.sockets[0].getsockname()[1]
    print(json.dumps({**ports, "ca": str(folder / "ca.pem")}), flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(tally.report()), flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(main(Path(place)))
