"""What the command writes: documents, captions, tables and recordings, and the files for these.

``tables`` is pure; ``places`` identifies files, ``output`` writes them.
"""

from __future__ import annotations

from .documents import FLOWING, WORDS_ALONE, Contents, Document, beside_of, give_instead, json_of, places_in
from .output import Captions, File, captions_text, cause_of, json_line, json_text, make_folder
from .places import Place, about_link, check_apart
from .tables import tsv_text
from .wav import WavFile

__all__ = [
    "FLOWING",
    "WORDS_ALONE",
    "Captions",
    "Contents",
    "Document",
    "File",
    "Place",
    "WavFile",
    "about_link",
    "beside_of",
    "captions_text",
    "cause_of",
    "check_apart",
    "give_instead",
    "json_of",
    "json_line",
    "json_text",
    "make_folder",
    "places_in",
    "tsv_text",
]
