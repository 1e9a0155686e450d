"""Several channels as one text that grows: what sorting all sentences anew gives, for less work."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt.transcript.transcript import Transcript, Word
from speechmatics_rt.transcript.words import ends_run

from ..samples import tried
from ..steps import steps


def token(content: str, at: float, speaker: Optional[str], kind: str, attaches_to: str) -> dict[str, Any]:
    best = {"content": content, **({"speaker": speaker} if speaker else {})}
    result = {"type": kind, "start_time": at, "end_time": at + 0.3 * (kind == "word"), "alternatives": [best]}
    if kind == "punctuation":
        result.update(attaches_to=attaches_to, is_eos=content == ".")
    return result


def final(channel: str, *results: dict[str, Any]) -> dict[str, Any]:
    end = max((result["end_time"] for result in results), default=0.0)
    metadata = {"start_time": 0.0, "end_time": end}
    return {"message": "AddTranscript", "channel": channel, "metadata": metadata, "results": [*results]}


def runs_of(words: list[Word]) -> Iterator[list[Word]]:
    run: list[Word] = []
    for word in words:
        if run and ends_run(run[-1], word):
            yield run
            run = []
        run.append(word)
    if run:
        yield run


def sorted_anew(transcript: Transcript) -> list[Word]:
    runs = [run for joiner in transcript._join().values() for run in runs_of(joiner.words())]
    ordered = sorted(runs, key=lambda run: (run[0].start_time, run[0].channel or ""))
    return [word for run in ordered for word in run]


def labels(transcript: Transcript) -> set[str]:
    return {turn.label for turn in transcript.paragraphs}


def text_of(words: list[Word]) -> str:
    turns = [list(turn) for _, turn in groupby(words, key=lambda word: (word.speaker, word.channel))]
    return "\n".join(
        turn[0].text + "".join(word.delimiter + word.text for word in turn[1:]) for turn in turns
    )


TOKENS = st.tuples(
    st.sampled_from("abc"),  # the channel
    st.sampled_from(["one", "two", "x"]),
    st.sampled_from(["word", "word", "word", "punctuation"]),
    st.sampled_from([".", ","]),
    st.sampled_from(["previous", "previous", "next", "both", "none"]),
    st.floats(0, 3),
    st.sampled_from([None, "S1", "S2"]),
    st.booleans(),  # whether it is read then
)


@tried(300)
@given(st.lists(TOKENS, max_size=60))
def test_the_order_is_that_of_sorting_all_sentences_anew_whenever_it_was_read(said: Any) -> None:
    transcript = Transcript()
    now = dict.fromkeys("abc", 0.0)
    for channel, content, kind, mark, attaches_to, pause, speaker, read in said:
        now[channel] += pause
        text = mark if kind == "punctuation" else content
        transcript.add(final(channel, token(text, now[channel], speaker, kind, attaches_to)))
        if read:
            expected = sorted_anew(transcript)
            if len(transcript._join()) > 1:
                assert transcript.words == expected
                assert transcript.text == text_of(expected)
    if len(transcript._join()) > 1:
        assert transcript.words == sorted_anew(transcript)
        assert transcript.text == text_of(transcript.words)
        assert transcript.text == "\n".join(turn.text for turn in transcript.paragraphs)
        named = "\n".join(f"{turn.label}: {turn.text}" for turn in transcript.paragraphs)
        assert str(transcript) == (named if len(labels(transcript)) > 1 else transcript.text)
    assert Transcript.from_dict(transcript.to_dict()).words == transcript.words


def test_a_mark_that_was_read_at_the_end_of_the_text_may_turn_out_to_be_of_the_speaker_before() -> None:
    transcript = Transcript()
    transcript.add(final("b", token("Si", 0.0, None, "word", "")))
    transcript.add(final("a", token("Hola", 1.0, "S1", "word", "")))
    transcript.add(final("a", token("¿", 1.4, None, "punctuation", "next")))
    assert transcript.text == "Si\nHola\n¿"
    transcript.add(final("a", token("que", 1.5, "S1", "word", "")))
    assert transcript.text == "Si\nHola ¿que"


def spoken(channels: int, sentences: int, lag: float = 0.0) -> Iterator[dict[str, Any]]:
    for number in range(sentences):
        channel = number % channels
        at = number * 3.0 / channels - lag * channel
        words = [token(f"word{index}", at + index * 0.25, None, "word", "") for index in range(10)]
        yield final(f"c{channel}", *words, token(".", at + 2.5, None, "punctuation", "previous"))


def reading(transcript: Transcript, messages: Iterator[dict[str, Any]], count: int) -> int:
    """Add and read so often; return what the cheapest took. The first reads all that was added before."""

    def read() -> None:
        assert transcript.text
        assert str(transcript)

    taken = []
    for _ in range(count):
        transcript.add(next(messages))
        taken.append(steps(read))
    return min(taken)


@pytest.mark.parametrize("more", [2000, pytest.param(9000, marks=pytest.mark.reliability)])
@pytest.mark.parametrize("channels", [2, 8])
@pytest.mark.parametrize("lag", [0.0, 1000.0], ids=["together", "one far behind"])
def test_reading_after_each_message_costs_what_is_new(channels: int, lag: float, more: int) -> None:
    messages = spoken(channels, 30_000, lag)
    transcript = Transcript()
    for _ in range(200):
        transcript.add(next(messages))
    short = reading(transcript, messages, 20)
    for _ in range(more):
        transcript.add(next(messages))
    assert transcript.text
    # Ten times the words, or forty: the text itself is copied, by the megabyte and in no time.
    assert reading(transcript, messages, 20) < 3 * short


def test_a_run_without_an_end_costs_no_more() -> None:
    transcript = Transcript()
    for number in range(20_000):
        words = [token("word", number + index * 0.5, None, "word", "") for index in range(2)]
        transcript.add(final("ab"[number % 2], *words))
    assert transcript.text
    began = time.thread_time()  # what it costs, whatever else runs here
    for number in range(20_000, 20_100):
        transcript.add(final("ab"[number % 2], token("word", number, None, "word", "")))
        assert transcript.text
    assert time.thread_time() - began < 100 * 0.01


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals can't be sent to a thread here")
def test_a_signal_handler_may_read_while_channels_are_merged() -> None:
    transcript = Transcript()
    seen: list[int] = []
    over = threading.Event()
    me = threading.get_ident()

    def interrupt() -> None:
        count = -1
        while not over.wait(0.005):
            if len(seen) > count:  # the last one has come back: else handlers would pile up
                count = len(seen)
                signal.pthread_kill(me, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(len(transcript.text)))
    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    try:
        for message in spoken(3, 400):
            transcript.add(message)
            assert transcript.text.count("\n") == transcript.text.count(".") - 1
    finally:
        over.set()
        interrupting.join()
        signal.signal(signal.SIGUSR1, before)
    assert seen
    assert seen == sorted(seen)
    assert transcript.text == text_of(sorted_anew(transcript))


def test_other_threads_may_read_while_one_adds() -> None:
    transcript = Transcript()
    over = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        last = 0
        while not over.is_set():
            count = len(transcript.words)
            if count < last:
                wrong.append(f"{count} after {last}")
            last = count

    reader = threading.Thread(target=read)
    reader.start()
    for message in spoken(2, 600):
        transcript.add(message)
        assert transcript.text
    over.set()
    reader.join()
    assert not wrong
