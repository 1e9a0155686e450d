"""The messages of the Real-Time API: their names and their shapes.

Messages are plain dictionaries. The :class:`~typing.TypedDict` classes here cost nothing at run time and
tell an editor which keys a message has; a server may always add keys, and messages, that are not listed.
Times are seconds since the first audio byte of the session.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, Optional, TypedDict, Union

from ..exceptions import SpeechmaticsError
from .names import ClientMessageType, ServerMessageType

if TYPE_CHECKING:
    from typing_extensions import NotRequired
elif sys.version_info >= (3, 11):
    from typing import NotRequired
else:

    class NotRequired:  # what get_type_hints() makes of it where there is one
        def __class_getitem__(cls, item: object) -> object:
            return item


__all__ = [
    # names
    "ClientMessageType",
    "ServerMessageType",
    # from the client
    "AddChannelAudioMessage",
    "ClientMessage",
    "EndOfChannelMessage",
    "EndOfStreamMessage",
    "ForceEndOfUtteranceMessage",
    "GetSpeakersMessage",
    "PauseRecognitionMessage",
    "ResumeRecognitionMessage",
    "SetRecognitionConfigMessage",
    "StartRecognitionMessage",
    # from the server
    "AddPartialTranscriptMessage",
    "AddPartialTranslationMessage",
    "AddTranscriptMessage",
    "AddTranslationMessage",
    "AudioAddedMessage",
    "AudioEventEndedMessage",
    "AudioEventStartedMessage",
    "ChannelAudioAddedMessage",
    "EndOfTranscriptMessage",
    "EndOfUtteranceMessage",
    "ErrorMessage",
    "InfoMessage",
    "LanguageInfoMessage",
    "RecognitionPausedMessage",
    "RecognitionResumedMessage",
    "RecognitionStartedMessage",
    "ServerMessage",
    "SpeakersResultMessage",
    "TranscriptMessage",
    "WarningMessage",
    # of this package
    "ReconnectingMessage",
    "ResumedMessage",
    "SessionEndedMessage",
    "UtteranceMessage",
    # their parts
    "AlternativePart",
    "AudioEventEndPart",
    "AudioEventStartPart",
    "AudioEventsPart",
    "AudioFilteringPart",
    "AudioFormatPart",
    "ConversationPart",
    "DisplayPart",
    "EntityWordPart",
    "LanguagePackPart",
    "PunctuationPart",
    "ReplacementPart",
    "ResultPart",
    "SpanPart",
    "SpeakerDiarizationPart",
    "SpeakerPart",
    "TranscriptFilteringPart",
    "TranscriptMetadataPart",
    "TranscriptionPart",
    "TranslatedSentencePart",
    "TranslationPart",
    "VocabularyPart",
]


# -- parts of what the client sends ------------------------------------------------------------------


class AudioFormatPart(TypedDict):
    type: Literal["raw", "file"]
    encoding: NotRequired[Literal["pcm_f32le", "pcm_s16le", "mulaw"]]
    sample_rate: NotRequired[int]


class VocabularyPart(TypedDict):
    content: str
    sounds_like: NotRequired[list[str]]


class PunctuationPart(TypedDict, total=False):
    permitted_marks: list[str]
    sensitivity: float


class AudioFilteringPart(TypedDict, total=False):
    volume_threshold: float


ReplacementPart = TypedDict("ReplacementPart", {"from": str, "to": str})  # "from" is no identifier


class TranscriptFilteringPart(TypedDict, total=False):
    remove_disfluencies: bool
    replacements: list[ReplacementPart]


class ConversationPart(TypedDict, total=False):
    end_of_utterance_silence_trigger: float


class SpeakerPart(TypedDict):
    label: str
    speaker_identifiers: list[str]


class SpeakerDiarizationPart(TypedDict, total=False):
    max_speakers: int
    speaker_sensitivity: float
    prefer_current_speaker: bool
    get_speakers: bool
    speakers: list[SpeakerPart]


class TranscriptionPart(TypedDict, total=False):
    language: str
    model: str
    operating_point: str
    domain: str
    output_locale: str
    additional_vocab: list[Union[str, VocabularyPart]]
    diarization: Literal["none", "speaker", "channel", "channel_and_speaker"]
    channel_diarization_labels: list[str]
    speaker_diarization_config: SpeakerDiarizationPart
    max_delay: float
    max_delay_mode: Literal["flexible", "fixed"]
    enable_partials: bool
    enable_entities: bool
    punctuation_overrides: PunctuationPart
    audio_filtering_config: AudioFilteringPart
    transcript_filtering_config: TranscriptFilteringPart
    conversation_config: ConversationPart
    language_hints: list[str]
    language_hints_strict: bool
    streaming_mode: bool
    ctrl: dict[str, Any]


class TranslationPart(TypedDict):
    target_languages: list[str]
    enable_partials: NotRequired[bool]


class AudioEventsPart(TypedDict, total=False):
    types: list[str]


# -- what the client sends ---------------------------------------------------------------------------


class StartRecognitionMessage(TypedDict):
    message: Literal["StartRecognition"]
    audio_format: AudioFormatPart
    transcription_config: TranscriptionPart
    translation_config: NotRequired[TranslationPart]
    audio_events_config: NotRequired[AudioEventsPart]


class EndOfStreamMessage(TypedDict):
    message: Literal["EndOfStream"]
    last_seq_no: int


class AddChannelAudioMessage(TypedDict):
    message: Literal["AddChannelAudio"]
    channel: str
    data: str  # base64


class EndOfChannelMessage(TypedDict):
    message: Literal["EndOfChannel"]
    channel: str
    last_seq_no: int


class SetRecognitionConfigMessage(TypedDict):
    message: Literal["SetRecognitionConfig"]
    transcription_config: TranscriptionPart


class GetSpeakersMessage(TypedDict):
    message: Literal["GetSpeakers"]
    final: NotRequired[bool]


class ForceEndOfUtteranceMessage(TypedDict):
    message: Literal["ForceEndOfUtterance"]
    timestamp: NotRequired[float]
    channel: NotRequired[str]


class PauseRecognitionMessage(TypedDict):
    message: Literal["PauseRecognition"]
    preserve_timeline: NotRequired[bool]


class ResumeRecognitionMessage(TypedDict):
    message: Literal["ResumeRecognition"]


ClientMessage = Union[
    StartRecognitionMessage,
    EndOfStreamMessage,
    AddChannelAudioMessage,
    EndOfChannelMessage,
    SetRecognitionConfigMessage,
    GetSpeakersMessage,
    ForceEndOfUtteranceMessage,
    PauseRecognitionMessage,
    ResumeRecognitionMessage,
]


# -- parts of what the server sends ------------------------------------------------------------------


class LanguagePackPart(TypedDict, total=False):
    word_delimiter: str
    language_description: str
    writing_direction: Literal["left-to-right", "right-to-left"]
    itn: bool
    adapted: bool
    per_language_word_delimiters: dict[str, str]
    per_language_writing_direction: dict[str, str]


class SpanPart(TypedDict):
    start_time: float
    end_time: float


class TranscriptMetadataPart(SpanPart):
    transcript: str


class DisplayPart(TypedDict):
    direction: Literal["ltr", "rtl"]


class AlternativePart(TypedDict):
    content: str
    confidence: NotRequired[float]
    language: NotRequired[str]
    speaker: NotRequired[str]
    display: NotRequired[DisplayPart]
    tags: NotRequired[list[str]]


class EntityWordPart(SpanPart):
    type: Literal["word", "punctuation"]
    alternatives: list[AlternativePart]


class ResultPart(SpanPart):
    type: Literal["word", "punctuation", "entity"]
    alternatives: list[AlternativePart]
    attaches_to: NotRequired[Literal["previous", "next", "both", "none"]]
    is_eos: NotRequired[bool]
    volume: NotRequired[float]
    entity_class: NotRequired[str]
    spoken_form: NotRequired[list[EntityWordPart]]
    written_form: NotRequired[list[EntityWordPart]]
    score: NotRequired[float]  # older servers
    channel: NotRequired[str]  # older servers; now in the message itself


class TranslatedSentencePart(SpanPart):
    content: str
    speaker: NotRequired[str]


class AudioEventStartPart(TypedDict):
    type: str
    start_time: float
    confidence: float


class AudioEventEndPart(TypedDict):
    type: str
    end_time: float


# -- what the server sends ---------------------------------------------------------------------------

# The name of each is the string that JSON has. Were a ServerMessageType allowed beside it, comparing with a
# string would tell mypy 1.20 and newer nothing: a member of such an enum equals strings, maybe this one.


class RecognitionStartedMessage(TypedDict):
    message: Literal["RecognitionStarted"]
    id: NotRequired[str]
    orchestrator_version: NotRequired[str]
    language_pack_info: NotRequired[LanguagePackPart]
    channel_ids: NotRequired[list[str]]
    channels: NotRequired[list[str]]  # the other documented spelling of channel_ids


class AudioAddedMessage(TypedDict):
    message: Literal["AudioAdded"]
    seq_no: int


class ChannelAudioAddedMessage(TypedDict):
    message: Literal["ChannelAudioAdded"]
    channel: str
    seq_no: int


class _Transcript(TypedDict):
    format: NotRequired[str]
    metadata: TranscriptMetadataPart
    results: list[ResultPart]
    channel: NotRequired[str]
    forced: NotRequired[bool]


class AddTranscriptMessage(_Transcript):
    message: Literal["AddTranscript"]


class AddPartialTranscriptMessage(_Transcript):
    message: Literal["AddPartialTranscript"]


TranscriptMessage = Union[AddTranscriptMessage, AddPartialTranscriptMessage]  # for a handler of both


class EndOfUtteranceMessage(TypedDict):
    message: Literal["EndOfUtterance"]
    format: NotRequired[str]
    metadata: SpanPart  # zero length: the time of detection
    channel: NotRequired[str]
    forced: NotRequired[bool]


class _Translation(TypedDict):
    format: NotRequired[str]
    language: str
    results: list[TranslatedSentencePart]


class AddTranslationMessage(_Translation):
    message: Literal["AddTranslation"]


class AddPartialTranslationMessage(_Translation):
    message: Literal["AddPartialTranslation"]


class AudioEventStartedMessage(TypedDict):
    message: Literal["AudioEventStarted"]
    event: AudioEventStartPart
    channel: NotRequired[str]


class AudioEventEndedMessage(TypedDict):
    message: Literal["AudioEventEnded"]
    event: AudioEventEndPart
    channel: NotRequired[str]


class SpeakersResultMessage(TypedDict):
    message: Literal["SpeakersResult"]
    speakers: list[SpeakerPart]


class LanguageInfoMessage(TypedDict):
    message: Literal["LanguageInfo"]
    language: str
    word_delimiter: str
    writing_direction: Literal["left-to-right", "right-to-left"]
    partial: NotRequired[bool]


class _Notice(TypedDict):
    type: str
    reason: str
    code: NotRequired[int]
    seq_no: NotRequired[int]


class InfoMessage(_Notice):
    message: Literal["Info"]
    quality: NotRequired[Literal["telephony", "broadcast"]]  # recognition_quality
    usage: NotRequired[float]  # concurrent_session_usage, and the next three
    quota: NotRequired[float]
    last_updated: NotRequired[str]
    region: NotRequired[str]


class WarningMessage(_Notice):
    message: Literal["Warning"]
    duration_limit: NotRequired[float]


class ErrorMessage(_Notice):
    message: Literal["Error"]


class EndOfTranscriptMessage(TypedDict):
    message: Literal["EndOfTranscript"]


class RecognitionPausedMessage(TypedDict):
    message: Literal["RecognitionPaused"]


class RecognitionResumedMessage(TypedDict):
    message: Literal["RecognitionResumed"]


# -- of this package, where a session outlives its connections -----------------------------------------


class ReconnectingMessage(TypedDict):
    """An attempt to reconnect will start in ``delay`` seconds, unless a handler forbids it."""

    message: Literal["Reconnecting"]
    attempt: int  # from 1
    cause: str
    delay: float
    reconnect: bool  # a handler may set it to False


class ResumedMessage(TypedDict):
    """The session goes on after ``gap`` seconds; ``replayed`` seconds of audio are sent again.

    ``renamed`` are labels of speakers that the new session can't recognise; they continue under new labels.
    """

    message: Literal["Resumed"]
    attempt: int
    gap: float
    replayed: float
    renamed: list[str]
    id: NotRequired[Optional[str]]  # of the new session


class SessionEndedMessage(TypedDict):
    """The last event of every session, even of one that could not start."""

    message: Literal["SessionEnded"]
    error: Optional[SpeechmaticsError]  # None: complete, or ended by the program itself


class UtteranceMessage(TypedDict):
    """What one speaker said, and why it ended: an :class:`Utterance` as a dict."""

    message: Literal["Utterance"]
    speaker: Optional[str]
    channel: Optional[str]
    text: str
    start_time: float
    end_time: float
    ended_by: Literal["silence", "forced", "speaker", "end"]
    words: list[dict[str, Any]]


ServerMessage = Union[
    RecognitionStartedMessage,
    AudioAddedMessage,
    ChannelAudioAddedMessage,
    AddTranscriptMessage,
    AddPartialTranscriptMessage,
    EndOfUtteranceMessage,
    AddTranslationMessage,
    AddPartialTranslationMessage,
    AudioEventStartedMessage,
    AudioEventEndedMessage,
    SpeakersResultMessage,
    LanguageInfoMessage,
    InfoMessage,
    WarningMessage,
    ErrorMessage,
    EndOfTranscriptMessage,
    RecognitionPausedMessage,
    RecognitionResumedMessage,
    ReconnectingMessage,
    ResumedMessage,
    SessionEndedMessage,
    UtteranceMessage,
]
