"""Log sessions as JSON lines, each with the ids that support asks for: ``python logging_ids.py``.

Transcripts are logged by one logger only, ``speechmatics_rt.wire``, and only at DEBUG; not in this example.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from speechmatics_rt import Client, SpeechmaticsError

RECORDING = Path(__file__).parent / "audio" / "librivox_3_sentences.wav"


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "text": record.getMessage(),
        }
        for name in ("request_id", "session_id"):  # records that belong to no session have none
            line[name] = getattr(record, name, None)
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def main() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    package = logging.getLogger("speechmatics_rt")
    package.addHandler(handler)
    package.setLevel(logging.DEBUG)
    logging.getLogger("speechmatics_rt.wire").setLevel(logging.WARNING)

    # An id of your own, that of the web request perhaps, instead of a new one for each session.
    with Client() as client:
        transcript = client.transcribe(RECORDING, ws_headers={"X-Request-Id": "web-request-42"})
    print(client.request_id, client.session_id, f"{len(transcript.words)} words")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit("usage: python logging_ids.py")
    try:
        main()
    except SpeechmaticsError as error:
        sys.exit(f"failed: {error}")
