"""Runs the tests of ``inside/`` on a booted kernel, all of them in one boot.

User-mode-linux where it runs, which is fifty times faster; the emulated machine where not, and for ``test_vm_*``,
which needs what only Debian's own kernel has (nft_meta_bridge).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cell_reconciler.lab import Lab
from tests.kernel import uml

INSIDE = Path(__file__).parent / "inside"
MACHINE = sorted(str(path) for path in INSIDE.glob("test_vm_*.py"))
ANYWHERE = sorted(str(path) for path in INSIDE.glob("test_*.py") if str(path) not in MACHINE)


def command(tests: list[str], timeout: int) -> list[str]:
    """``timeout``: seconds for one test."""
    options = ["-q", "--color=no", "-p", "no:cacheprovider", f"--timeout={timeout}", "--durations=5"]
    environment = ["CELL_INSIDE_LAB=1", "PYTHONDONTWRITEBYTECODE=1", "HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis"]
    return ["env", *environment, sys.executable, "-m", "pytest", *options, *tests]


def machine(lab: Lab, tests: list[str], timeout: int) -> subprocess.CompletedProcess[str]:
    lab.exec(["modprobe", "--all", *uml.MODULES], timeout=120, check=True)
    lab.exec(uml.NO_TUNNELS, timeout=60, check=True)
    return lab.exec(command(tests, timeout // 2), timeout=timeout)


def passed(done: subprocess.CompletedProcess[str]) -> None:
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout, done.stdout


@pytest.mark.kernel
@pytest.mark.timeout(5400)  # emulated: it takes an hour on a busy machine; user-mode-linux: minutes
def test_on_a_booted_kernel(request: pytest.FixtureRequest) -> None:
    assert ANYWHERE
    if uml.boots():
        passed(uml.Uml().run(command(ANYWHERE, timeout=300), timeout=1800))
    else:
        passed(machine(request.getfixturevalue("kernel_lab"), ANYWHERE, timeout=5000))


@pytest.mark.kernel
@pytest.mark.timeout(1200)
def test_on_the_kernel_of_the_distribution(kernel_lab: Lab) -> None:
    assert MACHINE
    passed(machine(kernel_lab, MACHINE, timeout=1000))
