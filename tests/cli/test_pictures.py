"""The pictures of the documents: what is drawn is what stood on the terminal."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from .pictures import Painted, colour, svg


def test_text_is_drawn_where_it_stood_and_in_its_colour() -> None:
    terminal = Painted(20, 5)
    terminal.feed("\x1b[1;38;5;30mS1:\x1b[0m Yes <&\r\n\x1b[38;5;243m  no\x1b[0m")
    drawn = svg(terminal, "speechmatics-rt x", 5)
    texts = ElementTree.fromstring(drawn).findall("{http://www.w3.org/2000/svg}text")
    said = [(text.text.replace("\u00a0", " "), text.get("fill"), text.get("font-weight")) for text in texts]
    assert said[0][0] == "$ speechmatics-rt x"
    assert said[1] == ("S1:", colour("38;5;30"), "bold")
    assert said[2][0].rstrip() == " Yes <&"
    assert said[3] == ("  no", "#767676", None)
    assert float(texts[2].get("x")) > float(texts[1].get("x"))
    assert float(texts[3].get("y")) > float(texts[2].get("y"))


def test_colours_are_those_of_terminals() -> None:
    assert (colour("38;5;16"), colour("38;5;231"), colour("38;5;196")) == ("#000000", "#ffffff", "#ff0000")
    assert re.fullmatch("#[0-9a-f]{6}", colour(""))
