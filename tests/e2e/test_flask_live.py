"""The live page, served as its README says, in a real browser."""

from __future__ import annotations

import json
import os
import select
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from speechmatics_rt import Transcript
from speechmatics_rt.local import Fault, LocalServer

from ..conftest import SPEECH
from .browser import chromium
from .page import Page, median, share_heard
from .processes import ROOT, Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]
pytest.importorskip("flask_sock")

EXAMPLE = ROOT / "examples" / "flask_live"
REFERENCE = SPEECH.with_name("librivox.txt").read_text(encoding="utf-8")
SERVED_BY = {
    "flask": (("flask", "--app", EXAMPLE / "app", "run", "--port", 0), r"Running on (http://\S+)"),
    "gthread": (
        ("gunicorn", "--chdir", EXAMPLE, "--bind", "127.0.0.1:0", "--preload", "--threads", 32, "app:app"),
        r"Listening at: (http://\S+)",
    ),
    "gevent": (
        ("gunicorn", "--chdir", EXAMPLE, "--bind", "127.0.0.1:0", "--preload", "-k", "gevent", "app:app"),
        r"Listening at: (http://\S+)",
    ),
}


def live_page(by: str = "flask", **environment: str) -> Any:
    command, says = SERVED_BY[by]
    return serving(*command, says=says, environment=environment)


@pytest.fixture(scope="module")
def site(service: LocalServer) -> Iterator[Server]:
    """The page, with the scripted service behind it."""
    with live_page(SPEECHMATICS_RT_URL=service.url) as running:
        yield running


@pytest.fixture
def page(site: Server, service: LocalServer, browser: Any) -> Iterator[Page]:
    with Page(browser, site.wait()) as shown:
        yield shown
    service.faults = ()


# -- speech ------------------------------------------------------------------------------------------


def speak(page: Page) -> None:
    """Let the browser speak the recording."""
    page.speak()
    has_spoken(page, 20)


def has_spoken(page: Page, seconds: float) -> None:
    """Wait until so much was spoken, and for its last words."""
    page.until("all was spoken", lambda: page.seconds_sent() > seconds, 60)
    page.stop()
    page.reaches("done")


@pytest.mark.speech
@pytest.mark.parametrize("by", SERVED_BY)
def test_what_is_said_stands_in_the_page_and_nothing_is_left_of_the_server(by, browser) -> None:
    with live_page(by) as site:
        with Page(browser, site.wait()) as page:
            speak(page)
            heard = page.text("#turns")
            assert share_heard(REFERENCE, heard) >= 0.8, heard
            assert page.complaints() == []
        others = site.children()
        assert others  # the recogniser among them
        site.stop()
    for pid in others:
        ended(pid)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> dict[str, tuple[bool, list[float]]]:
    """What three pages showed, by their servers, into which three browsers spoke at the same time."""
    with ExitStack() as stack:
        pages = {}
        for by in SERVED_BY:
            service = stack.enter_context(LocalServer())
            site = stack.enter_context(live_page(by, SPEECHMATICS_RT_URL=service.url))
            running = stack.enter_context(chromium(tmp_path_factory.mktemp(by), microphone=SPEECH))
            pages[by] = stack.enter_context(Page(running, site.wait()))
        for page in pages.values():
            page.speak()
        for page in pages.values():
            has_spoken(page, 12)
        return {by: (page.soft_words_were_seen(), page.lags()) for by, page in pages.items()}


@pytest.mark.alone
@pytest.mark.parametrize("by", SERVED_BY)
def test_captions_come_within_two_seconds(by, spoken, report) -> None:
    soft, lags = spoken[by]
    assert soft
    assert len(lags) > 20
    report("captions", f"by {by} {median(lags):.2f} s after their words, of three at once")
    assert median(lags) < 2, sorted(lags)


@pytest.mark.alone
@pytest.mark.speech
def test_captions_of_real_speech_come_within_two_seconds(browser, report) -> None:
    with live_page("gthread") as site, Page(browser, site.wait()) as page:
        speak(page)
        assert page.soft_words_were_seen()
        lags = page.lags()
    assert len(lags) > 20
    report("captions", f"of real speech {median(lags):.2f} s after their words")
    assert median(lags) < 2, sorted(lags)


def ended(pid: int) -> None:
    """Wait for the end of a process that is not our child."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 10)[0], f"process {pid} goes on"
    finally:
        os.close(handle)


@pytest.mark.speech
def test_a_browser_without_worklets_sends_its_own_recording(browser) -> None:
    without = "delete window.AudioWorkletNode;"
    with live_page() as site, Page(browser, site.wait(), before=without) as page:
        page.speak()
        page.until("the last sentence", lambda: "himself" in page.text("#turns"), 90)
        page.stop()
        page.reaches("done")
        assert share_heard(REFERENCE, page.text("#turns")) >= 0.8
        page.find("#play").click()
        page.until("a word is lit", lambda: page.text(".word.lit"))
        assert page.complaints() == []


@pytest.mark.speech
def test_a_file_is_read_as_fast_as_it_goes_and_what_is_none_is_said_to_be_none(browser, tmp_path) -> None:
    letter = tmp_path / "letter.mp3"
    letter.write_text("Dear Marianne, " * 100)
    with live_page() as site, Page(browser, site.wait()) as page:
        page.find(".hero [data-do=sample]").click()
        page.reaches("done", 60)
        assert share_heard(REFERENCE, page.text("#turns")) >= 0.8
        page.open(letter)
        page.reaches("failed")
        assert page.text("#notice h2") == "This recording can't be read"
        assert "text" in page.text("#notice p")
        assert not page.find("#notice button").is_displayed()


# -- what is shown -----------------------------------------------------------------------------------


def test_what_may_still_change_is_grey(page) -> None:
    page.open(SPEECH)
    page.reaches("done")
    assert page.soft_words_were_seen()
    assert page.soft_words == 0
    assert len(page.words) > 20


def test_speakers_have_names_colours_and_lanes_of_their_own(page) -> None:
    page.open(SPEECH)
    page.reaches("done")
    names = [name for name, _ in page.turns]
    assert names[:3] == ["Speaker 1", "Speaker 2", "Speaker 1"]
    assert page.turns[0][1] == "Good morning, and welcome to the reading room."
    colours = page.script(
        "return [...document.querySelectorAll('.who')].map((one) => getComputedStyle(one).color)"
    )
    assert len(set(colours[:2])) == 2
    assert colours[0] == colours[2]
    lanes = page.script("return [...document.querySelectorAll('.lane')].map((one) => one.childElementCount)")
    assert len(lanes) == 2
    assert min(lanes) >= 2


def test_words_are_lit_while_they_sound_and_a_click_goes_there(page) -> None:
    page.open(SPEECH)
    page.reaches("done")
    word = page.script("return [...document.querySelectorAll('.word')].find((w) => w.innerText === 'begin')")
    start = float(word.get_attribute("data-start"))
    word.click()
    page.until("a later word is lit", lambda: page.lit and page.lit[-1][0] > start)
    page.find("#play").click()
    lit, starts = page.lit, page.starts
    assert lit[0] == (start, start)
    assert lit == sorted(lit)
    for began, at in lit:
        assert began <= at < min(later for later in [*starts, 20] if later > began)
    page.until("it rests", lambda: page.script("return document.getElementById('audio').paused"))


def test_all_goes_by_keyboard_and_is_told_to_those_who_listen(page) -> None:
    from selenium.webdriver import ActionChains, Keys

    def press(*keys: str) -> None:
        ActionChains(page.browser).send_keys(*keys).perform()

    def focused(what: str) -> Any:
        return page.script(f"return document.activeElement.{what}")

    for _ in range(5):
        press(Keys.TAB)
        if focused("dataset.do") == "speak" and focused("closest('.hero') !== null"):
            break
    press(Keys.ENTER)
    page.reaches("live")
    assert focused("id") == "stop"  # what had the focus has left the page
    assert page.text("#status") == "Listening"
    page.until("words are told", lambda: "Good morning" in page.script("return said.textContent"))
    press(Keys.ENTER)
    page.reaches("done")
    assert focused("id") == "play"
    ActionChains(page.browser).key_down(Keys.SHIFT).send_keys(Keys.TAB).key_up(Keys.SHIFT).perform()
    assert focused("getAttribute('role')") == "slider"
    press(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert focused("getAttribute('aria-valuetext')") == "0:00, “morning,”"
    assert page.text(".word.lit") == "morning,"
    press(Keys.END)
    assert focused("getAttribute('aria-valuenow')") == focused("getAttribute('aria-valuemax')")


def test_the_transcript_is_saved_as_captions_and_as_json(page) -> None:
    folder = page.browser.downloads
    page.open(SPEECH)
    page.reaches("done")
    saved = {}
    for kind in ("srt", "vtt", "json"):
        path = folder / f"{SPEECH.stem}.{kind}"
        page.find(f"[data-save={kind}]").click()
        page.until(f"{path.name} is saved", path.exists)
        saved[kind] = path.read_text(encoding="utf-8")
        path.unlink()
    transcript = Transcript.from_dict(json.loads(saved["json"]))
    assert transcript.text == " ".join(page.words)
    assert saved["srt"] == transcript.to_srt()
    assert saved["vtt"] == transcript.to_vtt()
    assert "-->" in saved["srt"]


def test_the_page_joins_words_as_the_package_does(page) -> None:
    def result(content: str, at: float, kind: str = "word", to: Any = None) -> dict[str, Any]:
        one = {"type": kind, "start_time": at, "end_time": at + 0.3}
        one["alternatives"] = [{"content": content, "confidence": 0.9, "speaker": "S1"}]
        return one if to is None else {**one, "attaches_to": to}

    finals = [
        [result("¿", 0, "punctuation", "next"), result("Qué", 0.1), result("hora", 0.5)],
        [result("?", 0.8, "punctuation", "previous"), result("Las", 1.2)],  # a mark that comes late
        [result("-", 1.5, "punctuation", "both"), result("dos", 1.6), result(".", 1.9, "punctuation")],
        [result("", 2.0), result("42", 2.2, "entity")],
    ]
    join = """const [finals, delimiter, done] = arguments;
        import("/static/words.js").then(({Transcript}) => {
          const transcript = new Transcript();
          transcript.pack = {word_delimiter: delimiter};
          for (const results of finals) transcript.add(results, 3);
          done(transcript.words.map((word) => [word.before, word.text, word.start]));
        });"""
    for delimiter in (" ", ""):
        transcript = Transcript()
        pack = {"word_delimiter": delimiter}
        transcript.add({"message": "RecognitionStarted", "language_pack_info": pack})
        for results in finals:
            transcript.add({"message": "AddTranscript", "metadata": {"end_time": 3}, "results": results})
        joined = page.browser.execute_async_script(join, finals, delimiter)
        assert [(before, text) for before, text, _ in joined] == [
            (word.delimiter, word.text) for word in transcript.words
        ]
        assert [start for *_, start in joined] == [word.start_time for word in transcript.words]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_and_fits_a_phone(page, scheme) -> None:
    cdp = page.browser.execute_cdp_cmd
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    cdp("Emulation.setEmulatedMedia", {"features": features})
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    cdp("Emulation.setDeviceMetricsOverride", size)
    overflow = "return document.documentElement.scrollWidth - innerWidth"
    try:
        assert page.script(overflow) <= 0
        page.speak()
        page.until("words", lambda: len(page.words) > 5)
        assert page.script(overflow) <= 0
        for selector in (".word", ".who", ".time", "#status", ".clock"):
            assert contrast(page, selector) >= 4.5, selector
        page.stop()
        page.reaches("done")
        assert page.script(overflow) <= 0
        for selector in ("#play", "[data-save=srt]", ".again [data-do=speak]"):
            box = page.find(selector).rect
            assert min(box["width"], box["height"]) >= 40, selector
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 360
    finally:
        cdp("Emulation.clearDeviceMetricsOverride", {})
        cdp("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "light"}]})


def contrast(page: Page, selector: str) -> float:
    """Tell the ratio of a text's luminance to the paper's, as WCAG has it."""
    script = """const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
        return [rgb(getComputedStyle(document.querySelector(arguments[0])).color),
                rgb(getComputedStyle(document.body).backgroundColor)]"""
    shades = []
    for colour in page.script(script, selector):
        linear = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        shades.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(shades) / min(shades)


# -- what goes wrong ---------------------------------------------------------------------------------


def test_a_busy_service_is_asked_again_when_it_wants_to_be(page, service) -> None:
    busy = Fault.error("quota_exceeded", "too many sessions", at="start")
    service.faults = (busy,)
    page.open(SPEECH)
    page.reaches("failed")
    assert page.text("#notice h2") == "The speech service is busy"
    label, enabled = page.button
    assert not enabled
    assert label.startswith("Try again in ")
    button = page.find("#notice button")
    service.faults = ()
    page.until("it may be asked again", button.is_enabled)
    button.click()
    page.reaches("done")
    assert page.turns[0] == ("Speaker 1", "Good morning, and welcome to the reading room.")
    assert not page.find("#notice").is_displayed()


def test_what_was_heard_before_a_failure_stays_and_can_be_saved(page, service) -> None:
    service.faults = (Fault.fin(after_seconds=8),)
    page.open(SPEECH)
    page.reaches("failed")
    assert page.text("#notice h2") == "The speech service can't be reached"
    assert page.words[:3] == ["Good", "morning,", "and"]
    assert page.find("#notice button").is_enabled()
    assert page.find("[data-save=srt]").is_displayed()
    assert page.find("#play").is_displayed()


def test_a_speaker_is_told_that_the_words_are_late_when_nobody_takes_them(browser) -> None:
    with (
        LocalServer(faults=[Fault.stop_reading(after_seconds=4)]) as service,
        live_page(SPEECHMATICS_RT_URL=service.url) as site,
        Page(browser, site.wait()) as page,
    ):
        page.speak()
        page.until("words are there", lambda: page.words)
        assert page.text("#status") == "Listening"
        page.until("it is told", lambda: page.text("#status") == "The connection is slow; words come later")
        assert page.state == "live"


@pytest.mark.speech
def test_a_lost_connection_costs_a_speaker_no_word(browser) -> None:
    with (
        LocalServer("whisper", faults=[Fault.fin(after_seconds=6, sessions=[0])]) as service,
        live_page(SPEECHMATICS_RT_URL=service.url) as site,
        Page(browser, site.wait()) as page,
    ):
        speak(page)
        assert len(service.sessions) == 2
        assert share_heard(REFERENCE, page.text("#turns")) >= 0.8


def test_a_key_that_is_refused_is_told_without_details(browser) -> None:
    with (
        LocalServer(keys=["right"]) as guarded,
        live_page(SPEECHMATICS_RT_URL=guarded.url, SPEECHMATICS_API_KEY="wrong-key") as site,
        Page(browser, site.wait()) as page,
    ):
        page.open(SPEECH)
        page.reaches("failed")
        assert page.text("#notice h2") == "This page is not set up yet"
        assert not page.find("#notice button").is_displayed()
        assert "wrong-key" not in page.text("body")
        site.wait_for("answered with HTTP 401")


def test_who_refuses_the_microphone_is_told_how_to_allow_it(site, tmp_path) -> None:
    with chromium(tmp_path) as deaf, Page(deaf, site.wait()) as page:
        page.speak()
        page.reaches("failed")
        assert page.text("#notice h2") in ("The microphone is blocked", "There is no microphone")
        assert page.find("#notice button").is_enabled()


def test_a_server_that_is_gone_is_told_and_speaking_goes_on_when_it_is_back(service, browser) -> None:
    with live_page(SPEECHMATICS_RT_URL=service.url) as site, Page(browser, site.wait()) as page:
        page.speak()
        page.until("words", lambda: len(page.words) > 3)
        site.process.kill()
        page.reaches("failed")
        assert page.text("#notice h2") == "The line went dead"
        heard = page.words
        port = site.wait().rpartition(":")[2]
        command, says = SERVED_BY["flask"]
        with serving(*command[:-1], port, says=says, environment={"SPEECHMATICS_RT_URL": service.url}):
            recorded = page.until("what was said can be heard", lambda: page.script("return audio.duration"))
            page.find("#notice button").click()
            page.reaches("live")
            page.until("more words", lambda: len(page.words) > len(heard) + 3)
            page.stop()
            page.reaches("done")
            assert page.words[: len(heard)] == heard
            starts = page.starts
            assert starts == sorted(starts)
            assert starts[len(heard)] >= recorded  # the recording goes on, and so does its clock
            page.until("the whole", lambda: page.script("return audio.duration") > recorded + 1)


@pytest.mark.parametrize("by", SERVED_BY)
def test_a_page_that_says_nothing_learns_at_once_that_the_service_is_gone(by) -> None:
    from simple_websocket import Client as WebSocket

    with LocalServer() as service, live_page(by, SPEECHMATICS_RT_URL=service.url) as site:
        ws = WebSocket.connect(site.wait().replace("http", "ws") + "/live")
        try:
            ws.send(json.dumps({"audio_format": {"type": "file"}, "language": "en"}))
            ws.send(SPEECH.read_bytes()[:64000])
            while json.loads(ws.receive(timeout=20))["message"] != "AddTranscript":
                pass
            began = time.monotonic()
            service.close()
            while (told := json.loads(ws.receive(timeout=20)))["message"] != "Failed":
                pass
            assert time.monotonic() - began < 5
            assert told["retryable"]
        finally:
            ws.close()


def test_a_page_that_has_gone_leaves_no_session_behind(page, service) -> None:
    page.speak()
    page.until("words", lambda: page.words)
    session = service.sessions[-1]
    page.browser.get("about:blank")
    session.wait_for(lambda record: record.heard("EndOfStream"), timeout=20)


@pytest.mark.parametrize("path", ["/live", "/captions.srt"])
def test_no_other_site_may_speak_for_a_visitor(site, path) -> None:
    foreign = {"Origin": "https://elsewhere.example", "Content-Type": "application/json"}
    request = urllib.request.Request(site.wait() + path, b"{}", foreign)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20)
    with refused.value as answer:
        assert answer.code in (403, 405)
