"""What tools make of annotations at run time: of every public class, and of all that can be called on it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Callable, Optional, Union, get_type_hints

import pytest

import speechmatics_rt
from speechmatics_rt import Client, MessageStream, Transcript

FOLDERS = ["aio", "audio", "auth", "config", "exceptions", "local", "many", "messages", "transcript"]
FACES = [speechmatics_rt, *(import_module(f"speechmatics_rt.{folder}") for folder in FOLDERS)]
CALLED = ("__init__", "__next__", "__anext__", "__enter__", "__aenter__", "__getitem__", "__call__")
EXCUSED = {
    "AsyncMessageStream.__init__": "only a client makes one, and its module imports this one",
    "WhisperEngine.recogniser": "what it returns is imported with the packages of an extra",
}


def annotated(name: str, thing: Any) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The thing itself; of a class, also what it has for others."""
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return
    yield name, thing
    for own, value in vars(thing).items() if inspect.isclass(thing) else ():
        if own.startswith("_") and own not in CALLED:
            continue
        inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(inner):
            yield f"{name}.{own}", inner


PUBLIC = {
    id(thing): (name, thing)
    for face in FACES
    for public in face.__all__
    for base in getattr(getattr(face, public), "__mro__", [getattr(face, public)])
    if getattr(base, "__module__", "").startswith("speechmatics_rt")
    for name, thing in annotated(getattr(base, "__qualname__", public), base)
}


@pytest.mark.parametrize(("name", "thing"), PUBLIC.values(), ids=[name for name, _ in PUBLIC.values()])
def test_annotations_can_be_evaluated(name: str, thing: Callable[..., Any]) -> None:
    if name in EXCUSED:
        with pytest.raises(NameError):
            get_type_hints(thing)
    else:
        get_type_hints(thing)


def test_they_are_what_they_say() -> None:
    assert get_type_hints(MessageStream.__next__)["return"] == speechmatics_rt.messages.ServerMessage
    assert get_type_hints(speechmatics_rt.SpeechmaticsError)["transcript"] == Optional[Transcript]
    shown = get_type_hints(Client.start_session)
    assert shown["ws_headers"] == get_type_hints(speechmatics_rt.session.SessionOptions)["ws_headers"]
    assert "options" not in shown
    display = get_type_hints(speechmatics_rt.messages.AudioFormatPart)["sample_rate"]
    assert display is int
    assert get_type_hints(Transcript.player)["recording"].__origin__ is Union


def test_nothing_is_imported_for_them_before_they_are_asked_for() -> None:
    program = (
        "import sys, typing\n"
        "from speechmatics_rt import ConnectionConfig, Transcript\n"
        "late = ['ssl', 'speechmatics_rt.transcript.player']\n"
        "assert not {*late} & {*sys.modules}\n"
        "typing.get_type_hints(ConnectionConfig), typing.get_type_hints(Transcript.player)\n"
        "assert {*late} <= {*sys.modules}\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
