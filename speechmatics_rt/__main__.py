"""``python -m speechmatics_rt``: the same as the command ``speechmatics-rt``."""

from __future__ import annotations

from .cli import main

raise SystemExit(main())
