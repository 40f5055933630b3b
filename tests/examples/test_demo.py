"""`make run` without a terminal: what it does, what it shows, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from cell_reconciler.lab import Lab
from tests.process import run


@pytest.mark.kernel
@pytest.mark.timeout(1300)
def test_the_demo_converges_the_specs_and_leaves_nothing(root: Path) -> None:
    name = f"demo-{os.getpid()}"
    done = run([sys.executable, root / "scripts" / "demo.py", "--name", name], cwd=root, timeout=1200)
    rows = dict(re.findall(r"^(\w+) +(\S+) +True ", done.stdout, flags=re.M))
    assert {"Bond", "Bridge", "StoragePool", "Volume", "VirtualMachine"} <= rows.keys()
    assert not re.findall(r"^\w+ +\S+ +(?:False|Unknown) ", done.stdout, flags=re.M)
    assert re.search(r"\bvnet\d+: .* master br-VM\.101 ", done.stdout), "the VM's interface is on the access bridge"
    assert re.search(r"\bbond-VM\.101@bond-VM: .* master br-VM\.101 ", done.stdout)
    assert "the second diff is empty" in done.stderr
    assert Lab.find(name) is None
