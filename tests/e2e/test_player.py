"""The player in a browser: words are lit while they sound, and a click goes there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from speechmatics_rt import Transcript

SPEECH = Path(__file__).parents[2] / "examples" / "audio" / "librivox_3_sentences.wav"
DRIVER = shutil.which("chromedriver")
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(DRIVER is None, reason="there is no chromedriver: apt-get install chromium-driver"),
]


def talk() -> Transcript:
    """Ten words of one second each, by two speakers."""
    transcript = Transcript()
    for number in range(10):
        best = {"content": f"word{number}", "confidence": 1.0, "speaker": f"S{number // 5}"}
        times = {"start_time": number + 0.0, "end_time": number + 1.0}
        result = {"type": "word", **times, "alternatives": [best]}
        transcript.add({"message": "AddTranscript", "metadata": times, "results": [result]})
    return transcript


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open the player in Chromium; run JavaScript in its page: ``script("return 1")``."""
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html>{talk().player(SPEECH)._repr_html_()}", encoding="utf-8")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(method: str, address: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
        with opener.open(request, timeout=120) as answer:
            return json.load(answer)["value"]

    with subprocess.Popen([str(DRIVER), "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            said = ""
            while not (found := re.search(r"started successfully on port (\d+)", said)):
                said = driver.stdout.readline()
                assert said, "chromedriver ended before it was listening"
            base = f"http://127.0.0.1:{found[1]}/session"
            args = [*OPTIONS, f"--user-data-dir={tmp_path / 'profile'}"]
            wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": args}}}}
            session = f"{base}/{call('POST', base, wanted)['sessionId']}"
            call("POST", f"{session}/timeouts", {"script": 60_000})
            call("POST", f"{session}/url", {"url": page.as_uri()})

            def run(code: str, way: str = "async") -> Any:
                return call("POST", f"{session}/execute/{way}", {"script": code, "args": []})

            yield run
            call("DELETE", session)
        finally:
            driver.terminate()


# Calls back with what is lit, as soon as `when(lit)` holds.
WAIT = """
const done = arguments[0];
const lit = () => Array.from(document.querySelectorAll(".lit")).map((word) => word.textContent);
const when = (holds) => holds(lit()) ? done(lit()) : requestAnimationFrame(() => when(holds));
"""
# Calls back with all that was lit, and where the player knew the recording each time, once it is `until`
# seconds. Each change is noted as it comes: a page that stood still for a moment has passed over a word.
NOTE = """
const [done, audio, notes] = [arguments[0], document.querySelector("audio"), []];
const time = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "currentTime");
let now = 0;
Object.defineProperty(audio, "currentTime", {
  get() { return now = time.get.call(audio); },
  set(seconds) { time.set.call(audio, now = seconds); },
});
const until = (seconds) => new MutationObserver(() => {
  notes.push([Array.from(document.querySelectorAll(".lit")).map((word) => word.textContent), now]);
  if (now >= seconds) done(notes);
}).observe(document.body, {attributes: true, attributeFilter: ["class"], subtree: true});
"""


def lit_in_time(notes: list[tuple[list[str], float]]) -> list[float]:
    """Hold each word that was lit against the second that it is; return the seconds."""
    assert [words for words, _ in notes] == [[f"word{int(now)}"] for _, now in notes]
    return [now for _, now in notes]


def test_a_click_plays_from_there_and_lights_one_word_after_the_other(script) -> None:
    seconds = lit_in_time(script(NOTE + "until(4); document.querySelectorAll('span')[3].click();"))
    assert seconds == sorted(seconds)
    assert 3 <= seconds[0] < seconds[-1]


def test_a_time_can_be_reached_by_keyboard_and_starts_its_turn(script) -> None:
    key = "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true})"
    begins = "document.querySelectorAll('small')[1]"
    assert script(f"return [{begins}.tabIndex, {begins}.getAttribute('role')]", "sync") == [0, "button"]
    (at,) = lit_in_time(script(f"{NOTE} until(5); {begins}.dispatchEvent({key});"))
    assert at >= 5


def test_seeking_while_it_is_paused_lights_the_word_there(script) -> None:
    seek = "const audio = document.querySelector('audio'); audio.currentTime = 7.5;"
    assert script(f"{WAIT} {seek} when((lit) => lit.length);") == ["word7"]
    assert script(f"{WAIT} {seek.replace('7.5', '12')} when((lit) => !lit.length);") == []


def test_the_recording_is_in_the_page_and_nothing_is_fetched(script) -> None:
    length = "const audio = document.querySelector('audio'); const done = arguments[0];"
    length += "audio.readyState ? done(audio.duration) : audio.onloadedmetadata = () => done(audio.duration);"
    assert script(length) == pytest.approx(19.4, abs=0.1)
    fetched = script("return performance.getEntriesByType('resource').map((entry) => entry.name)", "sync")
    assert [name for name in fetched if not name.startswith("data:")] == []
