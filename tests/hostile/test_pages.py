"""What is said, or called, becomes text in every page of ours, and never HTML."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import Transcript

from ..fuzz.targets import WAV

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
PAGES = sorted(path for path in EXAMPLES.rglob("*") if path.suffix in (".html", ".js", ".py"))
# What makes HTML of a text: a browser's, and those of templates.
MAKES_HTML = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\|\s*safe\b|mark_safe|Markup\(|autoescape false"
)
HOSTILE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<!--",
    "]]>",
    "&lt;b&gt;",
    "{{7*7}}{id}",
    "</style><svg/onload=alert(1)>",
    "\x00<b>\ufeff",
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(EXAMPLES)))
def test_no_example_makes_html_of_what_was_said(path: Path) -> None:
    assert MAKES_HTML.findall(path.read_text(encoding="utf-8")) == []


class Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.handlers: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def seen_in(page: str) -> Seen:
    seen = Seen()
    seen.feed(page)
    seen.close()
    return seen


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("place", ["content", "speaker", "channel", "delimiter", "partial"])
def test_neither_words_nor_names_are_more_than_text_in_a_notebook_and_its_player(place, text) -> None:
    def transcript(said: str) -> Transcript:
        made = Transcript()
        delimiter = said if place == "delimiter" else " "
        made.add({"message": "RecognitionStarted", "language_pack_info": {"word_delimiter": delimiter}})
        for number, speaker in enumerate(("S1", said if place == "speaker" else "S2", "S3")):
            best = {"content": said if place == "content" else "word", "speaker": speaker, "confidence": 0.4}
            word = {"type": "word", "start_time": number, "end_time": number + 1, "alternatives": [best]}
            message = {"message": "AddTranscript", "results": [word, word]}
            made.add({**message, "channel": said if place == "channel" and number else "a"})
        partial = {"type": "word", "start_time": 9, "alternatives": [{"content": said}]}
        if place == "partial":
            made.add({"message": "AddPartialTranscript", "results": [partial]})
        return made

    plain, hostile = transcript("plain"), transcript(text)
    for show in (lambda one: one._repr_html_(), lambda one: one.player(WAV)._repr_html_()):
        usual, found = seen_in(show(plain)), seen_in(show(hostile))
        assert found.tags == usual.tags
        assert found.handlers == []
