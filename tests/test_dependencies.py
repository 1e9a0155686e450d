"""What pip may choose for us has no known hole: lower bounds are at or above the versions that mend them.

A scanner needs a service that is not everywhere, and would fail on some day without a change of ours. So the
advisories that concern us stand here, as of :data:`LOOKED_UP`, by the numbers of OSV (https://osv.dev): look
there before a release, for the packages of :data:`NAMES`, and add what is new.
"""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import NamedTuple, Optional

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
LOOKED_UP = "2026-11-29"
# The extras of users. Those of tests and examples bring programs, which their own users keep up to date.
EXTRAS = ("jwt", "proxy", "fast", "mic", "cli", "server", "local", "local-base", "local-file")


class Advisory(NamedTuple):
    package: str
    number: str
    fixed: str
    # What would have to be called, if we need not ask for the version: one may be beyond our oldest Python.
    unless: Optional[str] = None


ADVISORIES = [
    Advisory("requests", "CVE-2024-47081", "2.32.4"),  # a crafted URL gets what ~/.netrc has for another host
    Advisory("requests", "CVE-2026-25645", "2.33.0", unless="extract_zipped_paths"),
    Advisory("pyjwt", "CVE-2024-53861", "2.10.1"),  # an issuer is compared in part
    Advisory("pyjwt", "CVE-2026-32597", "2.12.0"),  # critical extensions are not minded
    Advisory("orjson", "CVE-2024-27454", "3.9.15"),  # loads() of what is nested without end
    Advisory("orjson", "CVE-2025-67221", "3.11.6", unless="orjson.dumps"),
    Advisory("h11", "CVE-2025-43859", "0.16.0"),  # bodies in malformed chunks
]


def requirements() -> dict[str, Requirement]:
    """Read what is required, of all users or of those of an extra, by the names of the index."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options"]["install_requires"].splitlines()
    for extra in EXTRAS:
        lines += config["options.extras_require"][extra].splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {one.name.lower(): one for one in found if one.name != "speechmatics-rt-sync"}


REQUIREMENTS = requirements()
NAMES = sorted(REQUIREMENTS)


def lowest(requirement: Requirement) -> Optional[Version]:
    bounds = [Version(one.version) for one in requirement.specifier if one.operator in (">=", "==")]
    return max(bounds, default=None)


@pytest.mark.parametrize("advisory", ADVISORIES, ids=lambda advisory: f"{advisory.package} {advisory.number}")
def test_no_version_with_a_known_hole_may_be_chosen(advisory: Advisory) -> None:
    if advisory.unless is not None:
        sources = (ROOT / "speechmatics_rt").rglob("*.py")
        assert [path for path in sources if advisory.unless in path.read_text(encoding="utf-8")] == []
        return
    bound = lowest(REQUIREMENTS[advisory.package])
    assert bound is not None
    assert bound >= Version(advisory.fixed)


@pytest.mark.parametrize("name", NAMES)
def test_every_requirement_has_a_lower_bound(name: str) -> None:
    assert lowest(REQUIREMENTS[name]) is not None


def test_what_is_looked_up_has_a_date_and_concerns_us() -> None:
    assert re.fullmatch(r"20\d\d-[01]\d-[0-3]\d", LOOKED_UP)
    assert {advisory.package for advisory in ADVISORIES} <= set(NAMES)
