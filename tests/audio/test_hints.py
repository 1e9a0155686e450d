"""What is no source is told what to give instead, and who gives that has his words."""

from __future__ import annotations

import array
import asyncio
import collections
import functools
import glob
import importlib
import io
import queue
import re
import socket
import subprocess
import sys
import tarfile
import threading
import urllib.request
import warnings
import wave
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from speechmatics_rt import AsyncClient, AudioError, AudioFormat, Client
from speechmatics_rt.audio.source import check_chunk, open_source
from speechmatics_rt.local import LocalServer
from speechmatics_rt.local.engines import Script, SpokenEngine

numpy = pytest.importorskip("numpy")

RATE = 16_000
PCM = AudioFormat("pcm_s16le", RATE)
SAMPLES = numpy.random.default_rng(7).integers(-(2**15), 2**15, 4 * RATE).astype("<i2")
WORDS = "Two teas, please."


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    """Hears the words in the samples, as integers and as floats, and in what is left of them in 8 bits."""
    engine, script = SpokenEngine(), Script.from_text(WORDS)
    for samples in (SAMPLES, (SAMPLES >> 8) << 8):
        for encoding, as_sent in (("pcm_s16le", samples), ("pcm_f32le", (samples / 2**15).astype("<f4"))):
            engine.know(as_sent.tobytes(), {"type": "raw", "encoding": encoding, "sample_rate": RATE}, script)
    with LocalServer(engine) as running:
        yield running


def wav(samples: Any = SAMPLES) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setparams((1, 2, RATE, 0, "NONE", ""))
        recording.writeframes(samples.tobytes())
    return file.getvalue()


def of_kind(kind: str) -> Any:
    """The samples as an array of that kind, full scale."""
    ways: dict[str, Callable[[], Any]] = {
        "f": lambda: SAMPLES / 2**15,
        "i1": lambda: SAMPLES >> 8,
        "i2": lambda: SAMPLES,
        "i4": lambda: SAMPLES.astype("i4") << 16,
        "i8": lambda: SAMPLES,
        "u1": lambda: (SAMPLES >> 8) + 128,
        "u2": lambda: SAMPLES.astype("i4") + 2**15,
    }
    number = kind.lstrip("<>")
    return ways["f" if number[0] == "f" else number]().astype(kind)


SHAPES: dict[str, Callable[[Any], Any]] = {
    "mono": lambda x: x,
    "channels first": lambda x: numpy.stack([x, x[::-1]]),
    "channels last": lambda x: numpy.stack([x, x[::-1]], axis=1),
    "one channel first": lambda x: x[None],
    "one channel last": lambda x: x[:, None],
    "a batch": lambda x: numpy.stack([x, x[::-1]])[None],
}
KINDS = ("<i2", ">i2", "<i4", "<i8", ">i4", "i1", "u1", "<u2", "<f4", ">f4", "<f8", ">f8")


def module_of(name: str) -> Any:
    """A package that is not among those of the tests; None if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def like(module: str, name: str, **attributes: Any) -> Any:
    """An object of a class of that name, as hints see it, in place of a package that is not installed."""
    return type(name, (), {"__module__": module, **attributes})()


class Tensor(SimpleNamespace):
    """As those of PyTorch, TensorFlow and Polars are: no ``tobytes``, and dtypes of their own."""

    def __init__(self, samples: Any, package: str) -> None:
        name = samples.dtype.name
        dtypes = {"torch": f"torch.{name}", "tensorflow": SimpleNamespace(name=name), "polars": name.title()}
        super().__init__(samples=samples, package=package, dtype=dtypes[package], shape=samples.shape)
        setattr(self, "to_numpy" if package == "polars" else "numpy", lambda: samples)
        if package == "torch":
            self.detach = self.cpu = lambda: self

    def __getitem__(self, index: Any) -> Tensor:
        return Tensor(self.samples[index], self.package)


def tensor(samples: Any) -> Tensor:
    return Tensor(samples, "torch")


def series() -> Any:
    pandas = module_of("pandas")
    return Tensor(SAMPLES, "polars") if pandas is None else pandas.Series(SAMPLES)


def sound_file() -> Any:
    soundfile = module_of("soundfile")
    if soundfile is not None:
        return soundfile.SoundFile(io.BytesIO(wav()))
    return like(
        "soundfile", "SoundFile", samplerate=RATE, read=lambda self, dtype, always_2d: SAMPLES[:, None]
    )


def segment() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydub, about its own patterns and ffmpeg
        pydub = module_of("pydub")
    if pydub is not None:
        return pydub.AudioSegment(SAMPLES.tobytes(), frame_rate=RATE, sample_width=2, channels=1)
    same: dict[str, Any] = dict.fromkeys(("set_channels", "set_sample_width"), lambda self, _: self)
    return like("pydub.audio_segment", "AudioSegment", raw_data=SAMPLES.tobytes(), frame_rate=RATE, **same)


def response() -> Any:
    httpx = module_of("httpx")
    if httpx is not None:
        return httpx.Response(200, content=wav())
    return like("httpx", "Response", iter_bytes=lambda self: iter([wav()]))


def spoken() -> Any:
    recognition = module_of("speech_recognition")
    if recognition is not None:
        return recognition.AudioData(SAMPLES.tobytes(), RATE, 2)
    data = {"sample_rate": RATE, "get_raw_data": lambda self, convert_width: SAMPLES.tobytes()}
    return like("speech_recognition.audio", "AudioData", **data)


def decoder() -> Any:
    samples = SimpleNamespace(data=tensor(of_kind("<f4")[None]))
    same = {"metadata": SimpleNamespace(sample_rate=RATE), "get_all_samples": lambda self: samples}
    return like("torchcodec.decoders", "AudioDecoder", **same)


def frame() -> Any:
    av = pytest.importorskip("av")
    made = av.AudioFrame.from_ndarray(SAMPLES[None], format="s16", layout="mono")
    made.sample_rate = RATE
    return made


def of_fsspec(folder: Path) -> Any:
    fsspec = module_of("fsspec")
    (folder / "a.wav").write_bytes(wav())
    if fsspec is not None:
        return fsspec.open(str(folder / "a.wav"), "rb")
    return like("fsspec.core", "OpenFile", open=lambda self: io.BytesIO(wav()))


def in_zip() -> zipfile.ZipFile:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", wav())
    return zipfile.ZipFile(file)


def in_tar() -> Any:
    file, entry = io.BytesIO(), tarfile.TarInfo("a.wav")
    entry.size = len(wav())
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(wav()))
    file.seek(0)
    return tarfile.open(fileobj=file)


def filled(made: Any) -> Any:
    for block in (wav()[:1000], wav()[1000:], None):
        made.put(block)
    return made


def connected() -> socket.socket:
    ours, theirs = socket.socketpair()

    def send() -> None:
        with theirs:
            theirs.sendall(wav())

    threading.Thread(target=send).start()
    return ours


def process() -> Any:
    program = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    running = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert running.stdin is not None
    threading.Thread(target=lambda: (running.stdin.write(wav()), running.stdin.close())).start()
    return running


def request() -> Any:
    flask = pytest.importorskip("flask")
    body = {"wsgi.input": io.BytesIO(wav()), "CONTENT_LENGTH": str(len(wav())), "wsgi.url_scheme": "http"}
    return flask.Request({"REQUEST_METHOD": "POST", "SERVER_NAME": "x", "SERVER_PORT": "80", **body})


def recorded(folder: Path) -> Path:
    (folder / "a.wav").write_bytes(wav())
    return folder / "a.wav"


async def asked() -> bytes:
    return wav()


class UPath:
    """A path elsewhere."""

    def open(self, mode: str) -> Any:
        assert mode == "rb"
        return io.BytesIO(wav())


THINGS: dict[str, Callable[[Path], Any]] = {
    **{
        f"NumPy, {kind}, {name}": lambda _, kind=kind, shape=shape: shape(of_kind(kind))
        for kind in KINDS
        for name, shape in SHAPES.items()
    },
    **{
        f"{package}, {kind}, {name}": lambda _, kind=kind, package=package, shape=shape: Tensor(
            shape(of_kind(kind)), package
        )
        for package in ("torch", "tensorflow", "polars")
        for kind in ("<i2", "<i4", "u1", "<f4", "<f8")
        for name, shape in list(SHAPES.items())[:2]
    },
    "array, h": lambda _: array.array("h", SAMPLES.tolist()),
    "array, f": lambda _: array.array("f", (SAMPLES / 2**15).tolist()),
    "array, d": lambda _: array.array("d", (SAMPLES / 2**15).tolist()),
    "array, i": lambda _: array.array("i", SAMPLES.tolist()),
    "array, q": lambda _: array.array("q", SAMPLES.tolist()),
    "array, B": lambda _: array.array("B", SAMPLES.tobytes()),
    "numbers": lambda _: SAMPLES.tolist(),
    "floats": lambda _: (SAMPLES / 2**15).tolist(),
    "scalars of NumPy": lambda _: list(SAMPLES),
    "floats of NumPy": lambda _: list(of_kind("<f4")),
    "a column": lambda _: series(),
    "scipy.io.wavfile.read, Gradio": lambda _: (RATE, SAMPLES),
    "librosa.load": lambda _: (of_kind("<f4"), RATE),
    "soundfile.read": lambda _: (SHAPES["channels last"](SAMPLES / 2**15), RATE),
    "torchaudio.load": lambda _: (tensor(of_kind("<f4")[None]), RATE),
    "a rate of NumPy": lambda _: [numpy.int64(RATE), SAMPLES],
    "a data set": lambda _: {"path": None, "array": SAMPLES / 2**15, "sampling_rate": RATE},
    "a pipeline": lambda _: {"raw": of_kind("<f4"), "sampling_rate": RATE},
    "pyannote": lambda _: {"waveform": tensor(of_kind("<f4")[None]), "sample_rate": RATE},
    "a data set, not decoded": lambda _: {"path": "a.wav", "bytes": wav()},
    "torchcodec": lambda _: decoder(),
    "boto3": lambda _: {"ContentLength": len(wav()), "Body": io.BytesIO(wav())},
    "soundfile": lambda _: sound_file(),
    "pydub": lambda _: segment(),
    "SpeechRecognition": lambda _: spoken(),
    "av": lambda _: frame(),
    "fsspec": of_fsspec,
    "zipfile.Path": lambda _: zipfile.Path(in_zip(), "a.wav"),
    "zipfile": lambda _: in_zip(),
    "tarfile": lambda _: in_tar(),
    "a path elsewhere": lambda _: UPath(),
    "queue": lambda _: filled(queue.Queue()),
    "SimpleQueue": lambda _: filled(queue.SimpleQueue()),
    "socket": lambda _: connected(),
    "subprocess": lambda _: process(),
    "httpx": lambda _: response(),
    "flask": lambda _: request(),
    "a generator function": lambda _: lambda: (block for block in (wav(),)),
    "a function": lambda _: wav,
    "a method": lambda _: io.BytesIO(wav()).getvalue,
    "partial": lambda _: functools.partial(wav, SAMPLES),
    "a request": lambda folder: urllib.request.Request(recorded(folder).as_uri()),
    "an address": lambda folder: recorded(folder).as_uri(),
    "wave": lambda folder: wave.open(str(recorded(folder))),  # noqa: SIM115  # closed when it was refused
}
NAMES = ("x", "source", "response", "segment", "file", "sock", "process", "archive", "request", "url")
MODULES = {"array": array, "AudioFormat": AudioFormat, "urllib": urllib, "av": module_of("av")}
ADVICE = re.compile(
    r"\bgive (?:its path; or )?(?P<source>.+?)"
    r"(?:, with audio_format=(?P<format>AudioFormat\(.*?\))(?:, if .*)?|, and put None.*|, or of a form .*|"
    r", which are .*| or the path; .*|; to AsyncClient.*)?$"
)


def told(source: Any, audio_format: Optional[AudioFormat] = PCM) -> str:
    with pytest.raises(AudioError) as caught:
        open_source(source, audio_format)
    return caught.value.text


@pytest.mark.parametrize("kind", THINGS)
def test_who_gives_what_he_is_told_to_has_his_words(server: LocalServer, tmp_path: Path, kind: str) -> None:
    source = THINGS[kind](tmp_path)
    advice = ADVICE.search(told(source))
    assert advice, told(source)
    names = {**dict.fromkeys(NAMES, source), **MODULES, "sample_rate": RATE, "name": "a.wav"}
    names["path"] = tmp_path / "a.wav"
    followed = eval(advice["source"], names)
    audio_format = eval(advice["format"], names) if advice["format"] else None
    if kind == "array, B":
        audio_format = PCM
    with Client(url=server.url) as client:
        assert client.transcribe(followed, audio_format=audio_format).text == WORDS
    for opened in (followed, source):
        getattr(opened, "close", int)()
        getattr(opened, "wait", int)()


@pytest.mark.parametrize("kind", [kind for kind in THINGS if kind.startswith(("NumPy", "array", "av"))])
def test_blocks_are_told_the_same(tmp_path: Path, kind: str) -> None:
    block = THINGS[kind](tmp_path)
    advice = [ADVICE.search(told([block])), ADVICE.search(told(iter([block]))), ADVICE.search(told(block))]
    assert len({found and found["source"] for found in advice}) == 1, kind
    assert advice[0]
    with pytest.raises(AudioError, match=re.escape(advice[0]["source"])):
        check_chunk(block, PCM)


@pytest.mark.parametrize(
    ("source", "way"),
    [
        (None, r"^the audio source is None; give a path.* a form without that file"),
        ("", r"''.*the name is empty"),
        ("s3://bucket/a.wav", "download it first, or give a file that smart_open or fsspec has opened$"),
        ("gs://bucket/a.wav", "smart_open or fsspec"),
        ("rtsp://camera/1", "the stdout of ffmpeg -i URL"),
        ("https://example.com/a.wav", r"give urllib\.request\.urlopen\(url\)$"),
        (Path("https://example.com/a.wav"), r"give urllib\.request\.urlopen\(url\)$"),
        ("data:audio/wav;base64,UklGRg==", r"urlopen\(url\)$"),
        (Path(__file__).parent, r"transcribe_many\(Path\(folder\)\.iterdir\(\)\)"),
        (str(Path(__file__).parent), r"transcribe_many\("),
        (wave.Wave_read, "is the class Wave_read; give an object of it"),
        (io.BytesIO, "is the class BytesIO; give an object of it"),
        (asked, r"coroutine function; give await source\(\)"),
        (asyncio.Queue.__new__(asyncio.Queue), "an async generator to AsyncClient"),
        (like("pandas", "DataFrame", __iter__=lambda self: iter(["left"])), r"one column, source\[name\]"),
        (like("starlette.requests", "Request"), r"source\.stream\(\) to AsyncClient"),
        (like("werkzeug.wrappers", "Request"), r"request\.stream, or of a form request\.files\[name\]"),
        (like("multiprocessing.queues", "SimpleQueue"), r"iter\(source\.get, None\)"),
        (numpy.zeros(9, "c8"), "make its numbers int16"),
        (tensor(numpy.zeros(9, "f2")), r"astype\('<f4'\)"),
        (like("torch", "Tensor", dtype="torch.bfloat16", shape=(9,), detach=int), "make its numbers int16"),
        (4.5, "float is not audio; give a path"),
        (
            Path(__file__).parent.glob("*.py"),
            r"a name \(\w+Path\), not bytes; .*transcribe_many\(names\) many$",
        ),
        ((name for name in ["a.wav"]), r"a name \(str\), not bytes; .*transcribe_many\(names\) many$"),
        (glob.iglob(f"{Path(__file__).parent}/*.py"), r"transcribe_many\(names\) many$"),
        ({"a.wav", "b.wav"}, r"transcribe_many\(names\) takes many$"),
        ([io.BytesIO(bytes(640))], r"list of files.*transcribe_many\(files\) takes many$"),
        ((io.BytesIO(bytes(640)) for _ in range(2)), r"a file \(BytesIO\).*transcribe_many\(files\) many$"),
        ((line for line in ["not a name\n"]), '"rb"'),
        ("UklGRg" * 2000, r"'UklGRg.{1,200}': .*it seems to be contents, not a path.*b64decode\(text\)$"),
        ("RIFF\0\0", "it seems to be contents, not a path"),
        ("file://server/share/a.wav", "on the machine 'server': give its path here"),
        ("file:no-such.wav", "give 'no-such.wav'$"),
        ("file://no-such.wav", "give 'no-such.wav'$"),
    ],
)
def test_what_is_no_source_is_told_what_to_give(source: Any, way: str) -> None:
    assert re.search(way, told(source))


def test_an_array_is_told_its_rate_if_that_is_known() -> None:
    assert 'AudioFormat("pcm_s16le", 44100)' in told((44100, SAMPLES))
    assert 'AudioFormat("pcm_f32le", 8000)' in told({"array": SAMPLES / 2**15, "sampling_rate": 8000.0})


def test_mu_law_bytes_in_an_array_are_told_of_as_well() -> None:
    assert 'of mu-law x.tobytes(), with AudioFormat("mulaw", sample_rate)' in told(of_kind("u1"))


@pytest.mark.filterwarnings("error")
def test_a_coroutine_is_said_to_be_awaited_and_never_warned_of(server: LocalServer) -> None:
    async def transcribe() -> None:
        async with AsyncClient(url=server.url) as client:
            with pytest.raises(AudioError, match="a coroutine; await it, and give what it returns"):
                await client.transcribe(asked(), audio_format=PCM)
            assert (await client.transcribe(await asked())).text == WORDS

    asyncio.run(transcribe())
    assert "await it" in told(asked())


def test_a_request_that_is_a_mapping_is_told_of_by_its_name_by_both_clients(server: LocalServer) -> None:
    class Request(collections.UserDict[str, Any]):
        __module__ = "starlette.requests"

    async def transcribe() -> None:
        async with AsyncClient(url=server.url) as client:
            await client.transcribe(Request(path="/"))

    way = r"the audio source is a Request; give source\.stream\(\) to AsyncClient"
    with pytest.raises(AudioError, match=way):
        asyncio.run(transcribe())
    assert re.search(way, told(Request(path="/")))


def test_an_async_generator_function_is_to_be_called() -> None:
    async def blocks() -> Any:
        yield b""

    assert told(blocks) == "the audio source is a function; give source() to AsyncClient"
