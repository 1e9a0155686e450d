"""Live captions of what you say, until Ctrl-C.

Needs ``pip install 'speechmatics-rt-sync[mic]'``. Run ``python microphone.py [LANGUAGE]``. Text in
brackets may still change, and is replaced.
"""

from __future__ import annotations

import signal
import sys

from speechmatics_rt import AudioFormat, Client, Microphone, SpeechmaticsError, TranscriptionConfig

RATE = 16000


def main(language: str = "en") -> None:
    config = TranscriptionConfig(language=language, enable_partials=True, max_delay=1.0)
    with Microphone(sample_rate=RATE) as mic, Client() as client:
        # The audio ends, and the rest of the transcript still comes; a second Ctrl-C doesn't wait for it.
        signal.signal(
            signal.SIGINT, lambda *_: (client.request_stop(), signal.signal(signal.SIGINT, stop_now))
        )
        print("speak; Ctrl-C ends it", file=sys.stderr)
        heard = AudioFormat("pcm_s16le", RATE)
        for message in client.stream(mic, audio_format=heard, transcription_config=config):
            if message["message"] == "AddTranscript" and message["results"]:
                print(message["metadata"]["transcript"], flush=True)
            elif message["message"] == "AddPartialTranscript" and message["results"] and sys.stdout.isatty():
                print(f"[{message['metadata']['transcript']}]", end="\r", flush=True)
    if mic.overflows:
        print(f"{mic.seconds_lost:.1f} s were lost: this machine was too busy", file=sys.stderr)


def stop_now(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python microphone.py [LANGUAGE]")
    try:
        main(*sys.argv[1:])
    except SpeechmaticsError as error:
        sys.exit(f"failed: {error}")
