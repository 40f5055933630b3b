"""Snapshots by schedule on a host: by ``run`` and by ``apply``, of a disk that a VM has open, also when its QEMU hangs.

One slot is a year long, so that no test crosses into the next one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from cell_reconciler.errors import CellError
from cell_reconciler.kinds.volume.schedule import slot
from cell_reconciler.lab import Lab, needs, wiring
from cell_reconciler.model.quantities import Duration
from cell_reconciler.model.storage import snapshot_name
from tests.live.hosts import CELLCTL
from tests.live.run_host import RunHost, within

pytestmark = [pytest.mark.live, pytest.mark.ceph]

SPECS = """
apiVersion: cell/v1
kind: Host
metadata: {name: h1}
spec: {domainType: qemu}
---
apiVersion: cell/v1
kind: StoragePool
metadata: {name: glue}
spec: {rbd: {monitors: ["%(monitor)s"], pool: rbd, user: admin, secret: {file: %(key)s}}}
---
apiVersion: cell/v1
kind: Volume
metadata: {name: data}
spec:
  pool: glue
  size: %(size)s
  reclaimPolicy: Trash
  snapshots: {every: 365d, keep: {last: 2}}
  settings: {rbd_qos_iops_limit: 5000}
---
apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: db}
spec:
  memory: {guest: 32MiB}
  disks: [{name: data, volume: data}]
"""
OLD = ("cell-20100101T000000Z", "cell-20110101T000000Z", "cell-20120101T000000Z")
KEYS = ("StoragePool/glue", "Volume/data", "VirtualMachine/db")


@pytest.fixture(scope="module")
def host() -> Iterator[RunHost]:
    try:
        needs.require("namespace", "ceph")
    except CellError as error:
        pytest.skip(error.message)
    with Lab.up(name="snapshots", kernel="namespace", ceph=True, bound=True) as lab:
        host = RunHost(lab)
        key = lab.share / "key"
        key.write_text(lab.ceph.run("ceph", "auth", "get-key", "client.admin").strip())
        declare(host)
        yield host
        if host.daemon is not None and host.daemon.poll() is None:
            host.stop()


def declare(host: RunHost, size: str = "16MiB") -> None:
    facts = {"monitor": wiring.CEPH_ADDRESS, "key": host.lab.share / "key", "size": size}
    host.write("specs.yaml", SPECS % facts)


def applied(host: RunHost, *more: str) -> str:
    done = host.lab.exec([*argv(host), "apply", "--yes", "-f", str(host.specs), *more], timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def argv(host: RunHost) -> list[str]:
    return [*CELLCTL, "--host", "h1", "--state-dir", str(host.state)]


def rbd(host: RunHost, *words: str) -> str:
    return host.lab.ceph.run("rbd", *words)


def snapshots(host: RunHost) -> set[str]:
    return {found["name"] for found in json.loads(rbd(host, "snap", "ls", "rbd/data", "--format", "json"))}


def current() -> str:
    from datetime import UTC, datetime

    return snapshot_name(slot(datetime.now(UTC), Duration.parse("365d")))


def test_apply_makes_the_first_one_and_then_nothing(host: RunHost) -> None:
    applied(host)
    assert snapshots(host) == {current()}
    assert rbd(host, "config", "image", "get", "rbd/data", "rbd_qos_iops_limit").strip() == "5000"
    assert "0 writing calls" in applied(host)
    rbd(host, "snap", "rm", f"rbd/data@{current()}")
    diff = host.lab.exec([*argv(host), "diff", "--exit-code", "-f", str(host.specs)], timeout=60)
    assert diff.returncode == 0, "a snapshot that is due is no difference"
    assert f"take snapshot {current()} of volume data" in diff.stdout
    assert "No differences" in diff.stdout
    assert snapshots(host) == set()
    assert "1 done" in applied(host)
    assert snapshots(host) == {current()}
    assert "UpToDate" in host.cellctl("describe", "Volume/data").stdout


def test_run_takes_and_deletes_them_by_its_resync(host: RunHost) -> None:
    """Nothing tells it of a snapshot: what takes the deleted one again is the look at everything, here each 2 s."""
    applied(host)
    rbd(host, "snap", "rm", f"rbd/data@{current()}")
    for name in (*OLD, "by-hand"):
        rbd(host, "snap", "create", f"rbd/data@{name}")
    rbd(host, "snap", "protect", f"rbd/data@{OLD[0]}")
    host.start("--interval", "2s")
    within(20, lambda: snapshots(host) == {OLD[0], OLD[2], current(), "by-hand"})
    for _ in range(4):  # as often as would be a fight, were it a repair
        rbd(host, "snap", "rm", f"rbd/data@{current()}")
        within(15, lambda: current() in snapshots(host))
    host.settle(*KEYS)
    reasons = {event.reason for event in host.status.events(limit=1000) if str(event.key) == "Volume/data"}
    assert reasons.isdisjoint({"Fighting", "OutOfSync", "StepFailed"})
    host.stop()
    rbd(host, "snap", "unprotect", f"rbd/data@{OLD[0]}")
    for name in snapshots(host):
        rbd(host, "snap", "rm", f"rbd/data@{name}")


def test_a_qemu_that_hangs_keeps_its_disk_and_delays_nobody(host: RunHost) -> None:
    applied(host)
    assert host.domain_state("db") == "running"
    rbd(host, "snap", "rm", f"rbd/data@{current()}")
    pid = host.sh("sh", "-c", "cat /run/libvirt/qemu/db.pid")
    host.sh("kill", "-STOP", pid)
    try:
        began = time.monotonic()
        done = host.lab.exec([*argv(host), "apply", "--yes", "-f", str(host.specs)], timeout=60)
        assert time.monotonic() - began < 30
        assert "does not answer" in done.stderr
        assert done.returncode == 1
        said = host.cellctl("describe", "Volume/data").stdout
        assert "SnapshotFailed" in said
        assert "Ready" in said
        assert "InSync" in said
    finally:
        host.sh("kill", "-CONT", pid)
    applied(host)
    assert snapshots(host) == {current()}
    assert "[]" in host.lab.ceph.run("ceph", "osd", "blocklist", "ls", "--format", "json"), "nobody was cut off"


def test_it_grows_where_the_vm_runs_and_with_its_snapshots(host: RunHost) -> None:
    applied(host)
    declare(host, "32MiB")
    applied(host)
    assert "33554432" in host.sh("virsh", "domblkinfo", "db", "vda"), "its QEMU knows"


def test_to_the_trash_and_back_with_its_snapshots(host: RunHost) -> None:
    applied(host)
    host.sh("virsh", "destroy", "db")
    host.sh("virsh", "undefine", "db")
    whole = (host.specs / "specs.yaml").read_text()
    host.write("specs.yaml", whole.partition("---\napiVersion: cell/v1\nkind: Volume")[0])
    applied(host, "--prune")
    assert rbd(host, "ls", "rbd").split() == []
    host.write("specs.yaml", whole)
    refused = host.lab.exec([*argv(host), "apply", "--yes", "-f", str(host.specs)], timeout=60)
    assert refused.returncode == 6
    assert "InTrash" in refused.stdout
    restored = host.lab.exec([*argv(host), "trash", "restore", "data", "-f", str(host.specs)], timeout=60)
    assert restored.returncode == 0, restored.stderr
    applied(host)
    assert snapshots(host) == {current()}
    assert host.domain_state("db") == "running"
