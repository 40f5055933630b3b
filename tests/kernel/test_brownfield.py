"""Runs the tests of ``inside/test_brownfield_*`` in the booted kernel, which has bonding and 8021q."""

from __future__ import annotations

import sys

import pytest

from cell_reconciler.lab import Lab
from tests.kernel.test_network import INSIDE


@pytest.mark.kernel
@pytest.mark.timeout(900)
def test_brownfield_hosts_in_a_booted_kernel(kernel_lab: Lab) -> None:
    tests = sorted(str(path) for path in INSIDE.glob("test_brownfield_*.py"))
    assert tests
    kernel_lab.exec(
        ["modprobe", "--all", "bonding", "8021q", "bridge", "dummy", "veth", "tun"], timeout=120, check=True
    )
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=600", *tests]
    done = kernel_lab.exec(["env", "CELL_INSIDE_LAB=1", "PYTHONDONTWRITEBYTECODE=1", *argv], timeout=800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout, done.stdout
