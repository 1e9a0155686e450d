"""What a reader takes for one character is never torn apart, in captions and on a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from speechmatics_rt.cli.shell import harmless
from speechmatics_rt.cli.show import below, ending_of, fitted
from speechmatics_rt.cli.text import Token
from speechmatics_rt.transcript import Word, captions, characters, width
from speechmatics_rt.transcript.words import Paragraph

FAMILY = "👨‍👩‍👧‍👦"
WHOLE = {
    "accent": "e\u0301",
    "Thai": "กิ",
    "Thai with a tone and a vowel behind it": "น้ำ",
    "Thai vowel in front": "เก",
    "Thai vowel behind": "กา",
    "Devanagari": "कि",
    "Devanagari of two consonants": "क्षि",
    "Devanagari of three": "ष्ट्री",
    "family": FAMILY,
    "heart of emoji": "❤\ufe0f",
    "skin colour": "👍🏽",
    "flag": "🇳🇴",
    "key": "1\ufe0f\u20e3",
    "Korean, spelled out": "한",
    "joined by hand": "क्\u200dष",
}
# What texts of several scripts are made of, whole or in parts.
PARTS = [*"ab กเิ้ำคक ा्िि公한🇳🇴🇸👨👩🏽❤\u200d\u200c\ufe0f\u0301\u0300\u00a0", *WHOLE.values()]
TEXTS = st.lists(st.sampled_from(PARTS), min_size=1).map("".join) | st.text(min_size=1)


@pytest.mark.parametrize("kind", WHOLE)
def test_what_is_one_character_stays_whole(kind: str) -> None:
    whole = WHOLE[kind]
    assert list(characters(whole * 3)) == [whole] * 3
    assert 1 <= width(whole) <= 2 or kind.startswith("Devanagari")
    assert width(whole * 3) == 3 * width(whole)


WIDTHS = {
    "naïve": 5,
    "nai\u0308ve": 5,
    "公園": 4,
    "สวัสดี": 4,
    "नमस्ते": 4,
    FAMILY: 2,
    "🇳🇴🇸🇪": 4,
    "\u200b": 0,
}


@pytest.mark.parametrize("text", WIDTHS)
def test_signs_take_no_column_of_their_own(text: str) -> None:
    assert width(text) == WIDTHS[text]


def begins_inside(text: str, at: int) -> bool:
    """Whether a cut there would tear a character apart."""
    before, after = text[at - 1], text[at]
    sign = unicodedata.category(after) in ("Mn", "Mc", "Me") or after in "\u200d🏻🏼🏽🏾🏿"
    return sign or (before == "\u200d" and not after.isspace())  # a joiner joins no blank


@given(TEXTS)
def test_characters_joined_are_the_text_and_none_begins_with_a_sign(text: str) -> None:
    pieces = list(characters(text))
    assert "".join(pieces) == text
    at = 0
    for piece in pieces[:-1]:
        at += len(piece)
        assert not begins_inside(text, at)


@given(TEXTS, st.integers(10, 25), st.integers(1, 3))
def test_captions_of_a_word_of_any_script_hold_it_whole_and_tear_no_character(
    text: str, columns: int, lines: int
) -> None:
    said = captions._units([Word(text, 0.0, 1.0, text=text)], columns)
    pieces = [(unit.delimiter, unit.text) for unit in said]
    whole = captions.one_line(text)
    assert "".join(delimiter + piece for delimiter, piece in pieces) == whole
    assert all(width(piece) <= columns for _, piece in pieces)
    if all(width(character) <= columns for character in characters(whole)):
        at = 0
        for delimiter, piece in pieces[:-1]:
            at += len(delimiter) + len(piece)
            assert whole[at] == " " or not begins_inside(whole, at)


@pytest.mark.parametrize(
    "text",
    [
        "กินข้าวที่นี่ดีกว่าที่นั่นครับผมสวัสดี",
        "अंतर्राष्ट्रीयकरणकीप्रक्रियामेंभी",
        FAMILY * 12,
        "🇳🇴🇸🇪🇩🇰" * 5,
    ],
)
def test_lines_of_captions_begin_with_no_sign(text: str) -> None:
    turn = Paragraph((Word(text, 0.0, 4.0, text=text),))
    cues = captions.arrange([turn], named=False, shape=captions.CaptionShape(10, 2))
    lines = [line for cue in cues for line in cue.lines]
    assert "".join(lines) == text
    assert len(lines) > 2
    assert [character for line in lines for character in characters(line)] == list(characters(text))


@pytest.mark.parametrize("first", ["เ", "क्", "👩\u200d"])
def test_what_waits_for_a_letter_takes_no_space_in_its_place(first: str) -> None:
    assert list(characters(f"{first} a")) == [first, " ", "a"]


def test_a_character_that_is_wider_than_a_line_is_torn_rather_than_written() -> None:
    units = list(captions._units([Word("", 0.0, 1.0, text="क" + "ि" * 10_000)], 42))
    assert all(unit.width <= 42 for unit in units)


def test_a_long_text_without_spaces_is_cut_in_one_pass() -> None:
    text = "公" * 100_000
    units = list(captions._units([Word(text, 0.0, 1.0, text=text)], 42))
    assert {len(unit.text) for unit in units[:-1]} == {21}


@given(TEXTS, st.integers(10, 30))
def test_on_a_terminal_no_character_is_torn_apart(text: str, columns: int) -> None:
    text = harmless(" ".join(text.split()))
    known = set(characters(text)) | {"…"}
    assume(" " not in {character[0] for character in known if len(character) > 1})  # a sign of nothing
    (row,) = fitted([Token(text)], columns)
    assert text.startswith(row.text)
    assert width(row.text) <= columns
    assert set(characters(row.text)) <= known
    end = ending_of(text, columns)
    assert width(end) <= columns
    assert set(characters(end.removeprefix("… "))) <= known
    pieces = below(text, [], column=0, columns=columns, colour=False).partition("\x1b")[0].split("\r\n")
    assert {one for piece in pieces for one in characters(piece.strip("\r"))} <= known
