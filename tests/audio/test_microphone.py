"""The microphone: the real ``sounddevice`` over a PortAudio compiled here, whose audio thread obeys."""

from __future__ import annotations

import asyncio
import ctypes
import ctypes.util
import gc
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechmatics_rt import AudioError, AudioFormat, Client, ConfigurationError, aio
from speechmatics_rt.aio import AsyncClient, AsyncMicrophone
from speechmatics_rt.audio import microphone
from speechmatics_rt.audio.microphone import Microphone
from speechmatics_rt.local import LocalServer

from ..interrupts import ctrl_c_in

PCM = AudioFormat("pcm_s16le", 16000)
INSTALLED = ctypes.util.find_library("portaudio")  # before a test has it find another one
BLOCK = 320  # bytes of 160 frames

PORTAUDIO = r"""
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
typedef struct { int version; const char *name; int api, inputs, outputs; double latency[4], rate; } Device;
typedef struct { int version, type; const char *name; int count, input, output; } Api;
typedef struct { int version; double latency[2], rate; } Info;
typedef struct { int device, channels; unsigned long format; double latency; void *more; } Parameters;
typedef int Callback(const void *, void *, unsigned long, const void *, unsigned long, void *);

static Device devices[] = {{2, "Speakers", 0, 0, 2, {0}, 48000}, {2, "Headset", 0, 1, 0, {0}, 16000},
                           {2, "Interface", 0, 2, 2, {0}, 44100}};
static Api api = {1, 8, "Fake", 3, 1, 0};
static Info info = {1, {0.01, 0.01}, 16000};
static Callback *callback;
static void (*finished)(void *);
static void *user;
static unsigned long frames, flags;
static short next;
int fake_devices = 3, fake_refusal = 0, fake_open = 0, fake_started = 0;

int Pa_Initialize(void) { return 0; }
int Pa_Terminate(void) { return 0; }
int Pa_GetDeviceCount(void) { return fake_devices; }
int Pa_GetDefaultInputDevice(void) { return fake_devices ? 1 : -1; }
int Pa_GetDefaultOutputDevice(void) { return fake_devices ? 0 : -1; }
const Device *Pa_GetDeviceInfo(int i) { return i >= 0 && i < fake_devices ? &devices[i] : NULL; }
int Pa_GetHostApiCount(void) { return 1; }
const Api *Pa_GetHostApiInfo(int i) { return i == 0 ? &api : NULL; }
int Pa_GetSampleSize(unsigned long format) { return format == 8 ? 2 : -9994; }
const char *Pa_GetErrorText(int error) { return error == -9997 ? "Invalid sample rate" : "Invalid device"; }
const Info *Pa_GetStreamInfo(void *stream) { return &info; }
int Pa_SetStreamFinishedCallback(void *stream, void (*call)(void *)) { finished = call; return 0; }
int Pa_OpenStream(void **stream, const Parameters *in, const Parameters *out, double rate, unsigned long size,
                  unsigned long how, Callback *call, void *data) {
    if (fake_refusal) return fake_refusal;
    if (in->channels != 1 || in->format != 8 || devices[in->device].inputs < 1) return -9998;
    *stream = &info; callback = call; user = data; frames = size; next = 0; fake_open++;
    return 0;
}
int Pa_StartStream(void *stream) { fake_started++; return 0; }
int Pa_StopStream(void *stream) { if (finished) finished(user); return 0; }
int Pa_AbortStream(void *stream) { return Pa_StopStream(stream); }
int Pa_CloseStream(void *stream) { fake_open--; callback = NULL; return 0; }

static void *hear(void *count) {
    short *block = malloc(frames * sizeof *block);
    for (long n = (long) count; n > 0 && callback; n--) {
        for (unsigned long i = 0; i < frames; i++) block[i] = next;
        next++;
        callback(block, NULL, frames, NULL, flags, user);
        memset(block, 0xff, frames * sizeof *block);  /* the buffer is PortAudio's again */
    }
    free(block);
    return NULL;
}
void fake_hear(long count, unsigned long how) {
    pthread_t thread;
    flags = how;
    pthread_create(&thread, NULL, hear, (void *) count);
    pthread_join(thread, NULL);
}
void fake_unplug(void) { finished(user); }
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Path:
    pytest.importorskip("_sounddevice", reason="needs sounddevice (extra: mic)")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("needs a C compiler, on Linux")
    folder = tmp_path_factory.mktemp("portaudio")
    (folder / "fake.c").write_text(PORTAUDIO)
    path = folder / "libportaudio.so.2"
    command = [compiler, "-shared", "-fPIC", f"-Wl,-soname,{path.name}", "-o", path, folder / "fake.c"]
    subprocess.run([*command, "-lpthread"], check=True)
    (folder / "libportaudio.so").symlink_to(path.name)
    return path


@pytest.fixture(scope="module")
def loaded(library) -> Iterator[ctypes.CDLL]:
    """The library, and ``sounddevice`` bound to it."""
    patch = pytest.MonkeyPatch()
    patch.setattr(ctypes.util, "find_library", lambda name: str(library))
    patch.delitem(sys.modules, "sounddevice", raising=False)
    import sounddevice  # noqa: F401

    yield ctypes.CDLL(str(library))
    sys.modules.pop("sounddevice")
    patch.undo()


@pytest.fixture
def device(loaded) -> Iterator[ctypes.CDLL]:
    for name, value in (("devices", 3), ("refusal", 0), ("open", 0), ("started", 0)):
        ctypes.c_int.in_dll(loaded, f"fake_{name}").value = value
    yield loaded
    assert value_of(loaded, "open") == 0, "a stream was left open"


def value_of(device, name) -> int:
    return ctypes.c_int.in_dll(device, f"fake_{name}").value


def heard(device, blocks, flags=0) -> None:
    """Have the audio thread deliver so many blocks, each filled with its number."""
    device.fake_hear(ctypes.c_long(blocks), ctypes.c_ulong(flags))


def audio(first, last) -> bytes:
    return b"".join(number.to_bytes(2, "little") * 160 for number in range(first, last))


# -- reading -------------------------------------------------------------------------------------------


def test_read_gives_just_as_much_as_is_asked_for(device) -> None:
    with Microphone() as mic:
        heard(device, 10)
        sizes = [320, 2, 638, 1281]
        parts = [mic.read(size) for size in sizes]
    assert [len(part) for part in parts] == [320, 2, 638, 1280]
    assert b"".join(parts) == audio(0, 7)


def test_a_read_waits_for_what_is_not_recorded_yet(device) -> None:
    with Microphone() as mic:
        got = []
        reader = threading.Thread(target=lambda: got.append(mic.read(BLOCK * 4)))
        reader.start()
        for _ in range(4):
            heard(device, 1)
        reader.join(10)
    assert got == [audio(0, 4)]


def test_after_stop_the_rest_can_be_read_and_then_nothing(device) -> None:
    mic = Microphone()
    assert mic.start()
    assert mic.is_recording
    assert mic.readable()
    heard(device, 3)
    mic.stop()
    mic.stop()
    assert not mic.is_recording
    assert mic.read(BLOCK * 2) == audio(0, 2)
    assert mic.read(BLOCK * 2) == audio(2, 3)
    assert mic.read(BLOCK) == mic.read(BLOCK) == b""


def test_it_iterates_over_chunks_of_so_many_frames(device) -> None:
    with Microphone(chunk_size=80) as mic:
        heard(device, 3)
        mic.stop()
        assert [len(chunk) for chunk in mic] == [160, 160, 160]


def test_stop_wakes_a_reader(device) -> None:
    mic = Microphone()
    mic.start()
    got = []
    reader = threading.Thread(target=lambda: got.extend(mic))
    reader.start()
    heard(device, 2)
    mic.stop()
    reader.join(10)
    assert b"".join(got) == audio(0, 2)


def test_it_can_be_started_again(device) -> None:
    mic = Microphone()
    for _ in range(2):
        assert mic.start()
        assert mic.start()
        heard(device, 1)
        mic.stop()
        assert mic.read(BLOCK) == audio(0, 1)
    assert value_of(device, "started") == 2


def test_ctrl_c_in_a_read_loses_nothing_and_stops_cleanly(device) -> None:
    with Microphone() as mic:
        heard(device, 2)
        with pytest.raises(KeyboardInterrupt), ctrl_c_in("read"):
            mic.read(BLOCK * 4)
        heard(device, 2)
        assert mic.read(BLOCK * 4) == audio(0, 4)


def test_a_microphone_that_is_dropped_stops_and_says_so(device) -> None:
    mic = Microphone()
    mic.start()
    with pytest.warns(ResourceWarning, match="microphone"):
        del mic
        gc.collect()


def test_a_microphone_that_is_left_when_the_interpreter_ends_is_left_to_sounddevice(device) -> None:
    with Microphone() as mic:
        mic.__del__(lambda: True)
        assert value_of(device, "open") == 1


# -- as a source ---------------------------------------------------------------------------------------


def test_a_client_transcribes_it_until_it_is_stopped(device) -> None:
    with LocalServer() as server, Client(url=server.url) as client, Microphone() as mic:
        heard(device, 200)
        for message in client.stream(mic, audio_format=PCM):
            if message["message"] == "RecognitionStarted":
                heard(device, 50)
                mic.stop()
        assert client.transcript.text == "Good morning, and welcome to"
        assert server.sessions[0].audio == audio(0, 250)


def test_an_asyncio_client_takes_it_as_it_is(device) -> None:
    async def main(url):
        async with AsyncClient(url=url) as client:
            with Microphone() as mic:
                heard(device, 250)
                asyncio.get_running_loop().call_later(0.05, mic.stop)
                return await client.transcribe(mic, audio_format=PCM)

    with LocalServer() as server:
        assert asyncio.run(main(server.url)).text == "Good morning, and welcome to"
        assert server.sessions[0].audio == audio(0, 250)


def test_its_asyncio_twin_is_awaited(device) -> None:
    async def main(url):
        with AsyncMicrophone() as mic:
            reading = asyncio.ensure_future(mic.read(BLOCK * 2))
            await asyncio.sleep(0)  # the loop is free
            heard(device, 202)
            assert await reading == audio(0, 2)
            asyncio.get_running_loop().call_later(0.05, mic.stop)
            async with AsyncClient(url=url) as client:
                return await client.transcribe(mic, audio_format=PCM)

    with LocalServer() as server:
        assert asyncio.run(main(server.url)).text == "Good morning, and welcome"
        assert server.sessions[0].audio == audio(2, 202)


def test_a_program_of_the_official_sdk_reads_it_as_it_did(device) -> None:
    async def main(url):
        mic = aio.Microphone(sample_rate=16000, chunk_size=160)
        assert mic.start()
        heard(device, 200)
        asyncio.get_running_loop().call_later(0.05, mic.stop)
        async with aio.AsyncClient(url=url) as client:
            await client.start_session(audio_format=PCM)
            while chunk := await mic.read(chunk_size=3200):
                await client.send_audio(chunk)
            await client.stop_session()

    with LocalServer() as server:
        asyncio.run(main(server.url))
        assert server.sessions[0].audio == audio(0, 200)


def test_the_size_may_be_given_by_the_name_that_the_official_sdk_has_for_it(device) -> None:
    with Microphone() as mic:
        heard(device, 1)
        assert mic.read(chunk_size=BLOCK) == audio(0, 1)


def test_it_takes_the_loop_of_the_official_sdk_and_says_that_it_needs_none() -> None:
    with pytest.warns(DeprecationWarning, match="loop") as caught:
        Microphone(16000, 1, 4096, None, object())
    assert caught[0].filename == __file__


# -- what is lost --------------------------------------------------------------------------------------


def test_a_full_buffer_drops_the_oldest_audio_counts_it_and_warns_once(device, monkeypatch, caplog) -> None:
    monkeypatch.setattr(microphone, "_BUFFER", 0.095)
    with Microphone() as mic:
        heard(device, 15)
        assert mic.overflows == 5
        assert mic.seconds_lost == pytest.approx(0.05)
        assert mic.read(BLOCK * 9) == audio(5, 14)
        heard(device, 12)
        assert mic.read(BLOCK) == audio(17, 18)
        assert len(warnings(caplog)) == 1
    assert len(warnings(caplog)) == 2
    assert "lost 8 times, 0.08 s" in warnings(caplog)[-1]


def test_what_the_system_loses_is_counted_too(device, caplog) -> None:
    with Microphone() as mic:
        heard(device, 2, flags=2)
        assert mic.read(BLOCK * 2) == audio(0, 2)
    assert mic.overflows == 2
    assert mic.seconds_lost == 0
    assert len(warnings(caplog)) == 1


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_an_unplugged_device_is_an_audio_error(device, monkeypatch) -> None:
    with Microphone() as mic:
        heard(device, 1)
        device.fake_unplug()
        with pytest.raises(AudioError, match="unplugged"):
            mic.read(BLOCK * 2)
        assert mic.read(BLOCK) == audio(0, 1)
    monkeypatch.setattr(microphone, "_SILENCE", 0.05)
    with Microphone() as mic, pytest.raises(AudioError, match="nothing for"):
        mic.read(BLOCK)


# -- devices and errors --------------------------------------------------------------------------------


def test_devices_are_listed(device) -> None:
    assert Microphone.list_devices() == [
        {"index": 1, "name": "Headset", "channels": 1, "sample_rate": 16000.0, "default": True},
        {"index": 2, "name": "Interface", "channels": 2, "sample_rate": 44100.0, "default": False},
    ]
    ctypes.c_int.in_dll(device, "fake_devices").value = 0
    assert Microphone.list_devices() == []


def test_a_machine_without_a_device_says_so(device) -> None:
    ctypes.c_int.in_dll(device, "fake_devices").value = 0
    with pytest.raises(AudioError, match="there is no input device; plug in"):
        Microphone().start()


@pytest.mark.parametrize("index", [0, 7])
def test_a_device_that_cannot_record_or_is_not_there_names_those_that_can(device, index) -> None:
    with pytest.raises(AudioError, match="1 'Headset', 2 'Interface'"):
        Microphone(device_index=index).start()


def test_what_the_device_refuses_is_told(device) -> None:
    ctypes.c_int.in_dll(device, "fake_refusal").value = -9997
    mic = Microphone(sample_rate=12345)
    with pytest.raises(AudioError, match=r"12345 Hz.*Invalid sample rate"):
        mic.start()
    assert not mic.is_recording
    ctypes.c_int.in_dll(device, "fake_refusal").value = 0
    with mic:
        heard(device, 1)


def test_without_the_package_the_error_names_the_command(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'speechmatics-rt-sync\[mic\]'"):
        Microphone().start()
    with pytest.raises(ConfigurationError):
        Microphone.list_devices()
    assert not Microphone().is_available


def test_without_portaudio_the_error_names_the_library(monkeypatch) -> None:
    pytest.importorskip("_sounddevice", reason="needs sounddevice (extra: mic)")
    if not sys.platform.startswith("linux"):
        pytest.skip("elsewhere sounddevice brings its own")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(ConfigurationError, match="libportaudio2"):
        Microphone().start()


def test_sounddevice_finds_portaudio_by_its_own_lookup(library) -> None:
    program = "from speechmatics_rt import Microphone as M; print(M().is_available, M.list_devices())"
    folder = str(library.parent)
    environment = {**os.environ, "LD_LIBRARY_PATH": folder, "LIBRARY_PATH": folder}
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment
    )
    assert out.stdout.startswith("True [{'index': 1, 'name': 'Headset'"), out.stderr


ALSA = """
pcm.!default {{
    type file
    slave.pcm {{ type null }}
    file "/dev/null"
    infile "{}"
    format "raw"
}}
"""
FROM_ALSA = """
import sys
from speechmatics_rt.audio.microphone import Microphone
with Microphone() as mic:
    sys.stdout.buffer.write(mic.read(64000))
"""


def test_the_portaudio_of_the_machine_records_from_a_virtual_device_of_alsa(tmp_path) -> None:
    pytest.importorskip("_sounddevice", reason="needs sounddevice (extra: mic)")
    if not sys.platform.startswith("linux") or INSTALLED is None:
        pytest.skip("needs PortAudio over ALSA (Debian: libportaudio2)")
    speech = audio(0, 250)
    (tmp_path / "in.raw").write_bytes(speech)
    (tmp_path / "asound.conf").write_text(ALSA.format(tmp_path / "in.raw"))
    environment = {**os.environ, "ALSA_CONFIG_PATH": str(tmp_path / "asound.conf")}
    out = subprocess.run(
        [sys.executable, "-c", FROM_ALSA], capture_output=True, check=False, env=environment, timeout=30
    )
    assert out.stdout == speech[:64000], out.stderr.decode()


@pytest.mark.parametrize(
    "options", [{"sample_rate": 0}, {"chunk_size": -1}, {"channels": 2}], ids=["rate", "chunk", "channels"]
)
def test_wrong_options_fail_at_once(options) -> None:
    with pytest.raises(ConfigurationError):
        Microphone(**options)


def test_reading_needs_a_start_and_a_size(device) -> None:
    with pytest.raises(AudioError, match="start"):
        Microphone().read(BLOCK)
    with Microphone() as mic, pytest.raises(ConfigurationError, match="2 bytes"):
        mic.read(1)
