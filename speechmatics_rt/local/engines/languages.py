"""The languages of the service: their properties, and which can be translated. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

__all__ = ["LANGUAGES", "RIGHT_TO_LEFT", "TRANSLATED", "language_pack", "supported_targets"]

_LANGUAGES = """
    ar ar_en ba be bg bn ca cmn cmn_en cmn_en_ms_ta cs cy da de el en en_ms en_ta eo es et eu fa fi
    fr ga gl he hi hr hu ia id it ja ko lt lv mn mr ms mt multi nl no pl pt ro ru sk sl sv sw ta th
    tl tr ug uk ur vi yue
"""
_TRANSLATED = """
    bg ca cmn cs da de el es et fi fr gl hi hr hu id it ja ko lt lv ms nl no pl pt ro ru sk sl sv tr uk vi
"""
LANGUAGES = frozenset(_LANGUAGES.split())
TRANSLATED = frozenset(_TRANSLATED.split())  # from and to English
RIGHT_TO_LEFT = ("ar", "fa", "he", "ug", "ur")
_NO_DELIMITER = ("cmn", "ja", "yue")


def language_pack(language: str) -> dict[str, Any]:
    """Return the ``language_pack_info`` of a language, as RecognitionStarted has it.

    Example:
        >>> language_pack("ja")["word_delimiter"], language_pack("he")["writing_direction"]
        ('', 'right-to-left')
    """
    return {
        "adapted": False,
        "itn": True,
        "language_description": "English" if language == "en" else language,
        "word_delimiter": "" if language in _NO_DELIMITER else " ",
        "writing_direction": "right-to-left" if language in RIGHT_TO_LEFT else "left-to-right",
    }


def supported_targets(language: str, translation: Optional[Mapping[str, Any]]) -> list[str]:
    """Return the target languages that a session will have: pairs with English."""
    asked = translation.get("target_languages", []) if translation else []
    return [
        to
        for to in asked
        if (language == "en" and to in TRANSLATED) or (to == "en" and language in TRANSLATED)
    ]
