"""Transcribe a file, and write captions, named after it, here: ``python transcribe_file.py [FILE]``.

The key is in SPEECHMATICS_API_KEY. Without one, run ``speechmatics-rt serve --engine whisper`` and set
SPEECHMATICS_RT_URL to the URL that it prints.
"""

from __future__ import annotations

import sys
from pathlib import Path

from speechmatics_rt import Client, SpeechmaticsError, TranscriptionConfig

RECORDING = Path(__file__).parent / "audio" / "librivox_3_sentences.wav"


def main(source: Path = RECORDING) -> None:
    config = TranscriptionConfig(language="en", diarization="speaker")
    try:
        with Client() as client:
            transcript = client.transcribe(source, transcription_config=config, timeout=600)
    except SpeechmaticsError as error:
        if error.transcript is not None:
            print(error.transcript)  # what was heard until then
        sys.exit(f"failed: {error}")
    print(transcript)
    Path(f"{source.stem}.srt").write_text(transcript.to_srt(), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python transcribe_file.py [FILE]")
    try:
        main(*map(Path, sys.argv[1:]))
    except OSError as error:  # of the captions
        sys.exit(f"failed: {error}")
