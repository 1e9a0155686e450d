"""Anything at all, into every door through which others' data come: at random, and what once went wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..samples import tried
from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
@tried(200)
@given(data=st.binary(max_size=300))
def test_anything_is_taken_or_refused_as_promised(name, data) -> None:
    TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
def test_what_the_fuzzer_found_is_taken_or_refused_as_promised(name) -> None:
    for path in sorted((CORPUS / name).glob("*")):
        TARGETS[name](path.read_bytes())
