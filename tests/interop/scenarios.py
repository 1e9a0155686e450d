"""The scenarios, as data: what a client is given, what the server is, and what must be seen.

A *pattern* is a part of a message: of an object some of its fields, of an array some of its items in order,
of a string a regular expression, of any value a function that judges it, else the value itself. Where a
client is known to do something else, its line in ``known`` says what, and why.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional, Union

from speechmatics_rt.local import Fault

OTHERS = ("official", "deprecated", "plain")
CLIENTS = (*OTHERS, "ours")
SPEECH = Path(__file__).parents[2] / "examples" / "audio" / "librivox_3_sentences.wav"
RAW = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
RATE = 32000  # bytes a second of RAW
CHUNK = 6400  # 0.2 s of RAW
FIRST = "Good morning, and welcome to the reading room. "


@dataclass(frozen=True)
class Scenario:
    """One session.

    Attributes:
        config, format, top: ``transcription_config``, ``audio_format``, and what stands beside them.
        audio: Seconds of silence, or of each channel, or bytes (the script speaks over anything).
        steps: What is said in mid-session, and before which chunk.
        late: Chunks sent after the end of the stream.
        key: The client's API key; the server knows ``"right"``.
        key_in_the_query: Give it as ``?jwt=``.
        temporary_key: Get a temporary key for it first, and use that.
        server: Options of the local server.
        sees: Patterns of messages, to be met in this order.
        never: Kinds of messages that may not be met.
        text: How the transcript begins; by channel if there are channels.
        hears: Bytes of audio the server hears, by channel; None: all; -1: it does not matter.
        missed: Kinds of messages the client keeps to itself.
        closes: Code and reason of the server's close frame; None: it sends none.
        status: The answer to the handshake.
        ends: How the client's call ends: a pattern of its exception, or "returned".
        cut: The connection is cut, so that the last messages may not arrive.
        clients: Who can do it.
        known: By client, what it does else: fields of this class, and the reason.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    format: Mapping[str, Any] = field(default_factory=lambda: RAW)
    top: Mapping[str, Any] = field(default_factory=dict)
    audio: Union[float, bytes, Mapping[str, float]] = 10.0
    chunk: int = CHUNK
    steps: Sequence[tuple[int, Mapping[str, Any]]] = ()
    late: int = 0
    key: str = "right"
    key_in_the_query: bool = False
    temporary_key: bool = False
    server: Mapping[str, Any] = field(default_factory=dict)
    sees: Sequence[Mapping[str, Any]] = ()
    never: Sequence[str] = ("Error", "Warning")
    text: Union[str, Mapping[str, str]] = ""
    hears: Optional[Mapping[str, int]] = None
    missed: Sequence[str] = ()
    closes: Optional[tuple[int, str]] = (1000, "")
    status: int = 101
    ends: str = "returned"
    cut: bool = False
    clients: Sequence[str] = CLIENTS
    known: Mapping[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)

    def of(self, client: str) -> Scenario:
        """Return the scenario as this client is known to play it."""
        _, differences = self.known.get(client, ("", {}))
        return dataclasses.replace(self, **differences)

    @property
    def start(self) -> dict[str, Any]:
        return {
            "message": "StartRecognition",
            "audio_format": dict(self.format),
            "transcription_config": {"language": "en", **self.config},
            **self.top,
        }

    @property
    def audio_by_channel(self) -> dict[str, bytes]:
        """The bytes of each channel; of a session without channels under the empty name."""
        audio = {"": self.audio} if not isinstance(self.audio, Mapping) else self.audio
        return {
            channel: it if isinstance(it, bytes) else bytes(round(it * RATE)) for channel, it in audio.items()
        }


def matches(pattern: Any, value: Any) -> bool:
    """Tell whether a value has all that a pattern names."""
    if isinstance(pattern, Mapping):
        return isinstance(value, Mapping) and all(
            key in value and matches(part, value[key]) for key, part in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and not first_missing(pattern, value)
    if isinstance(pattern, re.Pattern):
        return isinstance(value, str) and pattern.search(value) is not None
    if callable(pattern):
        return bool(pattern(value))
    return bool(pattern == value)


def first_missing(patterns: Sequence[Any], values: Sequence[Any]) -> Optional[Any]:
    """Return the first pattern without a match behind the match of the one before, or None."""
    rest = iter(values)
    return next((pattern for pattern in patterns if not any(matches(pattern, value) for value in rest)), None)


def say(kind: str, **fields: Any) -> dict[str, Any]:
    return {"message": kind, **fields}


def heard(word: str, **fields: Any) -> dict[str, Any]:
    """Return a pattern of a final with that word."""
    return say("AddTranscript", results=[{"alternatives": [{"content": word}]}], **fields)


def error(kind: str) -> dict[str, Any]:
    return say("Error", type=kind)


def set_config(**changes: Any) -> dict[str, Any]:
    return say("SetRecognitionConfig", transcription_config={"language": "en", **changes})


def at_least(least: float) -> Callable[[float], bool]:
    return lambda value: value >= least - 1e-6


STARTED = say("RecognitionStarted", language_pack_info={"word_delimiter": " "})
ENDED = say("EndOfTranscript")
LIVELY = {"max_delay": 0.7, "enable_partials": True}
CHANNELS = {"diarization": "channel", "channel_diarization_labels": ["agent", "caller"]}

RETURNS = ("returns normally after an Error or a lost connection", {"ends": "returned"})
RACES = (
    "says StartRecognition at once, and may find the connection closed before it has read why",
    {"ends": "TranscriptionError|TransportError|ConnectionClosed", "missed": ["Error"], "sees": []},
)

SCENARIOS = [
    Scenario(
        "raw audio with partials",
        config={"max_delay": 1.5, "enable_partials": True},
        sees=[
            say("Info", type="concurrent_session_usage"),
            STARTED,
            say("AudioAdded", seq_no=1),
            say("AddTranscript", results=[], metadata={"start_time": 0.0, "transcript": ""}),
            say("AddPartialTranscript", metadata={"transcript": "Good"}),
            heard("Good", metadata={"transcript": re.compile("^Good.* $")}),
            say("AudioAdded", seq_no=50),
            ENDED,
        ],
        never=["Error", "Warning", "EndOfUtterance", "AddTranslation", "SpeakersResult"],
        text=FIRST,
    ),
    Scenario("over TLS", server={"tls": True}, sees=[STARTED, heard("Good"), ENDED], text=FIRST),
    Scenario(
        "finals alone",
        sees=[STARTED, heard("morning"), ENDED],
        never=["Error", "Warning", "AddPartialTranscript"],
        text=FIRST,
    ),
    Scenario(
        "a file with its header",
        format={"type": "file"},
        audio=SPEECH.read_bytes(),
        chunk=4096,
        sees=[STARTED, heard("Good"), ENDED],
        text=FIRST,
    ),
    Scenario(
        "mu-law, and chunks of odd length",
        format={"type": "raw", "encoding": "mulaw", "sample_rate": 8000},
        audio=bytes(8000 * 10),
        chunk=777,
        sees=[STARTED, say("AudioAdded", seq_no=103), ENDED],
        text=FIRST,
    ),
    Scenario(
        "32-bit floats, cut inside samples",
        format={"type": "raw", "encoding": "pcm_f32le", "sample_rate": 48000},
        audio=bytes(192000 * 6),
        chunk=19201,
        sees=[STARTED, say("AudioAdded", seq_no=60), ENDED],
        text=FIRST,
        clients=OTHERS,  # ours sends whole samples
    ),
    Scenario(
        "no audio at all",
        audio=b"",
        sees=[STARTED, ENDED],
        never=["Error", "Warning", "AudioAdded", "AddTranscript"],
        clients=OTHERS,  # ours says so before it connects
    ),
    Scenario(
        "the end of an utterance by silence",
        config={**LIVELY, "conversation_config": {"end_of_utterance_silence_trigger": 0.5}},
        sees=[
            heard("room"),
            say("AddPartialTranscript", results=[]),
            say("EndOfUtterance"),
            heard("The"),
            heard("once"),
            say("EndOfUtterance"),
            ENDED,
        ],
        text=FIRST,
    ),
    Scenario(
        "the time at which silence is detected",
        config={**LIVELY, "conversation_config": {"end_of_utterance_silence_trigger": 0.5}},
        sees=[
            heard("room"),  # it ends at 3.52
            say("EndOfUtterance", metadata={"start_time": at_least(4.02)}),
        ],
        text=FIRST,
    ),
    Scenario(
        "the end of an utterance by force",
        config={**LIVELY, "max_delay": 4},
        steps=[(5, say("ForceEndOfUtterance", timestamp=0.8)), (8, say("ForceEndOfUtterance"))],
        sees=[
            heard("Good", forced=True, metadata={"transcript": "Good "}),
            say("EndOfUtterance", forced=True, metadata={"start_time": 0.8}),
            say("AudioAdded", seq_no=6),
            heard("morning", forced=True),
            say("EndOfUtterance", forced=True),
            say("AudioAdded", seq_no=9),
            ENDED,
        ],
    ),
    Scenario(
        "force with nothing said",
        steps=[(1, say("ForceEndOfUtterance"))],
        sees=[say("AudioAdded", seq_no=1), say("EndOfUtterance", forced=True), heard("Good"), ENDED],
        text=FIRST,
    ),
    Scenario(
        "another delay in mid-session",
        config={"max_delay": 4, "enable_partials": False},
        steps=[(30, set_config(max_delay=0.7, enable_partials=True))],
        sees=[
            say("AudioAdded", seq_no=23),
            heard("Good"),
            say("AudioAdded", seq_no=30),
            say("AddPartialTranscript"),
            heard("late"),
            say("AudioAdded", seq_no=40),
            ENDED,
        ],
        text=FIRST,
    ),
    Scenario(
        "a change of what may not change",
        config={"diarization": "speaker"},
        steps=[(5, set_config(max_delay=0.7, diarization="none"))],
        sees=[STARTED, error("invalid_config")],
        never=["EndOfTranscript"],
        hears={"": -1},
        closes=(1008, "policy_violation"),
        ends="TranscriptionError|ConnectionClosedError: received 1008",
        known={"official": RETURNS},
    ),
    Scenario(
        "a change sent with the whole config",
        config={"diarization": "speaker"},
        steps=[(5, set_config(max_delay=0.7))],
        sees=[STARTED, error("invalid_config")],
        never=["EndOfTranscript"],
        hears={"": -1},
        closes=(1008, "policy_violation"),
        ends="TranscriptionError",
        clients=["deprecated"],
    ),
    Scenario(
        "speakers",
        config={**LIVELY, "diarization": "speaker", "speaker_diarization_config": {"max_speakers": 4}},
        audio=15.0,
        steps=[(0, say("GetSpeakers", final=True)), (25, say("GetSpeakers"))],
        sees=[
            say("AddTranscript", results=[{"alternatives": [{"content": "Good", "speaker": "S1"}]}]),
            say("SpeakersResult", speakers=[{"label": "S1"}]),
            say("AddTranscript", results=[{"alternatives": [{"content": "The", "speaker": "S2"}]}]),
            say("SpeakersResult", speakers=[{"label": "S1"}, {"label": "S2"}]),
            ENDED,
        ],
        text=FIRST,
    ),
    Scenario(
        "speakers at the end, asked for in the config",
        config={"diarization": "speaker", "speaker_diarization_config": {"get_speakers": True}},
        sees=[heard("Good"), say("SpeakersResult", speakers=[{"label": "S1"}]), ENDED],
        text=FIRST,
    ),
    Scenario(
        "translation",
        config=LIVELY,
        top={"translation_config": {"target_languages": ["fr", "de", "sw"], "enable_partials": False}},
        sees=[
            say("Warning", type="unsupported_translation_pair", reason=re.compile("sw")),
            STARTED,
            heard("room"),
            say("AddTranslation", language="fr", results=[{"content": re.compile("reading room")}]),
            say("AddTranslation", language="de"),
            ENDED,
        ],
        never=["Error", "AddPartialTranslation"],
        text=FIRST,
    ),
    Scenario(
        "partial translations",
        config=LIVELY,
        top={"translation_config": {"target_languages": ["fr"], "enable_partials": True}},
        sees=[
            STARTED,
            say("AddPartialTranslation", language="fr"),
            say("AddTranslation", language="fr"),
            ENDED,
        ],
        text=FIRST,
    ),
    Scenario(
        "a vocabulary",
        config={
            "additional_vocab": [
                "Norwich",
                {"content": "reading room", "sounds_like": ["redding room"]},
                {"content": "one two three four five six seven"},
            ]
        },
        sees=[say("Warning", type="validation_warning"), STARTED, ENDED],
        never=["Error"],
        text=FIRST,
    ),
    Scenario(
        "entities and volume",
        config={"enable_entities": True, "audio_filtering_config": {"volume_threshold": 1}},
        audio=40.0,
        sees=[
            say("AddTranscript", results=[{"type": "word", "volume": 60.0}]),
            say(
                "AddTranscript",
                results=[
                    {
                        "type": "entity",
                        "entity_class": "money",
                        "spoken_form": [{"alternatives": [{"content": "forty"}]}],
                        "written_form": [{"alternatives": [{"content": "£42"}]}],
                    }
                ],
            ),
            ENDED,
        ],
        text=FIRST,
    ),
    Scenario(
        "no marks, no hesitation",
        config={
            "punctuation_overrides": {"permitted_marks": []},
            "transcript_filtering_config": {"remove_disfluencies": True},
        },
        audio=40.0,
        sees=[heard("room"), heard("cost"), ENDED],
        text="Good morning and welcome to the reading room The train",
    ),
    Scenario(
        "words replaced",
        config={
            "transcript_filtering_config": {
                "replacements": [{"from": "room", "to": "hall"}, {"from": "/^[Tt]r.in$/", "to": "coach"}]
            }
        },
        sees=[heard("hall"), heard("coach"), ENDED],
        text="Good morning, and welcome to the reading hall. ",
    ),
    Scenario(
        "a sound too long for the vocabulary",
        config={
            "additional_vocab": [{"content": "Oslo", "sounds_like": ["one two three four five six seven"]}]
        },
        sees=[say("Warning", type="validation_warning"), STARTED, ENDED],
        never=["Error"],
        text=FIRST,
    ),
    Scenario(
        "translation by speaker",
        config={**LIVELY, "diarization": "speaker"},
        top={"translation_config": {"target_languages": ["fr"]}},
        sees=[STARTED, say("AddTranslation", language="fr", results=[{"speaker": "S1"}]), ENDED],
        text=FIRST,
    ),
    Scenario(
        "audio events",
        config=LIVELY,
        top={"audio_events_config": {"types": ["music"]}},
        server={
            "faults": [
                Fault.message(
                    say("AudioEventStarted", event={"type": "music", "start_time": 0.4, "confidence": 0.8}),
                    after_seconds=2,
                ),
                Fault.message(
                    say("AudioEventEnded", event={"type": "music", "end_time": 3.2}), after_seconds=4
                ),
            ]
        },
        sees=[say("AudioEventStarted"), say("AudioEventEnded"), ENDED],
        text=FIRST,
    ),
    Scenario(
        "messages nobody knows, and JSON in binary frames",
        server={"faults": [Fault.unknown(after_seconds=2), Fault.binary_json(after_seconds=3)]},
        sees=[STARTED, say("Info", type="recognition_quality"), ENDED],
        missed=["SomethingNew"],
        text=FIRST,
    ),
    Scenario(
        "a server slower than the client",
        audio=60.0,
        chunk=3200,
        server={"speed": 40.0},
        sees=[STARTED, say("AudioAdded", seq_no=600), ENDED],
        text=FIRST,
    ),
    Scenario(
        "a very long transcript",
        server={"faults": [Fault.oversize(2 * 1024 * 1024)]},
        sees=[STARTED, heard("Good"), ENDED],
        never=["Error"],
        known={
            "official": (
                "takes no message above 1 MiB, closes with 1009, and returns normally",
                {
                    "sees": [STARTED],
                    "hears": {"": -1},
                    "closes": (1009, ""),
                    "cut": True,
                    "never": ["EndOfTranscript"],
                },
            )
        },
    ),
    Scenario(
        "audio after the end of the stream",
        server={"speed": 20.0},
        late=3,
        sees=[say("Warning", type="add_audio_after_eos"), ENDED],
        never=["Error"],
        hears={"": -1},
        text=FIRST,
        clients=["plain"],
    ),
    Scenario(
        "a wrong key",
        key="wrong",
        status=401,
        sees=[],
        never=["RecognitionStarted"],
        hears={"": 0},
        closes=None,
        ends="HTTP 401",
    ),
    Scenario(
        "a key in the query",
        key_in_the_query=True,
        sees=[STARTED, ENDED],
        text=FIRST,
        clients=["plain"],
    ),
    Scenario(
        "a temporary key",
        temporary_key=True,
        sees=[STARTED, ENDED],
        text=FIRST,
    ),
    Scenario(
        "a temporary key in the query",
        temporary_key=True,
        key_in_the_query=True,
        sees=[STARTED, ENDED],
        text=FIRST,
        clients=["plain"],
    ),
    Scenario(
        "a wrong key for a temporary one",
        key="wrong",
        temporary_key=True,
        status=401,
        never=["RecognitionStarted"],
        hears={"": 0},
        closes=None,
        ends="401",
    ),
    Scenario(
        "a key refused after the handshake",
        server={"faults": [Fault.error("not_authorised", at="start")]},
        sees=[error("not_authorised")],
        never=["RecognitionStarted"],
        hears={"": 0},
        closes=(4001, "not_authorised"),
        ends="(Transcription|Authentication)Error: .*not_authorised|ConnectionClosedError: received 4001",
    ),
    Scenario(
        "too many sessions",
        server={"quota": 0},
        sees=[error("quota_exceeded")],
        never=["RecognitionStarted"],
        hears={"": 0},
        closes=(4005, "quota_exceeded"),
        ends="ConnectionClosedError: received 4005 .*quota_exceeded|TranscriptionError: .*quota_exceeded",
        known={"official": RACES, "deprecated": RACES},
    ),
    Scenario(
        "an invalid config",
        config={"max_delay": 9.0},
        sees=[error("invalid_config")],
        never=["RecognitionStarted"],
        hears={"": 0},
        closes=(1008, "policy_violation"),
        ends="TranscriptionError: .*max_delay|ConnectionClosedError: received 1008",
        clients=OTHERS,  # ours says so before it connects
    ),
    Scenario(
        "a language that is not there",
        config={"language": "tlh"},
        sees=[error("invalid_language")],
        never=["RecognitionStarted"],
        hears={"": 0},
        closes=(1008, "policy_violation"),
        ends="TranscriptionError: .*tlh|ConnectionClosedError: received 1008",
    ),
    Scenario(
        "an unknown encoding",
        format={"type": "raw", "encoding": "pcm_s24le", "sample_rate": 16000},
        sees=[error("invalid_audio_type")],
        never=["RecognitionStarted"],
        hears={"": 0},
        closes=(1008, "policy_violation"),
        ends="TranscriptionError: .*pcm_s24le|ConnectionClosedError: received 1008",
        clients=["deprecated", "plain"],  # the official one's enumeration has no such member
    ),
    Scenario(
        "an Error in mid-session",
        server={"faults": [Fault.error("job_error", "the worker is gone", after_seconds=4)]},
        sees=[
            STARTED,
            say("AudioAdded", seq_no=20),
            say("Error", type="job_error", reason="the worker is gone"),
        ],
        never=["EndOfTranscript"],
        hears={"": -1},
        closes=(4013, "job_error"),
        ends="TranscriptionError: .*the worker is gone|ConnectionClosedError: received 4013 .*job_error",
        known={"official": RETURNS},
    ),
    Scenario(
        "a close frame without an Error",
        server={"faults": [Fault.close(1011, "internal_error", after_seconds=4)]},
        sees=[STARTED],
        never=["EndOfTranscript", "Error"],
        hears={"": -1},
        closes=(1011, "internal_error"),
        ends="ConnectionClosedError: received 1011|ConnectionError: .*code 1011",
        known={"official": RETURNS},
    ),
    Scenario(
        "the connection reset",
        server={"faults": [Fault.reset(after_seconds=4)]},
        sees=[STARTED],
        never=["EndOfTranscript", "Error"],
        hears={"": -1},
        closes=None,
        cut=True,
        ends="ConnectionClosedError|ConnectionError: .*lost",
        known={"official": RETURNS},
    ),
    Scenario(
        "the stream ended without a close frame",
        server={"faults": [Fault.fin(after_seconds=4)]},
        sees=[STARTED, say("AudioAdded", seq_no=20)],
        never=["EndOfTranscript", "Error"],
        hears={"": -1},
        closes=None,
        cut=True,
        ends="ConnectionClosedError|ConnectionError: .*lost",
        known={"official": RETURNS},
    ),
    Scenario(
        "two channels of unequal length",
        config={**LIVELY, **CHANNELS},
        audio={"agent": 2.0, "caller": 6.0},
        sees=[
            say("RecognitionStarted", channel_ids=["agent", "caller"]),
            say("ChannelAudioAdded", channel="agent", seq_no=1),
            heard("Good", channel="agent"),
            heard("The", channel="caller"),
            say("ChannelAudioAdded", channel="caller", seq_no=30),
            ENDED,
        ],
        never=["Error", "Warning", "AudioAdded"],
        text={"agent": "Good morning, and welcome ", "caller": FIRST},
        known={
            "official": (
                "ends all channels with the first",
                {
                    "sees": [
                        say("RecognitionStarted", channel_ids=["agent", "caller"]),
                        say("ChannelAudioAdded", channel="caller", seq_no=10),
                        ENDED,
                    ],
                    "hears": {"agent": 2 * RATE, "caller": 2 * RATE},
                    "text": {"agent": "Good morning, and welcome ", "caller": "Good morning, and welcome "},
                },
            )
        },
    ),
    Scenario(
        "two channels with speakers, and one forced",
        config={**LIVELY, **CHANNELS, "diarization": "channel_and_speaker", "max_delay": 4},
        audio={"agent": 4.0, "caller": 4.0},
        steps=[(0, say("GetSpeakers", final=True)), (10, say("ForceEndOfUtterance", channel="caller"))],
        sees=[
            say("AddTranscript", channel="caller", forced=True),
            say("EndOfUtterance", channel="caller", forced=True),
            say("SpeakersResult", speakers=[{"label": "S1"}, {"label": "S1"}]),
            ENDED,
        ],
        text={"agent": FIRST, "caller": FIRST},
        clients=["official", "plain", "ours"],
    ),
    Scenario(
        "a change between two channels",
        config=CHANNELS,
        audio={"agent": 4.0, "caller": 4.0},
        steps=[(5, set_config(max_delay=0.7))],
        sees=[STARTED, error("invalid_message")],
        never=["EndOfTranscript"],
        hears={"agent": -1, "caller": -1},
        closes=(1003, "protocol_error"),
        ends="TranscriptionError",
        clients=["deprecated"],  # which encodes this message twice
    ),
]
