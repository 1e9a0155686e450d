"""The names and shapes of messages. Pure.

``types`` is the catalogue, with the ``names`` and, imported on first access, the shapes that editors and type
checkers look up. ``fields`` reads the messages of a server without trusting them, and ``secrets``
hides keys that it repeats. ``handlers`` tells type checkers which message a handler gets; it is never
imported at run time.
"""

# ruff: noqa: F405  # the shapes are imported by a star, and late
from __future__ import annotations

from typing import TYPE_CHECKING

from ..late import imported_late
from .fields import (
    Glance,
    answered_forced_end,
    channel_of,
    heard_up_to,
    is_close_to_end,
    is_time,
    metadata_of,
    one_line,
    results_of,
    span,
    text_of,
    time_of,
    times_of,
)
from .names import ClientMessageType, ServerMessageType
from .secrets import Secrets

if TYPE_CHECKING:
    from .types import *  # noqa: F403  # the whole catalogue is the face

__all__ = [
    "ClientMessageType",
    "Glance",
    "Secrets",
    "ServerMessageType",
    "answered_forced_end",
    "channel_of",
    "heard_up_to",
    "is_close_to_end",
    "is_time",
    "metadata_of",
    "one_line",
    "results_of",
    "span",
    "text_of",
    "time_of",
    "times_of",
    # the shapes, for editors and type checkers
    "AddChannelAudioMessage",
    "AddPartialTranscriptMessage",
    "AddPartialTranslationMessage",
    "AddTranscriptMessage",
    "AddTranslationMessage",
    "AlternativePart",
    "AudioAddedMessage",
    "AudioEventEndPart",
    "AudioEventEndedMessage",
    "AudioEventStartPart",
    "AudioEventStartedMessage",
    "AudioEventsPart",
    "AudioFilteringPart",
    "AudioFormatPart",
    "ChannelAudioAddedMessage",
    "ClientMessage",
    "ConversationPart",
    "DisplayPart",
    "EndOfChannelMessage",
    "EndOfStreamMessage",
    "EndOfTranscriptMessage",
    "EndOfUtteranceMessage",
    "EntityWordPart",
    "ErrorMessage",
    "ForceEndOfUtteranceMessage",
    "GetSpeakersMessage",
    "InfoMessage",
    "LanguageInfoMessage",
    "LanguagePackPart",
    "PauseRecognitionMessage",
    "PunctuationPart",
    "RecognitionPausedMessage",
    "RecognitionResumedMessage",
    "RecognitionStartedMessage",
    "ReconnectingMessage",
    "ReplacementPart",
    "ResultPart",
    "ResumeRecognitionMessage",
    "ResumedMessage",
    "ServerMessage",
    "SessionEndedMessage",
    "SetRecognitionConfigMessage",
    "SpanPart",
    "SpeakerDiarizationPart",
    "SpeakerPart",
    "SpeakersResultMessage",
    "StartRecognitionMessage",
    "TranscriptFilteringPart",
    "TranscriptMessage",
    "TranscriptMetadataPart",
    "TranscriptionPart",
    "TranslatedSentencePart",
    "TranslationPart",
    "UtteranceMessage",
    "VocabularyPart",
    "WarningMessage",
]

if not TYPE_CHECKING:  # few programs need them
    __getattr__, __dir__ = imported_late(__name__, {"types": __all__})
