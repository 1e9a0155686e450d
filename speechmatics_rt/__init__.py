"""Blocking, threaded client for the Speechmatics Real-Time speech-to-text API.

from speechmatics_rt import Client

with Client() as client:
    print(client.transcribe("audio.wav"))
"""

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .audio import Microphone, split_channels
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
from .exceptions import (
    AudioError,
    AuthenticationError,
    ConfigurationError,
    ConnectionError,
    EndOfTranscriptError,
    ProtocolError,
    SessionError,
    SpeechmaticsError,
    TimeoutError,
    TranscriptionError,
    TransportError,
)
from .messages import ClientMessageType, ServerMessageType
from .multichannel import MultiChannelClient
from .session import MessageStream, Recorder, UtteranceStream, available_features
from .stats import Latency, SessionInfo, SessionStats
from .transcript import Transcript, TranscriptResult, Utterance

if TYPE_CHECKING:
    from .aio import (
        AsyncClient,
        AsyncMessageStream,
        AsyncMicrophone,
        AsyncMultiChannelClient,
        AsyncUtteranceStream,
    )
    from .many import Outcome, Outcomes, Progress, Running, transcribe_many

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
    "ServerMessageType",
    "SessionInfo",
    "SessionStats",
    "Transcript",
    "TranscriptResult",
    "Utterance",
    # errors
    "AudioError",
    "AuthenticationError",
    "ConfigurationError",
    "ConnectionError",
    "EndOfTranscriptError",
    "ProtocolError",
    "SessionError",
    "SpeechmaticsError",
    "TimeoutError",
    "TranscriptionError",
    "TransportError",
]

_LATER = {
    "AsyncClient": "aio",
    "AsyncMessageStream": "aio",
    "AsyncMicrophone": "aio",
    "AsyncMultiChannelClient": "aio",
    "Outcome": "many",
    "Outcomes": "many",
    "Progress": "many",
    "Running": "many",
    "transcribe_many": "many",
    "AsyncUtteranceStream": "aio",
}


def __getattr__(name: str) -> Any:
    """Import what only some programs need, and then asyncio with it, when it is first asked for."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f".{_LATER[name]}", __name__), name)
    return value
