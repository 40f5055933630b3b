"""The daemon while Ceph is away: the truth meanwhile, all Ready again by itself afterwards, and no VM touched."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab
from tests.live.run_host import BASE, RunHost, within

pytestmark = [pytest.mark.live, pytest.mark.ceph]

GLUE = """
apiVersion: cell/v1
kind: StoragePool
metadata: {name: glue}
spec: {rbd: {monitors: ["%(monitor)s"], pool: rbd, user: admin, secret: {file: %(key)s}}}
---
apiVersion: cell/v1
kind: Volume
metadata: {name: data}
spec: {pool: glue, size: 16MiB}
---
apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: db}
spec:
  memory: {guest: 32MiB}
  disks: [{name: data, volume: data}]
  interfaces: [{name: net0, bridge: br-VM}]
"""
KEYS = ("StoragePool/glue", "Volume/data", "VirtualMachine/db")


@pytest.fixture(scope="module")
def host() -> Iterator[RunHost]:
    with Lab.up(name="runceph", kernel="namespace", nics=("eth0", "eth1"), ceph=True, bound=True) as lab:
        host = RunHost(lab)
        host.sh("ip", "address", "replace", "198.18.0.2/24", "dev", "ceph0")  # the storage network, if it is not set up
        host.sh("ip", "link", "set", "ceph0", "up")
        key = lab.share / "key"
        key.write_text(lab.ceph.run("ceph", "auth", "get-key", "client.admin").strip())
        line = next(line for line in lab.ceph.conf.read_text().splitlines() if line.startswith("mon host"))
        monitor = line.partition("v1:")[2].strip("] ")
        host.write("base.yaml", BASE)
        host.write("glue.yaml", GLUE % {"monitor": monitor, "key": key})
        host.start("--interval", "10m")
        host.settle(*KEYS)
        yield host
        if host.daemon is not None and host.daemon.poll() is None:
            host.stop()


@pytest.mark.parametrize("away", ["stop", "freeze"])
def test_ceph_away_and_back(host: RunHost, away: str) -> None:
    before = host.sh("virsh", "domid", "db")
    done = [line for line in host.lines() if str(line["event"]).startswith("done:")]
    ceph = host.lab.ceph
    (ceph.stop if away == "stop" else ceph.freeze)()
    for key in ("StoragePool/glue", "Volume/data"):
        within(20, lambda key=key: (c := host.ready(key)) is not None and c.reason == "SourceUnreachable")
        condition = host.ready(key)
        assert condition is not None
        assert condition.status == "Unknown"
    host.sh("ip", "link", "set", "eth1", "nomaster")  # what does not need Ceph is repaired as fast as ever
    within(1, lambda: host.link("eth1").get("master") == "br-VM")
    time.sleep(60 if away == "stop" else 5)
    (ceph.start if away == "stop" else ceph.thaw)()
    within(15, lambda: host.is_ready(*KEYS))
    assert host.sh("virsh", "domid", "db") == before, "the VM was not touched"
    steps = [line for line in host.lines() if str(line["event"]).startswith("done:")][len(done) :]
    assert {line["key"] for line in steps} == {"Bridge/br-VM"}
