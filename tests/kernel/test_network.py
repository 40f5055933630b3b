"""Runs the tests of ``inside/test_network_*`` in the booted kernel, which has bonding and 8021q."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cell_reconciler.lab import Lab

INSIDE = Path(__file__).parent / "inside"


@pytest.mark.kernel
@pytest.mark.timeout(2400)  # emulated: a few minutes on an idle machine, many more on a busy one
def test_the_network_in_a_booted_kernel(kernel_lab: Lab) -> None:
    tests = sorted(str(path) for path in INSIDE.glob("test_network_*.py"))
    assert tests
    modules = ["bonding", "8021q", "bridge", "dummy", "veth", "tun"]
    kernel_lab.exec(["modprobe", "--all", *modules], timeout=120, check=True)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=900", *tests]
    done = kernel_lab.exec(["env", "CELL_INSIDE_LAB=1", "PYTHONDONTWRITEBYTECODE=1", *argv], timeout=2100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout, done.stdout
