"""The page of examples/flask_live, as a visitor sees it."""

from __future__ import annotations

import re
import statistics
from pathlib import Path
from typing import Any, Callable

PATIENCE = 45.0  # seconds

# What is sent and what is shown, each with its moment; it stands before any script of the page. What comes
# and goes is noted here: a driver that asks now and then may ask too late.
WATCH = """{
window.watched = {sent: [], shown: [], lit: [], buttons: [], position: 0};
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  const size = data.byteLength;
  if (size) watched.sent.push([performance.now(), size]);
  return send.call(this, data);
};
const time = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, "currentTime");
Object.defineProperty(HTMLMediaElement.prototype, "currentTime", {
  get() { return watched.position = time.get.call(this); },
  set(seconds) { time.set.call(this, watched.position = seconds); },
});
document.addEventListener("DOMContentLoaded", () => {
  const words = () => [...document.querySelectorAll(".word")];
  new MutationObserver(() => watched.shown.push([performance.now(),
    Math.max(-1, ...words().map((one) => Number(one.dataset.start))),
    document.querySelectorAll(".word.soft").length]))
    .observe(document.getElementById("turns"), {childList: true, subtree: true, characterData: true});
  new MutationObserver(() => {
    const word = document.querySelector(".word.lit");
    if (word) watched.lit.push([Number(word.dataset.start), watched.position]);
  }).observe(document.getElementById("turns"), {attributes: true, attributeFilter: ["class"], subtree: true});
  const button = document.querySelector("#notice button");
  new MutationObserver(() => watched.buttons.push([button.innerText, !button.disabled]))
    .observe(document.body, {attributes: true, attributeFilter: ["data-state"]});
});
}"""


class Page:
    """Open it and leave it: ``with Page(browser, url) as page``.

    Args:
        before: JavaScript that runs before any of the page.
    """

    def __init__(self, browser: Any, url: str, *, before: str = "") -> None:
        self.browser = browser
        self.script = browser.execute_script
        self._url = url
        self._before = WATCH + before

    def __enter__(self) -> Page:
        source = {"source": self._before}
        self._watch = self.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
        self.browser.get_log("browser")  # those of the page before
        self.browser.get(self._url + "/")
        return self

    def __exit__(self, *_: object) -> None:
        self.browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", self._watch)
        self.browser.get("about:blank")

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def text(self, selector: str) -> str:
        return str(self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def until(self, what: str, condition: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        """Wait for something on the page, which rings for nobody: the driver asks again and again."""
        from selenium.common.exceptions import TimeoutException
        from selenium.webdriver.support.wait import WebDriverWait

        try:
            return WebDriverWait(self.browser, seconds, 0.1).until(lambda _: condition())
        except TimeoutException:
            seen = self.script("return document.body.dataset.state + ': ' + document.body.innerText")
            raise AssertionError(f"not within {seconds:g} s: {what}; the page is {seen}") from None

    @property
    def state(self) -> str:
        return str(self.script("return document.body.dataset.state"))

    def reaches(self, state: str, seconds: float = PATIENCE) -> None:
        self.until(f"state {state}", lambda: self.state == state, seconds)

    def speak(self) -> None:
        self.find(".hero [data-do=speak]").click()

    def open(self, path: Path) -> None:
        self.find("#file").send_keys(str(path))

    def stop(self) -> None:
        self.find("#stop").click()

    @property
    def words(self) -> list[str]:
        script = "return [...document.querySelectorAll('.word:not(.soft)')].map((one) => one.innerText)"
        return [str(word) for word in self.script(script)]

    @property
    def soft_words(self) -> int:
        """How many are grey."""
        return int(self.script("return document.querySelectorAll('.word.soft').length"))

    @property
    def starts(self) -> list[float]:
        """When each word begins, in seconds."""
        script = "return [...document.querySelectorAll('.word')].map((one) => Number(one.dataset.start))"
        return [float(start) for start in self.script(script)]

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Name and words of each."""
        script = """return [...document.querySelectorAll(".turn")].map((turn) =>
            [turn.querySelector(".who")?.innerText ?? "", turn.querySelector("p").innerText])"""
        return [(name, text) for name, text in self.script(script)]

    def seconds_sent(self) -> float:
        """Of microphone audio, by its samples."""
        return float(self.script("return watched.sent.reduce((sum, [, size]) => sum + size, 0) / 32000"))

    def lags(self) -> list[float]:
        """How long after a word began to sound it stood in the page, in grey or black; in seconds, of each.

        A word began to sound when the sample of its start was recorded, at the latest when it was sent.
        """
        sent, shown = self.script("return [watched.sent, watched.shown]")
        found = []
        for start in self.starts:
            until, when = 0.0, 0.0
            for moment, size in sent:
                if until > start:
                    break
                until, when = until + size / 32000, moment
            seen = next((moment for moment, latest, _ in shown if latest >= start - 0.3), None)
            assert seen is not None, start
            found.append((seen - when) / 1000)
        return found

    def soft_words_were_seen(self) -> bool:
        return bool(self.script("return watched.shown.some(([, , soft]) => soft > 0)"))

    @property
    def lit(self) -> list[tuple[float, float]]:
        """The words that have been lit: when each begins, and where the recording was; in seconds."""
        return [(start, at) for start, at in self.script("return watched.lit")]

    @property
    def button(self) -> tuple[str, bool]:
        """What stood on the button to try again when the page came to its state, and could it be pressed."""
        label, enabled = self.script("return watched.buttons.at(-1)")
        return label, enabled

    def complaints(self) -> list[str]:
        """What stands in the browser's console.

        Flask's own server puts an HTTP answer behind every closed WebSocket, of which Chromium complains.
        """
        said = [entry["message"] for entry in self.browser.get_log("browser")]
        return [message for message in said if "Invalid frame header" not in message]


def plain(text: str) -> list[str]:
    """Words without case and marks."""
    return re.sub(r"[^\w ]", " ", text.lower().replace("mr.", "mister")).split()


def share_heard(reference: str, heard: str) -> float:
    """Tell which share of the words of a text was heard, in their order."""
    import difflib

    wanted, found = plain(reference), plain(heard)
    matcher = difflib.SequenceMatcher(None, wanted, found, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / len(wanted)


def median(values: list[float]) -> float:
    return statistics.median(values)
