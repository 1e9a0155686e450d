"""A transcript that keeps the latest alone, for sessions that run for days."""

from __future__ import annotations

import asyncio
import copy
import pickle
import tracemalloc
from collections.abc import Iterator
from typing import Any, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechmatics_rt import (
    AsyncClient,
    AudioFormat,
    Client,
    ConfigurationError,
    ConnectionError,
    MultiChannelClient,
    ResumePolicy,
    Transcript,
)
from speechmatics_rt.local import Fault, LocalServer

from ..samples import tried

PCM = AudioFormat("pcm_s16le", 16000)


def minute(number: int, channel: Any = None, text: str = "word") -> dict[str, Any]:
    """A minute of one word a second, of which each tenth ends a sentence in the message that follows."""
    results: list[dict[str, Any]] = []
    for second in range(60):
        at = number * 60.0 + second
        if second % 10 == 0:
            results.append(
                {
                    "type": "punctuation",
                    "attaches_to": "previous",
                    "is_eos": True,
                    "start_time": at,
                    "end_time": at,
                    "alternatives": [{"content": "."}],
                }
            )
        best = {"content": f"{text}{number * 60 + second}", "confidence": 1.0, "speaker": "S1"}
        results.append({"type": "word", "start_time": at, "end_time": at + 0.5, "alternatives": [best]})
    end = number * 60.0 + 60
    message = {"message": "AddTranscript", "metadata": {"start_time": end - 60, "end_time": end}}
    return {**message, "results": results, **({} if channel is None else {"channel": channel})}


def translated(number: int, channel: Any = None) -> dict[str, Any]:
    """Its translation, of one word."""
    sentence = {"content": f"Wort{number}.", "start_time": number * 60.0, "end_time": number * 60.0 + 60}
    message = {"message": "AddTranslation", "language": "de", "results": [sentence]}
    return {**message, **({} if channel is None else {"channel": channel})}


def heard(messages: Iterator[dict[str, Any]], **options: Any) -> Transcript:
    transcript = Transcript(**options)
    for message in messages:
        transcript.add(message)
    return transcript


def test_the_last_hour_is_kept_and_little_more_and_the_time_counts_all() -> None:
    transcript = heard((minute(number) for number in range(24 * 60)), keep=3600)
    words = transcript.words
    assert 3600 <= len(words) <= 3600 * 1.125 + 60
    assert words[-1].content == f"word{24 * 3600 - 1}"
    assert transcript.end_time == 24 * 3600
    assert transcript.text.startswith("word")  # no mark of a word that is gone
    assert Transcript.from_dict(transcript.to_dict()).text == transcript.text


def test_nothing_is_kept_but_what_is_being_said() -> None:
    transcript = heard((minute(number) for number in range(100)), keep=0)
    transcript.add({**minute(100), "message": "AddPartialTranscript"})
    assert transcript.text == "" == str(transcript)
    assert transcript.words == []
    assert transcript.end_time == 6000
    assert transcript.partial.startswith("word") or transcript.partial.startswith(".")
    assert transcript.to_srt() == ""


@pytest.mark.parametrize("minutes", [100, pytest.param(300, marks=pytest.mark.reliability)])
def test_of_each_channel_the_latest_is_kept_however_far_it_is_behind(minutes: int) -> None:
    transcript = Transcript(keep=600)
    for number in range(minutes):
        transcript.add(minute(number, "ahead", "a"))
        if number % 3 == 0:
            transcript.add(minute(number // 3, "behind", "b"))
        assert f"a{number * 60 + 59}" in [word.content for word in transcript.words[-200:]]
    count = {
        channel: sum(word.channel == channel for word in transcript.words) for channel in ("ahead", "behind")
    }
    assert all(600 <= one <= 735 for one in count.values()), count


COPIES: dict[str, Callable[[Transcript], Transcript]] = {
    "pickle": lambda transcript: pickle.loads(pickle.dumps(transcript)),
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("channels", [[None], ["a", "b"]])
def test_a_copy_keeps_as_much_as_its_original(kind: str, channels: list[Any]) -> None:
    transcript = Transcript(keep=600)
    for number in range(100):
        for channel in channels:
            transcript.add(minute(number, channel=channel))
            transcript.add(translated(number, channel))
        if number == 50:
            again = COPIES[kind](transcript)
            assert (again, again.keep, again.end_times) == (transcript, 600, transcript.end_times)
            transcript = again
    for channel in channels:
        assert 600 <= sum(word.channel == channel for word in transcript.words) <= 735
        told = [sentence for sentence in transcript.translations["de"].words if sentence.channel == channel]
        assert 10 <= len(told) <= 13
    assert [COPIES[kind](Transcript(keep=keep)).keep for keep in (None, 0)] == [None, 0]


@tried(60)
@given(
    st.lists(
        st.tuples(st.sampled_from([None, "a", "b"]), st.sampled_from(["", "read", "copy"])), max_size=40
    ),
    st.sampled_from([30, 100, 200, 1000]),
)
def test_what_is_kept_is_the_end_of_the_whole_on_each_channel(said: list[Any], keep: float) -> None:
    part, whole = Transcript(keep=keep), Transcript()
    for number, (channel, then) in enumerate(said):
        for transcript in (part, whole):
            transcript.add(minute(number, channel))
        if then == "read":
            assert part.text is not None
        elif then == "copy":
            before, part = part, copy.copy(part)
            assert part == before
    assert part.end_time == whole.end_time
    for channel in (None, "a", "b"):
        mine = [word.content for word in part.words if word.channel == channel]
        all_words = [word for word in whole.words if word.channel == channel]
        assert mine == [word.content for word in all_words[len(all_words) - len(mine) :]]
        last = max((word.end_time for word in all_words), default=0.0)
        assert len(mine) >= sum(word.start_time > last - keep for word in all_words)


def test_memory_stays_what_an_hour_takes() -> None:
    def grown(hours: int) -> int:
        tracemalloc.start()
        transcript = heard((minute(number) for number in range(hours * 60)), keep=3600)
        assert transcript.text
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        return size

    assert grown(12) < 1.3 * grown(2)


def test_a_message_of_few_words_takes_its_bytes_and_little_more() -> None:
    payloads = [b'{"message":"AddTranscript","results":[{"number":%d}]}' % number for number in range(10_000)]
    transcript, end = Transcript(), 0.0
    tracemalloc.start()
    for payload in payloads:
        end += 0.36
        seen = [("AddTranscript", payload, False, 0.0, end, None, None)]
        transcript.add_payloads(seen, lambda payload: {})
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < 125 * len(payloads)  # a live session of a day has 200,000


@pytest.mark.parametrize("keep", [-1, float("nan"), float("inf"), True, "3600", [1]])
@pytest.mark.parametrize("kind", [Client, AsyncClient, MultiChannelClient])
def test_what_is_no_number_of_seconds_is_refused_by_every_client(kind: Any, keep: Any) -> None:
    with pytest.raises(ConfigurationError, match="keep_transcript is"):
        kind(api_key="k", keep_transcript=keep)


@pytest.mark.parametrize("face", ["sync", "async"])
def test_a_client_that_keeps_nothing_counts_all_and_hands_on_every_word(face: str) -> None:
    words: list[str] = []

    def hear(message: Any) -> None:
        words.extend(result["alternatives"][0]["content"] for result in message["results"])

    async def main(url: str) -> Any:
        async with AsyncClient(url=url, keep_transcript=0) as client:
            client.on("AddTranscript", hear)
            return await client.transcribe(bytes(32000 * 10), audio_format=PCM), client.stats

    with LocalServer() as server:
        if face == "async":
            transcript, stats = asyncio.run(main(server.url))
        else:
            with Client(url=server.url, keep_transcript=0) as client:
                client.on("AddTranscript", hear)
                transcript = client.transcribe(bytes(32000 * 10), audio_format=PCM)
                stats = client.stats
    assert words[:2] == ["Good", "morning"]
    assert transcript.text == ""
    assert transcript.end_time == stats.seconds_transcribed > 8


def test_an_error_carries_what_is_kept_and_up_to_where_all_was_heard() -> None:
    faults = [Fault.fin(after_final=20)]
    with LocalServer(faults=faults) as server:
        client = Client(url=server.url, keep_transcript=5)
        with client, pytest.raises(ConnectionError) as caught:
            client.transcribe(bytes(32000 * 60), audio_format=PCM, speed=40)
    transcript = caught.value.transcript
    assert transcript.end_time >= 20
    assert transcript.words
    assert transcript.words[0].start_time > 5


def test_with_resume_no_word_is_lost_though_none_is_kept() -> None:
    def run(**options: Any) -> list[str]:
        words: list[str] = []
        faults = [Fault.fin(after_final=6, sessions=[0]), Fault.fin(after_final=6, sessions=[1])]
        policy = ResumePolicy(min_delay=0.01, max_delay=0.05, replay_speed=1000)
        with LocalServer(faults=faults) as server, Client(url=server.url, resume=policy, **options) as client:
            client.on(
                "AddTranscript",
                lambda message: words.extend(
                    result["alternatives"][0]["content"] for result in message["results"]
                ),
            )
            assert client.transcribe(bytes(32000 * 30), audio_format=PCM, speed=40).end_time > 29
            assert client.stats.reconnects == 2
        return words

    assert run(keep_transcript=0) == run()
