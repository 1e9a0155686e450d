"""What workers in other processes import."""

from __future__ import annotations

import os
from typing import Any

from speechmatics_rt.many.job import Job


class Killed(Job):
    """A job whose worker dies with it."""

    def __call__(self, index: int, source: Any) -> Any:
        os._exit(1)
