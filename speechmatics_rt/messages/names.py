"""The names of messages, as they are on the wire."""

from __future__ import annotations

from enum import Enum

__all__ = ["ClientMessageType", "ServerMessageType"]


class ClientMessageType(str, Enum):
    """The messages a client may send.

    ``ADD_AUDIO`` is the name of a binary frame and never appears in JSON. ``PAUSE_RECOGNITION`` and
    ``RESUME_RECOGNITION`` are announced by the service but not released.

    Example:
        >>> ClientMessageType.END_OF_STREAM == "EndOfStream"
        True
    """

    START_RECOGNITION = "StartRecognition"
    ADD_AUDIO = "AddAudio"
    END_OF_STREAM = "EndOfStream"
    SET_RECOGNITION_CONFIG = "SetRecognitionConfig"
    GET_SPEAKERS = "GetSpeakers"
    ADD_CHANNEL_AUDIO = "AddChannelAudio"
    END_OF_CHANNEL = "EndOfChannel"
    FORCE_END_OF_UTTERANCE = "ForceEndOfUtterance"
    PAUSE_RECOGNITION = "PauseRecognition"
    RESUME_RECOGNITION = "ResumeRecognition"


class ServerMessageType(str, Enum):
    """The messages a server may send; it may also send others, which are passed on as they are.

    ``RECOGNITION_PAUSED`` and ``RECOGNITION_RESUMED`` are announced by the service but not released.

    Example:
        >>> ServerMessageType("AddTranscript")
        <ServerMessageType.ADD_TRANSCRIPT: 'AddTranscript'>
    """

    RECOGNITION_STARTED = "RecognitionStarted"
    AUDIO_ADDED = "AudioAdded"
    ADD_PARTIAL_TRANSCRIPT = "AddPartialTranscript"
    ADD_TRANSCRIPT = "AddTranscript"
    END_OF_TRANSCRIPT = "EndOfTranscript"
    END_OF_UTTERANCE = "EndOfUtterance"
    AUDIO_EVENT_STARTED = "AudioEventStarted"
    AUDIO_EVENT_ENDED = "AudioEventEnded"
    ADD_TRANSLATION = "AddTranslation"
    ADD_PARTIAL_TRANSLATION = "AddPartialTranslation"
    SPEAKERS_RESULT = "SpeakersResult"
    LANGUAGE_INFO = "LanguageInfo"
    INFO = "Info"
    WARNING = "Warning"
    ERROR = "Error"
    CHANNEL_AUDIO_ADDED = "ChannelAudioAdded"
    RECOGNITION_PAUSED = "RecognitionPaused"
    RECOGNITION_RESUMED = "RecognitionResumed"
