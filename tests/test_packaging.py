"""The package as it is published: built from its own source archive, installed where there is nothing else.

What needs pip and a package index is marked ``packaging`` and left out unless it is asked for.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from speechmatics_rt import __version__
from speechmatics_rt.local import LocalServer

ROOT = Path(__file__).parent.parent
SPEECH = ROOT / "examples" / "audio" / "librivox_3_sentences.wav"
LARGEST_WHEEL = 680_000  # bytes, of 1.8 MB of modules; what more it held would be larger at once
LARGEST_INSTALLATION = 2_250_000  # bytes of source, of which 0.37 MB are websocket-client

packaging = pytest.mark.packaging
pytestmark = [
    pytest.mark.timeout(300),  # whichever test comes first waits for both
]


def run(*command: object, check: bool = True, **options: object) -> subprocess.CompletedProcess:
    """Run a command without our environment's packages and settings; its output is text, in one piece."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SPEECH"))}
    done = subprocess.run(
        list(map(str, command)),
        env={**kept, **options.pop("env", {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
        **options,
    )
    assert not check or done.returncode == 0, done.stdout
    return done


def scripts(folder: Path) -> Path:
    return folder / ("Scripts" if os.name == "nt" else "bin")


def new_environment(folder: Path, *packages: object) -> Path:
    """Make a virtual environment with these packages alone; return its python."""
    venv.create(folder)  # to give each a pip of its own takes longer than to fill it
    python = scripts(folder) / "python"
    run(*pip_for(python), "install", "--quiet", "--no-compile", *packages)
    return python


def pip_for(python: Path) -> tuple[object, ...]:
    return (sys.executable, "-m", "pip", "--python", python)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source archive, built from a copy of this tree: of what git knows of it."""
    folder = tmp_path_factory.mktemp("build")
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "tree", ignore=unwanted)
    git = ("git", "-C", folder / "tree", "-c", "user.name=Nobody", "-c", "user.email=nobody@example.com")
    for command in (("init", "-q"), ("add", "-A"), ("commit", "-q", "-m", "All of it")):
        run(*git, *command)
    python = new_environment(folder / "venv", "build", "pip")
    run(python, "-m", "build", "--outdir", folder / "dist", folder / "tree")
    assert len(list((folder / "dist").glob(f"*{__version__}.tar.gz"))) == 1
    (path,) = (folder / "dist").glob("*.whl")
    return path


@pytest.fixture(scope="module")
def core(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("core") / "venv"
    new_environment(folder, wheel)
    return folder


@pytest.fixture
def python(core: Path, tmp_path: Path) -> Callable[..., str]:
    """Run a program in the environment of the core; gives what it printed, which includes its errors."""

    def execute(program: str, **env: str) -> str:
        return run(scripts(core) / "python", "-c", program, cwd=tmp_path, env=env, check=False).stdout

    return execute


# -- what is in it -----------------------------------------------------------------------------------------


@packaging
def test_the_wheel_holds_the_package_its_type_marker_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith("/METADATA"))
        (entries,) = (archive.read(name).decode() for name in names if name.endswith("/entry_points.txt"))
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "speechmatics_rt").rglob("*.py")}
    ours = {name for name in names if ".dist-info/" not in name}
    manual = f"speechmatics_rt_sync-{__version__}.data/data/share/man/man1/speechmatics-rt.1"
    assert ours == modules | {"speechmatics_rt/py.typed", manual}
    assert "Project-URL: Service, https://docs.speechmatics.com" in metadata
    assert re.search(r"^Name: speechmatics-rt-sync$", metadata, re.MULTILINE)
    assert re.search(rf"^Version: {re.escape(__version__)}$", metadata, re.MULTILINE)
    assert "speechmatics-rt = speechmatics_rt.cli:main" in entries
    assert "[pytest11]\nspeechmatics_rt = speechmatics_rt.pytest_plugin" in entries
    assert wheel.stat().st_size < LARGEST_WHEEL


@packaging
def test_the_source_archive_runs_its_own_tests(wheel: Path, tmp_path: Path) -> None:
    (archive,) = wheel.parent.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path)
    (tree,) = tmp_path.iterdir()
    kept = {path.relative_to(ROOT) for part in ("tests", "examples") for path in (ROOT / part).rglob("*.*")}
    made = {"__pycache__", "db.sqlite3"}  # by running them, perhaps just now in another process
    missing = [path for path in kept if not made.intersection(path.parts) and not (tree / path).exists()]
    assert missing == []
    which = ["tests/config", "tests/test_architecture.py", "tests/test_manual.py"]
    said = run(sys.executable, "-m", "pytest", "-q", "-n", "0", *which, cwd=tree)
    assert " passed" in said.stdout.splitlines()[-1]


@packaging
def test_the_manual_page_is_found_by_the_command_s_place(core: Path) -> None:
    assert (core / "share" / "man" / "man1" / "speechmatics-rt.1").read_text().startswith(".TH SPEECHMATICS")


@packaging
def test_the_core_requires_one_package(core: Path) -> None:
    listed = run(*pip_for(scripts(core) / "python"), "list", "--format", "freeze").stdout
    names = {line.partition("==")[0] for line in listed.splitlines() if "==" in line}
    assert names - {"pip", "setuptools"} == {"speechmatics-rt-sync", "websocket-client"}


@packaging
def test_the_installation_is_small(core: Path) -> None:
    (site,) = (path for path in core.rglob("site-packages") if path.is_dir())
    files = [
        path
        for part in ("speechmatics_rt*", "websocket*")
        for found in site.glob(part)
        for path in ([found] if found.is_file() else found.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    ]
    assert sum(path.stat().st_size for path in files) < LARGEST_INSTALLATION


# -- what it does without the extras -----------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer() as running:
        yield running


@packaging
def test_the_core_alone_transcribes(python, server: LocalServer) -> None:
    call = f"Client(url={server.url!r}).transcribe({str(SPEECH)!r})"
    assert python(f"from speechmatics_rt import Client; print({call})").startswith("Good morning,")


@packaging
def test_the_command_works_with_the_core_alone(core: Path, server: LocalServer) -> None:
    command = scripts(core) / "speechmatics-rt"
    assert run(command, "--version").stdout.startswith(f"speechmatics-rt {__version__}\n")
    heard = run(command, "transcribe", SPEECH, "--url", server.url).stdout
    assert heard.startswith("Good morning, and welcome to the reading room.\n")


@packaging
@pytest.mark.parametrize(
    ("program", "kind", "extra"),
    [
        ("JWTAuth('key').get_auth_headers()", "ConfigurationError", "jwt"),
        (
            "Client(url='ws://10.255.255.1', conn_config=ConnectionConfig(proxy='http://127.0.0.1:9'))"
            ".start_session()",
            "ConfigurationError",
            "proxy",
        ),
        ("import speechmatics_rt.local", "ImportError", "server"),
    ],
)
def test_a_missing_extra_is_named_with_its_command(python, program: str, kind: str, extra: str) -> None:
    said = python(f"from speechmatics_rt import *\n{program}").splitlines()[-1]
    assert kind in said
    assert f"pip install 'speechmatics-rt-sync[{extra}]'" in said


@packaging
def test_offline_recognition_without_its_packages_is_named_with_its_command(core, python, tmp_path) -> None:
    command = [scripts(core) / "speechmatics-rt", "transcribe", "--local", SPEECH]
    refused = run(*command, check=False)
    assert refused.returncode == 2
    assert "pip install 'speechmatics-rt-sync[local]'" in refused.stdout
    run(*pip_for(scripts(core) / "python"), "install", "-q", "--target", tmp_path / "more", "wsproto")
    for options, extra in (("", "local"), ("model='base'", "local-base")):
        program = f"from speechmatics_rt import local; local.WhisperEngine({options})"
        said = python(program, PYTHONPATH=str(tmp_path / "more")).splitlines()[-1]
        assert "ConfigurationError" in said
        assert f"pip install 'speechmatics-rt-sync[{extra}]'" in said


def test_another_package_named_websocket_is_told_from_ours(tmp_path: Path) -> None:
    (tmp_path / "websocket.py").write_text("# what PyPI has under this name is another library\n")
    program = "from speechmatics_rt import Client; Client(url='ws://127.0.0.1:9').start_session()"
    env = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    said = run(sys.executable, "-c", program, env=env, check=False).stdout.splitlines()[-1]
    assert "ConfigurationError: another package named websocket" in said
    assert "pip uninstall websocket" in said


@pytest.mark.reliability  # 90 s
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="what is published is built from git")
def test_two_builds_give_the_same_bytes_whatever_the_folder_the_modes_and_the_time(tmp_path: Path) -> None:
    python = new_environment(tmp_path / "venv", "build", "pip")
    sums = []
    for folder, umask, zone in (("here", 0o022, "UTC"), ("another/folder", 0o077, "Asia/Kathmandu")):
        tree = tmp_path / folder / "tree"
        tree.parent.mkdir(parents=True)
        run("git", "clone", "--quiet", ROOT, tree)
        for path in tree.rglob("*"):
            if ".git" not in path.parts and path.is_file():
                os.utime(path, (1, len(sums)))
                path.chmod(path.stat().st_mode & ~umask | 0o600)
        shutil.copy(ROOT / ".ci" / "release", tree / ".ci" / "release")
        command = f"umask {umask:o}; {shlex.quote(str(python))} .ci/release out"
        run("sh", "-c", command, cwd=tree, env={"TZ": zone})
        built = sorted((tree / "out").iterdir())
        assert [path.suffix for path in built] == [".whl", ".gz"]
        sums.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in built})
    assert sums[0] == sums[1]
