"""Blocking, threaded client for the Speechmatics Real-Time speech-to-text API.

from speechmatics_rt import Client

with Client() as client:
    print(client.transcribe("audio.wav"))
"""

from typing import TYPE_CHECKING

from ._version import __version__
from .exceptions import (
    AudioError,
    AuthenticationError,
    ChunkError,
    ConfigurationError,
    ConnectionError,
    EndOfTranscriptError,
    NotRunningError,
    ProtocolError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    TranscriptionError,
    TransportError,
)
from .late import imported_late as _imported_late

if TYPE_CHECKING:
    from .aio import (
        AsyncClient,
        AsyncMessageStream,
        AsyncMicrophone,
        AsyncMultiChannelClient,
        AsyncUtteranceStream,
    )
    from .audio import InputDevice, Microphone, split_channels
    from .auth import AuthBase, JWTAuth, NoAuth, StaticKeyAuth
    from .baseclient import BaseClient
    from .client import Client
    from .config import (
        AudioEncoding,
        AudioEventsConfig,
        AudioFormat,
        ConnectionConfig,
        ConversationConfig,
        Model,
        OperatingPoint,
        ResumePolicy,
        SpeakerDiarizationConfig,
        SpeakerIdentifier,
        TranscriptionConfig,
        TranslationConfig,
    )
    from .events import EventEmitter
    from .many import Outcome, Outcomes, Progress, Running, transcribe_many
    from .messages import ClientMessageType, ServerMessageType
    from .multichannel import MultiChannelClient
    from .session import UNSET, MessageStream, Recorder, UtteranceStream, available_features
    from .stats import Latency, SessionInfo, SessionStats
    from .transcript import (
        AudioEvent,
        Paragraph,
        RecognitionAlternative,
        RecognitionDisplay,
        RecognitionMetadata,
        RecognitionResult,
        Transcript,
        TranscriptResult,
        Utterance,
        Word,
    )

__all__ = [
    "__version__",
    # clients
    "BaseClient",
    "Client",
    "MultiChannelClient",
    "AsyncClient",
    "AsyncMultiChannelClient",
    "AsyncMessageStream",
    "AsyncMicrophone",
    "AsyncUtteranceStream",
    "MessageStream",
    "Recorder",
    "UtteranceStream",
    "EventEmitter",
    # many recordings
    "transcribe_many",
    "Outcome",
    "Outcomes",
    "Progress",
    "Running",
    # authentication
    "AuthBase",
    "JWTAuth",
    "NoAuth",
    "StaticKeyAuth",
    # audio
    "InputDevice",
    "Microphone",
    "split_channels",
    # the service
    "available_features",
    # configuration
    "AudioEncoding",
    "AudioEventsConfig",
    "AudioFormat",
    "ConnectionConfig",
    "ConversationConfig",
    "Model",
    "OperatingPoint",
    "ResumePolicy",
    "SpeakerDiarizationConfig",
    "SpeakerIdentifier",
    "TranscriptionConfig",
    "TranslationConfig",
    # messages and results
    "ClientMessageType",
    "Latency",
    "AudioEvent",
    "Paragraph",
    "RecognitionAlternative",
    "RecognitionDisplay",
    "RecognitionMetadata",
    "RecognitionResult",
    "ServerMessageType",
    "SessionInfo",
    "SessionStats",
    "Transcript",
    "TranscriptResult",
    "UNSET",
    "Utterance",
    "Word",
    # errors
    "AudioError",
    "AuthenticationError",
    "ChunkError",
    "ConfigurationError",
    "ConnectionError",
    "EndOfTranscriptError",
    "NotRunningError",
    "ProtocolError",
    "SessionError",
    "SpeechmaticsError",
    "TimeoutError",
    "TranscriptionError",
    "TransportError",
]

# Which module each name is imported from, on first access: so `--help` imports few of them.
_ROOMS = {
    "aio": (
        "AsyncClient",
        "AsyncMessageStream",
        "AsyncMicrophone",
        "AsyncMultiChannelClient",
        "AsyncUtteranceStream",
    ),
    "audio": ("InputDevice", "Microphone", "split_channels"),
    "auth": ("AuthBase", "JWTAuth", "NoAuth", "StaticKeyAuth"),
    "baseclient": ("BaseClient",),
    "client": ("Client",),
    "config": (
        "AudioEncoding",
        "AudioEventsConfig",
        "AudioFormat",
        "ConnectionConfig",
        "ConversationConfig",
        "Model",
        "OperatingPoint",
        "ResumePolicy",
        "SpeakerDiarizationConfig",
        "SpeakerIdentifier",
        "TranscriptionConfig",
        "TranslationConfig",
    ),
    "events": ("EventEmitter",),
    "many": ("Outcome", "Outcomes", "Progress", "Running", "transcribe_many"),
    "messages": ("ClientMessageType", "ServerMessageType"),
    "multichannel": ("MultiChannelClient",),
    "session": ("UNSET", "MessageStream", "Recorder", "UtteranceStream", "available_features"),
    "stats": ("Latency", "SessionInfo", "SessionStats"),
    "transcript": (
        "AudioEvent",
        "Paragraph",
        "RecognitionAlternative",
        "RecognitionDisplay",
        "RecognitionMetadata",
        "RecognitionResult",
        "Transcript",
        "TranscriptResult",
        "Utterance",
        "Word",
    ),
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = _imported_late(__name__, _ROOMS)
