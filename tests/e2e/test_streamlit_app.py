"""The Streamlit app, in a browser."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from speechmatics_rt.local import Fault, LocalServer

from ..conftest import SPEECH
from .processes import ROOT, Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
pytest.importorskip("streamlit")

SCRIPT = "streamlit_app.py"
HEARD = "Good morning, and welcome to the reading room."


@pytest.fixture(scope="module")
def site(service: LocalServer) -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as free:  # Streamlit takes no port 0
        port = free.getsockname()[1]
    options = {"server.headless": "true", "server.address": "127.0.0.1", "server.port": port}
    options["browser.gatherUsageStats"] = "false"
    flags = [f"--{name}={value}" for name, value in options.items()]
    command = ("streamlit", "run", ROOT / "examples" / SCRIPT, *flags)
    with serving(
        *command, says=r"URL: (http://\S+)", environment={"SPEECHMATICS_RT_URL": service.url}
    ) as app:
        yield app


@pytest.fixture
def text(browser, site, service) -> Iterator[object]:
    """The text of the page, once a condition holds."""
    from selenium.webdriver.support.wait import WebDriverWait

    def until(wanted: str) -> str:
        def shown(_: object) -> str:
            seen = str(browser.execute_script("return document.body.innerText"))
            return seen if wanted in seen else ""

        return str(WebDriverWait(browser, 60, 0.2).until(shown, f"{wanted!r} is not in the page"))

    browser.get(site.wait())
    until("A recording")
    yield until
    service.faults = ()
    browser.get("about:blank")


def upload(browser) -> None:
    browser.find_element("css selector", "input[type=file]").send_keys(str(SPEECH))


def test_an_upload_becomes_turns_with_their_speakers(browser, text) -> None:
    upload(browser)
    page = text("SRT")
    assert HEARD in page
    assert "S1" in page
    assert "S2" in page
    assert "VTT" in page
    assert "JSON" in page
    assert "Exception" not in page


def test_a_click_does_not_transcribe_again(browser, text, service) -> None:
    upload(browser)
    text("SRT")
    count = len(service.sessions)
    expander = browser.find_element("css selector", "summary")
    expander.click()
    text("SRT")
    assert len(service.sessions) == count


def test_of_what_was_spoken_and_uploaded_the_latest_is_shown(browser, text) -> None:
    from selenium.webdriver.support.wait import WebDriverWait

    def click(label: str) -> None:
        found = WebDriverWait(browser, 30, 0.2).until(
            lambda _: browser.find_elements("css selector", f"button[aria-label='{label}']")
        )
        found[0].click()

    click("Record")
    click("Stop recording")
    text("Words")
    upload(browser)
    assert "Please keep your seats" in text("Please keep your seats")  # which is 19 s into it


def test_a_busy_service_is_asked_again_by_a_click(browser, text, service) -> None:
    service.faults = (Fault.fin(after_seconds=8),)
    upload(browser)
    page = text("Try again")
    assert "Good morning" in page
    service.faults = ()
    xpath = "//button[.//p[text()='Try again']]"
    browser.find_element("xpath", xpath).click()
    assert HEARD in text("SRT")
