"""A server that does as little as possible, so that a benchmark measures its client.

Run as a program: ``python sink.py CERTIFICATE`` (or ``-`` for plain TCP) prints its port and serves each
connection in a thread until standard input closes. What it does is told by the language asked for:
``ack`` acknowledges audio, ``flood:N`` sends N transcripts at once, ``live:R`` sends R transcripts a second.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import sys
import threading
import time

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def frame(message: dict) -> bytes:
    payload = json.dumps(message, separators=(",", ":")).encode()
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def transcript(words: int = 14, sent_at: float | None = None) -> dict:
    """About 2.5 kB, as a final of an ordinary sentence is."""
    results = [
        {
            "type": "word",
            "start_time": round(i * 0.32, 2),
            "end_time": round(i * 0.32 + 0.28, 2),
            "alternatives": [
                {"content": f"speech{i}", "confidence": 0.97, "language": "en", "speaker": "S1"}
            ],
        }
        for i in range(words)
    ]
    text = " ".join(r["alternatives"][0]["content"] for r in results)
    metadata = {"start_time": 0.0, "end_time": round(words * 0.32, 2), "transcript": text + " "}
    message = {"message": "AddTranscript", "format": "2.9", "results": results, "metadata": metadata}
    if sent_at is not None:
        message["sent_at"] = sent_at
    return message


ACKS = [frame({"message": "AudioAdded", "seq_no": n}) for n in range(1, 50_001)]
END = frame({"message": "EndOfTranscript"})
STARTED = frame(
    {
        "message": "RecognitionStarted",
        "id": "5b0e7c1a-6d0f-4a53-9b3d-2f7f5a0c8e11",
        "language_pack_info": {"word_delimiter": " "},
    }
)


class Peer:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.lock = threading.Lock()
        self.sent = 0
        self.floods = False

    def send(self, data: bytes) -> None:
        with self.lock:
            self.sock.sendall(data)

    def upgrade(self) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += self.sock.recv(4096)
        key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = base64.b64encode(hashlib.sha1(key.split(b":")[1].strip() + GUID).digest())
        self.sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def serve(self) -> None:
        self.upgrade()
        buffer = bytearray(1 << 20)
        view = memoryview(buffer)
        filled = 0
        while True:
            count = self.sock.recv_into(view[filled:])
            if not count:
                return
            end = filled + count
            start = audio = 0
            replies = []
            while end - start >= 6:
                opcode, size, head = buffer[start] & 0x0F, buffer[start + 1] & 0x7F, 6
                if size == 126:
                    size, head = buffer[start + 2] << 8 | buffer[start + 3], 8
                elif size == 127:
                    size, head = int.from_bytes(view[start + 2 : start + 10], "big"), 14
                if end - start < head + size:
                    break
                if opcode == 2:
                    audio += 1
                else:
                    key = bytes(view[start + head - 4 : start + head])
                    payload = bytes(view[start + head : start + head + size])
                    plain = bytes(b ^ key[i & 3] for i, b in enumerate(payload))
                    self.flush(audio, replies)
                    audio = 0
                    if opcode == 8:
                        self.send(b"\x88" + bytes((len(plain),)) + plain)
                        return
                    if opcode == 9:
                        replies.append(b"\x8a" + bytes((len(plain),)) + plain)
                    elif opcode == 1:
                        self.hear(json.loads(plain), replies)
                start += head + size
            self.flush(audio, replies)
            if replies:
                self.send(b"".join(replies))
            view[: end - start] = view[start:end]
            filled = end - start

    def flush(self, audio: int, replies: list[bytes]) -> None:
        replies.extend(ACKS[self.sent : self.sent + audio])
        self.sent += audio

    def hear(self, message: dict, replies: list[bytes]) -> None:
        kind = message["message"]
        if kind == "StartRecognition":
            replies.append(STARTED)
            task, _, number = message["transcription_config"]["language"].partition("-")
            self.floods = task == "flood"
            if self.floods:
                threading.Thread(target=self.flood, args=(int(number),), daemon=True).start()
            elif task == "live":
                threading.Thread(target=self.live, args=(int(number),), daemon=True).start()
        elif kind == "EndOfStream" and not self.floods:
            replies.append(END)

    def flood(self, count: int) -> None:
        time.sleep(0.3)
        block = b"".join([frame(transcript())] * 20)
        for _ in range(count // 20):
            self.send(block)
        self.send(END)

    def live(self, rate: int) -> None:
        try:
            at = time.monotonic()
            while True:
                at += 1 / rate
                time.sleep(max(0.0, at - time.monotonic()))
                self.send(frame(transcript(sent_at=time.time())))
        except OSError:
            pass  # the client has gone


def main() -> None:
    context = None
    if sys.argv[1] != "-":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(listener.getsockname()[1], flush=True)

    def serve(sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True)
            Peer(sock).serve()
        except OSError:
            pass  # a client may leave as it likes
        finally:
            sock.close()

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
