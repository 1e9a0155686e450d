"""Send audio in chunks, as from a telephone line or a sound card: ``python send_by_hand.py [WAV]``.

Callbacks run on a thread of their own. Ctrl-C ends the audio; the rest of the transcript still arrives.
"""

from __future__ import annotations

import signal
import sys
import wave
from pathlib import Path

from speechmatics_rt import (
    AudioFormat,
    Client,
    ServerMessageType,
    SessionError,
    SpeechmaticsError,
    TranscriptionConfig,
)

RECORDING = Path(__file__).parent / "audio" / "librivox_3_sentences.wav"


def main(source: str = str(RECORDING)) -> None:
    with wave.open(source) as line, Client() as client:
        if (line.getnchannels(), line.getsampwidth()) != (1, 2):
            raise wave.Error("the recording is no mono WAV of 16 bits")

        @client.on(ServerMessageType.ADD_TRANSCRIPT)
        def final(message):
            if message["results"]:  # a final without words says that a stretch of silence is over
                print(message["metadata"]["transcript"])

        client.once("RecognitionStarted", lambda message: print("speak:", message["id"]))
        client.start_session(
            audio_format=AudioFormat(encoding="pcm_s16le", sample_rate=line.getframerate()),
            transcription_config=TranscriptionConfig(max_delay=2.0),
        )
        signal.signal(signal.SIGINT, lambda *_: client.request_stop())
        try:
            while chunk := line.readframes(line.getframerate() // 10):
                client.send_audio(chunk)  # waits while the service is too far behind
            client.force_end_of_utterance()
        except SessionError:
            print("stopped", file=sys.stderr)  # by Ctrl-C: no more audio is taken
        client.stop_session()  # returns when all callbacks have run
        print(f"{client.audio_seconds_sent:.1f} s sent:", client.transcript)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python send_by_hand.py [WAV]")
    try:
        main(*sys.argv[1:])
    except (EOFError, OSError, SpeechmaticsError, wave.Error) as error:
        sys.exit(f"failed: {error or 'the recording is empty'}")
