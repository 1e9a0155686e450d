"""The output of the command: text, documents and captions, and the files they are written to.

``flow``, ``report`` and ``tables`` are pure; ``places`` identifies files, ``output`` writes them.
"""

from __future__ import annotations

from .documents import FLOWING, WORDS_ALONE, Document, Heard, beside_of, give_instead, json_of, places_in
from .flow import GREY, Flow, Token, plain
from .output import Captions, File, Shape, captions_text, cause_of, json_line, json_text
from .places import Place, check_apart
from .report import stats_dict, stats_lines
from .tables import tsv_text
from .wav import WavFile

__all__ = [
    "FLOWING",
    "GREY",
    "WORDS_ALONE",
    "Captions",
    "Document",
    "File",
    "Flow",
    "Heard",
    "Place",
    "Shape",
    "Token",
    "WavFile",
    "beside_of",
    "captions_text",
    "cause_of",
    "check_apart",
    "give_instead",
    "json_of",
    "json_line",
    "json_text",
    "places_in",
    "plain",
    "stats_dict",
    "stats_lines",
    "tsv_text",
]
