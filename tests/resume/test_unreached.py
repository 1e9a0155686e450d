"""The stand-in for a first connection that was refused."""

from __future__ import annotations

import pytest

from speechmatics_rt import ConnectionError, SessionError
from speechmatics_rt.resume import Unreached


def test_what_is_sent_before_the_start_is_refused_as_by_any_connection() -> None:
    link = Unreached(ConnectionError("refused", status=503))
    with pytest.raises(SessionError, match="before"):
        link.send({"message": "ForceEndOfUtterance"})
    with pytest.raises(SessionError, match="before"):
        link.send_audio(bytes(3200), seconds=0.1, wait=False)
    with pytest.raises(SessionError):
        link.end_channel("agent")
    link.end_stream()  # remembered, and sent by the connection that takes over
