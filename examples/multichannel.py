"""Transcribe two recordings in one session, each on its own channel.

Run ``python multichannel.py LEFT RIGHT`` with two mono recordings of one format, or with one stereo WAV.
"""

from __future__ import annotations

import sys

from speechmatics_rt import (
    MultiChannelClient,
    ServerMessageType,
    SpeechmaticsError,
    TranscriptionConfig,
    split_channels,
)


def main(*recordings: str) -> None:
    labels = ["right", "left"]  # in any order: channels are identified by label
    if len(recordings) == 1:
        sources = split_channels(recordings[0], ["left", "right"])
    else:
        sources = dict(zip(["left", "right"], recordings))
    with MultiChannelClient() as client:

        @client.on(ServerMessageType.ADD_TRANSCRIPT)
        def handle_transcript(message):
            if message["results"]:
                print(f"[{message['channel']}]: {message['metadata']['transcript']}")

        transcript = client.transcribe(
            sources,
            transcription_config=TranscriptionConfig(
                language="en", diarization="channel", channel_diarization_labels=labels
            ),
        )
    print(transcript)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python multichannel.py LEFT RIGHT, or STEREO")
    try:
        main(*sys.argv[1:])
    except SpeechmaticsError as error:
        sys.exit(f"failed: {error}")
