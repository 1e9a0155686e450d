"""FastAPI's socket as a source, under uvicorn."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from typing import Any, Callable

import pytest

from speechmatics_rt.local import Fault, LocalServer

from ..conftest import SPEECH
from .browser import chromium
from .page import share_heard
from .processes import ROOT, Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
pytest.importorskip("fastapi")

EXAMPLES = ROOT / "examples"
SCRIPT = "fastapi_socket.py"
REFERENCE = SPEECH.with_name("librivox.txt").read_text(encoding="utf-8")


def served(service: LocalServer) -> AbstractContextManager[Server]:
    module = SCRIPT.partition(".")[0]
    return serving(
        *("uvicorn", "--port", 0, f"{module}:app"),
        says=r"running on (http://\S+)",
        folder=EXAMPLES,
        environment={"SPEECHMATICS_RT_URL": service.url},
    )


def text(browser: Any, name: str) -> str:
    return str(browser.execute_script("return document.getElementById(arguments[0]).textContent", name))


def problem(browser: Any) -> str:
    return text(browser, "problem")


def soon(browser: Any, happens: Callable[[], Any]) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    WebDriverWait(browser, 90, 0.1).until(lambda _: happens())


@pytest.mark.speech
def test_what_is_spoken_into_the_page_stands_in_it(browser) -> None:
    with LocalServer("whisper") as service, served(service) as site:
        browser.get(site.wait())
        button = browser.find_element("css selector", "button")
        button.click()
        soon(browser, lambda: "himself" in text(browser, "final"))
        button.click()
        assert service.sessions[-1].closed.wait(20)
        assert share_heard(REFERENCE, text(browser, "final")) >= 0.8


WATCH = """
window.taken = 0;
new MutationObserver((seen) => seen.forEach((one) => (taken += one.removedNodes.length)))
  .observe(document.querySelector("[aria-live]"), {childList: true, subtree: true});
"""


def test_a_reader_of_the_screen_hears_each_final_once_and_no_partial(browser, service) -> None:
    with served(service) as site:
        browser.get(site.wait())
        browser.execute_script(WATCH)
        button = browser.find_element("css selector", "button")
        button.click()
        soon(browser, lambda: text(browser, "final").count(".") > 1)
        button.click()
        soon(browser, lambda: button.text == "Speak")
        assert text(browser, "final").startswith("Good morning, and welcome to the reading room. The train")
        assert browser.execute_script("return taken") == 0
        assert browser.execute_script("return document.querySelector('[aria-live] #partial')") is None


def test_a_page_that_is_not_safe_says_why_there_is_no_microphone(browser, service) -> None:
    with served(service) as site:
        browser.get(site.wait().replace("127.0.0.1", "0.0.0.0"))
        browser.find_element("css selector", "button").click()
        soon(browser, lambda: "https and localhost" in problem(browser))


def test_who_refuses_the_microphone_is_told(service, tmp_path) -> None:
    with served(service) as site, chromium(tmp_path) as browser:
        browser.get(site.wait())
        button = browser.find_element("css selector", "button")
        button.click()
        soon(browser, lambda: "microphone can't be used" in problem(browser))
        assert (button.text, button.is_enabled()) == ("Speak", True)


@pytest.mark.parametrize("when", ["before", "while it listens"])
def test_a_server_that_is_gone_is_told_and_the_microphone_is_closed(browser, service, when: str) -> None:
    with served(service) as site:
        browser.get(site.wait())
        button = browser.find_element("css selector", "button")
        if when == "while it listens":
            button.click()
            soon(browser, lambda: text(browser, "partial"))
    if when == "before":
        button.click()
    soon(browser, lambda: "connection to the server failed" in problem(browser))
    soon(browser, lambda: (button.text, button.is_enabled()) == ("Speak", True))


def test_an_error_of_the_service_stands_in_the_page(browser) -> None:
    with LocalServer(keys=["right"]) as service, served(service) as site:
        browser.get(site.wait())
        browser.find_element("css selector", "button").click()
        soon(browser, lambda: "key" in problem(browser))


def test_a_socket_hears_partials_finals_and_the_end(service) -> None:
    from simple_websocket import Client as WebSocket
    from simple_websocket import ConnectionClosed

    with served(service) as site:
        socket = WebSocket.connect(site.wait().replace("http", "ws") + "/live")
        socket.send(SPEECH.read_bytes())
        socket.send("stop")
        told = []
        with pytest.raises(ConnectionClosed):
            while True:
                told.append(json.loads(socket.receive(timeout=20)))
    assert any(one["partial"] for one in told)
    assert told[-1]["final"].startswith("Good morning, and welcome to the reading room.")


def test_a_lost_service_is_told(service) -> None:
    from simple_websocket import Client as WebSocket
    from simple_websocket import ConnectionClosed

    service.faults = (Fault.fin(after_seconds=3),)
    try:
        with served(service) as site:
            socket = WebSocket.connect(site.wait().replace("http", "ws") + "/live")
            socket.send(SPEECH.read_bytes())
            while "error" not in (told := json.loads(socket.receive(timeout=20))):
                pass
            with pytest.raises(ConnectionClosed, match="1011"):
                socket.receive(timeout=20)
    finally:
        service.faults = ()
    assert told["retryable"]


def test_who_leaves_ends_the_session() -> None:
    from simple_websocket import Client as WebSocket

    with LocalServer() as service, served(service) as site:
        socket = WebSocket.connect(site.wait().replace("http", "ws") + "/live")
        socket.send(SPEECH.read_bytes()[:64000])
        assert json.loads(socket.receive(timeout=20)).keys() == {"final", "partial"}
        socket.close()
        assert service.sessions[-1].closed.wait(20)
        site.stop()
        assert "Traceback" not in "".join(site.lines)
