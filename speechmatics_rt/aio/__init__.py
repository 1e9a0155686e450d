"""The asyncio clients, a layer over the blocking ones.

A program for the official asyncio SDK finds here every name that it imports, and can await what it awaits
(``Microphone`` is the one whose ``read`` is awaited), so it is ported by changing its import line.

``client`` has the clients, ``baseclient`` what they share, ``core`` the blocking client behind each;
``stream`` and ``utterances`` are what is iterated over. ``dispatch`` runs handlers on the event loop,
``handlers`` calls one, ``rounds`` knows what the next message waits for, and ``bridge`` connects the loop
with threads.
"""

from __future__ import annotations

from ..audio import InputDevice, split_channels
from ..auth import AuthBase, JWTAuth, NoAuth, StaticKeyAuth
from ..config import (
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
from ..events import EventEmitter
from ..exceptions import (
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
from ..messages import ClientMessageType, ServerMessageType
from ..session import UNSET, available_features
from ..stats import Latency, SessionInfo, SessionStats
from ..transcript import (
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
from .client import AsyncClient, AsyncMultiChannelClient
from .microphone import AsyncMicrophone
from .stream import AsyncMessageStream
from .utterances import AsyncUtteranceStream

Microphone = AsyncMicrophone

__all__ = [
    # clients
    "AsyncClient",
    "AsyncMessageStream",
    "AsyncMultiChannelClient",
    "AsyncUtteranceStream",
    "EventEmitter",
    # authentication
    "AuthBase",
    "JWTAuth",
    "NoAuth",
    "StaticKeyAuth",
    # audio
    "AsyncMicrophone",
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
