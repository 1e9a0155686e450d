"""What nobody who decodes a message can go below."""

from __future__ import annotations

import json
from typing import Any

from .material import transcripts
from .measure import Clock, Task, main


def dispatch(task: Task) -> dict[str, Any]:
    payloads = transcripts(task.scale.messages)
    seen = 0
    loads, text = _decoder()
    clock = Clock()
    for payload in payloads:
        message = loads(payload.decode() if text else payload)
        seen += message["message"] == "AddTranscript"
    return clock.stop(len(payloads), seen=seen)


def _decoder() -> tuple[Any, bool]:
    """Return orjson where it is installed, else the standard library's, which is faster on text."""
    try:
        import orjson
    except ImportError:
        return json.loads, True
    return orjson.loads, False


if __name__ == "__main__":
    main({"dispatch": dispatch})
