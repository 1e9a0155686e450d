"""Checks a client's messages as the service does, by tables. Pure."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, Optional

from .engines import LANGUAGES, SAMPLE_WIDTHS, label_in, pattern_of, supported_targets
from .preview import heeded, ignored, is_preview, lacking

__all__ = [
    "CLOSE_CODES",
    "Refused",
    "check_change",
    "check_end",
    "check_force",
    "check_get_speakers",
    "check_start",
    "read_channel_audio",
    "read_message",
]

# The close frame that follows an Error, by its type: code and reason text.
CLOSE_CODES: dict[str, tuple[int, str]] = {
    "protocol_error": (1003, "protocol_error"),
    "invalid_message": (1003, "protocol_error"),
    "unknown_error": (1011, "internal_error"),
    "not_authorised": (4001, "not_authorised"),
    "not_allowed": (4003, "not_allowed"),
    "invalid_model": (4004, "invalid_model"),
    "quota_exceeded": (4005, "quota_exceeded"),
    "timelimit_exceeded": (4006, "timelimit_exceeded"),
    "job_error": (4013, "job_error"),
    "idle_timeout": (1008, "policy_violation"),
    "session_timeout": (1008, "policy_violation"),
    "invalid_config": (1008, "policy_violation"),
    "invalid_language": (1008, "policy_violation"),
    "invalid_audio_type": (1008, "policy_violation"),
    "invalid_output_format": (1008, "policy_violation"),
    "start_recognition_timeout": (1008, "policy_violation"),
    "buffer_error": (1008, "policy_violation"),
}


class Refused(Exception):
    """A message the service answers with an Error of this type."""

    def __init__(self, type: str, reason: str) -> None:
        super().__init__(reason)
        self.type = type
        self.reason = reason


Check = Callable[[Any, str], None]  # (value, its path) -> raises ValueError


# -- small checks ----------------------------------------------------------------------------------------


def _fail(where: str, rule: str, value: Any) -> None:
    raise ValueError(f"{where} must be {rule}, not {value!r}")


def _bool(value: Any, where: str) -> None:
    if not isinstance(value, bool):
        _fail(where, "true or false", value)


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str) or not value:
        _fail(where, "a string that isn't empty", value)


def _number(low: float, high: float) -> Check:
    def check(value: Any, where: str) -> None:
        most = min(high, sys.float_info.max)  # a greater int is no number that JSON has
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= most:
            _fail(where, f"a number from {low:g} to {high:g}", value)

    return check


def _integer(low: int) -> Check:
    def check(value: Any, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            _fail(where, f"an integer of at least {low}", value)

    return check


def _one_of(*choices: Any) -> Check:
    def check(value: Any, where: str) -> None:
        if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
            _fail(where, "one of " + ", ".join(map(str, choices)), value)

    return check


def _list_of(item: Check, most: Optional[int] = None, unique: bool = False) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, list):
            _fail(where, "an array", value)
        if most is not None and len(value) > most:
            raise ValueError(f"{where} has {len(value)} entries; {most} are allowed")
        for position, entry in enumerate(value):
            item(entry, f"{where}[{position}]")
        if unique and len(set(value)) < len(value):
            raise ValueError(f"{where} names something twice")

    return check


def _object(fields: Mapping[str, Check], required: tuple[str, ...] = ()) -> Check:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            _fail(where, "an object", value)
        for name in required:
            if name not in value:
                raise ValueError(f"{where} needs {name}")
        for name, entry in value.items():
            if name not in fields:
                raise ValueError(f"{where} has no field {name}")
            fields[name](entry, f"{where}.{name}")

    return check


def _label(value: Any, where: str) -> None:
    _text(value, where)
    if value == "UU" or value != value.strip() or (value[0] == "S" and value[1:].isdigit()):
        _fail(where, "a label without outer spaces, and not UU or S with digits", value)


def _vocabulary(value: Any, where: str) -> None:
    if isinstance(value, str):
        _text(value, where)
    else:
        _object({"content": _text, "sounds_like": _list_of(_text)}, required=("content",))(value, where)
        if value.get("sounds_like") == []:
            raise ValueError(f"{where}.sounds_like is empty")


def _string(value: Any, where: str) -> None:
    if not isinstance(value, str):
        _fail(where, "a string", value)


def _mark(value: Any, where: str) -> None:
    if value != "all" and (not isinstance(value, str) or len(value) != 1):
        _fail(where, "a single character, or all", value)


def _replacement(value: Any, where: str) -> None:
    _object({"from": _string, "to": _string}, required=("from", "to"))(value, where)
    try:
        pattern_of(value["from"])
    except ValueError as exc:
        raise ValueError(f"{where}.from: {exc}") from None


def _anything(value: Any, where: str) -> None:
    """Accept: the service says nothing about it."""


# -- the tables ------------------------------------------------------------------------------------------

_MODELS = ("standard", "enhanced", "melia-1")
_CHANGEABLE: dict[str, Check] = {
    "language": _text,
    "max_delay": _number(0.7, 4.0),
    "max_delay_mode": _one_of("flexible", "fixed"),
    "enable_partials": _bool,
    "audio_filtering_config": _object({"volume_threshold": _number(0, 100)}),
    "conversation_config": _object({"end_of_utterance_silence_trigger": _number(0, 2)}),
}
_SPEAKER = _object(
    {"label": _label, "speaker_identifiers": _list_of(_text, unique=True)},
    required=("label", "speaker_identifiers"),
)
_CONFIG: dict[str, Check] = {
    **_CHANGEABLE,
    "model": _text,
    "operating_point": _text,
    "domain": _text,
    "output_locale": _text,
    "additional_vocab": _list_of(_vocabulary, most=1000),
    "diarization": _one_of("none", "speaker", "channel", "channel_and_speaker"),
    "channel_diarization_labels": _list_of(_text, unique=True),
    "speaker_diarization_config": _object(
        {
            "max_speakers": _integer(2),
            "speaker_sensitivity": _number(0, 1),
            "prefer_current_speaker": _bool,
            "get_speakers": _bool,
            "speakers": _list_of(_SPEAKER),
        }
    ),
    "enable_entities": _bool,
    "punctuation_overrides": _object({"permitted_marks": _list_of(_mark), "sensitivity": _number(0, 1)}),
    "transcript_filtering_config": _object(
        {
            "remove_disfluencies": _bool,
            "replacements": _list_of(_replacement),
        }
    ),
    "language_hints": _list_of(_text),
    "language_hints_strict": _one_of(True),
    "streaming_mode": _bool,  # internal flags of first-party clients
    "ctrl": _anything,
}
_START: dict[str, Check] = {
    "message": _text,
    "audio_format": _anything,  # these two have checks and an Error type of their own
    "transcription_config": _anything,
    "translation_config": _object(
        {"target_languages": _list_of(_text), "enable_partials": _bool},
        required=("target_languages",),
    ),
    "audio_events_config": _object({"types": _list_of(_one_of("laughter", "applause", "music"))}),
}
_RAW = _object(
    {"type": _text, "encoding": _one_of(*SAMPLE_WIDTHS), "sample_rate": _integer(1)},
    required=("encoding", "sample_rate"),
)
_FILE = _object({"type": _text})
_FORCE = _object({"message": _text, "timestamp": _number(0, float("inf")), "channel": _text})
_GET_SPEAKERS = _object({"message": _text, "final": _bool})
_CHANNEL_AUDIO = _object({"message": _text, "channel": _text, "data": _string}, required=("channel", "data"))
_CHANGE = _object(
    {"message": _text, "transcription_config": _object(_CHANGEABLE)}, required=("transcription_config",)
)


# -- the messages ----------------------------------------------------------------------------------------


def read_message(text: str) -> dict[str, Any]:
    """Read a text message.

    Raises:
        Refused: It is not a JSON object with a string ``message``.
    """
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Refused("invalid_message", f"this is not JSON: {exc}") from exc
    if not isinstance(message, dict) or not isinstance(message.get("message"), str):
        raise Refused("invalid_message", "a message is a JSON object with a string called message")
    return message


def read_channel_audio(message: Mapping[str, Any]) -> tuple[bytes, str]:
    """Return the audio and the channel of an AddChannelAudio."""
    _hold("invalid_message", _CHANNEL_AUDIO, dict(message), "AddChannelAudio")
    try:
        return base64.b64decode(message["data"], validate=True), message["channel"]
    except ValueError as exc:
        raise Refused("invalid_message", f"data is not base64: {exc}") from exc


def check_start(
    message: Mapping[str, Any],
    path_language: Optional[str] = None,
    *,
    channels: Optional[int] = 2,
    targets: Optional[int] = 5,
) -> list[dict[str, Any]]:
    """Check a StartRecognition; return the Warnings it earns.

    Args:
        message: The message.
        path_language: The language of the path, which must be that of the config.
        channels, targets: How many channels and target languages are allowed; None: any number.

    Raises:
        Refused: With the type of the Error to send.
    """
    for name in message:
        if name not in _START:
            raise Refused("invalid_message", f"StartRecognition has no field {name}")
    config = message.get("transcription_config")
    _hold("invalid_config", _object(_CONFIG, required=("language",)), config, "transcription_config")
    config = dict(config or {})
    _check_format(message.get("audio_format"), config)
    for name in ("translation_config", "audio_events_config"):
        if name in message:
            _hold("invalid_config", _START[name], message[name], name)
    if config["language"] not in LANGUAGES or (config["language"] == "multi") != is_preview(config):
        raise Refused("invalid_language", f"language {config['language']!r} is not available with this model")
    _check_combinations(config, path_language)
    translation = message.get("translation_config")
    _at_most(targets, (translation or {}).get("target_languages", ()), "target_languages")
    _at_most(channels, config.get("channel_diarization_labels", ()), "channel_diarization_labels")
    if is_preview(config):
        _check_preview(message)
        return _preview_warnings(config)
    return [
        *_vocabulary_warnings(config),
        *_speaker_warnings(config),
        *_translation_warnings(config, translation),
    ]


def check_change(
    message: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Check a SetRecognitionConfig of a session of this config; return what changes, and Warnings.

    Raises:
        Refused: A field may not change, or has a wrong value.
    """
    _hold("invalid_config", _CHANGE, dict(message), "SetRecognitionConfig")
    changes, language = dict(message["transcription_config"]), config["language"]
    if changes.pop("language", language) != language:
        raise Refused("invalid_config", f"the language of the session is {language!r} and can't change")
    if not is_preview(config):
        return changes, []
    _check_preview({"transcription_config": changes})
    return heeded(changes), _preview_warnings(changes)


def check_force(message: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Check a ForceEndOfUtterance of a session of this config."""
    _hold("invalid_message", _FORCE, dict(message), "ForceEndOfUtterance")
    if is_preview(config):
        raise Refused("not_allowed", "the preview model ends no utterances yet")


def check_get_speakers(message: Mapping[str, Any]) -> bool:
    """Check a GetSpeakers; return whether it asks for the speakers at the end."""
    _hold("invalid_message", _GET_SPEAKERS, dict(message), "GetSpeakers")
    return bool(message.get("final", False))


def check_end(message: Mapping[str, Any]) -> None:
    """Check an EndOfStream or EndOfChannel: any count will do, as none is known to be enforced."""
    kind = message["message"]
    table = {
        "message": _text,
        "last_seq_no": _integer(0),
        **({"channel": _text} if kind == "EndOfChannel" else {}),
    }
    _hold("invalid_message", _object(table, required=tuple(table)), dict(message), kind)


def _hold(kind: str, check: Check, value: Any, where: str) -> None:
    try:
        check(value, where)
    except ValueError as exc:
        raise Refused(kind, str(exc)) from None


def _check_format(audio_format: Any, config: Mapping[str, Any]) -> None:
    if audio_format is None and is_preview(config):
        return  # its documented example has none
    if not isinstance(audio_format, dict) or audio_format.get("type") not in ("raw", "file"):
        raise Refused("invalid_audio_type", "audio_format needs a type, raw or file")
    _hold(
        "invalid_audio_type", _RAW if audio_format["type"] == "raw" else _FILE, audio_format, "audio_format"
    )


def _check_combinations(config: Mapping[str, Any], path_language: Optional[str]) -> None:
    models = {config[name] for name in ("model", "operating_point") if name in config}
    if len(models) > 1:
        raise Refused("invalid_config", "model and operating_point say different things; send model alone")
    if not models <= set(_MODELS):
        raise Refused("invalid_model", f"there is no model {models.pop()!r}")
    if path_language not in (None, config["language"]):
        raise Refused("invalid_config", f"the path says {path_language!r}, the config {config['language']!r}")
    by_channel = str(config.get("diarization", "")).startswith("channel")
    if by_channel and not config.get("channel_diarization_labels"):
        raise Refused("invalid_config", "diarization by channel needs channel_diarization_labels")
    speakers = config.get("speaker_diarization_config", {}).get("speakers", [])
    if not all(speaker["speaker_identifiers"] for speaker in speakers):
        raise Refused("invalid_config", "each speaker has at least one identifier")
    identifiers = [identifier for speaker in speakers for identifier in speaker["speaker_identifiers"]]
    if len(identifiers) > 50:
        raise Refused("invalid_config", "at most 50 speaker identifiers are allowed")
    if len(set(identifiers)) < len(identifiers):
        raise Refused("invalid_config", "a speaker identifier stands there twice")


def _at_most(most: Optional[int], entries: Any, where: str) -> None:
    if most is not None and len(entries) > most:
        raise Refused("invalid_config", f"{where} has {len(entries)} entries; {most} are allowed")


def _check_preview(message: Mapping[str, Any]) -> None:
    missing = lacking(message)
    if missing:
        raise Refused("invalid_config", missing)


def _preview_warnings(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_warning("validation_warning", reason) for reason in ignored(config)]


def _vocabulary_warnings(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    def too_long(phrase: str) -> bool:
        words = phrase.split()
        return len(words) > 6 or any(len(word) > 4000 for word in words)

    entries = config.get("additional_vocab", [])
    dropped = sum(too_long(entry if isinstance(entry, str) else entry["content"]) for entry in entries)
    alternatives = sum(
        too_long(sound)
        for entry in entries
        if isinstance(entry, dict) and not too_long(entry["content"])
        for sound in entry.get("sounds_like", ())
    )
    reasons = [f"{dropped} custom dictionary entries were ignored"] if dropped else []
    if alternatives:
        reasons.append(f"{alternatives} sounds_like of custom dictionary entries were ignored")
    return [_warning("validation_warning", reason) for reason in reasons]


def _speaker_warnings(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    speakers = config.get("speaker_diarization_config", {}).get("speakers", [])
    foreign = sum(
        label_in(identifier) is None for speaker in speakers for identifier in speaker["speaker_identifiers"]
    )
    if not foreign:
        return []
    return [_warning("speaker_id", f"{foreign} speaker identifiers are not of this server and were ignored")]


def _translation_warnings(config: Mapping[str, Any], translation: Any) -> list[dict[str, Any]]:
    targets = supported_targets(config["language"], translation)
    if translation is None:
        return []
    asked = translation["target_languages"]
    warnings = [
        _warning("unsupported_translation_pair", f"{config['language']} to {target} is not supported")
        for target in asked
        if target not in targets
    ]
    if not targets:
        warnings.append(
            _warning("empty_translation_target_list", "no target language is left; nothing is translated")
        )
    return warnings


def _warning(kind: str, reason: str) -> dict[str, Any]:
    return {"message": "Warning", "type": kind, "reason": reason}
