"""How many examples a property is tried with: a third in the default run, all by ``tox -e reliability``.

They are new ones with each run, so that what a single run does not try the next ones do.
"""

from __future__ import annotations

import os
from typing import Any

# No plugin of Hypothesis is used here: that of trio, which comes along with selenium, imports all of trio.
os.environ.setdefault("HYPOTHESIS_NO_PLUGINS", "1")

from hypothesis import HealthCheck, settings

__all__ = ["load_profiles", "tried"]

ALL = 100  # where a test does not say how many; Hypothesis's own number


def load_profiles() -> None:
    """Take a third, or what ``--hypothesis-profile=all`` says."""
    # An example, and making one, may stand still for a while on a busy machine; a test has its timeout.
    patient: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("all", max_examples=ALL, **patient)
    settings.register_profile("a third", max_examples=ALL // 3, **patient)
    settings.load_profile("a third")


def tried(examples: int, **more: Any) -> settings:
    """Try a property with so many of all examples, or with a third of them; ``more`` are other settings."""
    share = settings.default.max_examples / ALL
    return settings(max_examples=round(examples * share), **more)
