"""Disks beside volumes: what they cannot be, what is one disk by two names, and what nobody gets."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.kinds.virtual_machine import sources
from cell_reconciler.kinds.virtual_machine.spec.source import said, wanted
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.host_devices import BlockDevice, BlockUse, HostDevices
from cell_reconciler.model.live import Domain, Live
from cell_reconciler.model.storage import DiskSource
from tests.kinds.vm.make import VM, document, planned, pool, vm, world

RBD = {"monitors": ["10.0.0.1"], "pool": "rbd", "image": "a"}
ISCSI = {"portal": "10.0.0.5", "target": "iqn.2026-11.io.cell:p", "lun": 1}
LUN = {"device": "lun", "bus": "scsi", "source": {"block": {"path": "/dev/disk/by-id/wwn-0x1"}}}
GLUE = document(
    {
        "kind": "StoragePool",
        "metadata": {"name": "glue"},
        "spec": {"rbd": {"monitors": ["10.0.0.9"], "pool": "rbd", "user": "cell", "secret": {"file": "/k"}}},
    }
)
LOCAL = pool("local", "/srv/images")


def disk(name: str = "a", **more: Any) -> dict[str, Any]:
    return {"name": name, **more}


def block(path: str, **more: Any) -> dict[str, Any]:
    return disk(source={"block": {"path": path}}, **more)


def problems(doc: Document, *others: Document, severity: Severity = Severity.ERROR) -> list[tuple[str, str]]:
    documents = {d.key: d for d in (doc, *others)}
    return [(p.rule, p.pointer) for p in VM.check(doc, documents) if p.severity == severity]


@pytest.mark.parametrize(
    ("given", "rule", "pointer"),
    [
        (disk(), "exactly-one", ""),
        (disk(volume="x", source={"rbd": RBD}), "exactly-one", ""),
        (disk(source={}), "exactly-one", "/source"),
        (disk(source={"rbd": RBD, "iscsi": ISCSI}), "exactly-one", "/source"),
        (disk(source={"rbd": {**RBD, "monitors": ["10.0.0.1:99999"]}}), "vm-source-address", "/source/rbd/monitors/0"),
        (disk(source={"rbd": {**RBD, "user": "cell"}}), "vm-source-login", "/source/rbd/user"),
        (disk(source={"rbd": {**RBD, "user": "cell", "secret": {}}}), "exactly-one", "/source/rbd/secret"),
        (disk(source={"iscsi": {**ISCSI, "portal": "a b"}}), "vm-source-address", "/source/iscsi/portal"),
        (disk(source={"file": {"path": "/a/../b"}}), "normal-path", "/source/file/path"),
        (disk(source={"file": {"path": "/dev/vg/lv"}}), "vm-source-file", "/source/file"),
        (block("/dev/sdb"), "vm-source-block", "/source/block/path"),
        (block("/dev/nvme0n1p2"), "vm-source-block", "/source/block/path"),
        (block("/dev/dm-3"), "vm-source-block", "/source/block/path"),
        (block("/dev/block/8:0"), "vm-source-block", "/source/block/path"),
        (block("/dev/disk/by-label/data"), "vm-source-block", "/source/block/path"),
        (block("/dev/disk/by-partuuid/1-2"), "vm-source-block", "/source/block/path"),
        (block("/dev/vg//lv"), "normal-path", "/source/block/path"),
        (block("/dev/vg/lv", shareable=True, cache="writeback"), "vm-disk-shareable", "/shareable"),
        (disk(**{**LUN, "bus": "virtio"}), "vm-lun", "/bus"),
        (disk(**{**LUN, "serial": "x"}), "vm-lun", "/serial"),
        (disk(**{**LUN, "cache": "writeback"}), "vm-lun", "/cache"),
        (disk(**{**LUN, "iotune": {"totalIopsSec": 5}}), "vm-lun", "/iotune"),
        (disk(**{**LUN, "detectZeroes": "unmap"}), "vm-lun", "/detectZeroes"),
        (disk(device="lun", bus="scsi", volume="x"), "vm-lun", "/device"),
        (disk(device="lun", bus="scsi", source={"iscsi": ISCSI}, reservations=True), "vm-lun", "/reservations"),
        (block("/dev/vg/lv", bus="scsi", reservations=True), "vm-lun", "/reservations"),
        (block("/dev/vg/lv", bus="scsi", rawIo=True), "vm-lun", "/rawIo"),
    ],
)
def test_a_broken_rule_is_named_with_its_place(given: dict[str, Any], rule: str, pointer: str) -> None:
    assert problems(vm("web", disks=[given])) == [(rule, f"/spec/disks/0{pointer}")]


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        (disk(source={"iscsi": ISCSI}), "vm-source-iscsi"),
        (disk(source={"rbd": RBD}), "vm-source-pool"),
        (disk(source={"file": {"path": "/srv/images/a.raw"}}), "vm-source-pool"),
        (block("/dev/mapper/mpatha"), "vm-source-mpath"),
        (block("/dev/vg/lv", cache="writeback"), "vm-disk-cache"),
        (disk(**LUN), "vm-lun-migration"),
    ],
)
def test_what_works_and_costs_something_is_told(given: dict[str, Any], rule: str) -> None:
    doc = vm("web", disks=[given])
    assert problems(doc, GLUE, LOCAL) == []
    assert rule in [rule for rule, _ in problems(doc, GLUE, LOCAL, severity=Severity.WARNING)]


def test_what_is_as_it_should_be_is_not_remarked_on() -> None:
    given = [
        block("/dev/disk/by-id/dm-uuid-mpath-3600"),
        disk("b", source={"file": {"path": "/mnt/nfs/b.raw"}}),
        disk("c", source={"rbd": {**RBD, "pool": "other"}}),
    ]
    doc = vm("web", disks=given)
    assert problems(doc, GLUE, LOCAL) == problems(doc, GLUE, LOCAL, severity=Severity.WARNING) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"volume": "glue/a"}, {"source": {"rbd": RBD}}),
        ({"volume": "vol"}, {"volume": "glue/vol"}),
        ({"volume": "local/a"}, {"source": {"file": {"path": "/srv/images/a.raw"}}}),
        ({"source": {"iscsi": ISCSI}}, {"source": {"iscsi": {**ISCSI, "portal": "10.0.0.6:3261"}}}),
        ({"source": {"block": {"path": "/dev/vg/a"}}}, {"source": {"block": {"path": "/dev/vg/a"}}}),
    ],
)
def test_one_disk_by_two_names_belongs_to_one_vm(one: dict[str, Any], other: dict[str, Any]) -> None:
    volume = document({"kind": "Volume", "metadata": {"name": "vol"}, "spec": {"pool": "glue", "size": "1GiB"}})
    first, second = vm("one", disks=[disk(**one)]), vm("two", disks=[disk(**other)])
    ((rule, pointer),) = problems(second, first, GLUE, LOCAL, volume)
    assert rule == ("vm-volume-unique" if "volume" in other else "vm-source-unique")
    assert pointer == f"/spec/disks/0/{'volume' if 'volume' in other else 'source'}"


@pytest.mark.parametrize(("both", "allowed"), [((True, True), True), ((True, False), False), ((False, True), False)])
def test_who_shares_a_disk_says_so_and_so_does_the_other(both: tuple[bool, bool], allowed: bool) -> None:
    first, second = (vm(name, disks=[disk(**LUN, shareable=on)]) for name, on in zip(("a", "b"), both, strict=True))
    assert (problems(second, first) == []) is allowed
    assert (problems(first, second) == []) is allowed


# -- on the host ---------------------------------------------------------------------------------------------------

BY_ID = "/dev/disk/by-id/wwn-0x1"
BLOCKS = {
    "sda": BlockDevice(name="sda", label="sda", size=2**30, names=("/dev/sda", BY_ID, "/dev/disk/by-path/x")),
    "sda1": BlockDevice(name="sda1", label="sda1", size=2**29, names=("/dev/sda1", f"{BY_ID}-part1"), disk="sda"),
    "dm-0": BlockDevice(name="dm-0", label="vg-lv", size=2**29, names=("/dev/dm-0", "/dev/vg/lv"), slaves=("sdb",)),
    "sdb": BlockDevice(name="sdb", label="sdb", size=2**30, names=("/dev/sdb", "/dev/disk/by-id/wwn-0x2")),
}


def host(*uses: BlockUse, domain: str = "") -> Live:
    other = Domain(uuid="u", name="other", state="shutoff", inactive=domain, active=None)
    return Live(
        host="h1", domains={"other": other} if domain else {}, devices=HostDevices(blocks=BLOCKS, uses=tuple(uses))
    )


def refusals(path: str, live: Live) -> list[tuple[str, str]]:
    doc = vm("web", disks=[block(path)])
    return [(refusal.reason, refusal.message) for refusal in planned(doc, world(doc, live=live)).refused]


def xml_of(path: str) -> str:
    return (
        "<domain type='qemu'><name>other</name><devices><disk type='block' device='disk'><driver type='raw'/>"
        f"<source dev='{path}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )


@pytest.mark.parametrize("path", [BY_ID, "/dev/disk/by-path/x", f"{BY_ID}-part1"])
def test_a_disk_of_the_host_is_not_given_away(path: str) -> None:
    ((reason, message),) = refusals(path, host(BlockUse(block="sda1", what="/boot")))
    assert reason == "HostDiskInUse"
    assert message.endswith("sda1 > /boot")


def test_a_disk_that_carries_a_volume_group_is_not_given_away_but_its_volumes_are() -> None:
    assert [reason for reason, _ in refusals("/dev/disk/by-id/wwn-0x2", host())] == ["HostDiskInUse"]
    assert refusals("/dev/vg/lv", host()) == []


@pytest.mark.parametrize(
    ("path", "theirs"),
    [(BY_ID, "/dev/sda"), (f"{BY_ID}-part1", "/dev/sda"), (BY_ID, "/dev/sda1"), ("/dev/vg/lv", "/dev/sdb")],
)
def test_a_block_device_of_another_vm_is_recognised_by_every_name_and_part(path: str, theirs: str) -> None:
    ((reason, message),) = refusals(path, host(domain=xml_of(theirs)))
    assert (reason, message) == ("Conflict", f"domain other has the disk block:{path} already")
    assert refusals(path, host(domain=xml_of("/dev/other"))) == []


def test_what_is_said_of_a_source_is_what_was_wanted() -> None:
    login = {"user": "cell", "secret": {"usage": "x"}}
    for given in (
        {"rbd": {**RBD, "namespace": "n", **login}},
        {"iscsi": {**ISCSI, "portal": "[fd00::1]:3260", "initiator": "iqn.2026-11.io.cell:h", **login}},
        {"file": {"path": "/a"}},
        {"block": {"path": "/dev/a/b"}},
    ):
        source = vm("web", disks=[disk(source=given)]).spec.disks[0].source
        assert said(wanted(source)) == source
    for foreign in (
        DiskSource(backend="nbd", path="x"),
        DiskSource(backend="file", path="/a", foreign="qcow2"),
        DiskSource(backend="iscsi", target="iqn.2026-11.io.cell:p/1"),
    ):
        assert said(foreign) is None


def test_a_volume_is_known_by_its_place() -> None:
    around = world(GLUE, LOCAL)
    assert sources.volume_of(DiskSource(backend="rbd", image="rbd/a"), around.pools) == "glue/a"
    assert sources.volume_of(DiskSource(backend="rbd", image="rbd/n/a"), around.pools) is None
    assert sources.volume_of(DiskSource(backend="file", path="/srv/images/a.raw"), around.pools) == "local/a"
    qcow2 = DiskSource(backend="file", path="/srv/images/a.raw", foreign="qcow2")
    assert sources.volume_of(qcow2, around.pools) is None
    assert sources.volume_of(DiskSource(backend="block", path="/srv/images/a.raw"), around.pools) is None
