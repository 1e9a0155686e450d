"""A process with more than a thousand descriptors: select() takes none beyond, so nothing may wait by it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
    import os, resource, select, sys, threading, time

    def refuse(*args):
        raise ValueError("filedescriptor out of range in select()")

    from speechmatics_rt import *
    from speechmatics_rt.local import LocalServer

    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    assert kept[-1] > 1024
    select.select = refuse  # as it would for each of those to come

    PCM = AudioFormat("pcm_s16le", 16000)
    SECOND = bytes(32000)
    tls = sys.argv[1] == "wss"
    with LocalServer(tls=tls) as server:
        config = ConnectionConfig(ssl_context=server.ssl_context)

        def client(kind=Client, **options):
            return kind(url=server.url, conn_config=config, **options)

        def by_hand():
            with client() as one:
                one.start_session(audio_format=PCM)
                one.send_audio(SECOND)
                one.get_speakers()
                one.stop_session()

        def a_pipe_that_is_not_ready():
            ours, theirs = os.pipe()
            os.set_blocking(ours, False)

            def fill():
                for _ in range(3):
                    time.sleep(0.05)  # so that it is waited for
                    os.write(theirs, SECOND)
                os.close(theirs)

            thread = threading.Thread(target=fill)
            thread.start()
            with client() as one, open(ours, "rb", buffering=0) as source:
                one.transcribe(source, audio_format=PCM)
                assert one.stats.bytes_sent == 96_000
            thread.join()

        def an_upload_that_fills_the_socket():
            with client() as one:
                one.transcribe(SECOND * 300, audio_format=PCM)

        def in_a_loop():
            import asyncio

            async def run():
                async with client(AsyncClient) as one:
                    await one.transcribe(SECOND, audio_format=PCM)

            asyncio.run(run())

        def twenty_at_once():
            threads = [threading.Thread(target=by_hand) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        def with_resume():
            with client(resume=True) as one:
                one.transcribe(SECOND, audio_format=PCM)

        def several_channels():
            with client(MultiChannelClient) as one:
                one.transcribe({"a": SECOND, "b": SECOND}, audio_format=PCM)

        some = (by_hand, a_pipe_that_is_not_ready, an_upload_that_fills_the_socket)
        for way in (*some, in_a_loop, twenty_at_once, with_resume, several_channels):
            way()
            print(way.__name__)
        assert len(server.sessions) == 26, len(server.sessions)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there select() takes any descriptor, of sockets")
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_every_wait_works_beyond_a_thousand_descriptors(scheme) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), scheme],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
