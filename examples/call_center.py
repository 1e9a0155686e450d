"""Transcribe a telephone call in progress: two channels of mu-law, as from switchboards and SIP recorders.

Reads 8 kHz mu-law from standard input, both channels interleaved (agent, caller, agent, ...). To try it::

    ffmpeg -loglevel error -re -i call.wav -ac 2 -ar 8000 -f mulaw - | python call_center.py

Prints each line as soon as its speaker pauses, and writes both sides to ``call.json`` at the end.
"""

from __future__ import annotations

import json
import sys

from speechmatics_rt import (
    AudioFormat,
    ConversationConfig,
    MultiChannelClient,
    SpeechmaticsError,
    TranscriptionConfig,
)

SIDES = ["agent", "caller"]
TELEPHONE = AudioFormat(encoding="mulaw", sample_rate=8000)
FRAME = 20 * 8 * len(SIDES)  # bytes: 20 ms of both, as RTP carries it


def main() -> None:
    config = TranscriptionConfig(
        max_delay=1.0, conversation_config=ConversationConfig(end_of_utterance_silence_trigger=0.5)
    )
    # resume: a call can't be asked to speak again, so a lost connection is replaced and no word is missed.
    with MultiChannelClient(resume=True) as client:

        @client.on("Utterance")
        def paused(utterance):
            print(f"{utterance['channel']}: {utterance['text']}", flush=True)

        client.start_session(channels=SIDES, audio_format=TELEPHONE, transcription_config=config)
        rest = b""
        with open(0, "rb", buffering=0, closefd=False) as line:
            while block := line.read(FRAME):
                block = rest + block
                whole = len(block) - len(block) % len(SIDES)  # a pipe may cut between the channels
                rest = block[whole:]
                for place, side in enumerate(SIDES):
                    client.send_audio(side, block[place : whole : len(SIDES)])
        client.stop_session()
        with open("call.json", "w", encoding="utf-8") as file:
            json.dump(client.transcript.to_dict(), file)
        print(f"\n{client.transcript}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("usage: python call_center.py < AUDIO")
    try:
        main()
    except (OSError, SpeechmaticsError) as error:
        sys.exit(f"failed: {error}")
