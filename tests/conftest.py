"""What all tests share: a home of their own, hypothesis settings, the skips that are allowed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ALLOWED_SKIPS = (
    r"sample workflows are not here: set DURABLE_WF_SAMPLES",
    r"needs Linux",
    r"this Python's sqlite3 hides the symbols",
    r"root may write everywhere",
    r"no second file system",
)
"""Reasons (regular expressions, from the start) for which a test may be skipped.

Any other skip is a failure: a test that silently does not run is worse than none.
"""

settings.register_profile(
    "project", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("project"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "project"))


@pytest.fixture(scope="session", autouse=True)
def home_of_its_own(tmp_path_factory):
    """Nothing that a test does reaches the user's home, state folder or store."""
    home: Path = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        for name in ("DURABLE_WF_STORE", "NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
            patch.delenv(name, raising=False)
        yield home


def _not_allowed(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    return None if any(re.match(allowed, reason) for allowed in ALLOWED_SKIPS) else reason


def _fail_unless_allowed(report: pytest.TestReport | pytest.CollectReport) -> None:
    if (reason := _not_allowed(report)) is not None:
        report.outcome = "failed"
        report.longrepr = f"skipped for a reason that tests/conftest.py does not allow: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    _fail_unless_allowed(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _fail_unless_allowed(report)
    return report
