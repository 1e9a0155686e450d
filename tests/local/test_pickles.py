"""Scripts and faults go to other processes."""

from __future__ import annotations

import pickle

import pytest

from speechmatics_rt.local import Fault, FaultRow, Script, Sound, Word

SPOKEN = Script((Word("Yes", 0.4, 0.8),), sounds=(Sound("music", 0.0, 1.0),), period=2.0)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_scripts_and_faults_are_pickled_by_every_protocol(protocol: int) -> None:
    for value in (SPOKEN, Fault.reset(after_bytes=1), Fault.table()):
        assert pickle.loads(pickle.dumps(value, protocol)) == value
    assert isinstance(Fault.table()[0], FaultRow)
