"""Use temporary keys: the API key is sent only to the key service, never over the WebSocket.

Run ``python temporary_keys.py [FILE]`` with the extra ``jwt`` and the key in SPEECHMATICS_API_KEY.
"""

from __future__ import annotations

import sys
from pathlib import Path

from speechmatics_rt import Client, JWTAuth, SpeechmaticsError

RECORDING = Path(__file__).parent / "audio" / "librivox_3_sentences.wav"


def main(path: str = str(RECORDING)) -> None:
    auth = JWTAuth(ttl=60)  # one for all clients and threads of a program; it fetches a key when needed
    with Client(auth) as client:
        print(client.transcribe(path))


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python temporary_keys.py [FILE]")
    try:
        main(*sys.argv[1:])
    except SpeechmaticsError as error:
        sys.exit(f"failed: {error}")
