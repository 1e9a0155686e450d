"""The options of recognition, and the messages StartRecognition and SetRecognitionConfig made of them.

The names, the order of the fields and the defaults are those of the official asyncio SDK. A config may be
built from arguments, by assignment or, with :meth:`from_dict`, from a plain mapping; it is checked when it
is used (by ``to_dict()``) against the types and ranges that the service documents. What differs between
servers (models, languages, domains, the number of channels and of translations, the delay at the start,
fields yet to come) is left to the server; :func:`doubts` names what the service's cloud does not document.
``to_dict()`` returns a fresh copy in wire form: no None, no enums, no dataclasses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Optional, Union, cast

from ..exceptions import ConfigurationError
from .audio import AudioFormat
from .rules import (
    FLAG,
    MAPPING,
    STRING,
    TEXT,
    Caller,
    Fields,
    Options,
    Rule,
    a_list,
    hinted,
    number,
    one_of,
    plain,
    rule,
)

if TYPE_CHECKING:
    from typing_extensions import deprecated
else:

    def deprecated(reason: str) -> Any:
        return lambda cls: cls  # for editors alone: an import must not warn


__all__ = [
    "AudioEventsConfig",
    "ConversationConfig",
    "Model",
    "OperatingPoint",
    "SpeakerDiarizationConfig",
    "SpeakerIdentifier",
    "TranscriptionConfig",
    "TranslationConfig",
    "doubts",
    "set_recognition_config",
    "start_recognition",
]


class Model(str, Enum):
    """The recognition model. Other models may be given as strings."""

    ENHANCED = "enhanced"
    STANDARD = "standard"
    MELIA_1 = "melia-1"


@deprecated("Use Model instead")
class OperatingPoint(str, Enum):
    """Deprecated: the former name of :class:`Model`."""

    ENHANCED = "enhanced"
    STANDARD = "standard"
    MELIA_1 = "melia-1"


@hinted
@dataclass(eq=False, repr=False)
class ConversationConfig(Options):
    """When an utterance ends.

    Attributes:
        end_of_utterance_silence_trigger: Seconds of silence, 0 (off) to 2. Keep it below ``max_delay``;
            0.5 to 0.8 is advised for voice agents, 0.8 to 1.2 for dictation.
        extra: Further fields, sent as they are.

    Example:
        >>> ConversationConfig(end_of_utterance_silence_trigger=0.6).to_dict()
        {'end_of_utterance_silence_trigger': 0.6}
    """

    end_of_utterance_silence_trigger: Optional[float] = None
    extra: Optional[Mapping[str, Any]] = None

    _fields: ClassVar[Fields] = Fields({"end_of_utterance_silence_trigger": number(0, 2, "seconds")})


_LABEL = rule(
    "a name without white space around it, other than 'UU', 'S1', 'S2', ..., which the service assigns",
    lambda value: (
        isinstance(value, str) and value.strip() == value != "" and not re.fullmatch(r"S[0-9]+|UU", value)
    ),
)


@hinted
@dataclass(eq=False, repr=False)
class SpeakerIdentifier(Options):
    """A known speaker.

    Attributes:
        label: The name to use in the transcript; not ``UU``, ``S1``, ``S2``, ...
        speaker_identifiers: Identifiers of that speaker from a ``SpeakersResult`` of an earlier session.

    Example:
        >>> SpeakerIdentifier("Alice", ["c21jMTp4eXo="]).to_dict()
        {'label': 'Alice', 'speaker_identifiers': ['c21jMTp4eXo=']}
    """

    label: str = ""
    speaker_identifiers: Sequence[str] = field(default_factory=list)

    _fields: ClassVar[Fields] = Fields(
        {"label": _LABEL, "speaker_identifiers": a_list(TEXT, least=1, different=True)},
        required=("label", "speaker_identifiers"),
    )


def _speakers(name: str, value: Any) -> None:
    a_list(SpeakerIdentifier._fields)(name, value)
    identifiers = [identifier for speaker in value for identifier in speaker["speaker_identifiers"]]
    if len(identifiers) > 50:
        raise ConfigurationError(f"{name} has {len(identifiers)} identifiers; accepted: at most 50 in total")
    if len(set(identifiers)) < len(identifiers):
        raise ConfigurationError(
            f"{name} contains the same identifier twice; accepted: each once, under one label"
        )


@hinted
@dataclass(eq=False, repr=False)
class SpeakerDiarizationConfig(Options):
    """How speakers are told apart.

    Attributes:
        max_speakers: The maximum number of unknown speakers, 2 or more.
        speaker_sensitivity: 0 to 1; higher finds more speakers.
        prefer_current_speaker: Switch less often between similar voices.
        speakers: Known speakers, with at most 50 identifiers in total.
        get_speakers: Send one ``SpeakersResult`` at the end of the session.
        extra: Further fields, sent as they are.

    Example:
        >>> alice = SpeakerIdentifier("Alice", ["c21jMTp4eXo="])
        >>> SpeakerDiarizationConfig(max_speakers=2, speakers=[alice]).to_dict()["speakers"]
        [{'label': 'Alice', 'speaker_identifiers': ['c21jMTp4eXo=']}]
    """

    max_speakers: Optional[int] = None
    speaker_sensitivity: Optional[float] = None
    prefer_current_speaker: Optional[bool] = None
    speakers: Optional[Sequence[Union[SpeakerIdentifier, Mapping[str, Any]]]] = None
    get_speakers: Optional[bool] = None
    extra: Optional[Mapping[str, Any]] = None

    _fields: ClassVar[Fields] = Fields(
        {
            "max_speakers": number(2, whole=True),
            "speaker_sensitivity": number(0, 1),
            "prefer_current_speaker": FLAG,
            "speakers": _speakers,
            "get_speakers": FLAG,
        }
    )


def _vocabulary(name: str, value: Any) -> None:
    (_WORD if isinstance(value, Mapping) else _WORD_ALONE)(name, value)


_WORD = Fields({"content": TEXT, "sounds_like": a_list(TEXT, least=1)}, required=("content",))
_WORD_ALONE = rule(
    "a non-empty string, or a mapping of content and sounds_like", lambda v: isinstance(v, str) and v != ""
)
_MARKS = rule(
    "a list of single characters, or ['all']",
    lambda value: (
        value == ["all"]
        or (isinstance(value, list) and all(isinstance(mark, str) and len(mark) == 1 for mark in value))
    ),
)
# At the start a server says in its answer what it takes; during a session a wrong delay would end that, so a
# delay that only some containers take is refused then.
_DELAY = number(0.7, 4, "seconds")
_CHANGEABLE: dict[str, Rule] = {
    "max_delay": number(0, unit="seconds"),
    "max_delay_mode": one_of(("flexible", "fixed")),
    "enable_partials": FLAG,
    "audio_filtering_config": Fields({"volume_threshold": number(0, 100)}),
    "conversation_config": ConversationConfig._fields,
}
# What is no part of this config, though in StartRecognition it stands beside it.
_BESIDE = {
    "transcription_config": "give what is in it alone, without the rest of StartRecognition",
    **dict.fromkeys(
        ("translation_config", "target_languages"),
        "pass translation_config= to transcribe(), beside transcription_config=",
    ),
    "audio_events_config": "pass audio_events_config= to transcribe(), beside transcription_config=",
    **dict.fromkeys(
        ("audio_format", "encoding", "sample_rate"),
        "pass audio_format= to transcribe(), beside transcription_config=",
    ),
}
_REPLACEMENT = Fields({"from": STRING, "to": STRING}, required=("from", "to"))
# The default of ``model``, since None means to send no model at all. help() shows what it stands for.
_UNSET = cast("Model", type("Unset", (), {"__repr__": lambda _: "'enhanced'"})())


@hinted
@dataclass(eq=False, repr=False)
class TranscriptionConfig(Options):
    """How to transcribe. A field that is None is not sent, so the service's default applies.

    Attributes:
        language: Code of the language pack, e.g. ``"en"``, ``"cmn_en"``; ``"multi"`` for Melia 1.
        model: ``"enhanced"`` unless given; None sends none (the service then takes ``"standard"``).
        output_locale: Spelling or script, e.g. ``"en-GB"``.
        diarization: ``"none"``, ``"speaker"``, ``"channel"`` or ``"channel_and_speaker"``.
        additional_vocab: Words, or mappings with ``content`` and ``sounds_like``. The service accepts 1000,
            and drops entries of more than 6 words with a ``Warning``.
        punctuation_overrides: Mapping with ``permitted_marks`` (or ``["all"]``) and ``sensitivity``, 0 to 1.
        domain: Specialised language pack, e.g. ``"medical"``.
        enable_entities: Return numbers, dates, money, ... as results of type ``entity``.
        audio_filtering_config: Mapping with ``volume_threshold``, 0 to 100. If given, words have a volume.
        transcript_filtering_config: Mapping with ``remove_disfluencies`` and ``replacements``, a list of
            mappings with ``from`` (a word, or ``/regex/``) and ``to``.
        max_delay: Seconds from the end of a word to its final. The service accepts 0.7 to 4.
        max_delay_mode: ``"flexible"`` may exceed ``max_delay`` to complete an entity, ``"fixed"`` never.
        enable_partials: Send partials too.
        speaker_diarization_config: A SpeakerDiarizationConfig or a mapping.
        streaming_mode, ctrl: Internal switches of the engine, passed on.
        conversation_config: A ConversationConfig or a mapping.
        channel_diarization_labels: Names of the channels, required by the channel modes.
        operating_point: Deprecated name of ``model``, the only one that older containers know.
        language_hints: Codes of the languages to expect (Melia 1).
        language_hints_strict: True: no other languages; requires ``language_hints``.
        extra: Further fields, of previews and agents for example, sent as they are.

    Raises:
        ConfigurationError: Both ``model`` and ``operating_point`` are given.

    Example:
        >>> TranscriptionConfig(language="fr", max_delay=1.5).to_dict()
        {'language': 'fr', 'model': 'enhanced', 'max_delay': 1.5}
        >>> TranscriptionConfig(max_delay="slow").to_dict()
        Traceback (most recent call last):
        speechmatics_rt.exceptions.ConfigurationError: max_delay is 'slow'; accepted: a number of seconds, \
0 or more
        >>> TranscriptionConfig(extra={"agent_mode": True}).to_dict()
        {'language': 'en', 'model': 'enhanced', 'agent_mode': True}
    """

    language: str = "en"
    model: Union[Model, str, None] = _UNSET
    output_locale: Optional[str] = None
    diarization: Optional[Literal["none", "speaker", "channel", "channel_and_speaker"]] = None
    additional_vocab: Optional[Sequence[Union[str, Mapping[str, Any]]]] = None
    punctuation_overrides: Optional[Mapping[str, Any]] = None
    domain: Optional[str] = None
    enable_entities: Optional[bool] = None
    audio_filtering_config: Optional[Mapping[str, Any]] = None
    transcript_filtering_config: Optional[Mapping[str, Any]] = None
    max_delay: Optional[float] = None
    max_delay_mode: Optional[Literal["flexible", "fixed"]] = None
    enable_partials: Optional[bool] = None
    speaker_diarization_config: Union[SpeakerDiarizationConfig, Mapping[str, Any], None] = None
    streaming_mode: Optional[bool] = None
    conversation_config: Union[ConversationConfig, Mapping[str, Any], None] = None
    ctrl: Optional[Mapping[str, Any]] = None
    channel_diarization_labels: Optional[Sequence[str]] = None
    operating_point: Union[OperatingPoint, str, None] = None
    language_hints: Optional[Sequence[str]] = None
    language_hints_strict: Optional[bool] = None
    extra: Optional[Mapping[str, Any]] = None

    _fields: ClassVar[Fields] = Fields(
        {
            "language": TEXT,
            "model": TEXT,
            "output_locale": TEXT,
            "diarization": one_of(("none", "speaker", "channel", "channel_and_speaker")),
            "additional_vocab": a_list(_vocabulary),
            "punctuation_overrides": Fields({"permitted_marks": _MARKS, "sensitivity": number(0, 1)}),
            "domain": TEXT,
            "enable_entities": FLAG,
            "transcript_filtering_config": Fields(
                {"remove_disfluencies": FLAG, "replacements": a_list(_REPLACEMENT)}
            ),
            **_CHANGEABLE,
            "speaker_diarization_config": SpeakerDiarizationConfig._fields,
            "streaming_mode": FLAG,
            "ctrl": MAPPING,
            "channel_diarization_labels": a_list(TEXT, least=1, different=True),
            "operating_point": TEXT,
            "language_hints": a_list(TEXT),
            "language_hints_strict": rule("True, or nothing", lambda value: value is True),
        },
        required=("language",),
        elsewhere=_BESIDE,
    )

    def __post_init__(self) -> None:
        if self.model is _UNSET:
            self.model = Model.ENHANCED if self.operating_point is None else None
        self._one_name()
        if self.operating_point is not None:
            Caller.find().warn("operating_point is deprecated, use model", DeprecationWarning)

    def _one_name(self) -> None:
        if self.model is not None and self.operating_point is not None:
            raise ConfigurationError(
                f"model is {plain(self.model)!r} and operating_point is {plain(self.operating_point)!r}, "
                "two names for one setting; accepted: model alone"
            )

    def check(self) -> None:
        super().check()
        self._one_name()
        if (self.diarization or "").startswith("channel") and not self.channel_diarization_labels:
            raise ConfigurationError(
                f"channel_diarization_labels is missing; diarization {self.diarization!r} needs the labels"
            )
        if self.language_hints_strict is not None and not self.language_hints:
            raise ConfigurationError(
                "language_hints_strict is True without language_hints; accepted: both together"
            )


@hinted
@dataclass(eq=False, repr=False)
class TranslationConfig(Options):
    """Which languages to translate into; see :attr:`speechmatics_rt.Transcript.translations`.

    Attributes:
        target_languages: Language codes; the service accepts 1 to 5.
        enable_partials: Send partial translations too.
        extra: Further fields, sent as they are.

    Example:
        >>> TranslationConfig(target_languages=["fr", "de"]).to_dict()
        {'target_languages': ['fr', 'de']}
    """

    target_languages: Sequence[str]
    enable_partials: Optional[bool] = None
    extra: Optional[Mapping[str, Any]] = None

    _fields: ClassVar[Fields] = Fields(
        {"target_languages": a_list(TEXT, 1), "enable_partials": FLAG}, required=("target_languages",)
    )


@hinted
@dataclass(eq=False, repr=False)
class AudioEventsConfig(Options):
    """Which sounds to report; see :attr:`speechmatics_rt.Transcript.audio_events`.

    Attributes:
        types: Any of ``"laughter"``, ``"applause"`` and ``"music"``; None means all.
        extra: Further fields, sent as they are.

    Example:
        >>> AudioEventsConfig(types=["music"]).to_dict()
        {'types': ['music']}
    """

    types: Optional[Sequence[Literal["laughter", "applause", "music"]]] = None
    extra: Optional[Mapping[str, Any]] = None

    _fields: ClassVar[Fields] = Fields({"types": a_list(one_of(("laughter", "applause", "music")))})


# -- messages ----------------------------------------------------------------------------------------


def start_recognition(
    transcription_config: Union[TranscriptionConfig, Mapping[str, Any]],
    audio_format: Union[AudioFormat, Mapping[str, Any]],
    translation_config: Union[TranslationConfig, Mapping[str, Any], None] = None,
    audio_events_config: Union[AudioEventsConfig, Mapping[str, Any], None] = None,
) -> dict[str, Any]:
    """Build StartRecognition.

    Raises:
        ConfigurationError: A config is wrong; the error names the option.

    Example:
        >>> start_recognition({"language": "en", "model": "standard"}, AudioFormat())["transcription_config"]
        {'language': 'en', 'model': 'standard'}
    """
    message = {
        "message": "StartRecognition",
        "audio_format": AudioFormat.of(audio_format, "audio_format").to_dict(),
        "transcription_config": TranscriptionConfig.of(
            transcription_config, "transcription_config"
        ).to_dict(),
    }
    optional = {"translation_config": translation_config, "audio_events_config": audio_events_config}
    for name, given in optional.items():
        if given is not None:
            message[name] = _CONFIGS[name].of(given, name).to_dict()
    return message


def doubts(message: Mapping[str, Any]) -> Iterator[str]:
    """Say what in a checked StartRecognition or SetRecognitionConfig the service's cloud does not document.

    Example:
        >>> list(doubts(start_recognition({"max_delay": 9, "mood": "calm"}, AudioFormat())))
        ['max_delay is 9, where 0.7 to 4 is documented', 'transcription_config.mood is not documented']
    """
    delay = message["transcription_config"].get("max_delay")
    if delay is not None and not 0.7 <= delay <= 4:
        yield f"max_delay is {delay}, where 0.7 to 4 is documented"
    languages = message.get("translation_config", {}).get("target_languages", ())
    if len(languages) > 5:
        yield f"target_languages has {len(languages)} entries, where at most 5 are documented"
    for name, config in _CONFIGS.items():
        for unknown in config._fields.beyond(name, message.get(name, {})):
            yield f"{unknown} is not documented"


_CONFIGS: dict[str, type[Options]] = {
    "transcription_config": TranscriptionConfig,
    "translation_config": TranslationConfig,
    "audio_events_config": AudioEventsConfig,
}


def set_recognition_config(language: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Build SetRecognitionConfig. ``language`` is the session's, which older containers require.

    Raises:
        ConfigurationError: A field can't change during a session, or its value is wrong.

    Example:
        >>> set_recognition_config("en", {"max_delay": 1.0})["transcription_config"]
        {'language': 'en', 'max_delay': 1.0}
    """
    fixed = [
        repr(key) for key in changes if key in TranscriptionConfig._fields.rules and key not in _CHANGEABLE
    ]
    if fixed:
        raise ConfigurationError(
            f"{', '.join(fixed)} can't change during a session; only {', '.join(_CHANGEABLE)} can"
        )
    changed = plain(changes)
    if not changed:
        raise ConfigurationError(f"nothing to change; accepted: {', '.join(_CHANGEABLE)}")
    Fields({**_CHANGEABLE, "max_delay": _DELAY})(
        "", {key: value for key, value in changes.items() if value is not None}
    )
    return {"message": "SetRecognitionConfig", "transcription_config": {"language": language, **changed}}
