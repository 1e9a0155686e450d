"""What tools make of annotations at run time: of every public class, and of all that can be called on it.

And that whoever imports the package by its name finds all that these annotations, and docstrings, speak of.
"""

from __future__ import annotations

import builtins
import concurrent.futures
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Callable, Optional, Union, get_args, get_origin, get_type_hints

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


def public_in(*faces: Any) -> dict[int, tuple[str, Any]]:
    """All that is public in these modules, each thing once, with its name."""
    return {
        id(thing): (name, thing)
        for face in faces
        for public in face.__all__
        for base in getattr(getattr(face, public), "__mro__", [getattr(face, public)])
        if getattr(base, "__module__", "").startswith("speechmatics_rt")
        for name, thing in annotated(getattr(base, "__qualname__", public), base)
    }


PUBLIC = public_in(*FACES)


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


# -- what they speak of can be imported --------------------------------------------------------------------

CALLABLE = {
    name: thing
    for name, thing in public_in(speechmatics_rt).values()
    if inspect.isfunction(thing) and name not in EXCUSED
}
MADE_FOR_A_PROGRAM = {  # by a call, or by the client that is one
    f"{kind}.__init__"
    for kind in ("MessageStream", "UtteranceStream", "AsyncUtteranceStream", "Outcomes", "Opener")
}
NAMELESS = {  # what nobody has to name, though it comes and goes
    "AudioSource": "what split_channels() returns is passed on",
    "Player": "a notebook shows it",
    "Readable": "whatever has read()",
}


def kinds_in(annotation: Any) -> Iterator[type]:
    """The classes of this package that an annotation is made of."""
    for part in get_args(annotation):
        yield from kinds_in(part)
    for part in annotation if isinstance(annotation, list) else ():  # the arguments of a Callable
        yield from kinds_in(part)
    kind = get_origin(annotation) or annotation
    if inspect.isclass(kind) and kind.__module__.startswith("speechmatics_rt"):
        yield kind


@pytest.mark.parametrize(("name", "thing"), CALLABLE.items(), ids=CALLABLE)
def test_what_is_taken_or_returned_has_a_name_at_the_root(name: str, thing: Callable[..., Any]) -> None:
    """Of messages, in ``speechmatics_rt.messages``."""
    faces = (speechmatics_rt, speechmatics_rt.messages)
    named = {id(getattr(face, public)) for face in faces for public in face.__all__}
    kinds = {kind for hint in get_type_hints(thing).values() for kind in kinds_in(hint)}
    given = {kind for kind in kinds if id(kind) not in named}
    if name not in MADE_FOR_A_PROGRAM:
        assert {kind.__name__ for kind in given} <= NAMELESS.keys()
    for parameter in inspect.signature(thing).parameters.values():
        if type(parameter.default).__name__ == "UNSET":
            assert id(parameter.default) in named, parameter


@pytest.mark.parametrize(("name", "thing"), PUBLIC.values(), ids=[name for name, _ in PUBLIC.values()])
def test_every_error_that_is_documented_has_a_name(name: str, thing: Callable[..., Any]) -> None:
    """At the root, or as one of Python's own."""
    raised = set()
    for section in re.findall(r"Raises:\n((?: +.*\n?|\n)+)", inspect.getdoc(thing) or ""):
        for kinds in re.findall(r"^ {4}([A-Z]\w+(?:, [A-Z]\w+)*):", section, re.MULTILINE):
            raised |= {*kinds.split(", ")}
    of_python = {*vars(builtins), *concurrent.futures.__all__}
    assert raised - {*speechmatics_rt.__all__} <= of_python


def test_these_tests_see_what_they_look_for() -> None:
    """Names that they must have come across."""
    assert {"Transcript.words", "Client.send_audio", "Microphone.list_devices"} <= CALLABLE.keys()
    assert {*kinds_in(get_type_hints(CALLABLE["Transcript.words"])["return"])} == {speechmatics_rt.Word}
    assert "ChunkError" in inspect.getdoc(CALLABLE["Client.send_audio"])
    assert {name for name in NAMELESS if name in speechmatics_rt.__all__} == set()


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
