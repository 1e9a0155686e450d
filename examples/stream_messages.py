"""Handle the messages of a session in a loop, partials included.

Run ``python stream_messages.py [FILE [SPEED]]``. At the default speed of 1 the file is sent in real time, as
if somebody were speaking.
"""

from __future__ import annotations

import sys
from pathlib import Path

from speechmatics_rt import Client, ConversationConfig, SpeechmaticsError, TranscriptionConfig

RECORDING = Path(__file__).parent / "audio" / "librivox_3_sentences.wav"


def main(source: str = str(RECORDING), speed: str = "1") -> None:
    config = TranscriptionConfig(
        enable_partials=True,
        max_delay=1.0,
        conversation_config=ConversationConfig(end_of_utterance_silence_trigger=0.5),
    )
    with Client() as client:
        messages = client.stream(source, transcription_config=config, speed=float(speed))
        for message in messages:
            if message["message"] == "AddPartialTranscript" and message["results"]:
                print(f"      ... {messages.transcript.partial}")
            elif message["message"] == "AddTranscript" and message["results"]:
                print(f"{client.stats.seconds_sent:5.1f} s {message['metadata']['transcript']}")
            elif message["message"] == "EndOfUtterance":
                print("        --")
    latency = client.stats.final_latency
    if latency is not None:
        print(f"half of the finals came within {latency.p50:.2f} s of their last word")
    print(messages.transcript)


if __name__ == "__main__":
    if len(sys.argv) > 3:
        sys.exit("usage: python stream_messages.py [FILE [SPEED]]")
    try:
        main(*sys.argv[1:])
    except (SpeechmaticsError, ValueError) as error:
        sys.exit(f"failed: {error}")
