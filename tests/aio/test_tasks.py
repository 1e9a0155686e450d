"""Several tasks with one client; and calls that are cancelled, or closed by another task."""

from __future__ import annotations

import asyncio
import threading

import pytest

from speechmatics_rt import (
    AuthBase,
    Client,
    ConfigurationError,
    SessionError,
    TimeoutError,
)

from .test_aio import PCM, SECOND, face, run, until

# -- what waits on the loop ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "cancel"])
def test_headers_that_are_awaited_for_ever_are_given_up(serve, how) -> None:
    class Slow(AuthBase):
        async def get_auth_headers(self):
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                given_up.append(True)

    given_up: list[bool] = []
    began = threading.Event()

    async def main():
        client = face(serve(), auth=Slow(), open_timeout=None)
        call = asyncio.ensure_future(client.transcribe(SECOND, audio_format=PCM))
        await until(began.is_set)
        if how == "close":
            await client.close()
            with pytest.raises(SessionError, match="closed while it was being opened"):
                await asyncio.wait_for(call, 5)
        else:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        await until(lambda: given_up)

    run(main)


# -- how headers are given -----------------------------------------------------------------------------


class Fetches(AuthBase):
    """A plain method that returns what is to be awaited."""

    def get_auth_headers(self):
        return self.fetch()

    async def fetch(self):
        await asyncio.sleep(0)
        return {"Authorization": "Bearer good"}


def test_a_plain_method_may_return_headers_that_are_to_be_awaited(serve) -> None:
    server = serve(keys=["good"])

    async def main():
        async with face(server, auth=Fetches()) as client:
            assert await client.transcribe(SECOND, audio_format=PCM)

    run(main)
    with pytest.raises(ConfigurationError, match=r"Fetches\.get_auth_headers\(\) returned a coroutine"):
        face(server, Client, auth=Fetches()).transcribe(SECOND, audio_format=PCM)


def test_a_plain_method_still_runs_on_a_thread_and_is_left_behind_at_its_deadline(serve) -> None:
    release = threading.Event()

    class Stuck(AuthBase):
        def get_auth_headers(self):
            threads.append(threading.get_ident())
            release.wait(10)
            return {}

    threads: list[int] = []

    async def main():
        with pytest.raises(TimeoutError, match=r"get_auth_headers\(\) of Stuck did not return within 0\.2 s"):
            await face(serve(), auth=Stuck(), open_timeout=0.2).start_session(audio_format=PCM)

    try:
        run(main)
    finally:
        release.set()
    assert threads != [threading.get_ident()]


def test_what_are_no_headers_is_told_by_the_name_of_the_auth(serve) -> None:
    class Nothing(AuthBase):
        async def get_auth_headers(self):
            return None

    async def main():
        with pytest.raises(ConfigurationError, match=r"Nothing\.get_auth_headers\(\) returned a NoneType"):
            await face(serve(), auth=Nothing()).start_session(audio_format=PCM)

    run(main)
