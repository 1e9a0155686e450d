"""The answers of the local server to plain HTTP: temporary keys, features, and the health of a container."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any, Optional

from ..exceptions import ConfigurationError
from .connection import Answer, Request
from .engines import LANGUAGES, TRANSLATED
from .state import ServerState

__all__ = ["KEYS_PATH", "page", "point_of"]

KEYS_PATH = "/v1/api_keys"
_FEATURES_PATH = "/v1/discovery/features"
_HEALTH_PATHS = ("/started", "/live", "/ready", "/session_status")
_SHORTEST, _LONGEST = 60, 86_400  # s a temporary key may last
_KINDS = ("batch", "rt", "tts")
_LOCALES = {
    "en": {"en-AU": "English (Australia)", "en-GB": "English (UK)", "en-US": "English (US)"},
    "cmn": {"cmn-Hans": "Chinese (simplified)", "cmn-Hant": "Chinese (traditional)"},
}
_MEDICAL = ("ar_en", "da", "nl", "en", "fi", "fr", "de", "no", "es", "sv")


def page(request: Request, server: ServerState) -> Optional[Answer]:
    """Answer a request that is for no WebSocket; None if it is for one, or for nothing."""
    if server.container:
        return (_get(request) or _health(request.path, server)) if request.path in _HEALTH_PATHS else None
    if request.path == KEYS_PATH:
        return _temporary_key(request, server)
    if request.path == _FEATURES_PATH:
        return _get(request) or Answer(200, _features(server))
    return None


def point_of(path: str) -> Optional[str]:
    """Return the point at which the faults of a request of this path act; None: it has none."""
    if path == KEYS_PATH:
        return "key"
    return None if path in (_FEATURES_PATH, *_HEALTH_PATHS) else "handshake"


def _get(request: Request) -> Optional[Answer]:
    return None if request.method == "GET" else _not_allowed("GET")


def _not_allowed(method: str) -> Answer:
    return Answer(405, {"code": 405, "error": f"only {method} is allowed here"}, {"Allow": method})


# -- temporary keys --------------------------------------------------------------------------------------


def _temporary_key(request: Request, server: ServerState) -> Answer:
    answer = _make_key(request, server) if request.method == "POST" else _not_allowed("POST")
    return Answer(answer.status, answer.body, {**answer.headers, "Date": formatdate(usegmt=True)})


def _make_key(request: Request, server: ServerState) -> Answer:
    key = request.key
    if key is not None and server.keys.made(key):
        return Answer(403, {"code": 403, "error": "Forbidden", "detail": "a temporary key makes no keys"})
    if not server.keys.may_issue(key):
        return Answer(
            401, {"code": 401, "error": "Unauthorized", "detail": "the API key is missing or invalid"}
        )
    kind = request.query.get("type", "batch")
    if kind not in _KINDS:
        return _invalid(f"type in query should be one of [{' '.join(_KINDS)}]")
    wrong = _wrong_with(request.body)
    if wrong:
        return _invalid(wrong)
    return Answer(
        201, {"apikey_id": None, "key_value": server.keys.issue(json.loads(request.body)["ttl"], kind)}
    )


def _wrong_with(content: bytes) -> str:
    """Tell what is wrong with the body of a request for a key, in the service's manner; "" if nothing is."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return "body in body must be JSON"
    ttl = body.get("ttl") if isinstance(body, dict) else None
    if ttl is None:
        return "ttl in body is required"
    if isinstance(ttl, bool) or not isinstance(ttl, int):
        return "ttl in body must be of type integer"
    if ttl < _SHORTEST:
        return f"ttl in body should be greater than or equal to {_SHORTEST}"
    return f"ttl in body should be less than or equal to {_LONGEST}" if ttl > _LONGEST else ""


def _invalid(message: str) -> Answer:
    return Answer(422, {"code": "422", "message": message})


# -- the health of a container ---------------------------------------------------------------------------


def _health(path: str, server: ServerState) -> Answer:
    if path == "/started":
        return Answer(200, {"started": True})
    if path == "/live":
        return Answer(200, {"alive": True})
    if path == "/ready":
        ready = not server.full(more=1)
        return Answer(200 if ready else 503, {"ready": ready})
    sessions = [
        _session(record.session_id, record.request_id) for record in server.live() if record.session_id
    ]
    return Answer(200, {"max_sessions": server.slots, "active_sessions": sessions})


def _session(session_id: Optional[str], request_id: Optional[str]) -> dict[str, Any]:
    entry: dict[str, Any] = {"session_id": session_id}
    return entry if request_id is None else {**entry, "request_id": request_id}


# -- features --------------------------------------------------------------------------------------------


def _features(server: ServerState) -> dict[str, Any]:
    """Tell what there is, in the shape that first-party clients expect: mappings from a language."""
    packs = {
        language: pack for language in sorted(LANGUAGES - {"multi"}) if (pack := _pack(language, server))
    }
    transcription = {
        "version": "latest",
        "languages": list(packs),
        "locales": {language: list(names) for language, names in _LOCALES.items() if language in packs},
        "domains": {
            language: ["medical", "bilingual-en"] if language == "es" else ["medical"]
            for language in _MEDICAL
            if language in packs
        },
    }
    pairs = {"en": sorted(TRANSLATED), **{language: ["en"] for language in sorted(TRANSLATED)}}
    return {
        "metadata": {"language_pack_info": packs},
        "realtime": {
            "transcription": [transcription],
            "translation": [{"version": "latest", "languages": pairs}],
        },
    }


def _pack(language: str, server: ServerState) -> Optional[dict[str, Any]]:
    """Describe a language; None if the engine doesn't speak it."""
    try:
        pack = server.engine.language_pack_info(language)
    except ConfigurationError:
        return None
    described = {"language_description": pack.get("language_description", language)}
    if language not in _LOCALES:
        return described
    return {**described, "locales": {code: {"name": name} for code, name in _LOCALES[language].items()}}
