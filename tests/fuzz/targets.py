"""What is fed with anything, and what must hold of it: one table for the suite and for the fuzzer.

A target takes bytes, makes its input of them, and raises whatever must not be. What a public call may raise
for bad input is caught where it is called, by the class that its docstring promises, and by no other.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from speechmatics_rt.audio import open_source
from speechmatics_rt.config import (
    AudioFormat,
    ConnectionConfig,
    ResumePolicy,
    TranscriptionConfig,
    check_url,
    environment_proxy,
    header_line,
    parse,
    proxy_parts,
    redact,
    with_sdk,
)
from speechmatics_rt.config.proxy import is_excepted
from speechmatics_rt.config.recognition import doubts, set_recognition_config, start_recognition
from speechmatics_rt.exceptions import AudioError, ConfigurationError, ProtocolError
from speechmatics_rt.local.engines.replay import ReplayEngine
from speechmatics_rt.messages import Secrets
from speechmatics_rt.network.dialing.upgrade import UpgradeSocket, refusal, secrets_in
from speechmatics_rt.protocol import ClientProtocol, codec, frames, glance, message_in
from speechmatics_rt.resume.replay import Replay
from speechmatics_rt.transcript import Transcript, TranscriptResult, Utterances

from .choices import Choices

__all__ = ["TARGETS", "Target"]

Target = Callable[[bytes], None]
TARGETS: dict[str, Target] = {}
FORMAT = AudioFormat("pcm_s16le", 1000)
SECRET = "s3cret"
WAV = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\0\0\0\0"


def target(check: Target) -> Target:
    TARGETS[check.__name__] = check
    return check


# -- the wire ------------------------------------------------------------------------------------------


def _decoded(pieces: list[bytes], limit: int | None) -> tuple[list[tuple[int, bytes]], str]:
    decoder, events = frames.Decoder(limit), []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        decoder.buffer()
    except frames.FrameError as exc:
        return events, f"{exc.code} {exc}"
    return events, ""


@target
def bytes_of_frames(data: bytes) -> None:
    """The same events and the same fault, however the bytes are cut; what is told was in them."""
    choices = Choices(data)
    limit = choices.pick((None, 0, 1, 125, 126, 300, 70_000))
    cuts = [choices.byte() % 40 for _ in range(choices.byte() % 8)]
    wire = choices.rest()
    pieces, rest = [], wire
    for size in cuts:
        pieces.append(rest[:size])
        rest = rest[size:]
    whole, cut = _decoded([wire], limit), _decoded([*pieces, rest], limit)
    assert whole == cut
    assert sum(len(payload) for _, payload in whole[0]) <= len(wire)
    for opcode, payload in whole[0]:
        assert opcode != frames.CLOSE or frames.Close.parse(payload)


@target
def payloads(data: bytes) -> None:
    """What is no message is refused by a promised class; orjson and json read the same; a glance is true."""
    choices = Choices(data)
    if choices.byte() % 4:
        data = json.dumps(choices.message(), ensure_ascii=choices.byte() % 2 == 0).encode("utf-8", "replace")
        for _ in range(choices.byte() % 4):
            at = choices.byte() * len(data) // 256
            data = data[:at] + choices.bytes(8) + data[at + choices.byte() % 8 :]
    else:
        data = choices.rest()
    peeked = codec.peek(data)
    seen = glance(data)
    try:
        message = codec.decode(data)
    except (codec.MessageError, UnicodeDecodeError, RecursionError, ValueError):
        assert seen is None or message_in(data) is None  # none, but it ends no session
        return
    assert repr(message) == repr(json.loads(str(data, "utf-8")))
    named_once = data.count(b'"message"') == 1 and b"\\" not in data
    assert peeked in (None, message["message"]) or not named_once
    if seen is not None and named_once:
        assert seen[0] == message["message"]
        assert isinstance(message_in(data), dict)


class _Nowhere:
    """A socket on which the given bytes come, in the given pieces, and then the end."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter([piece for piece in pieces if piece])
        self._rest = b""

    def recv_into(self, buffer: bytearray, timeout: float | None = None) -> int:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


@target
def answers_to_the_upgrade(data: bytes) -> None:
    """An HTTP answer is read, or refused by name; a key that it repeats is not told."""
    choices = Choices(data)
    head = choices.pick(
        (b"", b"HTTP/1.1 503 no\r\n", b"HTTP/1.1 401 \r\nRetry-After: ", b"HTTP/1.1 101 ok\r\n")
    )
    wire = head + choices.rest()
    answer: Any = UpgradeSocket(_Nowhere([wire[:7], wire[7:]]), float("inf"))  # type: ignore[arg-type]
    given = b""
    try:
        while part := answer.recv(100):
            given += part
    except (OSError, ProtocolError):
        return
    assert 100 <= answer.status <= 599
    assert b"\nset-cookie" not in given.lower()
    lines = given.decode("utf-8").split("\r\n")
    assert lines[-2:] == ["", ""]
    assert not any("\n" in line or "\r" in line for line in lines)
    target_ = parse(f"wss://h/v2?jwt={SECRET}")
    error = refusal(answer, target_, secrets_in(target_, [f"Authorization: Bearer {SECRET}"]), keyed=True)
    assert SECRET not in str(error)
    assert str(error).isprintable()


# -- what a server says ---------------------------------------------------------------------------------


class _Tags(HTMLParser):
    """Which tags and attributes a browser would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        self.seen.update(f"{tag} {name}" for name, _ in attrs)


_HTML = {
    *("div", "div dir", "div id", "p", "p dir", "p style", "small", "small title", "small data-t", "i"),
    *("b", "b style", "span", "span title", "span style", "span data-t", "span data-e", "style", "script"),
    *("audio", "audio controls", "audio preload", "audio src"),
}
_SRT_TIME = re.compile(r"\d\d+:\d\d:\d\d,\d{3} --> \d\d+:\d\d:\d\d,\d{3}")
_VTT_TIME = re.compile(r"(?:\d\d+:)?\d\d:\d\d\.\d{3} --> (?:\d\d+:)?\d\d:\d\d\.\d{3}")


def check_captions(transcript: Transcript) -> None:
    """Each block is a number, times, and lines that are neither."""
    srt, vtt = transcript.to_srt(), transcript.to_vtt()
    blocks = [block.split("\n") for block in srt.rstrip("\n").split("\n\n")] if srt else []
    for number, (first, times, *lines) in enumerate(blocks, 1):
        assert first == str(number)
        assert _SRT_TIME.fullmatch(times)
        assert lines
        assert all(line.strip() and "-->" not in line for line in lines)
    head, *cues = [block.split("\n") for block in vtt.rstrip("\n").split("\n\n")]
    assert head == ["WEBVTT"]
    for times, *lines in cues:
        assert _VTT_TIME.fullmatch(times)
        assert lines
        assert all(line.strip() and "-->" not in line for line in lines)
        tags = re.findall(r"<[^>]*>?", "\n".join(lines))
        assert all(re.fullmatch(r"<v [^<>]*>|</v>", tag) for tag in tags), tags
    for text in (srt, vtt):  # what players take for the end of a line is one of ours
        assert not re.search("[\r\x00\x0b\x0c\x85\u2028\u2029]", text)


def check_page(transcript: Transcript) -> None:
    for page in (transcript._repr_html_(), transcript.player(WAV)._repr_html_()):
        tags = _Tags()
        tags.feed(page)
        tags.close()
        assert tags.seen <= _HTML, tags.seen - _HTML
        assert page.count("<script") == page.count("</script") <= 1


def check_transcript(transcript: Transcript) -> None:
    assert isinstance(f"{transcript}{transcript!r}{transcript.text}{transcript.partial}", str)
    words = transcript.words
    assert all(word.end_time >= word.start_time for word in words)
    repr(words), repr(transcript.paragraphs)
    check_captions(transcript)
    check_page(transcript)
    again = Transcript.from_dict(json.loads(json.dumps(transcript.to_dict())))
    assert repr(again.to_dict()) == repr(transcript.to_dict())


@target
def a_key_that_is_repeated(data: bytes) -> None:
    """It is in no text of a message any more, however it was spelled; all else of it is as it was."""
    choices = Choices(data)
    key = choices.pick(("s3cret-k3y", "00000000", "u0031u0031", "a/b+c=d/", 'n\\n"n\\"n', "........"))
    others = [choices.text() for _ in range(2)]
    spelled = "".join(f"\\u{ord(char):04x}" if choices.byte() % 2 else json.dumps(char)[1:-1] for char in key)
    text = f'["{spelled}",{json.dumps(others)}]'.encode()
    hidden = json.loads(Secrets([key]).hide(text))
    assert hidden[0] == "***"
    assert hidden[1] == [one.replace(key, "***") for one in others]
    payload = choices.rest()
    seen = Secrets([key]).hide(payload)
    assert b"\\" in payload or key.encode() not in seen


@target
def a_lying_server(data: bytes) -> None:
    """A session, its transcript and its utterances take any messages: what is odd says nothing."""
    choices = Choices(data)
    protocol = ClientProtocol(ConnectionConfig(), block=4096, now=0.0)
    start = {"message": "StartRecognition", "audio_format": FORMAT.to_dict(), "transcription_config": {}}
    protocol.send(start, b"", 0.0)
    transcript, utterances = Transcript(), Utterances()
    said = 0
    if choices.byte() % 2:
        protocol.receive([({"message": "RecognitionStarted"}, b"", 1)], 0.0, lambda kind: False)
    while choices.left and said < 20:
        said += 1
        if protocol.admits(None, 0.5, feeding=False) and choices.byte() % 2:
            protocol.send_audio(b"frame", None, 0.5, 1000)
        message = json.loads(json.dumps(choices.message()))
        payload = json.dumps(message, ensure_ascii=choices.byte() % 2 == 0).encode("utf-8", "replace")
        assert codec.peek(payload) in (None, message["message"])
        seen = glance(payload)
        if seen is not None:
            transcript.add_payloads([seen], lambda one: message_in(one) or {})
        transcript.add(message)
        for utterance in utterances.add(message):
            json.dumps(utterance.to_dict())
            repr(utterance)
        repr(utterances.spoken())
        if message["message"] in ("AddTranscript", "AddPartialTranscript"):
            assert repr(TranscriptResult.from_message(message).to_dict()) is not None
        try:
            protocol.receive([(message, message, len(payload))], float(said), lambda kind: True)
        except ProtocolError as exc:
            protocol.receive_eof(exc, None, float(said))
    if protocol.conclusion is not None:
        str(protocol.conclusion.error), repr(protocol.conclusion.error)
    check_transcript(transcript)


@target
def words_in_captions(data: bytes) -> None:
    """Captions and pages of any words, labels and times keep to their form."""
    choices = Choices(data)
    transcript, now = Transcript(), 0.0
    while choices.left:
        now += choices.byte() / 16
        speaker = choices.pick((None, "S1", choices.text()))
        said = {"content": choices.text(), "speaker": speaker, "confidence": choices.byte() / 200}
        kind = choices.pick(("word", "word", "punctuation", "entity"))
        result = {
            "type": kind,
            "start_time": now,
            "end_time": now + choices.byte() / 64,
            "alternatives": [said],
        }
        channel = choices.pick((None, "a", choices.text()))
        message = {"message": "AddTranscript", "results": [result], "metadata": {"end_time": now}}
        transcript.add(message if channel is None else {**message, "channel": channel})
        if choices.byte() == 7:
            pack = {"word_delimiter": choices.text()}
            transcript.add({"message": "RecognitionStarted", "language_pack_info": pack})
    check_transcript(transcript)


@target
def a_lying_server_with_resume(data: bytes) -> None:
    """What is kept, joined and sent again takes any messages, and is never more than was given."""
    choices = Choices(data)
    labels = choices.pick(([None], ["a", "b"]))
    config: dict[str, Any] = {"language": "en"}
    if choices.byte() % 2:
        config.update(diarization="speaker", speaker_diarization_config={"get_speakers": True})
    start = {"message": "StartRecognition", "transcription_config": config}
    if choices.byte() % 4 == 0:
        start["translation_config"] = {"target_languages": ["fr"]}
    replay = Replay(start, labels, FORMAT, buffer_seconds=choices.pick((600, 5)))
    transcript = Transcript()
    sent, said = dict.fromkeys(labels, 0), 0
    while choices.left and said < 60:
        said += 1
        kind = choices.byte() % 8
        if kind == 0:
            replay.begin()
        elif kind in (1, 2):
            label = choices.pick(labels)
            replay.keep(label, bytes(2 * (1 + choices.byte()) * 20))
            sent[label] += 1
        elif kind in (3, 4):
            due = replay.due()
            if due is not None:
                replay.sent(due)
        else:
            message = json.loads(json.dumps(choices.message()))
            if (question := replay.question()) is not None:
                replay.asked(question)
            delivered = replay.receive(message)
            if delivered is not None:
                json.dumps(delivered)
                transcript.add(delivered)
        assert replay.missing >= 0
        assert replay.frames_taken == sum(sent.values())
        json.dumps(replay.start)
        # An honest server may round up the end of what it was sent, by 0.4 s at most.
        assert all(0 <= heard <= replay.seconds_taken + 0.4 + 1e-6 for heard in replay.heard)
    check_transcript(transcript)


# -- what a caller brings -------------------------------------------------------------------------------


@target
def recordings_of_sound(data: bytes) -> None:
    """Of any bytes in any pieces, all is sent, or what is left out is refused as AudioError."""
    choices = Choices(data)
    head = choices.pick(
        (b"", b"RIFF\0\0\0\0WAVE", WAV, WAV[:-8], WAV + bytes(16), WAV[:-4] + b"\x10\0\0\0" + bytes(16))
    )
    wire = head + choices.bytes(200)
    pieces = choices.cut(wire)
    try:
        source = open_source(iter(pieces), may_be_empty=choices.byte() % 2 == 0)
        sent = b"".join(source)
    except AudioError:
        return
    assert len(sent) <= len(wire)
    if source.audio_format == AudioFormat():
        assert sent == wire
    else:
        assert len(sent) % source.audio_format.bytes_per_sample == 0
        assert sent[:8] in wire


@target
def configurations(data: bytes) -> None:
    """Whatever JSON says of a session is taken as it is, or refused as ConfigurationError."""
    choices = Choices(data)
    given = [choices.value(5) for _ in range(4)]
    for call in (
        lambda: start_recognition(*given),
        lambda: TranscriptionConfig.of(given[0]),
        lambda: AudioFormat.of(given[1]),
        lambda: ResumePolicy.of(given[2]),
        lambda: set_recognition_config("en", given[3] if isinstance(given[3], dict) else {}),
    ):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # an option's former name is taken
                made: Any = call()
            if isinstance(made, dict):
                list(doubts(made))
                codec.encode(made)
            else:
                made.to_dict(), repr(made)
        except ConfigurationError:
            pass


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        path = Path(folder) / "recording.jsonl"
        path.write_bytes(content)
        yield path


@target
def recorded_sessions(data: bytes) -> None:
    """A file of a session is replayed, or refused as ConfigurationError."""
    choices = Choices(data)
    if choices.byte() % 4 == 0:
        content = choices.rest()
    else:
        lines = []
        while choices.left and len(lines) < 12:
            entry: Any = choices.message() if choices.byte() % 2 else choices.value()
            kind = choices.byte() % 4
            if kind == 1:
                entry = {"audio": choices.time(), "message": entry}
            elif kind == 2:
                entry = {"time": choices.time(), "received": entry}
            elif kind == 3:
                entry = {
                    "time": 1,
                    "sent": {"message": "AddAudio", "size": choices.time(), "channel": choices.value(1)},
                }
            lines.append(json.dumps(entry))
        content = "\n".join(lines).encode()
    with _file(content) as path:
        try:
            engine = ReplayEngine(path)
        except ConfigurationError:
            return
    engine.language_pack_info("en")
    recogniser = engine.recogniser(
        {"audio_format": {"type": "raw", "encoding": "mulaw", "sample_rate": 8000}}
    )
    heard = [*recogniser.feed(bytes(8000)), *recogniser.force_end_of_utterance(None), *recogniser.finish()]
    assert all(isinstance(message["message"], str) for message in heard)


@target
def kept_transcripts(data: bytes) -> None:
    """A transcript is built from any JSON, or refused as ConfigurationError."""
    choices = Choices(data)
    names = (
        "results",
        "partials",
        "languages",
        "end_time",
        "language_pack_info",
        "translations",
        "audio_events",
    )
    given = {name: choices.value(5) for name in names if choices.byte() % 2}
    if choices.byte() % 2:
        given["results"] = choices.message().get("results")
    try:
        transcript = Transcript.from_dict(json.loads(json.dumps(given)))
    except ConfigurationError:
        return
    check_transcript(transcript)


@target
def addresses(data: bytes) -> None:
    """A URL is taken or refused; no secret in it is ever told; a header is one line."""
    choices = Choices(data)
    text = choices.rest().decode("utf-8", "replace").replace(SECRET, "")
    forms = (
        text,
        f"wss://{text}",
        f"wss://user:{SECRET}@{text}",
        f"wss://{text}:{SECRET}@h/v2",
        f"wss://h/v2?jwt={SECRET}&{text}",
        f"wss://h/v2?{text}&api_key={SECRET}",
    )
    for form in forms:
        if form == forms[3] and "?" in text:
            continue  # that is a query, and what stands before it a host
        told = [redact(form)] if form.startswith("wss://") and not set("@?") & set(text) else []
        try:
            check_url(form)
            url = with_sdk(form, "a b", text or None)
            target_ = parse(url)
            assert target_.host.isascii()
            assert target_.resource.isascii()
            assert not re.search(r"[\s\x00-\x1f]", target_.resource + target_.host_field)
            told.append(redact(url))
        except ConfigurationError as exc:
            told.append(str(exc))
        assert all(SECRET not in one for one in told), told
    try:
        line = header_line(text[:3], text[3:])
        assert len(line.splitlines()) <= 1
    except ConfigurationError:
        pass


@target
def proxies(data: bytes) -> None:
    """What stands in the environment names a proxy or none, and excepts hosts; no password is told."""
    choices = Choices(data)
    host = choices.pick(("asr.example", "10.1.2.3", "fd00::1", "b\u00fccher.example", "a_b", choices.text()))
    text = choices.rest().decode("utf-8", "replace").replace("\0", "")
    assert is_excepted(text, host, 443) in (True, False)
    assert is_excepted(host, host, 443) in (True, False)
    told = []
    for url in (text, f"{text}me:{SECRET}@{text}", f"http://me:{SECRET}@{text}"):
        try:
            assert proxy_parts(url, ("http",), secure=True, given=url).hostname
        except ConfigurationError as exc:
            told.append(str(exc))
    assert all(SECRET not in one and len(one.splitlines()) == 1 for one in told), told
    before = dict(os.environ)
    try:
        os.environ.update({"https_proxy": text, "no_proxy": text[::-1]})
        assert isinstance(environment_proxy(True, host, 443), str)
    except UnicodeEncodeError:  # of os.environ itself
        pass
    finally:
        for name in ("https_proxy", "no_proxy"):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]
