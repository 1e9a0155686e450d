"""A short script: ``python legacy_script.py *.wav`` writes a text file beside each recording."""

import sys

from speechmatics_rt import Client, SpeechmaticsError

if len(sys.argv) < 2:
    sys.exit("usage: python legacy_script.py FILE ...")
for name in sys.argv[1:]:
    try:
        with Client() as client:
            transcript = client.transcribe(name)
        with open(name + ".txt", "w", encoding="utf-8") as text:
            print(transcript, file=text)
    except (OSError, SpeechmaticsError) as error:
        sys.exit(f"{name} failed: {error}")
