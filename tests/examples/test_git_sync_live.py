"""The whole way of a commit: pushed, pulled, checked, swapped in, and made so by a running reconciler."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cell_reconciler.lab import Lab
from tests.examples.conftest import INVALID, VALID, Repository
from tests.process import run

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "gitops" / "git-sync" / "cell-git-sync"
CELLCTL = Path(sys.executable).with_name("cellctl")


def eventually(true: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait for it: how fast is a matter of the benchmarks."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)


@pytest.mark.live
def test_a_pushed_commit_becomes_a_bridge(repository: Repository) -> None:
    with Lab.up(name=f"sync-{os.getpid()}", kernel="namespace", bound=True) as lab:
        root = lab.share / "sync"
        env = repository.env | {"CELL_REPOSITORY": str(repository.origin), "CELL_ROOT": str(root)}

        def bridges() -> set[str]:
            shown = lab.exec(["ip", "-brief", "link", "show", "type", "bridge"], check=True).stdout
            return {line.split()[0] for line in shown.splitlines()}

        run([SCRIPT], env=env)
        daemon = lab.popen([str(CELLCTL), "run", "-f", str(root / "current")], stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: "br-a" in bridges(), "the first revision is in force")

            repository.commit({"specs/br-b.yaml": VALID.replace("br-a", "br-b")})
            run([SCRIPT], env=env)
            eventually(lambda: "br-b" in bridges(), "the second revision is in force")

            repository.commit({"specs/br-a.yaml": INVALID, "specs/br-c.yaml": VALID.replace("br-a", "br-c")})
            run([SCRIPT], env=env, code=4)
            lab.exec(["ip", "link", "delete", "br-a"], check=True)
            eventually(lambda: "br-a" in bridges(), "the last good revision is still kept")
            assert "br-c" not in bridges()
        finally:
            daemon.terminate()
            assert daemon.wait(timeout=30) in (0, 143)
