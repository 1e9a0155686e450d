"""The local server as a process of a host: it hears numbered words, until its input ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from speechmatics_rt.local import LocalServer

from ..reliability.numbered import NumberedEngine


def main() -> None:
    wanted = json.loads(sys.argv[1])
    trust = wanted.pop("trust", None)  # where its authority's certificate is to be written
    with LocalServer(NumberedEngine(), **wanted) as server:
        if trust:
            Path(trust).write_bytes(server.ca_pem or b"")
        print(json.dumps({"told": "serves"}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
