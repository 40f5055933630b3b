"""The commands on a real libvirtd and kernel, in a lab of namespaces."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

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
    assert re.match(rf"\d+ cores, {os.cpu_count()} CPUs, [\d.]+ GiB", checks["size"]["message"])
    assert checks["netlink"]["result"] == "ok"
    assert checks["kernel bridge"]["result"] == "ok"
    assert checks["kernel tun"]["result"] == "ok"


def test_the_cpu_that_all_hosts_can_run(lab: Lab, tmp_path: Path) -> None:
    """Over snapshots whose CPUs libvirt itself describes; the document that is printed is a valid one."""
    live = lab.share / "node.json"
    assert inside(lab, "--host", "newest", "observe", "-o", str(live)).returncode == exits.OK
    snapshot = json.loads(live.read_text())
    names = {}
    for model in ("Haswell-noTSX", "Westmere"):
        cpu = f"<cpu mode='custom' match='exact'><model>{model}</model></cpu>"
        (lab.share / "cpu.xml").write_text(cpu)
        said = lab.exec(
            ["virsh", "hypervisor-cpu-baseline", "--virttype", "qemu", str(lab.share / "cpu.xml")], check=True
        ).stdout
        root = ElementTree.fromstring(said)
        features = {str(f.get("name")): str(f.get("policy")) for f in root.findall("feature")}
        snapshot["live"]["host"] = model.lower()
        snapshot["live"]["node"]["types"]["qemu"]["cpu"] = {"model": root.findtext("model"), "features": features}
        names[model] = lab.share / f"{model}.json"
        names[model].write_text(json.dumps(snapshot))
    argv = ["--host", "newest", "cpu-baseline", "--domain-type", "qemu"]
    done = inside(lab, *argv, "--recorded", *map(str, names.values()))
    assert done.returncode == exits.OK, done.stderr
    assert "model: Westmere" in done.stdout
    assert "westmere (Westmere) limits it: it lacks " in done.stderr
    assert "avx2" in done.stderr
    assert "haswell-notsx (" not in done.stderr
    document = tmp_path / "cluster.yaml"
    document.write_text(done.stdout)
    assert main(["validate", "-f", str(document)]) == exits.OK

    mixed = inside(lab, *argv, *map(str, names.values()))
    assert mixed.returncode == exits.FAILED
    assert "vendors do not match (haswell-notsx has Haswell-noTSX, westmere has Westmere, newest has " in mixed.stderr
    whole = json.loads(inside(lab, *argv, str(names["Westmere"]), "--format", "json").stdout)
    assert [host["host"] for host in whole["hosts"]] == ["westmere", "newest"]
    assert whole["document"]["kind"] == "Cluster"
    assert whole["document"]["spec"]["cpuBaseline"]["model"]

    twice = inside(lab, *argv, str(live), str(live))
    assert (twice.returncode, "second snapshot" in twice.stderr) == (exits.USAGE, True)
    del snapshot["live"]["node"]
    live.write_text(json.dumps(snapshot))
    old = inside(lab, *argv, str(live))
    assert (old.returncode, "does not tell what the host is" in old.stderr) == (exits.FAILED, True)
