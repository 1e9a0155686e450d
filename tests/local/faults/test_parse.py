"""Faults as the command line writes them."""

from __future__ import annotations

import pytest

from speechmatics_rt.exceptions import ConfigurationError
from speechmatics_rt.local import Fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reset", Fault.reset()),
        ("reset:after_bytes=32000", Fault.reset(after_bytes=32000)),
        ("no-acks:at=open", Fault.no_acks(at="open")),
        ("refuse:status=429,retry_after=2.5", Fault.refuse(status=429, retry_after=2.5)),
        ('refuse:body={"a": [1, 2]},sessions=0', Fault.refuse(body={"a": [1, 2]}, sessions=[0])),
        ("reset:sessions=1", Fault.reset(sessions=1)),
        ("reset:sessions=[1,2]", Fault.reset(sessions=range(1, 3))),
        ("fin:notify=false,delay=0.5,sessions=[0,2]", Fault.fin(notify=False, delay=0.5, sessions=[0, 2])),
        ("error:type=job_error,reason=a b,code=4013", Fault.error(type="job_error", reason="a b", code=4013)),
        ('error:reason="a, b"', Fault.error(reason="a, b")),
        ("close:reason=404", Fault.close(reason="404")),
        (
            'message:message={"message": "Info", "type": "x"}',
            Fault.message(message={"message": "Info", "type": "x"}),
        ),
        ("raw:data=\\x81\\x00", Fault.raw(data=b"\x81\x00")),
        ("hang:seconds=none", Fault.hang(seconds=None)),
        ("bad_json:text={oops", Fault.bad_json(text="{oops")),
    ],
)
def test_a_fault_is_read_from_text(text: str, fault: Fault) -> None:
    assert Fault.parse(text) == fault
    assert eval(repr(fault)) == fault


def test_a_fault_shows_itself_as_it_is_written() -> None:
    assert repr(Fault.refuse(503, sessions=[0])) == "Fault.refuse(status=503, sessions=(0,))"
    assert repr(Fault.reset(after_seconds=1)) == "Fault.reset(after_seconds=1)"
    assert repr(Fault.no_acks(at="open", delay=0.5)) == "Fault.no_acks(at='open', delay=0.5)"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rest", "no fault is called 'rest'; did you mean reset"),
        ("", "no fault is called ''; there are"),
        ("zzz", "no fault is called 'zzz'; there are bad_accept, bad_close"),
        ("reset:", "ends where an option is due"),
        ("reset:32000", "needs name=value after the colon, not '32000'"),
        ("reset:after_byte=3", "the fault reset takes no 'after_byte'; did you mean after_bytes"),
        ("reset:after_bytes=3,after_bytes=4", "has 'after_bytes' twice"),
        ("reset:after_bytes=many", "reset:after_bytes must be int, not 'many'"),
        ("reset:after_bytes=1.5", "must be int"),
        ("reset:after_seconds=NaN", "must be float, not 'NaN'"),
        ("reset:after_seconds=1e999", "must be float"),
        ("reset:after_seconds=-1", "must be 0 or more, not '-1'"),
        ("reset:delay=-0.1", "must be 0 or more"),
        (f"message:message={'[' * 100_000}", "must be Mapping"),
        ("reset:sessions=-1", "must be 0 or more"),
        ("reset:sessions=[0,-1]", "must be 0 or more"),
        ("late_start:seconds=-1", "must be 0 or more"),
        ("fin:notify=1", "must be true or false, not '1'"),
        ("fin:sessions=first", r"must be an integer, or a list like \[0,2\]"),
        ("reset:at=lunch", "no point is called 'lunch'; there are accept"),
        ("fin:after=5", "did you mean after_messages or after_bytes or after_seconds or after_final"),
        ("reset:at=opened", "did you mean open"),
        ("reset:at=open,after_bytes=3", "more than one moment"),
        (
            "close:code=1006",
            r"code must be one that a close frame can have, not '1006'; .* is the fault fin",
        ),
        ("error:code=1015", "code must be one that a close frame can have"),
        ("close:code=70000", "code must be one that a close frame can have"),
        ("message", "missing a required argument"),
        ("message:message=3", "must be Mapping"),
    ],
)
def test_nonsense_is_refused_with_what_was_meant(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        Fault.parse(text)


def test_the_table_has_the_options_as_they_are_written() -> None:
    rows = {row.kind: row for row in Fault.table()}
    assert rows["refuse"].options == "status=503,retry_after,location,body"
    assert rows["message"].options == "message=..."
    assert rows["reset"].options == ""
    moments = [row.at for row in Fault.table()]
    assert (moments[0], moments[-1]) == ("tls", "closing")
