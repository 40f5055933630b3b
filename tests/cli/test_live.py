"""The commands on a real libvirtd and kernel, in a lab of namespaces."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_reconciler.cli import exits
from cell_reconciler.cli.main import main
from cell_reconciler.lab import Lab

pytestmark = pytest.mark.live

SPECS = """\
apiVersion: cell/v1
kind: Host
metadata: {name: clilive}
spec: {domainType: qemu}
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-PN}
spec: {mtu: 1400}
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(name="clilive", kernel="namespace") as host:
        yield host


def inside(lab: Lab, *argv: str) -> subprocess.CompletedProcess[str]:
    return lab.exec([sys.executable, "-m", "cell_reconciler.cli", *argv], check=False)


def test_snapshot_taken_there_gives_the_same_plan_here(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Observed on the host, compared in CI: the same plan, to the byte; then it is made, and nothing differs."""
    state = ["--state-dir", str(lab.share / "state"), "--host", "clilive"]
    specs, live = lab.share / "specs.yaml", lab.share / "live.json"
    specs.write_text(SPECS)
    seen = inside(lab, *state, "observe", "-f", str(specs), "-o", str(live))
    assert (seen.returncode, seen.stderr) == (exits.OK, "")
    there = inside(lab, *state, "diff", "-f", str(specs), "--format", "json", "--exit-code")
    assert there.returncode == exits.DIFFERENCES, there.stderr
    here = main(
        ["--state-dir", str(tmp_path), "diff", "-f", str(specs), "--live", str(live), "--format", "json", "--exit-code"]
    )
    assert here == exits.DIFFERENCES
    assert json.loads(capsys.readouterr().out) == json.loads(there.stdout)

    assert inside(lab, *state, "apply", "-f", str(specs), "--wait").returncode == exits.OK
    assert lab.exec(["cat", "/sys/class/net/br-PN/mtu"]).stdout.strip() == "1400"
    assert inside(lab, *state, "diff", "-f", str(specs), "--exit-code").returncode == exits.OK
    again = inside(lab, *state, "apply", "-f", str(specs))
    assert "0 done, 0 failed; 0 writing calls" in again.stdout


def test_doctor_sees_the_host(lab: Lab) -> None:
    answer = json.loads(inside(lab, "doctor", "--format", "json").stdout)
    checks = {check["name"]: check for check in answer["checks"]}
    assert checks["libvirt"]["result"] == "ok"
    assert "libvirt 9." in checks["libvirt"]["message"]
    assert checks["netlink"]["result"] == "ok"
    assert checks["kernel bridge"]["result"] == "ok"
    assert checks["kernel tun"]["result"] == "ok"
