"""Cost of our frame codec next to websocket-client, wsproto and websockets, in one run.

    python tests/benchmarks/bench_frames.py

Prints microseconds a frame (best of seven rounds) and the ratio to websocket-client. Ratios are what counts;
absolute figures drift with the machine.
"""

from __future__ import annotations

import json
import os
import sys
import timeit
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import websocket
from websocket._abnf import ABNF, frame_buffer
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage

from speechmatics_rt.protocol import frames

READ = 8192  # what one read brings
ACK = json.dumps({"message": "AudioAdded", "seq_no": 12345}).encode()
TRANSCRIPT = json.dumps({"message": "AddTranscript", "results": ["word and time"] * 140}).encode()[:2500]
AUDIO = os.urandom(4096)


def server_frame(payload: bytes) -> bytes:
    size = len(payload)
    header = bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")
    return header + payload


def ours(reads: list[bytes]) -> int:
    decoder, count = frames.Decoder(16 * 1024 * 1024), 0
    for data in reads:
        count += len(decoder.feed(data))  # a copy more than recv_into needs
    return count


def library(reads: list[bytes]) -> int:
    parts: Iterator[bytes] = iter(
        b"".join(reads)[i : i + 65536] for i in range(0, sum(map(len, reads)), 65536)
    )
    held = b""

    def recv(size: int) -> bytes:
        nonlocal held
        if not held:
            held = next(parts, b"")
            if not held:
                raise EOFError
        data, held = held[:size], held[size:]
        return data

    buffer, count = frame_buffer(recv, skip_utf8_validation=True), 0
    try:
        while True:
            buffer.recv_frame()
            count += 1
    except EOFError:
        return count


def wsproto(reads: list[bytes]) -> int:
    connection, count = Connection(ConnectionType.CLIENT), 0
    for data in reads:
        connection.receive_data(data)
        count += sum(event.message_finished for event in connection.events())
    return count


def websockets(reads: list[bytes]) -> int:
    reader, count = StreamReader(), 0

    def parser() -> Generator[None, None, None]:
        nonlocal count
        while True:
            yield from Frame.parse(reader.read_exact, mask=False, max_size=None)
            count += 1

    running = parser()
    next(running)
    for data in reads:
        reader.feed_data(data)
        next(running)
    return count


def best(work: Callable[[], object], count: int, rounds: int = 7) -> float:
    return min(timeit.repeat(work, number=1, repeat=rounds)) / count * 1e6


def table(title: str, rows: dict[str, float]) -> None:
    print(f"\n{title}")
    for name, cost in rows.items():
        print(f"  {name:<28}{cost:8.2f} us   {cost / rows['websocket-client']:.3f}")


def decode(title: str, payload: bytes, count: int) -> None:
    wire = server_frame(payload) * count
    reads = [wire[i : i + READ] for i in range(0, len(wire), READ)]
    rows = {}
    for name, work in (
        ("websocket-client", library),
        ("wsproto", wsproto),
        ("websockets", websockets),
        ("ours", ours),
    ):
        if work(reads) != count:
            raise SystemExit(f"{name} lost messages")
        rows[name] = best(lambda work=work: work(reads), count)  # type: ignore[misc]
    table(title, rows)


def repeated(work: Callable[[], object], count: int = 5000) -> float:
    return best(lambda: [work() for _ in range(count)], count)


def encode(title: str, payload: bytes) -> None:
    masker = frames._apply_mask
    rows = {"websocket-client": repeated(lambda: ABNF.create_frame(payload, ABNF.OPCODE_BINARY).format())}
    sender = Connection(ConnectionType.CLIENT)
    rows["wsproto"] = repeated(lambda: sender.send(BytesMessage(payload)), 500)
    rows["websockets"] = repeated(lambda: Frame(Opcode.BINARY, payload).serialize(mask=True))
    frames._apply_mask = frames._xor
    rows["ours, pure Python"] = repeated(lambda: frames.encode(frames.BINARY, payload))
    frames._apply_mask = masker
    if masker is not frames._xor:
        rows["ours, C masker found"] = repeated(lambda: frames.encode(frames.BINARY, payload))
    table(title, rows)


if __name__ == "__main__":
    print(f"CPython {sys.version.split()[0]}, websocket-client {websocket.__version__}")
    decode("decode an acknowledgement (41 bytes)", ACK, 20000)
    decode("decode a transcript (2.5 kB)", TRANSCRIPT, 4000)
    encode("encode 4 kB of audio", AUDIO)
    encode("encode 320 bytes of audio", AUDIO[:320])
