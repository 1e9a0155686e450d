"""A pytest plugin for tests of code that transcribes: a local server, and a guard against the real service.

It is active wherever the package is installed, but imports nothing of it until a test uses a fixture:

* ``speechmatics_server``: a local server, with the environment set so that clients connect to it, without
  your key; a client that is given an address of the service is refused;
* ``speechmatics_wav``: makes recordings in which that server hears the words you give;
* ``speechmatics_replay``: lets it replay a session that a ``Recorder`` has written.

With ``speechmatics_offline = true`` in pytest's configuration no test can reach the service: its addresses
are refused, keys are removed from the environment, and a test that tries it fails.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

import pytest

if TYPE_CHECKING:
    from .local import ServerForTests

__all__ = ["speechmatics_replay", "speechmatics_server", "speechmatics_wav"]

_KEY, _URL, _PLATFORM = "SPEECHMATICS_API_KEY", "SPEECHMATICS_RT_URL", "SM_MANAGEMENT_PLATFORM_URL"
_SERVICE = "speechmatics.com"
_OFFLINE = "speechmatics_offline"  # the setting, and the plugin that keeps it
_GIVE_URL = "give the client its url, or none"
_NOWHERE = "speechmatics-offline.invalid"  # never resolves, and tells subprocesses of a test why


@pytest.fixture
def speechmatics_server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ServerForTests]:
    """A local Speechmatics server. Clients of this test connect to it, whatever variables you have set.

    To a client that gets its address in code, give that of the server, ``url``: the service is out of reach.
    Call ``says("...")`` and assign ``faults = [...]`` to change what the next sessions get, also for the
    recordings that ``speechmatics_wav`` has made before; ``sessions`` has the records of all sessions.
    """
    from .local import ServerForTests

    with ServerForTests() as server:
        monkeypatch.setenv(_URL, server.url)
        monkeypatch.setenv(_PLATFORM, f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv(_KEY, "key-of-the-local-server")  # for code that insists on a key
        if not request.config.pluginmanager.has_plugin(_OFFLINE):
            _close_the_way(monkeypatch, "the fixture speechmatics_server", _GIVE_URL, [])
        yield server


@pytest.fixture
def speechmatics_wav(
    speechmatics_server: ServerForTests, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """Make recordings: ``speechmatics_wav(words="It rained.")`` is the path of a WAV with these words.

    ``speakers=("S1", "S2")`` has two people say a sentence each by turns, for diarization;
    ``words=["Good morning.", "Hello."]`` makes a stereo recording, of a call for example.
    """
    folder: Path = tmp_path_factory.mktemp("speechmatics")
    made = 0

    def make(
        *,
        seconds: Optional[float] = None,
        words: Union[str, Sequence[str], None] = None,
        speakers: Sequence[str] = ("S1",),
    ) -> Path:
        nonlocal made
        made += 1
        path = folder / f"speech-{made}.wav"
        speechmatics_server.record_wav(path, seconds=seconds, words=words, speakers=speakers)
        return path

    return make


@pytest.fixture
def speechmatics_replay(speechmatics_server: ServerForTests) -> Callable[..., ServerForTests]:
    """Let the server replay a recorded session: ``speechmatics_replay("bug.jsonl")``."""

    def replay(recording: Union[str, os.PathLike[str]]) -> ServerForTests:
        speechmatics_server.replays(recording)
        return speechmatics_server

    return replay


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        _OFFLINE,
        "refuse the addresses of the Speechmatics service, and fail tests that try to reach it",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getini(_OFFLINE):
        guard = _Guard()
        config.pluginmanager.register(guard, _OFFLINE)
        config.add_cleanup(guard.patch.undo)


class _Guard:
    """Keeps the tests from reaching the service, from before they are collected to the end."""

    def __init__(self) -> None:
        self._tried: list[str] = []
        self.patch = pytest.MonkeyPatch()
        self.patch.delenv(_KEY, raising=False)
        for variable, address in ((_URL, f"wss://{_NOWHERE}/v2"), (_PLATFORM, f"https://{_NOWHERE}")):
            if _is_service(os.environ.get(variable, _SERVICE)):  # a container's address may stay
                self.patch.setenv(variable, address)
        advice = f"use the fixture speechmatics_server, and {_GIVE_URL}"
        _close_the_way(self.patch, _OFFLINE, advice, self._tried)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self) -> None:
        tried = ", ".join(dict.fromkeys(self._tried))
        self._tried.clear()
        if tried:
            pytest.fail(
                f"this test tried to reach the Speechmatics service ({tried}), which {_OFFLINE} forbids; "
                f"with the fixture speechmatics_server it finds a server: {_GIVE_URL}",
                pytrace=False,
            )


def _close_the_way(patch: pytest.MonkeyPatch, who: str, advice: str, tried: list[str]) -> None:
    """Refuse to look up the service; append to ``tried`` what was asked for."""
    # A proxy would look the name up itself.
    excepted = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    patch.setenv("no_proxy", ",".join(filter(None, (excepted, f".{_SERVICE}", _NOWHERE))))
    look_up = socket.getaddrinfo

    def refuse(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
        if _is_service(name):
            tried.append(name)
            raise socket.gaierror(socket.EAI_FAIL, f"{who} lets no test reach {name}; {advice}")
        return look_up(host, *args, **options)

    patch.setattr(socket, "getaddrinfo", refuse)


def _is_service(address: str) -> bool:
    host = address.partition("://")[2].partition("/")[0].partition(":")[0] or address
    host = host.rstrip(".").lower()
    return host in (_SERVICE, _NOWHERE) or host.endswith(f".{_SERVICE}")
