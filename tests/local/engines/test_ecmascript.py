"""Regular expressions mean what they mean in JavaScript; the results here are Node's."""

from __future__ import annotations

import pytest

from speechmatics_rt.local.engines.ecmascript import Expression


@pytest.mark.parametrize(
    ("source", "text", "to", "result"),
    [
        ("colou?r", "colours", "hue", "hues"),
        ("(a)(b)?", "abab", "[$1|$2]", "[a|b][a|b]"),
        ("(a)(b)?", "aab", "[$1|$2]", "[a|][a|b]"),
        ("(?<x>a)(?<y_1>b)", "ab", "$<y_1>$<x>", "ba"),
        ("(?<x>a)", "a", "<$<y>>", "<>"),
        ("a", "a", "$<x>", "$<x>"),
        ("(?<x>a)\\k<x>", "aa-a", "!", "!-a"),
        ("(?:(a)|b)\\1", "b-aa", "!", "!-!"),
        ("\\1(a)", "a", "!", "!"),
        ("(a)\\2", "a\x02", "!", "!"),
        ("b", "abc", "[$`|$&|$']", "a[a|b|c]c"),
        ("(a)", "a", "$10 $01 $2 $0 $$", "a0 a $2 $0 $"),
        ("", "ab", "-", "-a-b-"),
        ("a*?", "aa", "-", "-a-a-"),
        ("a*", "baac", "-", "-b--c-"),
        ("^a$", "a\n", "!", "a\n"),
        ("a.b", "a\u2028b a\x85b", "!", "a\u2028b !"),
        ("\\s", "\ufeff\x1f", "-", "-\x1f"),
        ("[^\\S]", "\xa0x", "-", "-x"),
        ("\\d\\w\\b", "\u0663a 3\xe9 3a", "!", "\u0663a 3\xe9 !"),
        ("\\B", "", "-", "-"),
        ("[]", "a", "!", "a"),
        ("[^]", "\n", "!", "!"),
        ("[[a]", "[", "!", "!"),
        ("[a&&b]", "&", "!", "!"),
        ("[\\b]", "\b", "!", "!"),
        ("[\\w-.]", "-.", "!", "!!"),
        ("[a-c-e]", "b-e", "!", "!!!"),
        ("\\A\\Z\\p{L}", "AZp{L}", "!", "!"),
        ("a{,3}x{2", "a{,3}x{2", "!", "!"),
        ("a{2}", "aaa", "!", "!a"),
        ("\\x41\\u0042\\cJ\\0\\103", "AB\n\0C", "!", "!"),
        ("\\ud83d\\ude00", "\U0001f600", "!", "!"),
        ("\\c", "\\c", "!", "!"),
        ("]}", "]}", "!", "!"),
        ("\\/|/", "a/b", "-", "a-b"),
        ("(?=a)*b", "b", "!", "!"),
        ("(?<=a)b(?!c)(?<!x)", "ab abc", "!", "a! abc"),
    ],
)
def test_each_match_is_replaced_as_in_javascript(source: str, text: str, to: str, result: str) -> None:
    assert Expression(source).replace(text, to) == result
    assert Expression(source).matches(text) == (result != text)


@pytest.mark.parametrize(
    "source",
    [
        *("(", ")", "[", "[a", "\\", "*", "a**", "a++", "a{2,1}", "[b-a]", "^*", "\\b+", "(?<=a)*"),
        *("(?P<x>a)", "(?#a)", "(?>a)", "(?x)a", "(?<1>a)", "(?<x>a)(?<x>b)", "(?<x>a)\\k<y>", "(?<x>a)\\k"),
    ],
)
def test_what_is_no_expression_in_javascript_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        Expression(source)


@pytest.mark.parametrize("source", ["(?<=a+)b", "(?<!a|bc)d"])
def test_what_python_cannot_say_is_called_so(source: str) -> None:
    with pytest.raises(ValueError, match="this server can't say"):
        Expression(source)
