"""A DNS server that answers as it is told to: late, never, wrongly, or with many addresses."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from dnslib import AAAA, QTYPE, RCODE, RR, A
from dnslib.server import DNSLogger, DNSServer


class Names:
    """One zone.

    Args:
        a, aaaa: The addresses of every name.
        code: The response code, such as ``"NXDOMAIN"``.
        delay: Seconds before an answer.
        silent: The types of questions that get no answer.
    """

    def __init__(
        self,
        a: list[str] = [],  # noqa: B006  # from JSON, never changed
        aaaa: list[str] = [],  # noqa: B006
        code: str = "NOERROR",
        delay: float = 0.0,
        silent: list[str] = [],  # noqa: B006
    ) -> None:
        self._records = {"A": [A(one) for one in a], "AAAA": [AAAA(one) for one in aaaa]}
        self._code, self._delay, self._silent = code, delay, silent

    def resolve(self, request: Any, handler: Any) -> Any:
        kind = QTYPE[request.q.qtype]
        if kind in self._silent:
            raise SilentError
        time.sleep(self._delay)
        reply = request.reply()
        reply.header.rcode = getattr(RCODE, self._code)
        for data in self._records.get(kind, []):
            reply.add_answer(RR(request.q.qname, request.q.qtype, rdata=data))
        print(json.dumps({"told": "asked", "kind": kind}), flush=True)
        return reply


class SilentError(Exception):
    """No answer is sent."""


def main() -> None:
    wanted = json.loads(sys.argv[1])
    logger = DNSLogger("", prefix=False)
    server = DNSServer(Names(**wanted), address="0.0.0.0", port=53, logger=logger)
    server.server.handle_error = lambda *_: None  # SilentError
    server.start_thread()
    print(json.dumps({"told": "serves"}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
