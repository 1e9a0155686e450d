"""The pytest plugin, in the suites of its users: each a run of pytest of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
PLUGIN = ("-p", "speechmatics_rt.pytest_plugin", "-p", "no:cacheprovider")
pytestmark = pytest.mark.timeout(180)  # a run of pytest takes 2 s of processor, and xdist has three

YOUR_CODE = """
from speechmatics_rt import Client

def what_is_said(path):
    with Client() as client:
        return client.transcribe(path).text
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a suite with the plugin: ``suite("def test_...", "-n", "2")`` gives the result."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # the others take longer than all the tests
    monkeypatch.setenv("SPEECHMATICS_API_KEY", "the-developers-own")
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # this suite's, in a run of ours with xdist
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(your_code=YOUR_CODE)

    def run(tests: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(test_yours=tests)
        return pytester.runpytest_subprocess(*PLUGIN, *options, timeout=170)

    return run


def test_code_is_tested_without_a_key_an_address_or_a_network(suite) -> None:
    result = suite(
        """
        import os, pytest
        from speechmatics_rt import ConnectionError
        from speechmatics_rt.local import Fault
        from your_code import what_is_said

        def test_words_of_a_recording(speechmatics_server, speechmatics_wav):
            rain, sun = speechmatics_wav(words="It rained."), speechmatics_wav(words="The sun came out.")
            assert what_is_said(sun) == "The sun came out."
            assert what_is_said(rain) == "It rained."
            assert speechmatics_server.sessions[0].start["transcription_config"]["language"] == "en"

        def test_words_of_any(speechmatics_server, speechmatics_wav):
            speechmatics_server.says("Anything at all.")
            assert what_is_said(speechmatics_wav(seconds=4)) == "Anything at all."

        def test_a_server_that_is_busy(speechmatics_server, speechmatics_wav):
            speechmatics_server.faults = [Fault.refuse(503, sessions=[0])]
            with pytest.raises(ConnectionError):
                what_is_said(speechmatics_wav(words="No."))
            assert what_is_said(speechmatics_wav(words="Yes.")) == "Yes."

        def test_the_key_is_not_the_developers(speechmatics_server, speechmatics_wav):
            what_is_said(speechmatics_wav(words="Yes."))
            assert "own" not in os.environ["SPEECHMATICS_API_KEY"]
            assert "own" not in speechmatics_server.sessions[0].headers["authorization"]

        def test_afterwards_all_is_as_it_was():
            assert os.environ["SPEECHMATICS_API_KEY"] == "the-developers-own"
            assert "SPEECHMATICS_RT_URL" not in os.environ
        """
    )
    result.assert_outcomes(passed=5)


@pytest.mark.parametrize("proxy", [False, True])
def test_a_client_that_is_given_the_address_of_the_service_does_not_reach_it(
    suite, monkeypatch, proxy: bool
) -> None:
    if proxy:
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    result = suite(
        """
        import pytest, socket
        from speechmatics_rt import Client, ConnectionError

        def test_it(speechmatics_server):
            with pytest.raises(ConnectionError) as caught:
                with Client(api_key="k", url="wss://eu.rt.speechmatics.com/v2") as client:
                    client.transcribe(bytes(32000))
            print("SAID", caught.value)

        def test_the_advice(speechmatics_server, speechmatics_wav):
            with Client(api_key="k", url=speechmatics_server.url) as client:
                assert client.transcribe(speechmatics_wav(words="Yes.")).text == "Yes."

        def test_afterwards_all_is_as_it_was():
            assert socket.getaddrinfo.__module__ == "socket"
        """,
        "-s",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        ["*SAID *speechmatics_server lets no test reach eu.rt.speechmatics.com; give the client its url*"]
    )


def test_a_resumed_session_speakers_and_the_two_sides_of_a_call_are_tested(suite) -> None:
    result = suite(
        """
        from speechmatics_rt import Client, MultiChannelClient, split_channels
        from speechmatics_rt.local import Fault

        COUNT = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen."

        def test_no_word_is_lost(speechmatics_server, speechmatics_wav):
            speechmatics_server.faults = [Fault.fin(after_seconds=5.6, sessions=[0])]
            with Client(resume=True) as client:
                assert client.transcribe(speechmatics_wav(words=COUNT), speed=8).text == COUNT

        def test_speakers(speechmatics_wav):
            wav = speechmatics_wav(words="Good morning. Hello.", speakers=("S1", "S2"))
            with Client() as client:
                config = {"language": "en", "diarization": "speaker"}
                transcript = client.transcribe(wav, transcription_config=config)
            assert str(transcript) == "S1: Good morning.\\nS2: Hello."

        def test_a_call(speechmatics_wav):
            wav = speechmatics_wav(words=["Good morning.", "Hello."])
            with MultiChannelClient() as client:
                transcript = client.transcribe(split_channels(wav, ["agent", "caller"]))
            assert {word.channel for word in transcript.words if word.text == "Hello."} == {"caller"}
        """
    )
    result.assert_outcomes(passed=3)


def test_temporary_keys_come_from_the_local_server_too(suite) -> None:
    pytest.importorskip("jwt")
    result = suite(
        """
        from speechmatics_rt import Client, JWTAuth

        def test_it(speechmatics_server, speechmatics_wav):
            with Client(JWTAuth()) as client:
                client.transcribe(speechmatics_wav(words="Yes."))
            assert len(speechmatics_server.key_requests) == 1
        """
    )
    result.assert_outcomes(passed=1)


def test_a_recorded_session_becomes_a_test(suite, pytester) -> None:
    said = {"start_time": 0.0, "end_time": 1.0, "transcript": "Bergen "}
    word = {"type": "word", "start_time": 0.0, "end_time": 1.0, "alternatives": [{"content": "Bergen"}]}
    message = {"message": "AddTranscript", "format": "2.9", "metadata": said, "results": [word]}
    Path(pytester.path, "bug.jsonl").write_text(json.dumps(message) + "\n", encoding="utf-8")
    result = suite(
        """
        from your_code import what_is_said

        def test_the_bug(speechmatics_replay, speechmatics_wav):
            server = speechmatics_replay("bug.jsonl")
            assert what_is_said(speechmatics_wav()) == "Bergen"
            assert len(server.sessions) == 1
        """
    )
    result.assert_outcomes(passed=1)


def test_each_test_on_each_worker_of_xdist_has_a_server_of_its_own(suite) -> None:
    result = suite(
        """
        import pytest
        from your_code import what_is_said

        @pytest.mark.parametrize("number", range(8))
        def test_one(speechmatics_server, speechmatics_wav, number):
            speechmatics_server.says(f"Number {number}.")
            assert what_is_said(speechmatics_wav()) == f"Number {number}."
            assert len(speechmatics_server.sessions) == 1
        """,
        "-p",
        "xdist",
        "-n",
        "2",
        "-o",
        "speechmatics_offline=true",
    )
    result.assert_outcomes(passed=8)


def test_of_the_package_errors_alone_are_imported_until_a_fixture_is_used(suite) -> None:
    result = suite(
        """
        import sys

        def test_before():
            ours = {name for name in sys.modules if name.split(".")[0] == "speechmatics_rt"}
            few = {f"speechmatics_rt.{name}" for name in ("_version", "exceptions", "late", "pytest_plugin")}
            assert ours == {"speechmatics_rt", *few}

        def test_with(speechmatics_server):
            assert "speechmatics_rt.local" in sys.modules
        """
    )
    result.assert_outcomes(passed=2)


# -- the guard -------------------------------------------------------------------------------------------

OFFLINE = ("-o", "speechmatics_offline=true")
TRIES = """
import pytest
from speechmatics_rt import Client, SpeechmaticsError

def test_it():
    with pytest.raises(SpeechmaticsError) as caught:
        with Client({}) as client:
            client.transcribe(bytes(32000))
    print("SAID", caught.value)
"""


@pytest.mark.parametrize(
    "options",
    [
        "",
        "api_key='k', url='wss://eu.rt.speechmatics.com/v2'",
        "api_key='k', url='wss://NEU.rt.Speechmatics.com./v2'",
    ],
    ids=["by default", "by address", "by another"],
)
def test_no_test_reaches_the_service_not_even_one_that_catches_the_error(suite, options: str) -> None:
    result = suite(TRIES.format(options), *OFFLINE, "-s")
    result.assert_outcomes(passed=1, errors=1)  # the test, which has caught it, and the guard
    result.stdout.fnmatch_lines(["*SAID *speechmatics_offline lets no test*"])
    result.stdout.fnmatch_lines(["*tried to reach the Speechmatics service*speechmatics_server*"])
    assert result.ret == 1


def test_a_proxy_is_no_way_around_the_guard(suite, monkeypatch) -> None:
    for variable in ("https_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    result = suite(TRIES.format("api_key='k', url='wss://eu.rt.speechmatics.com/v2'"), *OFFLINE, "-s")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*SAID *speechmatics_offline lets no test*"])


def test_other_ways_to_the_service_are_closed_as_well_and_all_others_are_open(suite) -> None:
    result = suite(
        """
        import asyncio, os, socket, subprocess, sys, urllib.request
        import pytest

        def test_urllib():
            with pytest.raises(OSError):
                urllib.request.urlopen("https://mp.speechmatics.com/v1/api_keys")

        def test_asyncio():
            with pytest.raises(OSError):
                asyncio.run(asyncio.open_connection("eu.rt.speechmatics.com", 443))

        def test_a_process_has_no_key_and_an_address_that_says_why():
            program = "import os; print(*map(os.getenv, ('SPEECHMATICS_API_KEY', 'SPEECHMATICS_RT_URL')))"
            out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout
            assert out.split() == ["None", "wss://speechmatics-offline.invalid/v2"]

        def test_others():
            assert socket.getaddrinfo("127.0.0.1", 80)
            assert socket.getaddrinfo(b"localhost", 80)
        """,
        *OFFLINE,
    )
    result.assert_outcomes(passed=4, errors=2)


def test_what_is_imported_while_tests_are_collected_is_guarded(suite) -> None:
    result = suite(
        "import socket\nsocket.getaddrinfo('eu.rt.speechmatics.com', 443)\ndef test_it(): pass", *OFFLINE
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*speechmatics_offline lets no test*"])


def test_a_container_that_the_environment_names_may_be_reached(suite, monkeypatch) -> None:
    monkeypatch.setenv("SPEECHMATICS_RT_URL", "ws://127.0.0.1:9/v2")
    result = suite(
        """
        import os
        def test_it():
            assert os.environ["SPEECHMATICS_RT_URL"] == "ws://127.0.0.1:9/v2"
        """,
        *OFFLINE,
    )
    result.assert_outcomes(passed=1)


def test_without_the_setting_nothing_is_touched(suite) -> None:
    result = suite(
        """
        import os, socket
        def test_it():
            assert os.environ["SPEECHMATICS_API_KEY"] == "the-developers-own"
            assert socket.getaddrinfo.__module__ == "socket"
        """
    )
    result.assert_outcomes(passed=1)


def test_the_fixtures_are_listed_with_what_they_are_for(suite) -> None:
    result = suite("def test_it(): pass", "--fixtures")
    result.stdout.fnmatch_lines(["speechmatics_server*", "*A local Speechmatics server*"])
    result.stdout.fnmatch_lines(["speechmatics_wav*", "*Make recordings*"])
    result.stdout.fnmatch_lines(["speechmatics_replay*", "*recorded session*"])
