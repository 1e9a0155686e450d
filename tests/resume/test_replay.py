"""What is kept, replayed and merged when sessions follow one another: pure, with random words and losses."""

from __future__ import annotations

import random
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.config.recognition import AudioFormat
from speechmatics_rt.resume.replay import End, Piece, Replay, Request
from speechmatics_rt.resume.stitch import Overlap, Stitcher, shifted

from ..samples import tried

FORMAT = AudioFormat("pcm_s16le", 1000)  # 2,000 bytes a second: times are as exact as with more
RATE = 2000
START = {"message": "StartRecognition", "transcription_config": {"language": "en"}}
STARTED = {"message": "RecognitionStarted", "id": "1", "language_pack_info": {"word_delimiter": " "}}


def result(content: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    kind = "punctuation" if content in ".,?" else "word"
    return {
        "type": kind,
        "start_time": start,
        "end_time": end,
        "alternatives": [{"content": content, **more}],
    }


def final(
    *results: dict[str, Any], start: float = 0.0, end: Optional[float] = None, **more: Any
) -> dict[str, Any]:
    text = " ".join(item["alternatives"][0]["content"] for item in results) + " "
    if end is None:
        end = results[-1]["end_time"]
    metadata = {"start_time": start, "end_time": end, "transcript": text if results else ""}
    return {"message": "AddTranscript", "results": list(results), "metadata": metadata, **more}


def contents(message: Optional[dict[str, Any]]) -> list[str]:
    return [item["alternatives"][0]["content"] for item in (message or {"results": []})["results"]]


def hearing_of(*messages: dict[str, Any], languages: tuple[str, ...] = ()) -> Stitcher:
    hearing = Stitcher(languages)
    for message in (STARTED, *messages):
        hearing.receive(message)
    return hearing


def begin(hearing: Stitcher, offset: float) -> None:
    hearing.begin({None: offset})
    assert hearing.receive(STARTED) is None


# -- the property: delivered words are spoken words ----------------------------------------------------


def spelled(number: int) -> str:
    return f"w{number // 4}"  # the same word four times in a row


class Spoken:
    """A channel's audio as words: (number, start, end); the recogniser hears whole words, with a blur."""

    def __init__(self, rng: random.Random, count: int, shortest: float) -> None:
        self.words: list[tuple[int, float, float]] = []
        now = rng.choice([0.0, 0.3, 2.0])
        for number in range(count):
            length = rng.uniform(shortest, rng.choice([0.3, 0.6, 1.4]))
            self.words.append((number, now, now + length))
            now += length + rng.choice([0.0, 0.0, 0.0, 0.02, 0.3, 2.5])
        self.seconds = now + rng.choice([0.0, 0.7])


class Recogniser:
    """One session's ear on one channel: hears from ``offset`` on, cuts the word it begins in."""

    def __init__(
        self, rng: random.Random, spoken: Spoken, offset: float, *, blur: float, delay: float
    ) -> None:
        self.rng, self.spoken, self.offset, self.blur, self.delay = rng, spoken, offset, blur, delay
        self.heard = offset
        self.said = offset  # up to where words are final
        self.mark: Optional[dict[str, Any]] = None
        self.until = 0.0

    def feed(self, seconds: float, finish: bool = False) -> list[dict[str, Any]]:
        self.heard += seconds
        limit = self.heard + (1e-6 if finish else -self.delay)
        ready = [w for w in self.spoken.words if w[2] > self.said + 1e-9 and w[2] <= limit]
        ready = [w for w in ready if w[2] - max(w[1], self.offset) > 0.04]  # less can't be recognised
        messages: list[dict[str, Any]] = []
        while ready:
            take = len(ready) if finish else self.rng.randint(0, len(ready))
            if not take:
                break
            group, ready = ready[:take], ready[take:]
            messages.append(self.final(group))
        quiet = limit - self.rng.uniform(0, 0.2)
        started = [w[1] for w in self.spoken.words if w[2] > self.said + 1e-9]
        if not messages and quiet > self.said and (not started or started[0] > quiet - 0.08):
            end = max(self.until, round(quiet - self.offset, 2))
            messages.append(final(start=round(self.until, 2), end=end))
            self.until = end
        return messages

    def final(self, group: list[tuple[int, float, float]]) -> dict[str, Any]:
        results = [self.mark] if self.mark else []
        self.mark = None
        for number, start, end in group:
            start, end = self.blurred(max(start, self.offset)), self.blurred(end)
            results.append(result(spelled(number), round(start, 2), round(max(end, start + 0.02), 2)))
            if number % 5 == 4:
                mark = result(".", results[-1]["end_time"], results[-1]["end_time"])
                if number == group[-1][0] and self.rng.random() < 0.5:
                    self.mark = mark  # comes with the next final
                else:
                    results.append(mark)
        self.said = group[-1][2]
        end = results[-1]["end_time"] + self.rng.choice([0.0, 0.0, 0.1, 0.3])  # now and then in mid-word
        end = round(max(end, self.until), 2)
        message = final(*results, start=round(self.until, 2), end=end)
        self.until = end
        return message

    def blurred(self, moment: float) -> float:
        return max(0.0, moment - self.offset + self.rng.uniform(-self.blur, self.blur))


def lie(rng: random.Random, sent: float, labels: list[Optional[str]]) -> dict[str, Any]:
    """Say something that can't be true of a session that was sent so many seconds; none of it is a word."""
    far = rng.choice([0.45, 3.0, 90.0, 1e8])
    time = rng.choice([sent + far, sent + far, -rng.choice([1.0, 50.0, 1e8])])
    word = result("x", rng.choice([0.0, time - 0.5, time - 0.1]) if time > 0 else time - 0.5, time)
    metadata: Any = rng.choice(
        [{"start_time": 0.0, "end_time": time}, {"end_time": time}, {}, None, [], "none"]
    )
    kind = rng.choice(["AddTranscript", "AddTranscript", "AddPartialTranscript"])
    message = rng.choice(
        [
            {"message": kind, "metadata": metadata, "results": [word]},
            {"message": kind, "metadata": {"end_time": time}, "results": []},
            {"message": "EndOfUtterance", "metadata": {"end_time": time}},
            {"message": "AudioEventEnded", "event": {"type": "music", "end_time": time}},
            {"message": "AddTranslation", "language": "fr", "results": [word]},
            {"message": "AudioAdded", "seq_no": int(time)},
        ]
    )
    label = rng.choice([*labels, "of nobody", ["a list"]])
    return message if label is None else {**message, "channel": label}


def transcribe(
    seed: int, *, channels: int, drops: int, blur: float, shortest: float, lies: bool = False
) -> None:
    """Send audio over sessions that are lost at random; what is delivered must be what was spoken."""
    rng = random.Random(seed)
    labels: list[Optional[str]] = [None] if channels == 1 else [f"c{n}" for n in range(channels)]
    spoken = {label: Spoken(rng, rng.randint(1, 30), shortest) for label in labels}
    replay = Replay(START, labels, FORMAT, buffer_seconds=10_000)
    for label in labels:
        left = int(spoken[label].seconds * RATE) // 2 * 2 + 2
        while left:
            size = min(left, 2 * rng.choice([1, 20, 100, 700, 5000]))
            replay.keep(label, bytes(size))
            left -= size
    replay.end_stream()
    delivered: dict[Optional[str], list[tuple[str, float, float]]] = {label: [] for label in labels}
    until = dict.fromkeys(labels, 0.0)
    started = 0

    def deliver(message: Optional[dict[str, Any]]) -> None:
        nonlocal started
        if message is None:
            return
        started += message["message"] == "RecognitionStarted"
        if message["message"] == "AddTranscript":
            label = message.get("channel")
            metadata = message["metadata"]
            assert metadata["end_time"] >= metadata["start_time"]
            assert metadata["end_time"] >= until[label] - 1e-6
            until[label] = metadata["end_time"]
            assert sorted(metadata["transcript"].replace(".", " ").split()) == sorted(
                content for content in contents(message) if content != "."
            )
            delivered[label] += [
                (item["alternatives"][0]["content"], item["start_time"], item["end_time"])
                for item in message["results"]
            ]

    for session in range(drops + 1):
        if session:
            replay.begin()
        deliver(replay.receive(dict(STARTED)))
        offsets = {label: replay._tracks[label].offset for label in labels}
        ears = {
            label: Recogniser(rng, spoken[label], offsets[label], blur=blur, delay=rng.choice([0.1, 0.7, 4]))
            for label in labels
        }
        life = rng.expovariate(1 / 15) if session < drops else float("inf")
        lost = rng.random() < 0.5  # what was said last does not arrive
        inbox: list[dict[str, Any]] = []
        sent = dict.fromkeys(labels, 0.0)
        while (due := replay.due()) is not None and life > 0:
            replay.sent(due)
            if isinstance(due, Piece):
                seconds = len(due.audio) / RATE
                sent[due.channel] += seconds
                life -= seconds
                if lies and rng.random() < 0.3:
                    replay.receive(lie(rng, max(sent.values()), labels))
                    assert replay.missing == 0
                if life <= 0:
                    break
                said = ears[due.channel].feed(seconds)
                inbox += [m if due.channel is None else {**m, "channel": due.channel} for m in said]
                while inbox and rng.random() < 0.8:
                    deliver(replay.receive(inbox.pop(0)))
        else:
            for label, ear in ears.items():
                inbox += [m if label is None else {**m, "channel": label} for m in ear.feed(0.0, finish=True)]
        for message in inbox[: len(inbox) // 2 if lost and session < drops else None]:
            deliver(replay.receive(message))
    assert started == 1
    for label in labels:
        words = [(content, start, end) for content, start, end in delivered[label] if content != "."]
        assert [content for content, _, _ in words] == [
            spelled(number) for number, _, _ in spoken[label].words
        ]
        for (_, start, end), (_, true_start, true_end) in zip(words, spoken[label].words):
            assert abs(start - true_start) <= 0.1
            assert abs(end - true_end) <= 0.1
        marked = [number for number, _, _ in spoken[label].words[:-1] if number % 5 == 4]
        assert marks_in(delivered[label], len(spoken[label].words) - 1) == marked


def marks_in(delivered: list[tuple[str, float, float]], before: int) -> list[int]:
    """Number the words that a mark follows; the last word's may not have come."""
    numbers, number = [], -1
    for content, _, _ in delivered:
        number += content != "."
        if content == "." and number < before:
            numbers.append(number)
    return numbers


@given(st.integers(0, 2**32), st.integers(1, 2), st.integers(0, 6))
@tried(300)
def test_whatever_is_lost_and_however_limits_blur_delivered_words_are_spoken_words(
    seed: int, channels: int, drops: int
) -> None:
    transcribe(seed, channels=channels, drops=drops, blur=0.04, shortest=0.17)


@given(st.integers(0, 2**32), st.integers(1, 2), st.integers(1, 6))
@tried(200)
def test_whatever_a_server_says_of_audio_it_was_not_sent_delivered_words_are_spoken_words(
    seed: int, channels: int, drops: int
) -> None:
    transcribe(seed, channels=channels, drops=drops, blur=0.04, shortest=0.17, lies=True)


@given(st.integers(0, 2**32), st.integers(0, 6))
@tried(100)
def test_without_a_blur_words_may_be_as_short_as_they_like(seed: int, drops: int) -> None:
    transcribe(seed, channels=1, drops=drops, blur=0.0, shortest=0.06)


# -- words and marks at the overlap -----------------------------------------------------------------------


def test_the_first_session_passes_untouched() -> None:
    hearing = Stitcher()
    message = final(result("Good", 0.1, 0.5))
    assert hearing.receive(STARTED) is STARTED
    assert hearing.receive(message) is message


def test_the_last_word_before_the_overlap_is_told_by_the_middle_not_by_its_limits() -> None:
    overlap = Overlap(1.0, 1.2)
    assert not overlap.is_new(1.04, 1.24)
    assert overlap.is_new(1.2, 1.3)


def test_the_same_word_said_again_right_after_the_overlap_is_new() -> None:
    hearing = hearing_of(final(result("no", 1.0, 1.2), result("no", 1.2, 1.4)))
    begin(hearing, 0.9)
    heard = hearing.receive(final(*[result("no", 0.1 + 0.2 * n, 0.3 + 0.2 * n) for n in range(4)]))
    assert heard is not None
    assert [item["start_time"] for item in heard["results"]] == [1.4, 1.6]
    assert heard["metadata"] == {"start_time": 1.4, "end_time": 1.8, "transcript": "no no "}


def test_what_is_new_is_joined_as_its_language_says() -> None:
    hearing = hearing_of(
        {"message": "LanguageInfo", "language": "ja", "word_delimiter": ""},
        final(result("Good", 1.0, 1.4, language="en")),
    )
    begin(hearing, 0.9)
    words = [("Good", 0.1, 0.5, "en"), ("\u6771", 0.5, 0.7, "ja"), ("\u4eac", 0.7, 0.9, "ja")]
    new = hearing.receive(
        final(*[result(word, start, end, language=code) for word, start, end, code in words])
    )
    assert new is not None
    assert new["metadata"]["transcript"] == "\u6771\u4eac "


def test_a_word_recognised_in_two_pieces_the_second_time_is_not_said_again() -> None:
    hearing = hearing_of(final(result("everyone", 1.0, 1.4)))
    begin(hearing, 0.5)
    assert contents(
        hearing.receive(final(result("every", 0.5, 0.7), result("one", 0.7, 0.9), result("is", 0.92, 1.1)))
    ) == ["is"]


def test_a_mark_heard_again_is_not_doubled() -> None:
    hearing = hearing_of(final(result("Good", 1.0, 1.4), result(".", 1.4, 1.4)))
    begin(hearing, 0.7)
    assert hearing.receive(final(result("Good", 0.3, 0.72))) is None
    assert contents(hearing.receive(final(result(".", 0.72, 0.72), result("Now", 0.8, 1.0)))) == ["Now"]


def test_a_mark_that_was_still_owed_at_the_overlap_comes_once() -> None:
    hearing = hearing_of(final(result("Well", 0.2, 0.9), result("done", 1.0, 1.4)))
    begin(hearing, 0.1)
    again = final(
        result("Well", 0.1, 0.8), result(",", 0.8, 0.8), result("done", 0.9, 1.3), result(".", 1.3, 1.3)
    )
    assert contents(hearing.receive(again)) == ["."]
    assert hearing.receive(final(result(".", 1.3, 1.3))) is None


def test_a_mark_that_belongs_to_the_word_behind_it_goes_with_that_word() -> None:
    hearing = hearing_of(final(result("Si", 1.0, 1.4)))
    begin(hearing, 0.5)
    request = {**result("?", 0.5, 0.5), "attaches_to": "next"}
    assert contents(
        hearing.receive(final(request, result("Si", 0.5, 0.9), request, result("que", 0.95, 1.2)))
    ) == ["?", "que"]


def test_partials_lose_what_is_final_and_move_nothing() -> None:
    hearing = hearing_of(final(result("Good", 1.0, 1.4)))
    begin(hearing, 0.7)
    partial = {**final(result("Good", 0.3, 0.7), result("day", 0.7, 1.0)), "message": "AddPartialTranscript"}
    assert contents(hearing.receive(partial)) == contents(hearing.receive(partial)) == ["day"]
    assert contents(hearing.receive(final(result("Good", 0.3, 0.7), result("day", 0.7, 1.0)))) == ["day"]


def test_silence_advances_what_is_certain_words_only_to_their_end() -> None:
    hearing = hearing_of(final(result("Good", 1.0, 1.4), end=1.9))
    assert hearing.anchor(None) == pytest.approx(0.2)
    hearing.receive(final(start=1.9, end=5.0))
    assert hearing.anchor(None) == pytest.approx(0.2), "a mark may still come"
    hearing.receive(final(start=5.0, end=6.0))
    assert hearing.anchor(None) == pytest.approx(5.5)


def test_a_long_word_is_heard_whole_again() -> None:
    hearing = hearing_of(final(result("internationally", 1.0, 2.2)))
    assert hearing.anchor(None) == pytest.approx(0.2)


# -- everything else at the overlap -----------------------------------------------------------------------


def test_all_times_move_nested_ones_too() -> None:
    entity = {**result("42", 1.0, 2.0), "spoken_form": [result("forty", 1.0, 1.5)], "confidence": 1}
    moved = shifted(final(entity, start=0.5), 10.0)
    assert moved["metadata"]["start_time"] == 10.5
    assert moved["results"][0]["spoken_form"][0]["end_time"] == 11.5
    assert moved["results"][0]["confidence"] == 1


def test_generic_speakers_are_kept_apart_and_enrolled_ones_carried() -> None:
    hearing = hearing_of(final(result("a", 1.0, 1.4, speaker="S1"), result("b", 1.5, 1.9, speaker="S3")))
    begin(hearing, 5.0)
    people = [
        result("c", 0.0, 0.4, speaker="S1"),
        result("d", 0.5, 0.9, speaker="Alice"),
        result("e", 1.0, 1.4, speaker="UU"),
    ]
    heard = hearing.receive(final(*people))
    assert heard is not None
    assert [item["alternatives"][0]["speaker"] for item in heard["results"]] == ["S4", "Alice", "UU"]
    asked = hearing.receive({"message": "SpeakersResult", "speakers": [{"label": "S1"}, {"label": "Alice"}]})
    assert asked == {"message": "SpeakersResult", "speakers": [{"label": "S4"}, {"label": "Alice"}]}


def end_of_utterance(time: float, **more: Any) -> dict[str, Any]:
    return {"message": "EndOfUtterance", "metadata": {"start_time": time, "end_time": time}, **more}


def test_an_utterance_ends_once() -> None:
    hearing = hearing_of(final(result("Good", 1.0, 1.4)), end_of_utterance(1.8))
    begin(hearing, 0.7)
    hearing.receive(final(result("Good", 0.3, 0.7)))
    assert hearing.receive(end_of_utterance(1.1)) is None
    hearing.receive(final(result("day", 2.0, 2.4)))
    assert hearing.receive(end_of_utterance(2.8)) == end_of_utterance(3.5)


def test_an_end_of_utterance_lost_at_the_overlap_comes_from_the_next_session() -> None:
    hearing = hearing_of(final(result("Good", 1.0, 1.4)))
    begin(hearing, 0.7)
    hearing.receive(final(result("Good", 0.3, 0.7)))
    assert hearing.receive(end_of_utterance(0.2)) is None  # of the utterance before
    assert hearing.receive(end_of_utterance(1.1)) is not None


def test_a_sound_that_goes_on_over_the_overlap_begins_and_ends_once() -> None:
    def event(kind: str, **times: float) -> dict[str, Any]:
        return {"message": f"AudioEvent{kind}", "event": {"type": "music", **times}}

    hearing = hearing_of(event("Started", start_time=1.0))
    begin(hearing, 2.0)
    assert hearing.receive(event("Started", start_time=0.1)) is None
    assert hearing.receive(event("Ended", end_time=1.0)) == event("Ended", end_time=3.0)
    begin(hearing, 2.5)
    assert hearing.receive(event("Started", start_time=0.0)) is None
    assert hearing.receive(event("Ended", end_time=0.5)) is None
    assert hearing.receive(event("Started", start_time=4.0)) == event("Started", start_time=6.5)


def test_a_sentence_that_waits_for_its_translation_is_replayed_from_its_beginning() -> None:
    def translation(start: float, end: float) -> dict[str, Any]:
        return {
            "message": "AddTranslation",
            "language": "fr",
            "results": [{"content": "x", "start_time": start, "end_time": end}],
        }

    hearing = hearing_of(
        final(result("One", 1.0, 1.4), result(".", 1.4, 1.4)), translation(1.0, 1.4), languages=("fr",)
    )
    hearing.receive(final(result("Two", 3.0, 3.4), result("three", 3.4, 6.0)))
    assert hearing.anchor(None) == pytest.approx(0.9)
    begin(hearing, 0.9)
    assert hearing.receive(translation(0.1, 0.5)) is None
    assert hearing.receive(translation(2.1, 5.5)) is not None


def test_what_every_session_says_at_its_start_is_heard_once() -> None:
    hearing = hearing_of({"message": "LanguageInfo", "language": "he"})
    hearing.begin({None: 3.0})
    assert hearing.receive({"message": "Info", "type": "concurrent_session_usage", "reason": ""}) is None
    assert hearing.receive(STARTED) is None
    assert hearing.receive({"message": "LanguageInfo", "language": "he"}) is None
    warning = {"message": "Warning", "type": "session_timeout", "reason": ""}
    assert hearing.receive(warning) == warning


# -- what is kept and said again -----------------------------------------------------------------------


def replay_of(*channels: Optional[str], buffer_seconds: float = 600, **start: Any) -> Replay:
    replay = Replay({**START, **start}, channels or [None], FORMAT, buffer_seconds=buffer_seconds)
    replay.receive(dict(STARTED))
    return replay


def say_all(replay: Replay) -> list[Any]:
    said = []
    while (due := replay.due()) is not None:
        replay.sent(due)
        said.append(due)
    return said


def test_audio_is_let_go_when_its_words_are_final_and_cut_at_a_sample() -> None:
    replay = replay_of()
    for _ in range(10):
        replay.keep(None, bytes(RATE))
    say_all(replay)
    replay.receive(final(result("Good", 5.0, 5.4567)))
    assert len(replay._tracks[None].pieces) == 6
    assert replay.begin() == pytest.approx(10 - 4.7, abs=0.6)
    first = replay.due()
    assert isinstance(first, Piece)
    assert first.start % 2 == 0
    assert first.start + len(first.audio) == 5 * RATE
    assert replay.stitcher._channels[None].offset == first.start / RATE


def test_acknowledgements_go_on_in_one_count() -> None:
    replay = replay_of()
    for _ in range(4):
        replay.keep(None, bytes(RATE))
    say_all(replay)
    added = {"message": "AudioAdded", "seq_no": 1}
    assert replay.receive({**added, "seq_no": 3}) == {**added, "seq_no": 3}
    replay.receive(final(result("Good", 1.0, 1.9)))
    replay.begin()
    assert [replay.receive({**added, "seq_no": n}) for n in (1, 2, 3, 4)] == [
        None,
        None,
        None,
        {**added, "seq_no": 4},
    ]


def test_requests_are_said_in_their_place_until_they_are_answered() -> None:
    replay = replay_of()
    replay.keep(None, bytes(RATE))
    replay.request({"message": "ForceEndOfUtterance", "timestamp": 1.0})
    replay.request({"message": "GetSpeakers", "final": True})
    replay.keep(None, bytes(RATE))
    replay.request({"message": "GetSpeakers", "final": False})
    assert [type(item) for item in say_all(replay)] == [Piece, Request, Request, Piece, Request]
    replay.receive({"message": "SpeakersResult", "speakers": []})
    replay.begin()
    replay.receive(dict(STARTED))
    assert [type(item) for item in say_all(replay)] == [Piece, Request, Request, Piece]
    replay.receive(end_of_utterance(1.0, forced=True))
    replay.begin()
    again = [item.message for item in say_all(replay) if isinstance(item, Request)]
    assert again == [{"message": "GetSpeakers", "final": True}]


def test_an_answer_is_that_to_an_end_that_was_forced_after_the_audio_before_it() -> None:
    replay = replay_of()
    for end in (2.0, 4.0):
        replay.keep(None, bytes(2 * RATE))
        replay.request({"message": "ForceEndOfUtterance", "timestamp": end})
    say_all(replay)
    replay.receive(dict(STARTED))
    replay.receive(end_of_utterance(3.6, forced=True))
    replay.begin()
    left = [item.message for item in say_all(replay) if isinstance(item, Request)]
    assert left == [{"message": "ForceEndOfUtterance", "timestamp": 2.0}]


def test_a_forced_end_is_asked_for_on_the_clock_of_the_session() -> None:
    replay = replay_of()
    replay.keep(None, bytes(20 * RATE))
    say_all(replay)
    replay.receive(final(start=0, end=8.5))
    replay.begin()
    say_all(replay)
    assert replay.request({"message": "ForceEndOfUtterance", "timestamp": 20.0}).message["timestamp"] == 12.0


@pytest.mark.parametrize("timestamp", [10**400, -(10**400), float("inf"), "soon", None, [1]])
def test_a_forced_end_at_no_time_is_asked_for_as_it_is(timestamp: Any) -> None:
    replay = replay_of()
    replay.keep(None, bytes(20 * RATE))
    say_all(replay)
    replay.receive(final(start=0, end=8.5))
    replay.begin()
    say_all(replay)
    message = {"message": "ForceEndOfUtterance", "timestamp": timestamp}
    assert replay.request(message).message == message


TIMES = st.one_of(st.floats(-1e9, 1e9), st.floats(0, 30), st.floats(allow_nan=True), st.just(10**400))


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), TIMES, TIMES, st.booleans()), max_size=30))
@tried(200)
def test_no_time_of_a_server_moves_what_is_kept_beyond_what_was_sent(said: list[Any]) -> None:
    replay = replay_of("a", "b")
    for channel, seconds in (("a", 10), ("b", 3)):
        for _ in range(seconds):
            replay.sent(replay.keep(channel, bytes(RATE)))
    needed = {"a": 0.0, "b": 0.0}
    for channel, start, end, word in said:
        results = [result("x", start, end)] if word else []
        replay.receive(
            {**final(*results, start=0, end=end), **({} if channel is None else {"channel": channel})}
        )
        assert replay.missing == 0
        for label, track in replay._tracks.items():
            needed[label] = max(needed[label], replay.stitcher.anchor(label))
            kept = track.pieces[0].start / RATE
            assert kept <= needed[label] + 1e-6
            assert needed[label] <= {"a": 10, "b": 3}[label]
            assert replay.stitcher.until(label) <= {"a": 10.5, "b": 3.5}[label]


def test_a_word_at_a_time_that_was_not_sent_does_not_end_the_overlap() -> None:
    hearing = hearing_of(final(result("no", 1.0, 1.2), result("no", 1.2, 1.4)))
    begin(hearing, 0.9)
    assert contents(hearing.receive(final(result("x", 90.0, 91.0)), 2.0)) == ["x"]
    heard = hearing.receive(final(*[result("no", 0.1 + 0.2 * n, 0.3 + 0.2 * n) for n in range(4)]), 2.0)
    assert [item["start_time"] for item in heard["results"]] == [1.4, 1.6]


def test_a_session_of_one_channel_is_that_channel_whatever_a_server_calls_it() -> None:
    hearing = hearing_of({**final(result("Good", 1.0, 1.4)), "channel": "x"})
    begin(hearing, 0.7)
    again = {**final(result("Good", 0.3, 0.7), result("day", 0.8, 1.0)), "channel": ["y"]}
    assert contents(hearing.receive(again)) == ["day"]
    assert hearing.until(None) == 1.7


def test_translations_of_several_channels_keep_to_the_clock_of_the_whole() -> None:
    replay = replay_of("a", "b", translation_config={"target_languages": ["fr"]})
    sentence = {"content": "x", "start_time": 1.0, "end_time": 1.4}
    for channel in ("a", "b"):
        replay.sent(replay.keep(channel, bytes(8 * RATE)))
        replay.receive({**final(result("One", 1.0, 1.4), end=6.0), "channel": channel})
    replay.receive({"message": "AddTranslation", "language": "fr", "results": [sentence]})
    replay.begin()
    offset = replay._tracks["a"].offset
    assert offset > 0
    replay.receive(dict(STARTED))
    heard = replay.receive({"message": "AddTranslation", "language": "fr", "results": [sentence]})
    assert heard is None or heard["results"][0]["start_time"] == pytest.approx(1.0 + offset)


def test_acknowledgements_of_what_was_not_sent_hide_none_that_come() -> None:
    replay = replay_of()
    replay.sent(replay.keep(None, bytes(RATE)))
    replay.receive({"message": "AudioAdded", "seq_no": 10**9})
    replay.begin()
    replay.receive(dict(STARTED))
    replay.keep(None, bytes(RATE))
    say_all(replay)
    assert replay.receive({"message": "AudioAdded", "seq_no": 2}) is not None


@given(st.integers(0, 2**32))
@tried(200)
def test_requests_are_said_again_as_long_as_their_moment_has_not_passed(seed: int) -> None:
    rng = random.Random(seed)
    replay = replay_of()
    until = taken = 0.0
    asked = 0
    for _ in range(rng.randint(1, 400)):
        step = rng.random()
        if step < 0.4:
            replay.sent(replay.keep(None, bytes(RATE // 4 // 2 * 2)))
            taken = replay.seconds_taken
        elif step < 0.5:
            until = rng.uniform(until, taken)
            replay.receive(final(start=0.0, end=max(0.0, until - replay._tracks[None].offset)))
        elif step < 0.55:
            replay.receive({"message": "SpeakersResult", "speakers": []})
        elif step < 0.6:
            again = replay.begin()
            assert again >= 0
            replay.receive(dict(STARTED))
            offset = replay._tracks[None].offset
            said = say_all(replay)
            requests = [item for item in said if isinstance(item, Request)]
            assert len(requests) <= 100
            assert sum(request.at_the_end for request in requests) <= 1
            for request in requests:
                assert request.message.get("timestamp", 1.0) > 0 or offset == 0
                assert request.place >= offset or request.at_the_end
        else:
            asked += 1
            message = rng.choice(
                [
                    {"message": "ForceEndOfUtterance", "timestamp": taken},
                    {"message": "ForceEndOfUtterance"},
                    {"message": "GetSpeakers", "final": rng.random() < 0.3},
                ]
            )
            replay.sent(replay.request(message))
            assert len(replay._requests) <= 101
    replay.receive(final(start=0.0, end=taken - replay._tracks[None].offset))
    for _ in range(8):
        replay.sent(replay.keep(None, bytes(RATE)))
    replay.receive(final(start=0.0, end=replay.seconds_taken - replay._tracks[None].offset))
    replay.begin()
    left = [item for item in say_all(replay) if isinstance(item, Request)]
    assert [request.message["message"] for request in left] in ([], ["GetSpeakers"])
    assert all(request.at_the_end for request in left)


def test_a_flood_of_requests_in_an_outage_is_not_kept_whole() -> None:
    replay = replay_of()
    replay.sent(replay.keep(None, bytes(RATE)))
    replay.begin()
    for _ in range(500):
        replay.request({"message": "ForceEndOfUtterance", "timestamp": 1.0})
        replay.request({"message": "GetSpeakers", "final": True})
    said = [item for item in say_all(replay) if isinstance(item, Request)]
    assert len(said) == 101
    assert sum(request.at_the_end for request in said) == 1


def test_settings_are_folded_into_the_start_of_the_next_session() -> None:
    replay = replay_of()
    replay.request(
        {"message": "SetRecognitionConfig", "transcription_config": {"language": "en", "max_delay": 2}}
    )
    assert [type(item) for item in say_all(replay)] == [Request]
    replay.begin()
    assert replay.start["transcription_config"] == {"language": "en", "max_delay": 2}
    assert replay.due() is None
    assert START["transcription_config"] == {"language": "en"}


def test_channels_are_replayed_each_from_its_own_place_and_end_again() -> None:
    replay = replay_of("a", "b")
    for _ in range(4):
        replay.keep("a", bytes(RATE))
        replay.keep("b", bytes(RATE))
    replay.end_channel("b")
    assert isinstance(say_all(replay)[-1], End)
    replay.receive({**final(start=0, end=3.0), "channel": "a"})
    assert replay.begin() == 4.0
    again = say_all(replay)
    assert (
        sum(len(item.audio) for item in again if isinstance(item, Piece) and item.channel == "a")
        == 1.5 * RATE
    )
    assert again[-1] == End(9, "b")


def test_with_translations_all_channels_begin_anew_at_one_moment() -> None:
    replay = replay_of("a", "b", translation_config={"target_languages": ["fr"]})
    for channel in ("a", "b"):
        replay.keep(channel, bytes(4 * RATE))
    say_all(replay)
    replay.receive({**final(start=0, end=3.0), "channel": "a"})
    replay.begin()
    assert {track.offset for track in replay._tracks.values()} == {0.0}


def test_no_more_audio_is_kept_than_the_buffer_holds_and_what_is_missing_is_known() -> None:
    replay = replay_of(buffer_seconds=3)
    for _ in range(3):
        replay.sent(replay.keep(None, bytes(RATE)))
    assert replay.full(None, 2)
    assert replay.missing == 0
    replay.sent(replay.keep(None, bytes(RATE)))
    assert replay.missing == pytest.approx(1.0)
    replay.receive(final(start=0, end=2.0))
    assert replay.missing == 0


def test_a_session_without_audio_is_begun_and_ended_again() -> None:
    replay = replay_of()
    replay.end_stream()
    say_all(replay)
    assert replay.begin() == 0.0
    assert say_all(replay) == [End(1, None)]
