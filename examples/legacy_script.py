"""A short script: ``python legacy_script.py *.wav`` writes a text file beside each recording."""

import sys

from speechmatics_rt import Client, SpeechmaticsError

for name in sys.argv[1:]:
    try:
        with Client() as client:
            transcript = client.transcribe(name)
        with open(name + ".txt", "w", encoding="utf-8") as text:
            print(transcript, file=text)
    except SpeechmaticsError as error:
        sys.exit(f"{name} failed: {error}")
