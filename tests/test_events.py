"""Callbacks: order, once, removal, errors, threads."""

from __future__ import annotations

import functools
import logging
import threading
from typing import Any

import pytest

from speechmatics_rt import AsyncClient, Client, ConfigurationError, EventEmitter, ServerMessageType


def test_callbacks_run_in_the_order_of_registration_whatever_their_kind() -> None:
    emitter, seen = EventEmitter(), []
    emitter.on("Info", lambda message: seen.append(1))
    emitter.once(ServerMessageType.INFO, lambda message: seen.append(2))
    emitter.on(ServerMessageType.INFO, lambda message: seen.append(3))
    emitter.on_any(lambda message: seen.append(4))
    emitter.emit("Info", {})
    emitter.emit(ServerMessageType.INFO, {})
    assert seen == [1, 2, 3, 4, 1, 3, 4]


def test_enum_and_string_name_the_same_event() -> None:
    emitter = EventEmitter()
    callback = emitter.on(ServerMessageType.ADD_TRANSCRIPT, print)
    assert emitter.listeners("AddTranscript") == [callback]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AddTranscripts", "AddTranscript"),
        ("ADD_TRANSCRIPT", "AddTranscript"),
        ("add_partial_transcript", "AddPartialTranscript"),
        ("PartialTranscript", "AddPartialTranscript"),
        ("SessionEnd", "SessionEnded"),
        ("Utterances", "Utterance"),
        ("Resume", "Resumed"),
        ("partial", "AddPartialTranscript"),
        ("transcript", "AddTranscript"),
        ("partial_transcript", "AddPartialTranscript"),
        ("translation", "AddTranslation"),
        ("final", "AddTranscript"),
        ("close", "SessionEnded"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_an_event_that_is_nearly_a_known_one_is_warned_of_at_the_callers_line(kind, name, meant) -> None:
    client = kind(url="ws://127.0.0.1:1/v2")
    for register in (
        lambda: client.on(name, print),
        lambda: client.on(name)(print),
        lambda: client.once(name, print),
    ):
        with pytest.warns(UserWarning, match=f"'{name}'; did you mean '{meant}'") as warned:
            register()
        assert [warning.filename for warning in warned] == [__file__]
    assert len(client.listeners(name)) == 3  # the server may know better


@pytest.mark.parametrize("name", ["all", "All", "any", "*", "message"])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_who_asks_for_every_event_by_a_name_is_told_how_to_get_them(kind: Any, name: str) -> None:
    client = kind(url="ws://127.0.0.1:1/v2")
    for register in (client.on, client.once):
        with pytest.warns(UserWarning, match=r"no event is called .*; on_any\(callback\) gets every message"):
            register(name, print)


@pytest.mark.parametrize(
    "name",
    ["EndOfTurn", "StartOfTurn", "SomethingNew", "OrderPlaced", "Done", "x", "order_placed", "AddPartial"],
)
def test_events_that_are_not_known_are_a_matter_of_course(name: str) -> None:
    Client(url="ws://127.0.0.1:1/v2").on(name, print)


def test_an_emitter_of_a_program_has_events_of_its_own() -> None:
    EventEmitter().on("error", print)
    EventEmitter().on("all", print)
    EventEmitter().on("close", print)


def test_a_decorator_gives_the_function_back() -> None:
    emitter = EventEmitter()

    @emitter.on("Info")
    def handler(message):
        return message

    assert handler(3) == 3
    assert emitter.listeners("Info") == [handler]


def test_off_removes_every_registration_and_forgives_an_unknown_one() -> None:
    emitter, seen = EventEmitter(), []
    emitter.on("Info", seen.append)
    emitter.on("Info", seen.append)
    emitter.once("Info", seen.append)
    emitter.off("Info", seen.append)
    emitter.off("Info", print)
    emitter.emit("Info", {})
    assert seen == []


def test_all_listeners_of_one_event_or_of_all_are_removed() -> None:
    emitter = EventEmitter()
    for event in ("Info", "Warning"):
        emitter.on(event, print)
    emitter.on_any(print)
    emitter.remove_all_listeners("Info")
    assert emitter.listeners("Info") == [print]
    emitter.remove_all_listeners()
    assert emitter.listeners("Warning") == []


@pytest.mark.parametrize(
    ("callback", "why"),
    [
        (lambda: None, "too many positional arguments"),
        (lambda message, more: None, "missing a required argument: 'more'"),
        (EventEmitter.off_any, "missing a required argument: 'callback'"),
    ],
)
def test_what_can_not_be_called_with_a_message_is_refused_at_once(callback: Any, why: str) -> None:
    for register in (EventEmitter().on_any, functools.partial(EventEmitter().on, "Info")):
        with pytest.raises(TypeError, match=f"a callback is called with the message; .* can't be: {why}"):
            register(callback)


def test_whatever_takes_a_message_is_registered() -> None:
    emitter, seen = EventEmitter(), []
    callbacks = [print, seen.append, dict, functools.partial(seen.insert, 0), lambda *args, **more: None, max]
    for callback in callbacks:
        emitter.on("Info", callback)
    assert emitter.listeners("Info") == callbacks


def test_off_any_removes_what_on_any_has_registered_and_nothing_else() -> None:
    emitter = EventEmitter()
    emitter.on("Info", print)
    for callback in (print, repr, print):
        emitter.on_any(callback)
    emitter.off_any(print)
    assert emitter.listeners("Info") == [print, repr]
    emitter.off_any(len)


def test_a_callback_that_registers_or_removes_changes_the_next_message_not_this_one() -> None:
    emitter, seen = EventEmitter(), []

    def first(message):
        seen.append("first")
        emitter.on("Info", lambda message: seen.append("new"))
        emitter.off("Info", second)

    def second(message):
        seen.append("second")

    emitter.on("Info", first)
    emitter.on("Info", second)
    emitter.emit("Info", {})
    emitter.off("Info", first)
    emitter.emit("Info", {})
    assert seen == ["first", "second", "new"]


def test_a_failing_callback_is_logged_and_the_rest_runs(caplog: pytest.LogCaptureFixture) -> None:
    emitter, seen = EventEmitter(), []
    emitter.on("Info", lambda message: 1 // 0)
    emitter.on("Info", seen.append)
    with caplog.at_level(logging.ERROR):
        emitter.emit("Info", {"message": "Info"})
    assert seen == [{"message": "Info"}]
    assert "ZeroDivisionError" in caplog.text


def test_with_raise_the_first_failure_is_raised_and_the_others_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    emitter, seen = EventEmitter(handler_errors="raise"), []
    emitter.on("Info", lambda message: 1 // 0)
    emitter.on("Info", lambda message: message["missing"])
    emitter.on("Info", seen.append)
    with pytest.raises(ZeroDivisionError):
        emitter.emit("Info", {})
    assert seen == [{}]
    assert "KeyError" in caplog.text


def test_a_coroutine_function_and_a_thing_that_cannot_be_called_are_refused() -> None:
    emitter = EventEmitter()

    async def handler(message):
        pass

    class Callable:
        async def __call__(self, message):
            pass

    for bad in (handler, Callable()):
        with pytest.raises(ConfigurationError, match="coroutine"):
            emitter.on("Info", bad)
    with pytest.raises(TypeError):
        emitter.on("Info", 3)
    with pytest.raises(ConfigurationError):
        EventEmitter(handler_errors="ignore")


def generator(message: Any) -> Any:
    yield message


async def asynchronous_generator(message: Any) -> Any:
    yield message


class Generating:
    def __call__(self, message: Any) -> Any:
        yield message


@pytest.mark.parametrize("kind", [EventEmitter, Client, AsyncClient])
@pytest.mark.parametrize(
    "bad",
    [generator, asynchronous_generator, Generating(), functools.partial(generator), Generating().__call__],
    ids=["function", "async", "object", "partial", "method"],
)
def test_a_generator_function_is_refused_since_a_call_would_run_nothing_of_it(kind: Any, bad: Any) -> None:
    emitter = kind()
    for register in (functools.partial(emitter.on, "Info"), emitter.on_any, emitter.on("Info")):
        with pytest.raises(ConfigurationError, match=r"generator function, .*; leave out its 'yield'"):
            register(bad)
    assert emitter.listeners("Info") == []


@pytest.mark.parametrize("event", ["SessionEnded", "Utterance"])
def test_listeners_are_those_that_run(event: str) -> None:
    emitter, seen = EventEmitter(), []
    emitter.on_any(seen.append)
    emitter.on(event, seen.append)
    emitter.emit(event, {"n": 1})
    assert seen == [{"n": 1}]
    assert emitter.listeners(event) == [seen.append]
    assert emitter.listeners("Info") == [seen.append]


@pytest.mark.parametrize("client", [EventEmitter, AsyncClient])
def test_what_names_no_event_is_refused_when_it_is_listened_to_and_when_it_is_emitted(client: Any) -> None:
    emitter = client()
    for call in (lambda: emitter.on(3, print), lambda: emitter.emit(3, {})):
        with pytest.raises(ConfigurationError, match="event is 3"):
            call()


def test_a_once_callback_runs_once_however_many_threads_emit() -> None:
    for _ in range(200):
        emitter, seen = EventEmitter(), []
        emitter.once("Info", seen.append)
        barrier = threading.Barrier(4)

        def emit(emitter=emitter, barrier=barrier):
            barrier.wait()
            emitter.emit("Info", {})

        workers = [threading.Thread(target=emit) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert len(seen) == 1
