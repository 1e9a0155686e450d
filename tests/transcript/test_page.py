"""What notebooks show: the page of a transcript, the player, short reprs, and what equals what."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import tempfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import AudioError, Transcript
from speechmatics_rt.transcript import player
from speechmatics_rt.transcript.words import Paragraph, Word

from .test_beside import sentence, sound, translation
from .test_transcript import final, heard, mark, partial, started, token

SPEECH = Path(__file__).parents[2] / "examples" / "audio" / "librivox_3_sentences.wav"
EVIL = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"onmouseover="alert(1)',
    "</style><b>",
    "&lt;b&gt;",
    "'; alert(1); '",
]


class Parts(HTMLParser):
    """The tags, their attributes, and the text, as a browser understands them."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.tags if name == tag]


def unsure(content: str, confidence: Any, at: float = 0.0, **more: Any) -> dict[str, Any]:
    result = token(content, at=at, **more)
    result["alternatives"][0]["confidence"] = confidence
    return result


@pytest.fixture
def talk() -> Transcript:
    return heard(
        final(unsure("Good", 1.0, 0.5, speaker="S1"), unsure("morning", 0.6, 1.0, speaker="S1"), mark(".")),
        final(unsure("Hello", 0.97, 61.5, speaker="S2"), mark(".", at=61.9), end=62.0),
    )


def test_the_page_has_times_speakers_by_colour_and_shaded_words_with_how_sure_they_are(talk) -> None:
    page = Parts(talk._repr_html_())
    assert "0:00 S1 Good morning." in page.text
    assert "1:01 S2 Hello." in page.text
    assert len({tag["style"] for tag in page.all("b")}) == 2
    (shaded,) = page.all("span")
    assert shaded["title"] == "1.00 s, 60% sure"
    assert "background" in shaded["style"]
    assert "less sure" in page.text


def test_one_who_speaks_alone_has_no_label_and_certain_words_no_shade() -> None:
    page = Parts(heard(final(unsure("Yes", 1.0, speaker="S1")))._repr_html_())
    assert page.text == "0:00 Yes"
    assert not page.all("span")


def test_a_long_turn_is_broken_at_sentences_so_that_times_stay_near() -> None:
    said = [
        part
        for number in range(20)
        for part in (token(f"w{number}", at=number * 5.0), mark(".", at=number * 5.0 + 0.4, is_eos=True))
    ]
    page = Parts(heard(final(*said))._repr_html_())
    assert [tag["data-t"] for tag in page.all("small") if tag] == ["0.00", "25.00", "50.00", "75.00"]


def test_a_silence_is_told_with_its_length_and_is_no_beginning() -> None:
    silent = heard(started(), final(end=75.0), {"message": "EndOfTranscript"})
    for transcript in (silent, Transcript.from_dict(silent.to_dict())):
        assert Parts(transcript._repr_html_()).text == "nothing was heard in 1:15"


def test_each_translation_stands_below_and_so_do_the_sounds() -> None:
    transcript = heard(
        final(unsure("Hello", 1.0, 0.5), mark(".")),
        translation("fr", sentence("Bonjour.", 0.5, 1.0)),
        translation("de", sentence("Hallo.", 0.5, 1.0)),
        {**translation("de", sentence("Es", 2.0, 2.2)), "message": "AddPartialTranslation"},
        sound(True, "music", 3.0),
        sound(False, "music", 64.0),
        sound(True, "applause", 70.0, channel="left"),
    )
    page = Parts(transcript._repr_html_())
    assert page.text == (
        "0:00 Hello.de0:00 Hallo.Esfr0:00 Bonjour.sounds: music 0:03 to 1:04, applause (left) 1:10"
    )
    assert Parts(heard(sound(True, "music", 3.0))._repr_html_()).text == "sounds: music 0:03"


def test_a_translation_alone_is_shown_though_nothing_else_was_heard() -> None:
    page = Parts(heard(translation("fr", sentence("Bonjour.", 0.5, 1.0)))._repr_html_())
    assert page.text == "fr0:00 Bonjour."


def test_nothing_heard_yet_is_said_and_the_partial_is_shown() -> None:
    assert "nothing was heard yet" in Transcript()._repr_html_()
    assert "and then" in Parts(heard(partial(token("and"), token("then")))._repr_html_()).text


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_that_was_said_or_is_called_becomes_html(evil: str) -> None:
    transcript = heard(
        final(unsure(evil, 0.2, speaker=evil), unsure("b", 0.9, speaker="S2"), channel=evil),
        partial(token(evil, at=9.0), channel=evil),
        translation(evil, sentence(evil, 0.5, 1.0)),
        sound(True, evil, 3.0, channel=evil),
    )
    for source in (transcript._repr_html_(), transcript.player(SPEECH)._repr_html_()):
        page = Parts(source)
        assert evil in page.text
        assert {tag for tag, _ in page.tags} <= {
            "div",
            "style",
            "audio",
            "p",
            "small",
            "b",
            "i",
            "span",
            "script",
        }
        for _, attributes in page.tags:
            assert set(attributes) <= {
                "id",
                "dir",
                "title",
                "style",
                "class",
                "src",
                "controls",
                "preload",
            } | {
                "data-t",
                "data-e",
            }


@pytest.mark.parametrize("confidence", ["high", -1, 2, True, [], {}, None, float("nan")])
def test_an_odd_confidence_is_left_out(confidence: Any) -> None:
    transcript = heard(final(unsure("so", confidence)))
    assert "sure" not in transcript._repr_html_()
    assert "so" in repr(transcript.words)


def test_right_to_left_is_said() -> None:
    transcript = heard(started(writing_direction="right-to-left"), final(token("a")))
    assert Parts(transcript._repr_html_()).tags[0][1]["dir"] == "rtl"
    assert Parts(transcript.player(SPEECH)._repr_html_()).tags[0][1]["dir"] == "rtl"


# -- the player ------------------------------------------------------------------------------------------


def test_the_player_has_the_recording_and_every_word_with_its_times(talk) -> None:
    page = Parts(talk.player(SPEECH)._repr_html_())
    (audio,) = page.all("audio")
    kind, _, data = audio["src"].partition(";base64,")
    assert kind == "data:audio/wav"
    assert base64.b64decode(data) == SPEECH.read_bytes()
    assert [(tag["data-t"], tag["data-e"]) for tag in page.all("span")] == [
        ("0.50", "0.90"),
        ("1.00", "1.40"),
        ("61.50", "61.90"),
    ]
    assert len(page.all("script")) == 1
    assert "http" not in talk.player(SPEECH)._repr_html_()  # nothing is fetched


def test_two_players_of_a_page_are_two(talk) -> None:
    shown = talk.player(SPEECH)
    ids = [re.search(r'<div id="([\w-]+)"', shown._repr_html_())[1] for _ in range(2)]
    assert ids[0] != ids[1]


def test_bytes_and_addresses_are_taken(talk) -> None:
    def source(recording: Any) -> str:
        return Parts(talk.player(recording)._repr_html_()).all("audio")[0]["src"]

    assert source(SPEECH.read_bytes()) == source(str(SPEECH))
    assert source(bytearray(SPEECH.read_bytes())) == source(memoryview(SPEECH.read_bytes())) == source(SPEECH)
    assert source("https://example.com/a.mp3?a=1&b=2") == "https://example.com/a.mp3?a=1&b=2"
    assert (
        Parts(talk.player('https://h/"><script>')._repr_html_()).all("audio")[0]["src"].endswith("<script>")
    )


def test_a_file_is_played_from_its_beginning_and_stays_where_it_stands(talk) -> None:
    whole = talk.player(SPEECH)._source
    with SPEECH.open("rb") as file, tempfile.SpooledTemporaryFile() as upload:
        upload.write(SPEECH.read_bytes())
        for recording in (file, upload, io.BytesIO(SPEECH.read_bytes())):
            recording.seek(100)
            assert talk.player(recording)._source == whole
            assert recording.tell() == 100
    with subprocess.Popen(["cat", SPEECH], stdout=subprocess.PIPE) as process:
        assert talk.player(process.stdout)._source == whole


@pytest.mark.parametrize(
    ("begins", "kind"),
    [
        (b"ID3\4", "audio/mpeg"),
        (b"\xff\xfb\x90\x64", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "audio/aac"),
        (b"OggS", "audio/ogg"),
        (b"fLaC", "audio/flac"),
        (b"\0\0\0 ftypM4A ", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3", "audio/webm"),
    ],
)
def test_a_browser_is_told_what_it_plays(talk, begins: bytes, kind: str) -> None:
    assert f'src="data:{kind};' in talk.player(begins + bytes(20))._repr_html_()


def _closed() -> io.BytesIO:
    file = io.BytesIO(b"RIFF")
    file.close()
    return file


def test_what_can_not_be_played_says_so_and_what_to_do(talk, tmp_path, monkeypatch) -> None:
    with pytest.raises(AudioError, match="module wave"):
        talk.player(bytes(100))
    with pytest.raises(AudioError, match=r"nowhere\.wav"):
        talk.player(tmp_path / "nowhere.wav")
    with pytest.raises(AudioError):
        talk.player(5)
    with pytest.raises(AudioError, match=r"read\(\) of the recording gave str, not bytes"):
        talk.player(io.StringIO("text"))
    with pytest.raises(AudioError, match=r"can't read the recording <_io\.BytesIO.*closed"):
        talk.player(_closed())
    monkeypatch.setattr(player, "MOST", 1000)
    for recording in (SPEECH, SPEECH.read_bytes(), io.BytesIO(SPEECH.read_bytes())):
        with pytest.raises(AudioError, match="https"):
            talk.player(recording)


# -- reprs and equality ----------------------------------------------------------------------------------


def test_reprs_fit_on_a_line(talk) -> None:
    assert repr(talk.words[1]) == "<Word 'morning.' 1.00-1.40 s, S1, 0.60>"
    assert repr(talk.paragraphs[0]) == "<Paragraph S1: 'Good morning.' 0.50-1.40 s, 2 words>"
    long = Paragraph(tuple(Word("word", 0, 1, "word", " ") for _ in range(500)))
    assert len(repr(long)) < 120
    assert repr(Paragraph(())) == "<Paragraph of no words>"
    assert repr(talk) == "<Transcript of 62.00 s, 3 words>"
    assert len(repr(talk.player(SPEECH))) < 100


def test_transcripts_that_hold_the_same_are_equal_and_have_no_hash(talk) -> None:
    again = Transcript.from_dict(talk.to_dict())
    assert again == talk
    assert talk == talk
    again.add(final(token("More", at=70.0), end=71.0))
    assert again != talk
    assert talk != heard(final(token("Good")))
    assert talk != "Good morning."
    assert Transcript() == Transcript()
    with pytest.raises(TypeError, match="unhashable"):
        hash(talk)
