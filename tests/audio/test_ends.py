"""A source that ends too early is never taken for whole, if anything of it can be known."""

from __future__ import annotations

import bz2
import email
import gzip
import http.client
import http.server
import io
import logging
import lzma
import os
import socket
import tarfile
import threading
import urllib.request
import wave
import zipfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.response import addinfourl

import pytest

from speechmatics_rt import AudioError, AudioFormat, Client, split_channels
from speechmatics_rt.audio.source import open_source
from speechmatics_rt.local import LocalServer

PCM = AudioFormat("pcm_s16le", 16000)
AUDIO = os.urandom(100_000)
HALF = len(AUDIO) // 2


class Page(http.server.BaseHTTPRequestHandler):
    """Sends half of the audio, and ends the connection; at ``/whole`` all of it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        sent = AUDIO if "whole" in self.path else AUDIO[:HALF]
        self.send_response(200)
        if "chunked" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
            size, end = (len(sent), b"\r\n0\r\n\r\n") if "whole" in self.path else (len(AUDIO), b"")
            sent = b"%x\r\n%b%b" % (size, sent, end)
        elif "unsaid" not in self.path:
            self.send_header("Content-Length", str(len(AUDIO)))
        self.end_headers()
        self.wfile.write(sent)
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def of_urllib3(url: str, **options: Any) -> Any:
    urllib3 = pytest.importorskip("urllib3")
    return urllib3.PoolManager(retries=False).request("GET", url, preload_content=False, **options)


def of_requests(url: str) -> Any:
    requests = pytest.importorskip("requests")
    return requests.get(url, stream=True, timeout=10)


RESPONSES: dict[str, Callable[[str], Any]] = {
    "urlopen": urllib.request.urlopen,
    "urlopen, buffered": lambda url: io.BufferedReader(urllib.request.urlopen(url)),
    "urllib3": of_urllib3,
    "urllib3, which lets it pass": lambda url: of_urllib3(url, enforce_content_length=False),
    "requests": of_requests,
    "requests, raw": lambda url: of_requests(url).raw,
    "requests, iter_content": lambda url: of_requests(url).iter_content(5000),
}


@pytest.mark.parametrize("length", ["", "chunked"])
@pytest.mark.parametrize("kind", RESPONSES)
def test_a_response_that_is_cut_short_is_not_taken_for_whole(site: str, kind: str, length: str) -> None:
    source = open_source(RESPONSES[kind](f"{site}/half{length}"), PCM)
    got = []
    with pytest.raises(AudioError, match=r"cut short|failed after|IncompleteRead"):
        for chunk in source:
            got.append(chunk)
    source.close()
    assert len(b"".join(got)) <= HALF
    whole = open_source(RESPONSES[kind](f"{site}/whole{length}"), PCM)
    assert b"".join(whole) == AUDIO
    whole.close()


def test_the_error_says_how_much_came_of_how_much(site: str) -> None:
    with LocalServer() as server, Client(url=server.url) as client, pytest.raises(AudioError) as caught:
        client.transcribe(urllib.request.urlopen(f"{site}/half"), audio_format=PCM)
    assert "cut short after 50000 of 100000 bytes" in str(caught.value)
    assert caught.value.transcript is not None  # what came was transcribed
    assert server.sessions[0].audio == AUDIO[:HALF]


def test_a_response_of_which_somebody_has_read_a_part_is_whole_all_the_same(site: str, caplog: Any) -> None:
    for kind, open_url in RESPONSES.items():
        if hasattr(response := open_url(f"{site}/whole"), "read"):
            response.read(1000)
            source = open_source(response, PCM)
            assert b"".join(source) == AUDIO[1000:], kind
            source.close()
    assert caplog.messages == []


def test_of_a_response_without_a_length_nobody_can_know(site: str) -> None:
    source = open_source(urllib.request.urlopen(f"{site}/unsaid"), PCM)
    assert len(b"".join(source)) == HALF
    source.close()


def test_channels_of_a_response_that_is_cut_short_are_not_taken_for_whole() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as stereo:
        stereo.setparams((2, 2, 16000, 0, "NONE", ""))
        stereo.writeframes(AUDIO)
    wav = file.getvalue()
    response = response_of(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(wav), wav[:HALF]))
    sources = split_channels(response, ["agent", "caller"])
    for source in sources.values():
        with pytest.raises(AudioError, match=f"cut short after {HALF} of {len(wav)} bytes"):
            list(source)
        source.close()


def response_of(data: bytes) -> http.client.HTTPResponse:
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs:
            theirs.sendall(data)

    threading.Thread(target=send).start()
    with ours:
        response = http.client.HTTPResponse(ours)
    response.begin()
    return response


def test_a_body_that_django_reads_of_a_lost_client_is_not_taken_for_whole() -> None:
    wsgi = pytest.importorskip("django.core.handlers.wsgi")
    django = pytest.importorskip("django.conf")
    if not django.settings.configured:
        django.settings.configure()
    for came in (AUDIO[:HALF], AUDIO):
        request = wsgi.WSGIRequest(
            {"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(came), "CONTENT_LENGTH": str(len(AUDIO))}
        )
        source = open_source(request, PCM)
        if came is AUDIO:
            assert b"".join(source) == AUDIO
        else:
            with pytest.raises(AudioError, match="cut short after 50000 of 100000 bytes"):
                list(source)
        source.close()


def test_a_body_that_flask_reads_of_a_lost_client_is_not_taken_for_whole() -> None:
    flask = pytest.importorskip("flask")
    environ = {
        "wsgi.input": io.BytesIO(AUDIO[:HALF]),
        "CONTENT_LENGTH": str(len(AUDIO)),
        "wsgi.url_scheme": "http",
    }
    request = flask.Request({"REQUEST_METHOD": "POST", "SERVER_NAME": "x", "SERVER_PORT": "80", **environ})
    source = open_source(request.stream, PCM)
    with pytest.raises(AudioError, match="ClientDisconnected"):
        list(source)
    source.close()


def test_a_body_that_gunicorn_reads_of_a_lost_client_is_not_taken_for_whole() -> None:
    body = pytest.importorskip("gunicorn.http.body")
    unreader = pytest.importorskip("gunicorn.http.unreader")
    for lost in (HALF, 2000, 2, 0):
        for read_before in (0, 100):
            came = AUDIO[: len(AUDIO) - lost]
            # What Flask passes on as request.stream.
            stream = body.Body(body.LengthReader(unreader.IterUnreader([came]), len(AUDIO)))
            stream.read(read_before)
            source = open_source(stream, PCM)
            if not lost:
                assert b"".join(source) == AUDIO[read_before:]
            else:
                size = len(AUDIO) - read_before
                with pytest.raises(AudioError, match=f"cut short after {size - lost} of {size} bytes"):
                    list(source)
            source.close()


def of_ftp(came: bytes) -> addinfourl:
    """What urlopen("ftp://...") returns: the size that the server has announced, and what came of it."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs:
            theirs.sendall(came)

    threading.Thread(target=send).start()
    with ours:
        file = ours.makefile("rb")
    return addinfourl(file, email.message_from_string(f"Content-length: {len(AUDIO)}\n"), "ftp://x/a.raw")


def test_of_a_file_that_comes_by_ftp_a_loss_is_a_warning(caplog: Any) -> None:
    # It does not say how much somebody has read of it before: so it may be whole.
    for came, warnings in ((AUDIO, 0), (AUDIO[:HALF], 1)):
        with of_ftp(came) as response, caplog.at_level(logging.WARNING):
            source = open_source(response, PCM)
            assert b"".join(source) == came
            source.close()
        assert len(caplog.messages) == warnings
    assert "50000 of the 100000 bytes that were announced" in caplog.text


def test_a_file_by_its_url_is_whole_wherever_its_reading_begins(tmp_path: Any, caplog: Any) -> None:
    (tmp_path / "a.raw").write_bytes(AUDIO)
    with urllib.request.urlopen((tmp_path / "a.raw").as_uri()) as file:
        file.read(1000)
        source = open_source(file, PCM)
        assert b"".join(source) == AUDIO[1000:]
        source.close()
    assert caplog.messages == []


def in_zip(data: bytes) -> Any:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.raw", data)
    opened = zipfile.ZipFile(file).open("a.raw")  # noqa: SIM115  # in memory
    file.truncate(HALF)
    return opened


def in_tar(data: bytes) -> Any:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        entry = tarfile.TarInfo("a.raw")
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
    file.truncate(HALF)
    file.seek(0)
    archive = tarfile.open(fileobj=file)  # noqa: SIM115  # in memory
    return archive.extractfile(archive.next() or "")


CONTAINERS: dict[str, Callable[[bytes], Any]] = {
    "gzip": lambda data: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(data)[:HALF])),
    "bz2": lambda data: bz2.BZ2File(io.BytesIO(bz2.compress(data)[:HALF])),
    "xz": lambda data: lzma.LZMAFile(io.BytesIO(lzma.compress(data)[:HALF])),  # noqa: SIM115
    "zip": in_zip,
    "tar": in_tar,
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_file_in_a_container_that_is_cut_short_is_not_taken_for_whole(kind: str) -> None:
    with pytest.raises(AudioError, match="failed after"):
        list(open_source(CONTAINERS[kind](AUDIO), PCM))
