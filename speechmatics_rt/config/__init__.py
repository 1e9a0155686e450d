"""What may be asked for, checked before anything is sent: recognition, connections, addresses. Pure.

``recognition`` and ``audio`` hold what goes into StartRecognition, ``connection`` the timeouts, limits and
policies of the way there; both are made of the ``rules``. ``keywords`` says where an
unknown one belongs. ``url`` reads addresses, ``proxy`` knows which of them the environment wants a proxy for.
"""

from __future__ import annotations

from .audio import AudioEncoding, AudioFormat
from .connection import ConnectionConfig, ResumePolicy
from .keywords import explained_client, hint_for
from .proxy import environment_proxy, proxy_parts
from .recognition import (
    AudioEventsConfig,
    ConversationConfig,
    Model,
    OperatingPoint,
    SpeakerDiarizationConfig,
    SpeakerIdentifier,
    TranscriptionConfig,
    TranslationConfig,
    doubts,
    set_recognition_config,
    start_recognition,
)
from .rules import (
    ABOVE_ZERO,
    FLAG,
    STRING,
    TEXT,
    Caller,
    a_list,
    above_zero,
    checked,
    kept,
    number,
    plain,
    refused,
    rule,
)
from .url import Target, address_of, check_url, header_line, is_cloud, is_loopback, parse, redact, with_sdk

__all__ = [
    "ABOVE_ZERO",
    "AudioEncoding",
    "AudioEventsConfig",
    "AudioFormat",
    "Caller",
    "ConnectionConfig",
    "ConversationConfig",
    "FLAG",
    "Model",
    "OperatingPoint",
    "ResumePolicy",
    "STRING",
    "SpeakerDiarizationConfig",
    "SpeakerIdentifier",
    "TEXT",
    "Target",
    "TranscriptionConfig",
    "TranslationConfig",
    "a_list",
    "above_zero",
    "address_of",
    "check_url",
    "checked",
    "doubts",
    "environment_proxy",
    "explained_client",
    "header_line",
    "hint_for",
    "is_cloud",
    "is_loopback",
    "kept",
    "number",
    "parse",
    "proxy_parts",
    "plain",
    "redact",
    "refused",
    "rule",
    "set_recognition_config",
    "start_recognition",
    "with_sdk",
]
