"""Utterances of real sessions: as an iterator, for handlers, and forced; and answers that are waited for."""

from __future__ import annotations

import inspect
import json
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Optional

import pytest

from speechmatics_rt import (
    AsyncClient,
    AsyncMultiChannelClient,
    AudioFormat,
    Client,
    ConfigurationError,
    ConnectionError,
    MultiChannelClient,
    NotRunningError,
    ResumePolicy,
    SessionError,
    TimeoutError,
    TransportError,
)
from speechmatics_rt.local import Fault, Script, ScriptedEngine, Word
from speechmatics_rt.local.engines.messages import end_of_utterance, final
from speechmatics_rt.session.answers import Answer

from ..aio.test_aio import face, run

PCM = AudioFormat("pcm_s16le", 16000)
SECOND = bytes(32000)
TURNS = {"conversation_config": {"end_of_utterance_silence_trigger": 0.5}}
PROMPT = {"language": "en", "max_delay": 1.0}
SPEAKERS = {"language": "en", "diarization": "speaker"}


def words_of(transcript: Any, channel: Any = None) -> list[str]:
    return [word.content for word in transcript.words if word.channel == channel]


def said(utterances: Any, channel: Any = None) -> list[str]:
    return [word.content for one in utterances if one.channel == channel for word in one.words]


# -- the iterator --------------------------------------------------------------------------------------


def test_they_are_all_words_of_the_transcript_in_order(serve, client_of) -> None:
    client = client_of(serve())
    stream = client.utterances([SECOND] * 30, audio_format=PCM, transcription_config=SPEAKERS)
    utterances = list(stream)
    assert len(utterances) > 2
    assert said(utterances) == words_of(stream.transcript)
    assert {one.ended_by for one in utterances} <= {"silence", "speaker", "end"}
    assert all(len({word.speaker for word in one.words}) == 1 for one in utterances)


def test_the_service_is_asked_for_pauses_and_partials_if_the_caller_is_silent(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    given = {"language": "en", "conversation_config": {"end_of_utterance_silence_trigger": 1.2}}
    list(client.utterances(SECOND, audio_format=PCM))
    list(client.utterances(SECOND, audio_format=PCM, transcription_config=given, partials=True))
    first, second = (record.start["transcription_config"] for record in server.sessions)
    assert first["conversation_config"] == {"end_of_utterance_silence_trigger": 0.5}
    assert not first.get("enable_partials")
    assert second["conversation_config"] == given["conversation_config"]
    assert second["enable_partials"] is True


def test_what_is_being_said_is_given_on_request_and_comes_to_what_is_over(serve, client_of) -> None:
    client = client_of(serve())
    shown = ""
    with client.utterances([SECOND] * 8, audio_format=PCM, partials=True) as utterances:
        for utterance in utterances:
            if utterance.ended_by is not None:
                break
            shown = f"{utterance.text} {utterance.partial}".strip()
    assert utterance.text.startswith(shown.split()[0])


def test_several_channels_are_told_apart(serve, client_of) -> None:
    client = client_of(serve(), kind=MultiChannelClient)
    stream = client.utterances({"a": [SECOND] * 8, "b": [SECOND] * 5}, audio_format=PCM)
    utterances = list(stream)
    for channel in ("a", "b"):
        assert said(utterances, channel) == words_of(stream.transcript, channel) != []


def test_over_connections_that_are_lost_they_stay_on_one_clock(serve, client_of) -> None:
    server = serve(faults=[Fault.reset(after_seconds=4, sessions=[0, 1])])
    client = client_of(server, resume=ResumePolicy(min_delay=0.01, max_delay=0.01, replay_speed=1000))
    stream = client.utterances([SECOND] * 20, audio_format=PCM)
    utterances = list(stream)
    assert len(server.sessions) > 1
    assert said(utterances) == words_of(stream.transcript)
    starts = [one.start_time for one in utterances]
    assert starts == sorted(starts)


def test_what_was_final_is_given_before_an_error_is_raised(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.fin(after_seconds=8)]))
    utterances = []
    with pytest.raises(ConnectionError) as caught:
        for utterance in client.utterances([SECOND] * 20, audio_format=PCM, transcription_config=PROMPT):
            utterances.append(utterance)
    assert said(utterances) == words_of(caught.value.transcript) != []


def test_leaving_the_loop_in_with_ends_the_session(serve, client_of) -> None:
    server = serve()
    client = client_of(server)
    with client.utterances([SECOND] * 20, audio_format=PCM) as utterances:
        next(utterances)
    assert not client.is_connected


def spoil(message: dict[str, Any]) -> None:
    """Change all that a message has, down to its last word."""
    for result in message.get("results", ()):
        for alternative in result["alternatives"]:
            alternative.clear()
        result.clear()
    message.clear()


HANDLERS = {"nothing": lambda message: None, "clear": dict.clear, "spoil": spoil}


@pytest.mark.parametrize("partials", [False, True], ids=["", "partials"])
@pytest.mark.parametrize("what", ["clear", "spoil"])
def test_what_handlers_do_to_their_messages_takes_no_word_from_an_utterance(
    serve, client_of, what, partials: bool
) -> None:
    server = serve()
    given = []
    for handler in ("nothing", what):
        client = client_of(server)
        for event in ("AddTranscript", "AddPartialTranscript", "EndOfUtterance", "RecognitionStarted"):
            client.on(event, HANDLERS[handler])
        events: list[str] = []
        client.on("Utterance", lambda event, events=events: events.append(event["text"]))
        utterances = list(client.utterances([SECOND] * 8, audio_format=PCM, partials=partials))
        ended = [one for one in utterances if one.ended_by]
        assert said(ended) == words_of(client.transcript) != []
        assert [one.text for one in ended] == events
        assert (ended != utterances) == partials
        given.append(ended)
    assert given[0] == given[1]


@pytest.mark.parametrize("failing", range(1, 6))
def test_who_goes_on_after_the_error_of_a_handler_misses_no_utterance(serve, client_of, failing: int) -> None:
    client = client_of(serve(), handler_errors="raise")
    finals = iter(range(1, 100))

    def fail(message: dict[str, Any]) -> None:
        if next(finals) == failing:
            raise ValueError("odd")

    client.on("AddTranscript", fail)
    utterances, errors = [], 0
    with client.utterances([SECOND] * 6, audio_format=PCM) as stream:
        while True:
            try:
                utterances.append(next(stream))
            except ValueError:
                errors += 1
            except StopIteration:
                break
    assert said(utterances) == words_of(client.transcript) != []
    assert errors == 1


# -- the event -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_hand", [True, False])
def test_handlers_get_them_as_messages_in_every_mode(serve, client_of, by_hand: bool) -> None:
    client = client_of(serve())
    events: list[dict[str, Any]] = []
    client.on("Utterance", events.append)
    client.on("SessionEnded", lambda event: events.append({"message": "SessionEnded"}))
    options: Any = {"audio_format": PCM, "transcription_config": {"language": "en", **TURNS}}
    if by_hand:
        client.start_session(**options)
        for _ in range(12):
            client.send_audio(SECOND)
        client.stop_session()
    else:
        client.transcribe([SECOND] * 12, **options)
    *utterances, last = json.loads(json.dumps(events))
    assert last == {"message": "SessionEnded"}
    contents = [word["content"] for event in utterances for word in event["words"]]
    assert contents == words_of(client.transcript)
    assert utterances[0]["ended_by"] == "silence"


def test_what_was_final_when_a_session_failed_comes_before_its_end(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.fin(after_seconds=8)]))
    kinds = []
    client.on("Utterance", lambda event: kinds.append(event["ended_by"]))
    client.on("SessionEnded", lambda event: kinds.append(type(event["error"])))
    with pytest.raises(ConnectionError):
        client.transcribe([SECOND] * 20, audio_format=PCM, transcription_config=PROMPT)
    assert kinds == ["end", ConnectionError]


# -- forced --------------------------------------------------------------------------------------------


def test_finalize_returns_what_was_said_since_the_last_time(serve, client_of) -> None:
    client = client_of(serve())
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 2)
    first = client.finalize()
    assert first is not None
    assert (first.text, first.ended_by) == ("Good morning, and welcome", "forced")
    client.send_audio(SECOND * 2)
    second = client.finalize()
    assert second is not None
    client.stop_session()
    assert said([first, second]) == words_of(client.transcript)[: len(first.words) + len(second.words)]


def test_what_finalize_has_returned_is_not_returned_again_however_soon_it_returns(
    serve, client_of, monkeypatch
) -> None:
    client = client_of(serve())
    returned = threading.Event()
    give = Answer.give

    def give_and_wait(answer: Answer, value: Any) -> None:
        give(answer, value)
        returned.wait(10)

    monkeypatch.setattr(Answer, "give", give_and_wait)
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 2)
    first = client.finalize()
    returned.set()
    client.send_audio(SECOND * 2)
    second = client.finalize()
    client.stop_session()
    assert first is not None
    assert second is not None
    assert said([first, second]) == words_of(client.transcript)[: len(first.words) + len(second.words)]


def test_finalize_of_a_channel(serve, client_of) -> None:
    client = client_of(serve(), kind=MultiChannelClient)
    client.start_session(channels=["a", "b"], audio_format=PCM)
    for channel in ("a", "b"):
        client.send_audio(channel, SECOND * 2)
    utterance = client.finalize(channel="b")
    assert utterance is not None
    assert utterance.channel == "b"
    assert utterance.text
    client.stop_session()


def test_finalize_of_silence_is_none_whether_the_server_answers_or_not(serve, client_of) -> None:
    quiet = ScriptedEngine(Script.from_text(""))
    client = client_of(serve(quiet))
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND)
    assert client.finalize() is None
    client.stop_session()


def turns_of(*said: tuple[str, float, Optional[str]]) -> ScriptedEngine:
    """Give an engine of words of 0.3 s that begin then, each by a speaker."""
    return ScriptedEngine(Script(tuple(Word(text, at, at + 0.3, who) for text, at, who in said)))


SPEECH = ["Good morning, and welcome", "to the reading room."]  # of the first two seconds, and the next two


def test_a_service_that_is_slow_has_not_said_that_nothing_was_said(serve, client_of) -> None:
    client = client_of(serve(speed=2))
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 2)
    with pytest.raises(TimeoutError) as caught:
        client.finalize(timeout=0.1)
    assert caught.value.stage == "answer"
    said = client.finalize(timeout=20)
    assert said is not None
    assert said.text == SPEECH[0]  # of both calls, since the first returned nothing
    client.close()


def test_in_an_outage_nobody_knows_that_nothing_was_said(serve, client_of) -> None:
    faults = [Fault.reset(after_seconds=1, sessions=[0]), Fault.refuse(503, sessions=range(1, 99))]
    client = client_of(serve(faults=faults), resume=ResumePolicy(min_delay=0.01, max_delay=0.01))
    reconnecting = threading.Event()
    client.on("Reconnecting", lambda event: reconnecting.set())
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 2)
    assert reconnecting.wait(20)
    with pytest.raises(TimeoutError) as caught:
        client.finalize(timeout=0.2)
    assert caught.value.stage == "answer"
    client.close()


def test_of_audio_whose_length_is_unknown_nobody_knows_either(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.silence(after_seconds=0.1)]))
    client.start_session(audio_format=AudioFormat())
    client.send_audio(SECOND)
    with pytest.raises(TimeoutError):
        client.finalize(timeout=0.2)
    client.close()


def test_finalize_waits_for_its_own_answer_and_not_for_that_of_an_earlier_end(serve, client_of) -> None:
    client = client_of(serve(speed=4))
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 2)
    client.force_end_of_utterance()
    client.send_audio(SECOND * 2)
    second = client.finalize(timeout=20)
    client.send_audio(SECOND)
    client.send_message({"message": "ForceEndOfUtterance"})
    client.send_audio(SECOND)
    third = client.finalize(timeout=20)
    assert second is not None
    assert third is not None
    assert (second.text, third.text) == (SPEECH[1], "train from Norwich")
    client.close()


def test_what_a_finalize_that_timed_out_has_ended_is_left_to_the_next_one(serve, client_of) -> None:
    client = client_of(serve(speed=4))
    ended = threading.Semaphore(0)
    client.on("EndOfUtterance", lambda message: ended.release())
    client.start_session(audio_format=PCM)
    for waits in (True, False):  # for the late answer, before the next question
        client.send_audio(SECOND * 2)
        with pytest.raises(TimeoutError):
            client.finalize(timeout=0.01)
        assert not waits or ended.acquire(timeout=20)
    said = client.finalize(timeout=20)
    assert said is not None
    assert said.text == " ".join(SPEECH)
    assert client.finalize(timeout=20) is None
    client.close()


def test_finalize_returns_what_all_speakers_have_said(serve, client_of) -> None:
    words = [("Yes", 0.4, "S1"), ("please", 0.9, "S1"), ("Right", 1.4, "S2"), ("away", 1.9, "S2")]
    client = client_of(serve(turns_of(*words)))
    events = []
    client.on("Utterance", lambda event: events.append((event["speaker"], event["text"], event["ended_by"])))
    client.start_session(audio_format=PCM, transcription_config={**SPEAKERS, "max_delay": 0.7})
    client.send_audio(SECOND * 3)
    said = client.finalize()
    assert said is not None
    assert (said.text, said.speaker, said.label) == ("Yes please Right away", None, "")
    assert [word.speaker for word in said.words] == ["S1", "S1", "S2", "S2"]
    client.stop_session()
    assert events == [("S1", "Yes please", "speaker"), ("S2", "Right away", "forced")]


def test_finalize_returns_what_was_said_before_a_loss_and_after_it(serve, client_of) -> None:
    server = serve(faults=[Fault.fin(after_seconds=2, sessions=[0])])
    client = client_of(server, resume=ResumePolicy(min_delay=0.01, max_delay=0.01, replay_speed=1000))
    client.start_session(audio_format=PCM, transcription_config={**SPEAKERS, "max_delay": 0.7})
    client.send_audio(SECOND * 4)
    said = client.finalize(timeout=20)
    assert len(server.sessions) == 2
    assert said is not None
    assert list(said.words) == client.transcript.words
    assert {word.speaker for word in said.words} == {"S1", "S2"}  # not known again
    client.close()


@pytest.mark.parametrize(
    "words", [{"agent": "I am.", "caller": "And who am I?"}, {"mute": "", "caller": "Hm."}]
)
def test_finalize_without_a_channel_returns_those_of_all_one_after_the_other(
    serve, client_of, words: dict[str, str]
) -> None:
    engine = ScriptedEngine({label: Script.from_text(text) for label, text in words.items()})
    client = client_of(serve(engine), kind=MultiChannelClient)
    client.start_session(channels=[*words], audio_format=PCM)
    for label in words:
        client.send_audio(label, SECOND * 4)
    said = {}
    while (one := client.finalize()) is not None:
        said[one.channel] = one.text
    assert said == {label: text for label, text in words.items() if text}
    client.close()


def test_what_finalize_returns_begins_where_the_transcript_does_and_that_is_told(
    serve, client_of, caplog
) -> None:
    client = client_of(serve(), keep_transcript=1)
    client.start_session(audio_format=PCM, transcription_config={"language": "en", "max_delay": 0.7})
    client.send_audio(SECOND * 5)
    said = client.finalize()
    assert said is not None
    (record,) = [one for one in caplog.records if "finalize()" in one.message]
    assert f"from {said.start_time:.1f} s on: keep_transcript=1 keeps" in record.message
    client.send_audio(SECOND)
    assert client.finalize() is not None
    assert len([one for one in caplog.records if "finalize()" in one.message]) == 1
    client.close()


class SilenceFirst(ScriptedEngine):
    """Ends an utterance by silence just before the forced end that is asked for."""

    def __init__(self, *, marked: bool, more: str = "goodbye", answers: bool = True) -> None:
        super().__init__(Script.from_text(""))
        self.marked, self.more, self.answers = marked, more, answers

    def recogniser(self, settings: Any) -> Any:
        recogniser = super().recogniser(settings)
        recogniser.force_end_of_utterance = self.force  # type: ignore[method-assign]
        return recogniser

    def force(self, timestamp: Any) -> list[dict[str, Any]]:
        says = [self.final("Hello", 0.5), end_of_utterance(0.6)]
        says += [self.final(self.more, 1.9)] if self.more else []
        return says + ([end_of_utterance(timestamp, forced=self.marked)] if self.answers else [])

    @staticmethod
    def final(word: str, end: float) -> dict[str, Any]:
        said = {"content": word, "confidence": 1.0, "language": "en"}
        start = end - 0.4
        return final(
            [{"type": "word", "start_time": start, "end_time": end, "alternatives": [said]}], start, end
        )


@pytest.mark.parametrize("marked", [True, False], ids=["forced", "an older server"])
def test_finalize_does_not_take_a_silence_for_its_answer(serve, client_of, marked: bool) -> None:
    client = client_of(serve(SilenceFirst(marked=marked)))
    events = []
    client.on("Utterance", lambda event: events.append((event["text"], event["ended_by"])))
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 2)
    utterance = client.finalize()
    assert utterance is not None
    assert utterance.text == "Hello goodbye"  # whatever was said since the last one, none of it lost
    client.stop_session()
    assert events == [("Hello", "silence"), ("goodbye", "forced" if marked else "silence")]


@pytest.mark.parametrize("answers", [True, False])
def test_finalize_returns_what_a_silence_has_just_ended(serve, client_of, answers: bool) -> None:
    client = client_of(serve(SilenceFirst(marked=True, more="", answers=answers)))
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 2)
    utterance = client.finalize(timeout=5 if answers else 0.5)
    assert utterance is not None
    assert utterance.text == "Hello"
    client.stop_session()


def test_finalize_is_refused_if_no_words_are_kept(serve, client_of) -> None:
    client = client_of(serve(), keep_transcript=0)
    client.start_session(audio_format=PCM)
    client.send_audio(SECOND * 2)
    with pytest.raises(ConfigurationError, match="keep_transcript=0"):
        client.finalize()
    client.stop_session()


def test_a_handler_can_not_wait_for_what_it_would_deliver_itself(serve, client_of) -> None:
    client = client_of(serve())
    caught = []

    @client.once("RecognitionStarted")
    def ask(message: Any) -> None:
        for call in (client.finalize, client.get_speakers):
            with pytest.raises(SessionError, match="handler"):
                call()
            caught.append(call)
        client.get_speakers(wait=False)

    client.transcribe(SECOND, audio_format=PCM, transcription_config=SPEAKERS)
    assert len(caught) == 2


# -- the speakers --------------------------------------------------------------------------------------


def test_get_speakers_returns_the_answer_that_handlers_get_too(serve, client_of) -> None:
    client = client_of(serve())
    heard = []
    client.on("SpeakersResult", heard.append)
    client.start_session(audio_format=PCM, transcription_config=SPEAKERS)
    client.send_audio(SECOND * 4)
    answer = client.get_speakers()
    assert answer["message"] == "SpeakersResult"
    assert isinstance(answer["speakers"], list)
    assert client.get_speakers(wait=False) is None
    assert client.get_speakers(final=True) is None
    client.stop_session()
    assert heard[0] == answer
    assert len(heard) == 3


def test_what_handlers_do_to_an_answer_does_not_reach_who_has_asked(serve, client_of) -> None:
    with client_of(serve()) as client:
        client.on("SpeakersResult", spoil)
        client.start_session(audio_format=PCM, transcription_config=SPEAKERS)
        client.send_audio(SECOND * 4)
        assert client.get_speakers()["message"] == "SpeakersResult"


def test_an_answer_that_does_not_come_is_a_timeout_and_leaves_nobody_waiting(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.silence(after_seconds=0.5)]))
    client.start_session(audio_format=PCM, transcription_config=SPEAKERS)
    client.send_audio(SECOND)
    with pytest.raises(TimeoutError) as caught:
        client.get_speakers(timeout=0.05)
    assert (caught.value.stage, caught.value.seconds) == ("answer", 0.05)
    assert client._session.turns.answers.waiting == []
    client.close()


def test_who_waits_is_told_when_the_session_ends_first(serve, client_of) -> None:
    client = client_of(serve(faults=[Fault.silence(after_seconds=0.5)]))
    client.start_session(audio_format=PCM, transcription_config=SPEAKERS)
    client.send_audio(SECOND)
    threading.Timer(0.1, client.close).start()
    with pytest.raises((SessionError, TransportError)):
        client.get_speakers(timeout=30)


def test_who_asks_just_as_a_dropped_stream_ends_waits_for_nothing(serve, client_of) -> None:
    def speech() -> Iterator[bytes]:
        while True:
            yield SECOND
            time.sleep(0.05)

    client, raised = client_of(serve()), []

    def ask() -> None:
        try:
            client.get_speakers(timeout=None)
        except NotRunningError as exc:
            raised.append(exc)

    asking = threading.Thread(target=ask, daemon=True)

    def trace(frame: Any, event: str, arg: Any) -> None:
        if frame.f_code.co_name == "abandon" and asking.ident is None:  # its session is over, and still open
            asking.start()
            asking.join(2)

    stream, before = client.stream(speech(), audio_format=PCM, transcription_config=SPEAKERS), sys.gettrace()
    next(stream)
    with pytest.warns(ResourceWarning):
        sys.settrace(trace)
        del stream
        sys.settrace(before)
    asking.join(10)
    assert len(raised) == 1


def test_ctrl_c_where_an_answer_is_about_to_be_given_keeps_nobody_waiting_after_the_session(
    serve, client_of, monkeypatch
) -> None:
    claim, client, raised = Answer.claim, client_of(serve()), []

    def interrupted(answer: Answer) -> bool:
        monkeypatch.setattr(Answer, "claim", claim)
        claim(answer)
        raise KeyboardInterrupt

    def speech() -> Iterator[bytes]:
        while True:
            yield SECOND
            time.sleep(0.05)

    def ask() -> None:
        try:
            client.finalize(timeout=30)
        except (SessionError, TransportError) as exc:
            raised.append(exc)

    monkeypatch.setattr(Answer, "claim", interrupted)
    asking = threading.Thread(target=ask, daemon=True)
    stream = client.stream(speech(), audio_format=PCM, transcription_config=PROMPT)
    with pytest.raises(KeyboardInterrupt), stream as messages:
        for message in messages:
            if message["message"] == "AddTranscript" and asking.ident is None:
                asking.start()
    asking.join(10)
    assert len(raised) == 1


# -- in an event loop ----------------------------------------------------------------------------------


def test_in_an_event_loop_it_is_all_the_same(serve) -> None:
    server = serve()

    async def main() -> None:
        async with face(server) as client:
            stream = client.utterances([SECOND] * 12, audio_format=PCM)
            utterances = [utterance async for utterance in stream]
            assert said(utterances) == words_of(stream.transcript) != []
            events = []
            client.on("Utterance", events.append)
            await client.start_session(audio_format=PCM, transcription_config=SPEAKERS)
            await client.send_audio(SECOND * 2)
            utterance = await client.finalize()
            assert utterance is not None
            assert utterance.text == "Good morning, and welcome"
            assert (await client.get_speakers())["speakers"]
            assert await client.get_speakers(wait=False) is None
            await client.stop_session()
            assert events[0]["text"] == utterance.text

            @client.on("RecognitionStarted")
            async def ask(message: Any) -> None:
                with pytest.raises(SessionError, match="handler"):
                    await client.finalize()

            await client.start_session(audio_format=PCM)
            await client.stop_session()
        async with face(server, AsyncMultiChannelClient) as several:
            sources = {"a": [SECOND] * 5, "b": [SECOND] * 4}
            utterances = [one async for one in several.utterances(sources, audio_format=PCM, partials=True)]
            assert {one.channel for one in utterances} == {"a", "b"}
            assert any(one.ended_by is None for one in utterances)

    run(main)


def test_in_an_event_loop_a_lost_connection_gives_what_was_final_first(serve) -> None:
    server = serve(faults=[Fault.fin(after_seconds=8)])

    async def main() -> list[Any]:
        utterances = []
        async with face(server) as client:
            with pytest.raises(ConnectionError):
                options = {"audio_format": PCM, "transcription_config": PROMPT}
                async for utterance in client.utterances([SECOND] * 20, **options):
                    utterances.append(utterance)
            assert said(utterances) == words_of(client.transcript)
        return utterances

    assert run(main)


@pytest.mark.parametrize("partials", [False, True], ids=["", "partials"])
def test_in_an_event_loop_handlers_take_no_word_from_an_utterance_either(serve, partials: bool) -> None:
    server = serve()

    async def main() -> None:
        async with face(server, handler_errors="raise") as client:
            failed = []

            @client.on("AddTranscript")
            @client.on("AddPartialTranscript")
            async def fail(message: dict[str, Any]) -> None:
                spoil(message)
                failed.append(ValueError("odd"))
                raise failed[-1]

            utterances, errors = [], []
            async with client.utterances([SECOND] * 6, audio_format=PCM, partials=partials) as stream:
                while True:
                    try:
                        utterances.append(await stream.__anext__())
                    except ValueError as exc:
                        errors.append(exc)
                    except StopAsyncIteration:
                        break
            ended = [one for one in utterances if one.ended_by]
            assert said(ended) == words_of(client.transcript) != []
            assert (ended != utterances) == partials
            assert errors == failed

    run(main)


def test_faces_have_the_same_calls() -> None:
    for name in ("utterances", "finalize", "get_speakers"):
        for kind in (Client, MultiChannelClient, AsyncClient, AsyncMultiChannelClient):
            assert callable(getattr(kind, name))
    assert inspect.iscoroutinefunction(AsyncClient.finalize)
