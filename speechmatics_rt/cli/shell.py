"""Rewords the library's messages, written for programmers, for users of a shell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Callable, Union

__all__ = ["harmless", "in_shell_words", "of_option"]

_STEREO = (
    "add --split agent,caller (or whatever its channels are called) to transcribe each by itself, or --mix "
    "to make them one"
)

_PIPED = "speechmatics-rt transcribe -"

_CONFIGS = "Transcription|Translation|AudioEvents|SpeakerDiarization|Conversation"

# Each matches only messages of the library: names of files must pass unchanged.
_WORDS: list[tuple[str, Union[str, Callable[[re.Match[str]], str]]]] = [
    # Python code, as options.
    (r"\. Mix it to mono beforehand.* \(of [^:]*: (.*?)\), or .*", r"; \1"),
    (r"; one is expected\. Mix it to mono beforehand.*", f"; {_STEREO}"),
    (r" in one channel\. Mix it to mono beforehand.*", f" in one channel; leave --raw out, and {_STEREO}"),
    (r"\bbut audio_format says\b", "but --raw says"),
    (r"; leave audio_format out$", "; leave --raw out"),
    (r"(an API key .*: set \w+), or pass api_key=", r"\1 or give --api-key; --local needs none"),
    (r"\bpass api_key=", "give --api-key"),
    (r"(Check \w+), or mp_url=$", r"\1"),
    (r"\buse api_key or an auth object", "give the key with --api-key"),
    (r", or pass ConnectionConfig\(ssl_context=.*?\(cafile=\.\.\.\)\)", ""),
    (r' \(or ConnectionConfig\(proxy=""\) to go without\)', " (or name the host in no_proxy to go without)"),
    (r"\bpass (\w+)= to transcribe\(\), beside transcription_config=", r"put \1 beside transcription_config"),
    (r"; remove them: key\.strip\(\)", "; remove them"),
    (r"; seek\(0\) rewinds it", ""),
    (r"(a form with a file in it .*, not the file): give request\.files.*", r"\1"),
    (r", or give urllib\.request\.urlopen\(url\)$", f", or: curl -sSfL URL | {_PIPED}"),
    (r", or give a file that smart_open or fsspec has opened$", f", or pipe it: ... | {_PIPED}"),
    (r"(it seems to be contents, not a path); give audio as bytes.*", rf"\1; pipe it: ... | {_PIPED}"),
    (
        r"; give what ffmpeg makes of it: the stdout of (ffmpeg -i URL .*)$",
        rf"; pipe it: \1 | {_PIPED} --raw pcm_s16le --sample-rate 16000",
    ),
    (
        r"; a call takes one recording; transcribe_many\(.*\) takes all in it$",
        "; transcribe-many takes a folder",
    ),
    (r"^resume needs", "--resume needs"),
    (r"^JWTAuth needs", "--temporary-key needs"),
    (r"\baudio_format=AudioFormat\('pcm_s16le', 16000\)", "--raw pcm_s16le --sample-rate 16000"),
    # The names of settings that have no option.
    (r" \((?:[a-z]+_(?:timeout|seconds)|error\.transcript)\)(?=$|[:;,.]| \[)", ""),
    # Names of classes and errors, and Python's reprs.
    (rf"(?<![\w'/.=-])({_CONFIGS})Config\b", lambda found: f"{_snake(found[1])}_config"),
    (r"\{'type': 'raw', 'encoding': '(\w+)', 'sample_rate': (\d+)\}", r"\1 at \2 Hz"),
    (r"\{'type': 'file'\}", "a file of some other kind"),
    (r"(?<![\w'])(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Interrupt): ", ""),
    (r"\[(?:Errno|WinError) -?\d+\] ", ""),
    (r"\ba mapping\b|(?<=must be )Mapping\b.*?(?=,)", "a JSON object"),
    (r"(?<=must be )int\b", "a whole number"),
    (r"(?<=must be )float\b", "a number"),
    (r"'[\w-]+' codec can't .*", "it is not UTF-8 text"),
    (r"\bTrue or False\b", "true or false"),
    (r"\bTrue, or nothing\b", "true, or nothing"),
    (r"^diarization=", "diarization "),
    (r" returned None: it is ", " is "),
    (r"(?<= is )True\b", "true"),
    (r"(?<= is )False\b", "false"),
    (r"(?<= is )None\b", "null"),
]


def in_shell_words(text: str) -> str:
    """Reword a message of the library, in one line and without Python.

    Example:
        >>> in_shell_words("host needs an API key (of x.example): set THE_KEY, or pass api_key=")
        'host needs an API key (of x.example): set THE_KEY or give --api-key; --local needs none'
    """
    text = " ".join(text.split())
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


def of_option(text: str, options: Mapping[str, str], otherwise: str) -> str:
    """Name the option that a message about a field is about; otherwise say where the value comes from.

    Example:
        >>> of_option("max_delay is 9; accepted: 0.7 to 4", {"max_delay": "--max-delay"}, "--config")
        '--max-delay is 9; accepted: 0.7 to 4'
        >>> of_option("domain is ''; accepted: a non-empty string", {}, "--config 'c.json'")
        "--config 'c.json': domain is ''; accepted: a non-empty string"
    """
    found = re.match(r"([a-z_.]+)(?:\[\d+\])?(?= is )", text)
    if found and found[1] in options:
        return options[found[1]] + text[found.end() :]
    return f"{otherwise}: {text}" if otherwise else text


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but the tab and the end of a line


def harmless(text: str) -> str:
    """Remove control characters, which could command a terminal, from words and reasons of the server.

    Example:
        >>> harmless("It \\x1b]0;rained\\x07 in Bergen")
        'It �]0;rained� in Bergen'
    """
    return _CONTROL.sub("\ufffd", text)
