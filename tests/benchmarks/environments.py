"""Virtual environments, one for each client, the sink and the plots; made anew when their needs change."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

__all__ = ["REQUIREMENTS", "python_of"]

REQUIREMENTS = {
    "sink": ("picows>=1.9", "trustme>=1.0"),
    "plots": ("matplotlib>=3.8",),
    # This package itself is imported from the tree.
    "ours": ("websocket-client>=1.6,!=1.9.1,<2",),
    "ours-fast": ("websocket-client>=1.6,!=1.9.1,<2", "orjson>=3.8", "websockets>=12"),
    "raw": ("websocket-client>=1.6,!=1.9.1,<2",),
    "official": ("speechmatics-rt==1.2.1",),
    "floor": (),
    "floor-orjson": ("orjson>=3.8",),
}


def python_of(name: str, home: Path) -> Path:
    """Return the interpreter of an environment below ``home``, which is made if it isn't there."""
    place = home / name
    interpreter = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = "\n".join(REQUIREMENTS[name])
    done = place / "requirements.txt"
    if not done.exists() or done.read_text() != wanted:
        ours = find_spec("pip") is not None  # to give each a pip of its own takes longer than to fill it
        venv.create(place, with_pip=not ours, clear=True)
        if wanted:
            pip = [sys.executable, "-m", "pip", "--python"] if ours else []
            pip += [interpreter] if ours else [interpreter, "-m", "pip"]
            install = [*pip, "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*install, *REQUIREMENTS[name]], check=True)
        done.write_text(wanted)
    return interpreter
