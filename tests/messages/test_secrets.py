"""A key that a server repeats in a message is hidden however it is spelled, and nothing else is touched."""

from __future__ import annotations

import json
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.messages import Secrets

keys = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=8, max_size=40)
text = st.text(max_size=20)


@given(keys, text, text, st.data())
def test_a_key_is_hidden_in_whatever_way_json_spells_it(key, before, after, data) -> None:
    spelled = ""
    for char in key:
        plain = json.dumps(char)[1:-1]
        spelled += data.draw(
            st.sampled_from([plain, f"\\u{ord(char):04x}", f"\\u{ord(char):04X}"] + ["\\/"] * (char == "/"))
        )
    payload = f'{{"a":{json.dumps(before)},"b":"{spelled}","c":{json.dumps(after)}}}'
    hidden = json.loads(Secrets([key]).hide(payload.encode()))
    assert hidden["b"] == "***"
    if key not in before and key not in after:
        assert hidden == {"a": before, "b": "***", "c": after}


def test_what_is_too_short_to_be_a_secret_breaks_no_message() -> None:
    payload = b'{"message":"RecognitionStarted","id":"a/b"}'
    assert Secrets(["", "a", "message", "id"]).hide(payload) == payload
    assert Secrets(["message"]).hide_in("no message") == "no ***"


def test_a_long_message_full_of_what_begins_like_a_key_is_searched_in_no_time() -> None:
    payload = b'"\\n' + b"s3cret-k3y-" * 1_400_000 + b'"'
    began = time.thread_time()  # whatever else runs here
    assert Secrets(["s3cret-k3y-0f-mine"]).hide(payload) == payload
    assert time.thread_time() - began < 1


@pytest.mark.parametrize("show", [repr, str, lambda one: f"{one!r:s}", lambda one: repr([one])])
def test_they_are_in_no_repr(show) -> None:
    assert "s3cret" not in show(Secrets(["s3cret-k3y-0f-mine"]))
    assert pickle.loads(pickle.dumps(Secrets(["s3cret-k3y"]))).hide_in("s3cret-k3y") == "***"
