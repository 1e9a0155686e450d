"""What the command says, before anybody knows where: words that flow, with speakers and colours, and figures.

``flow`` makes tokens of words, which a screen draws and a file has plain; ``report`` words the figures. Pure.
"""

from __future__ import annotations

from .flow import GREY, Flow, Line, Token, plain
from .report import stats_dict, stats_lines

__all__ = ["GREY", "Flow", "Line", "Token", "plain", "stats_dict", "stats_lines"]
