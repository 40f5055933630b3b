"""What all tests share: options, Hypothesis profiles, the lab fixtures, and one rule about skips.

The rule: with CI=true (or CELL_REQUIRE_ALL=1) a skipped live, ceph or kernel test is a failure, because a suite that
skips what it cannot do proves nothing there.

Kernel tests stand in ``tests/kernel/inside`` and run inside ONE booted lab: the test outside boots it and runs
pytest there with CELL_INSIDE_LAB=1. Without that variable they are not even collected.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_ALL = os.environ.get("CELL_REQUIRE_ALL") == "1" or os.environ.get("CI") == "true"
NEEDS = {"live", "ceph", "kernel"}

collect_ignore_glob = [] if os.environ.get("CELL_INSIDE_LAB") == "1" else ["kernel/inside/*"]

# Machines of CI are slow in turns: no deadline, and the same examples each time, so that a failure is reproducible.
settings.register_profile("ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if REQUIRE_ALL else "dev")
if "CELL_EXAMPLES" in os.environ:  # how many examples of each property, for a long run: CELL_EXAMPLES=2000
    settings.register_profile("long", max_examples=int(os.environ["CELL_EXAMPLES"]), derandomize=False)
    settings.load_profile("long")

from tests.installed import installed, wheel  # noqa: E402, F401  # fixtures

if find_spec("tests.labs") is not None:
    from tests.labs import *  # noqa: F403  # fixtures are found by name in conftest's namespace


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden-update", action="store_true", help="write what the golden tests got instead of comparing"
    )


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def bugs_are_raised() -> Iterator[None]:
    """What users get as a finding about a file (``load.internal``) is a bug, and is to fail the test that meets it."""
    from cell_reconciler.load import internal

    def raised(error: Exception, _position: object) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(internal, "finding", raised)
        yield


@pytest.fixture(scope="session")
def golden_update(request: pytest.FixtureRequest) -> bool:
    """True when golden files are to be written."""
    return bool(request.config.getoption("--golden-update"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip that hides a missing component into a failure."""
    report = yield
    needs = NEEDS & {mark.name for mark in item.iter_markers()}
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail") and needs:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
        report.outcome = "failed"
        report.longrepr = f"a {'/'.join(sorted(needs))} test must not be skipped here: {reason}"
    return report
