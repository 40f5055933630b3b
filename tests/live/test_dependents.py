"""A bridge that a domain names stays, also when that domain does not run: with a real libvirtd."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab
from tests.live.hosts import HOST_AND_POOL, SpecHost, text

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

BRIDGES = """
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-A}
spec: {}
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-B}
spec: {}
"""
PRUNE = """
apiVersion: cell/v1
kind: Reconciler
metadata: {name: settings}
spec: {prune: true, allow: cuts-vm}
"""
VM = """<domain type='qemu'><name>foreign</name><memory unit='MiB'>32</memory><os><type>hvm</type></os>
<devices><interface type='%(type)s'><source %(source)s/></interface></devices></domain>"""
NAMED = {
    "bridge": {"type": "bridge", "source": "bridge='br-A'"},
    "macvtap": {"type": "direct", "source": "dev='br-A' mode='bridge'"},
}


@pytest.fixture(scope="module")
def running() -> Iterator[SpecHost]:
    with Lab.up(name="dependents", kernel="namespace", bound=True) as lab:
        yield SpecHost(lab)


@pytest.fixture
def host(running: SpecHost) -> SpecHost:
    running.wipe()
    running.write("base.yaml", HOST_AND_POOL)
    running.write("bridges.yaml", BRIDGES)
    assert "failed" not in applied(running, 0).replace("0 failed", "")
    running.write("bridges.yaml", PRUNE)
    return running


def applied(host: SpecHost, code: int) -> str:
    done = host.cellctl("apply", "--yes")
    said = text(done.stdout) + text(done.stderr)
    assert done.returncode == code, said
    return said


def bridges(host: SpecHost) -> set[str]:
    return {line.split(":")[1].strip() for line in host.sh("ip", "-o", "link", "show", "type", "bridge").splitlines()}


@pytest.mark.parametrize("how", NAMED)
def test_a_domain_that_does_not_run_keeps_the_bridge_that_it_names(host: SpecHost, how: str) -> None:
    xml = host.lab.share / "foreign.xml"
    xml.write_text(VM % NAMED[how])
    host.sh("virsh", "define", str(xml))
    said = applied(host, 6)
    assert "foreign has an interface on br-A" in said
    assert bridges(host) == {"br-A"}, "br-B, which nobody names, is gone"
    host.sh("virsh", "undefine", "foreign")
    applied(host, 0)
    assert bridges(host) == set()


def test_a_domain_that_runs_keeps_it(host: SpecHost) -> None:
    xml = host.lab.share / "foreign.xml"
    xml.write_text(VM % NAMED["bridge"])
    host.sh("virsh", "create", str(xml))  # transient: it has no inactive XML
    said = applied(host, 6)
    assert "foreign has an interface on br-A" in said or "is plugged into br-A" in said
    assert "master br-A" in host.sh("ip", "link")
    assert host.sh("virsh", "domstate", "foreign").strip() == "running"
