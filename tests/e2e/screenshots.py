"""Take the pictures of examples/flask_live anew: ``python -m tests.e2e.screenshots``. Look at them then."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechmatics_rt.local import LocalServer, Script, ScriptedEngine

from ..conftest import SPEECH
from .browser import chromium
from .page import Page
from .processes import ROOT, serving

PICTURES = ROOT / "examples" / "flask_live" / "screenshots"
TALK = (
    ("S1", "Good evening, and welcome back. Tonight we ask whether a river can remember."),
    ("S2", "It can, in its bends. Every flood leaves a line in the clay, and we learn to read the lines."),
    ("S1", "So a river keeps a diary?"),
    ("S2", "It does, and rather a candid one."),
    ("S3", "I would not call it candid. It leaves out the quiet years."),
    ("S1", "Then tell us what the mud of Bergen says about one loud one."),
)
UNSURE = ("candid", "mud")
SIZES = {"wide": (1280, 800, 1), "phone": (390, 844, 1.5)}
WANTED = {
    "start-light-wide",
    "live-light-wide",
    "play-dark-wide",
    "start-dark-phone",
    "live-light-phone",
    "play-dark-phone",
}


def script() -> Script:
    text = " ".join(said for _, said in TALK)
    speakers = [name for name, said in TALK for _ in range(said.count(".") + said.count("?"))]
    words, sentence = [], 0
    for word in Script.from_text(text, rate=3.1, pause=0.35).words:
        confidence = 0.42 if word.content in UNSURE else word.confidence
        words.append(replace(word, speaker=speakers[sentence], confidence=confidence))
        sentence += word.content in ".?"
    return Script(tuple(words))


def look(browser: Any, scheme: str, size: str) -> None:
    width, height, scale = SIZES[size]
    metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": size == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def take(page: Page, scheme: str, size: str) -> None:
    """Show the page in its three states: at the start, while somebody speaks, while the recording plays."""

    def picture(state: str) -> None:
        name = f"{state}-{scheme}-{size}"
        if name in WANTED:
            page.browser.save_screenshot(str(PICTURES / f"{name}.png"))

    time.sleep(0.3)
    picture("start")
    page.speak()
    least = 20 if size == "phone" else 33
    soft = "return document.querySelectorAll('.word.soft').length"
    page.until("some words", lambda: len(page.words) > least, 90)
    page.until("some that are grey", lambda: page.script(soft) > 1, 30)
    picture("live")
    page.until("all words", lambda: len(page.words) > 69, 90)
    page.stop()
    page.reaches("done")
    page.script("[...document.querySelectorAll('.word')].find((one) => one.innerText === 'diary?').click()")
    page.until("it plays", lambda: page.text(".word.lit"))
    picture("play")


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    command = ("flask", "--app", ROOT / "examples" / "flask_live" / "app", "run", "--port", 0)
    with LocalServer(ScriptedEngine(script())) as service, tempfile.TemporaryDirectory() as folder:
        environment = {"SPEECHMATICS_RT_URL": service.url}
        says = r"Running on (http://\S+)"
        with serving(*command, says=says, environment=environment) as site:
            for scheme in ("light", "dark"):
                for size in SIZES:
                    profile = Path(folder) / f"{scheme}-{size}"
                    with chromium(profile, microphone=SPEECH) as browser:
                        look(browser, scheme, size)
                        with Page(browser, site.wait()) as page:
                            take(page, scheme, size)


if __name__ == "__main__":
    main()
