"""The asyncio face over the same threads: ``client``, with a ``core`` that blocks behind each.

``stream`` and ``utterances`` are iterated, ``asking`` has the questions that are waited for, ``dispatch``
runs handlers on the loop, ``bridge`` crosses between loop and threads. A program of the official asyncio SDK
finds every name it imports here, with what it awaits awaitable: ``Microphone`` is the one whose ``read`` is
awaited. So it is ported by its import line alone.
"""

from __future__ import annotations

from ..audio import split_channels
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
from ..messages import ClientMessageType, ServerMessageType
from ..session import available_features
from ..stats import Latency, SessionInfo, SessionStats
from ..transcript import Transcript, TranscriptResult, Utterance
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
