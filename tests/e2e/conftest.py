"""What the tests of the web examples stand on: a scripted service, a browser, servers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from speechmatics_rt.local import LocalServer

from ..conftest import SPEECH
from .browser import chromium


@pytest.fixture(scope="module")
def service() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium with the recording for a microphone."""
    folder = tmp_path_factory.mktemp("chromium")
    (folder / "downloads").mkdir()
    with chromium(folder, microphone=SPEECH) as running:
        running.downloads = folder / "downloads"
        yield running
