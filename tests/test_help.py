"""What ``help()`` and an editor say: arguments and their meaning, and nothing of the machinery."""

from __future__ import annotations

import inspect
import pydoc
import re
from typing import Any

import pytest

import speechmatics_rt
from speechmatics_rt.local import Fault
from speechmatics_rt.local.faults.kind import KINDS

CLIENTS = ["Client", "MultiChannelClient", "AsyncClient", "AsyncMultiChannelClient"]
CHANGES = {"max_delay", "max_delay_mode", "enable_partials", "audio_filtering_config", "conversation_config"}


def help_on(thing: Any) -> str:
    return pydoc.plain(pydoc.render_doc(thing))


@pytest.mark.parametrize("name", CLIENTS)
def test_help_of_a_client_shows_its_options_with_their_meaning(name: str) -> None:
    client = getattr(speechmatics_rt, name)
    options = set(inspect.signature(client).parameters)
    assert {"auth", "api_key", "url", "conn_config", "resume"} <= options
    told = help_on(client)
    for option in options:
        assert f"{option}: " in inspect.getdoc(client.__init__), option  # what an editor shows at "Client("
    assert inspect.getdoc(client.__init__).splitlines()[0] in told


@pytest.mark.parametrize("name", [*CLIENTS[1:], "transcribe_many"])
def test_the_options_of_a_client_are_the_same_wherever_they_are_written(name: str) -> None:
    options = {**inspect.signature(speechmatics_rt.Client).parameters}
    written = inspect.signature(getattr(speechmatics_rt, name)).parameters
    if name == "transcribe_many":
        del options["handler_errors"]  # a run has no handlers
    assert list(options) == [option for option in written if option in options]
    for option, parameter in options.items():
        if (
            option != "auth"
        ):  # of the asyncio clients a coroutine function may be a part of it; by keyword in a run
            assert written[option] == parameter


@pytest.mark.parametrize("name", CLIENTS)
def test_settings_that_can_change_are_shown(name: str) -> None:
    assert set(inspect.signature(getattr(speechmatics_rt, name).update_config).parameters) > CHANGES


def test_no_help_shows_where_something_lies_in_memory() -> None:
    for name in speechmatics_rt.__all__:
        thing = getattr(speechmatics_rt, name)
        if isinstance(thing, type):
            assert "object at 0x" not in help_on(thing), name
            assert "<object object>" not in help_on(thing), name
    told = help_on(speechmatics_rt.TranscriptionConfig)
    assert re.search(
        "model: '?Union\\[Model, str, None\\]'? = 'enhanced'", told
    )  # in quotes until Python 3.13


@pytest.mark.parametrize("kind", [row.kind for row in Fault.table()])
def test_every_constructor_of_a_fault_says_what_it_does_and_what_it_takes(kind: str) -> None:
    make = getattr(Fault, kind)
    row = next(row for row in Fault.table() if row.kind == kind)
    assert row.what in make.__doc__
    assert f"``{row.at}``" in make.__doc__
    parameters = inspect.signature(make).parameters
    assert "session" not in parameters
    assert {"at", "after_bytes", "sessions"} <= set(parameters)
    assert all(option.name in parameters for option in KINDS[kind].options)
