"""How many seconds of audio some bytes are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.local.engines.clock import AudioClock

from ...samples import tried
from .test_script import cut


@tried(60)
@given(places=st.lists(st.integers(0, 60), max_size=6), extra=st.booleans())
def test_the_header_of_a_wav_file_is_understood_however_it_is_cut(places: list[int], extra: bool) -> None:
    header = b"RIFF\0\0\0\0WAVE" + (b"LIST\x03\0\0\0abc\0" if extra else b"")
    header += b"fmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\xff\xff\xff\xff"
    clock = AudioClock({"type": "file"})
    for piece in cut(header + bytes(8000), places):
        clock.feed(piece)
    assert clock.seconds == 0.5


@pytest.mark.parametrize(
    "head", [b"ID3\x04", b"", b"RI", b"R", b"OggS" + bytes(100), b"RIFF1234AVI " + bytes(50)]
)
def test_a_file_that_is_no_wav_has_16_kilobytes_a_second(head: bytes) -> None:
    clock = AudioClock({"type": "file"})
    clock.feed(head)
    clock.feed(b"x" * (16000 - len(head)))
    assert clock.seconds == 1.0
