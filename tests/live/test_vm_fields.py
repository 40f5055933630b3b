"""Every field of a VM, one at a time, on a running guest: live or pending as declared, and never another process."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import inspect as mi

from cell_reconciler.errors import StepFailed
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import Effect, fields_of, given_paths
from tests import cgroups
from tests.kinds.vm.make import carry_out, vm
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

TESTS = Path(__file__).parents[1]
ROOT: dict[str, Any] = {"name": "root", "volume": "local/fields-root", "bootOrder": 1}
DATA: dict[str, Any] = {"name": "data", "volume": "local/fields-data", "bus": "scsi"}
LAN: dict[str, Any] = {"name": "lan", "bridge": "br-VM", "vlan": 101}
DRIVE: dict[str, Any] = {"name": "cd"}
BASE: dict[str, Any] = {
    "cpu": {"maxSockets": 2},
    "disks": [ROOT, DATA],
    "cdroms": [DRIVE],
    "interfaces": [LAN],
    "ioThreads": 1,
    "rng": False,
    "shutdownTimeout": "1s",
    "forceStop": True,
}
LUN: dict[str, Any] = {"name": "data", "bus": "scsi", "device": "lun", "source": {"block": {"path": "/dev/vg0/data"}}}
ISCSI: dict[str, Any] = {
    "name": "data",
    "bus": "scsi",
    "source": {
        "iscsi": {
            "portal": "10.0.0.9:3260",
            "target": "iqn.2026-01.io.ablestack:array",
            "lun": 3,
            "initiator": "iqn.2026-01.io.ablestack:host",
            "user": "cell",
            "secret": {"usage": "the array's"},
        }
    },
}
RBD: dict[str, Any] = {
    "name": "data",
    "bus": "scsi",
    "source": {
        "rbd": {
            "monitors": ["10.0.0.9"],
            "pool": "vms",
            "namespace": "a",
            "image": "data",
            "user": "cell",
            "secret": {"uuid": "ae9e780a-38bc-5358-ba52-fe92ae8a8c19"},
        }
    },
}
NFS: dict[str, Any] = {"name": "data", "bus": "scsi", "source": {"file": {"path": "/mnt/nfs/data.raw"}}}
HYPERV: dict[str, dict[str, Any]] = {
    "relaxed": {"relaxed": True},
    "vapic": {"vapic": True},
    "spinlocks": {"spinlocks": 8191},
    "vpindex": {"vpindex": True},
    "runtime": {"runtime": True},
    "synic": {"vpindex": True, "synic": True},
    "stimer": {"vpindex": True, "synic": True, "stimer": True},
    "stimerDirect": {"vpindex": True, "synic": True, "stimer": True, "stimerDirect": True},
    "frequencies": {"frequencies": True},
    "reset": {"reset": True},
    "tlbflush": {"vpindex": True, "tlbflush": True},
    "ipi": {"vpindex": True, "ipi": True},
    "reenlightenment": {"reenlightenment": True},
    "evmcs": {"vapic": True, "evmcs": True},
    "avic": {"avic": True},
    "vendorId": {"vendorId": "KVM Hv"},
}
PENDING: dict[str, dict[str, Any]] = {
    "spec.cpu.cores": {"cpu": {"maxSockets": 2, "cores": 2}},
    "spec.cpu.threads": {"cpu": {"maxSockets": 2, "threads": 2}},
    "spec.cpu.maxSockets": {"cpu": {"maxSockets": 4}},
    "spec.cpu.mode": {"cpu": {"maxSockets": 2, "mode": "custom", "model": "EPYC"}},
    "spec.cpu.vendor": {"cpu": {"maxSockets": 2, "mode": "custom", "model": "EPYC", "vendor": "AMD"}},
    "spec.cpu.features.disable": {"cpu": {"maxSockets": 2, "features": {"disable": ["hle"]}}},
    "spec.cpu.features.require": {"cpu": {"maxSockets": 2, "features": {"require": ["aes"]}}},
    "spec.cpu.numa.cells[0]": {
        "cpu": {
            "maxSockets": 2,
            "numa": {"cells": [{"cell": 0, "cpus": "0-1", "memory": "128MiB", "hostNodes": 0, "mode": "preferred"}]},
        }
    },
    "spec.memory.guest": {"memory": {"guest": "160MiB"}},
    "spec.memory.maxGuest": {"memory": {"guest": "128MiB", "maxGuest": "1GiB"}},
    "spec.memory.balloon": {"memory": {"guest": "128MiB", "balloon": False}},
    "spec.memory.hugepages": {"memory": {"guest": "128MiB", "hugepages": {"pageSize": "2MiB"}}},
    "spec.machine.type": {"machine": {"type": "pc"}, "updatePolicy": {"machine": "Change"}},
    "spec.firmware.type": {"firmware": {"type": "uefi"}},
    "spec.firmware.secureBoot": {"firmware": {"type": "uefi", "secureBoot": True}},
    "spec.tpm": {"tpm": {"model": "tpm-tis", "version": "2.0"}},
    "spec.boot": {"boot": {"kernel": "/boot/vmlinuz", "initrd": "/boot/initrd.img", "cmdline": "console=ttyS0"}},
    "spec.disks[data].bus": {"disks": [ROOT, {**DATA, "bus": "sata"}]},
    "spec.disks[data].cache": {"disks": [ROOT, {**DATA, "cache": "writeback"}]},
    "spec.disks[data].discard": {"disks": [ROOT, {**DATA, "discard": "ignore"}]},
    "spec.disks[data].bootOrder": {"disks": [ROOT, {**DATA, "bootOrder": 2}]},
    "spec.disks[data].io": {"disks": [ROOT, {**DATA, "io": "threads"}]},
    "spec.disks[data].detectZeroes": {"disks": [ROOT, {**DATA, "detectZeroes": "unmap"}]},
    "spec.disks[data].serial": {"disks": [ROOT, {**DATA, "serial": "DATA-1"}]},
    "spec.disks[data].readOnly": {"disks": [ROOT, {**DATA, "readOnly": True}]},
    "spec.disks[data].shareable": {"disks": [ROOT, {**DATA, "shareable": True}]},
    "spec.disks[data].source": {"disks": [ROOT, NFS]},
    "spec.disks[data].source (iscsi)": {"disks": [ROOT, ISCSI]},
    "spec.disks[data].source (rbd)": {"disks": [ROOT, RBD]},
    "spec.disks[data].device": {"disks": [ROOT, LUN]},
    "spec.disks[data].reservations": {"disks": [ROOT, {**LUN, "reservations": True}]},
    "spec.disks[data].rawIo": {"disks": [ROOT, {**LUN, "rawIo": True}]},
    "spec.disks[root].ioThread": {"disks": [{**ROOT, "ioThread": 1}, DATA]},
    "spec.disks[slow]": {"disks": [ROOT, DATA, {"name": "slow", "volume": "local/fields-more", "bus": "sata"}]},
    "spec.cdroms[other]": {"cdroms": [DRIVE, {"name": "other"}]},
    "spec.cdroms[cd].bus": {"cdroms": [{**DRIVE, "bus": "scsi"}]},
    "spec.cdroms[cd].bootOrder": {"cdroms": [{**DRIVE, "bootOrder": 2}]},
    "spec.interfaces[lan].model": {"interfaces": [{**LAN, "model": "e1000e"}]},
    "spec.interfaces[lan].mac": {"interfaces": [{**LAN, "mac": "52:54:00:00:00:77"}]},
    "spec.interfaces[lan].queues": {"interfaces": [{**LAN, "queues": 2}]},
    "spec.interfaces[lan].mtu": {"interfaces": [{**LAN, "mtu": 1400}]},
    "spec.interfaces[lan].bootOrder": {"interfaces": [{**LAN, "bootOrder": 2}]},
    "spec.interfaces[lan].sriov": {"interfaces": [{"name": "lan", "sriov": {"address": "0000:00:03.0"}, "vlan": 7}]},
    "spec.serialConsole": {"serialConsole": False},
    "spec.graphics.port": {"graphics": {"port": 5999}},
    "spec.graphics.type": {"graphics": {"type": "none"}},
    "spec.graphics.listen": {"graphics": {"listen": "127.0.0.2"}},
    "spec.video": {"video": "cirrus"},
    "spec.watchdog": {"watchdog": {"model": "i6300esb", "action": "poweroff"}},
    "spec.clock.kvmClock": {"clock": {"kvmClock": False}},
    "spec.clock.offset": {"clock": {"offset": "Asia/Seoul"}},
    "spec.clock.hypervClock": {"clock": {"hypervClock": True}},
    "spec.clock.hpet": {"clock": {"hpet": True}},
    "spec.clock.rtcTickPolicy": {"clock": {"rtcTickPolicy": "delay"}},
    "spec.clock.pitTickPolicy": {"clock": {"pitTickPolicy": "discard"}},
    "spec.hotplugPorts": {"hotplugPorts": 6},
    **{f"spec.features.hyperv.{name}": {"features": {"hyperv": HYPERV[name]}} for name in HYPERV},
}
SPLIT = {
    f"{way}{what}Sec{most}": 2**20 for way in ("read", "write") for what in ("Bytes", "Iops") for most in ("", "Max")
}
TOTAL = {f"total{what}Sec{most}": 2**20 for what in ("Bytes", "Iops") for most in ("", "Max")}
LIVE: dict[str, dict[str, Any]] = {
    "vm.describe": {"description": "front end"},
    "vm.vcpus": {"cpu": {"sockets": 2, "maxSockets": 2}},
    "vm.scheduler": {"cpu": {"maxSockets": 2, "shares": 512, "limit": 1.5}},
    "vm.pin": {"cpu": {"maxSockets": 2, "pinning": {"cpuset": "0", "vcpus": [{"vcpu": 1, "cpuset": "0-1,^0"}]}}},
    "vm.balloon": {"memory": {"guest": "128MiB", "current": "64MiB"}},
    "vm.move-interface": {"interfaces": [{**LAN, "vlan": 102}]},
    "vm.link": {"interfaces": [{**LAN, "link": "down"}]},
    "vm.filter": {"interfaces": [{**LAN, "filter": {"name": "no-mac-spoofing"}}]},
    "vm.iotune": {"disks": [{**ROOT, "iotune": SPLIT}, DATA]},
    "vm.iotune (total)": {"disks": [{**ROOT, "iotune": TOTAL}, DATA]},
    "vm.media": {"cdroms": [{**DRIVE, "media": "MEDIA"}]},
    "vm.iothreads": {"ioThreads": 3},
    "vm.iothreads (none)": {"ioThreads": 0},
    "vm.unplug": {"disks": [ROOT]},
    "vm.unplug (agent)": {"guestAgent": False},
    "vm.plug": {"interfaces": [LAN, {"name": "new", "bridge": "br-VM"}], "rng": True},
}
# What is changed on a running guest elsewhere: by more than one step, or where a kernel with the device is booted.
ELSEWHERE = {
    "autostart": "live/test_vm.py",
    "cloudInit": "live/test_vm_seed.py live/test_vm_seed_guest.py",
    "cpu/pinning": "live/test_vm_tuning.py",
    "disks/source/iscsi/secret/uuid": "kinds/vm/test_sources.py",
    "disks/source/rbd/secret/usage": "live/test_vm_rbd.py",
    "hostDevices": "kernel/inside/test_vm_devices.py kernel/inside/test_vm_luns.py kinds/vm/test_host_devices.py",
    "interfaces/bandwidth": "kernel/inside/test_vm_bandwidth.py",
    "interfaces/filter": "live/test_vm_traffic.py",
    "interfaces/isolated": "kernel/inside/test_vm_isolation.py",
    "interfaces/sriov/nic": "kinds/vm/test_host_devices.py",
    "uuid": "kinds/vm/test_plan.py",
    "vsock": "kernel/inside/test_vm_vsock.py",
}


def test_every_field_of_the_model_is_changed_by_some_test() -> None:
    cases = [{**BASE, **case} for case in (*PENDING.values(), *LIVE.values())]
    texts = [json.dumps(case).replace("MEDIA", "/media.iso") for case in cases]
    named = {re.sub(r"/\d+(?=/|$)", "", path) for text in texts for path in given_paths({"spec": json.loads(text)})}
    left = {path.removeprefix("/spec/") for path in set(_leaves(VirtualMachineSpec)) - named}
    covered = {path: next((place for place in ELSEWHERE if f"{path}/".startswith(f"{place}/")), None) for path in left}
    assert {path for path, place in covered.items() if place is None} == set()
    for place, files in ELSEWHERE.items():
        word = place.rpartition("/")[2]
        assert place in covered.values(), f"{place} is changed here, and need not be listed"
        assert any(word in (TESTS / file).read_text() for file in files.split()), f"no word of {word} in {files}"


def _leaves(struct: Any, path: str = "/spec") -> Iterator[str]:
    """The fields of the model that have a counterpart on the host, as pointers without the places of list items."""
    for field in fields_of(struct):
        kind = field.type.item_type if isinstance(field.type, mi.VarTupleType) else field.type
        here = f"{path}/{field.yaml}"
        if field.change != Effect.POLICY:
            yield from _leaves(kind.cls, here) if isinstance(kind, mi.StructType) else (here,)


@pytest.fixture(scope="module")
def fields(site: Site) -> Iterator[Site]:  # noqa: F811
    """A VM of the base spec, running, for all tests of this file; its host has a cgroup to give CPU time by."""
    cgroups.give(site.lab)
    for name in ("fields-root", "fields-data", "fields-more"):
        site.volume(name)
    site.converge(vm("fields", **BASE))
    yield site
    site.doors.libvirt.destroy("fields")
    site.doors.libvirt.undefine("fields")
    cgroups.take(site.lab)


def wanted(site: Site, **other: Any) -> Document:  # noqa: F811
    spec = {**BASE, **other}
    for drive in spec["cdroms"]:
        if drive.get("media") == "MEDIA":
            spec["cdroms"] = [{**drive, "media": str(site.disks / "fields-more.raw")}]
    return vm("fields", **spec)


@pytest.mark.parametrize("path", PENDING)
def test_pending_until_a_restart_and_gone_when_it_is_taken_back(fields: Site, path: str) -> None:
    pid = fields.qemu("fields")
    doc = wanted(fields, **PENDING[path])
    assert fields.converge(doc) == ["vm.redefine"]
    change = fields.plan(doc)
    assert path.partition(" ")[0] in {field.path for field in change.pending}
    assert all(field.pending for field in change.fields), "nothing but what waits differs"
    assert fields.converge(wanted(fields)) == ["vm.redefine"]
    assert fields.plan(wanted(fields)).quiet
    assert fields.qemu("fields") == pid


@pytest.mark.parametrize(
    ("path", "spec", "ops", "back"),
    [
        ("cloudInit", {"userData": "#!/bin/sh"}, ["vm.seed", "vm.redefine"], ["vm.redefine", "vm.seed-remove"]),
        ("graphics.password", "PASSWORD", ["vm.password"], ["vm.password"]),
    ],
)
def test_what_has_steps_of_its_own_waits_as_well(
    fields: Site, tmp_path: Path, path: str, spec: Any, ops: list[str], back: list[str]
) -> None:
    pid = fields.qemu("fields")
    (tmp_path / "password").write_text("secret")
    secret = {"graphics": {"password": {"file": str(tmp_path / "password")}}}
    doc = wanted(fields, **(secret if spec == "PASSWORD" else {path: spec}))
    assert fields.converge(doc) == ops
    assert [field.path for field in fields.plan(doc).pending] == [f"spec.{path}"]
    assert fields.converge(wanted(fields)) == back
    assert fields.plan(wanted(fields)).quiet
    assert fields.qemu("fields") == pid


@pytest.mark.parametrize("op", [op for op in LIVE if op not in ("vm.vcpus", "vm.plug")])
def test_live_at_once_in_both_copies_and_back(fields: Site, op: str) -> None:
    pid = fields.qemu("fields")
    doc = wanted(fields, **LIVE[op])
    op = op.partition(" ")[0]
    assert fields.converge(doc) == ["vm.redefine", op]
    assert fields.plan(doc).quiet
    back = {"vm.unplug": "vm.plug"}.get(op, op)
    assert fields.converge(wanted(fields)) == ["vm.redefine", back]
    assert fields.plan(wanted(fields)).quiet
    assert fields.qemu("fields") == pid


def test_plugged_devices_have_one_address_in_both_copies(fields: Site) -> None:
    """And a guest that does not run (this one sits in its BIOS) cannot let a virtio device go: that is an error."""
    pid = fields.qemu("fields")
    extra = {"name": "more", "volume": "local/fields-more"}
    doc = wanted(fields, disks=[ROOT, DATA, extra], **LIVE["vm.plug"])
    assert fields.converge(doc) == ["vm.redefine", "vm.plug", "vm.plug", "vm.plug"]
    assert fields.plan(doc).quiet
    domain = fields.doors.libvirt.domain("fields")
    assert domain is not None
    assert domain.inactive
    assert domain.active
    assert _addresses(domain.inactive) == _addresses(domain.active)
    with pytest.raises(StepFailed, match="did not release more"):
        carry_out(fields.plan(wanted(fields, **LIVE["vm.plug"])), fields.doors)
    assert fields.qemu("fields") == pid
    _reborn(fields)


def test_a_disk_is_plugged_and_its_place_in_the_boot_order_waits(site: Site) -> None:  # noqa: F811
    """libvirt takes no boot order into an instance that was started without one."""
    site.volume("orders-root")
    off = {"shutdownTimeout": "1s", "forceStop": True}
    site.converge(vm("orders", **off))
    doc = vm("orders", disks=[{"name": "root", "volume": "local/orders-root", "bootOrder": 1}], **off)
    assert site.converge(doc) == ["vm.redefine", "vm.plug"]
    assert [field.path for field in site.plan(doc).pending] == ["spec.disks[root].bootOrder"]
    site.doors.libvirt.destroy("orders")
    assert site.converge(doc) == ["vm.start"]
    assert site.plan(doc).quiet
    site.doors.libvirt.destroy("orders")
    site.remove("orders")


def test_sockets_are_plugged(fields: Site) -> None:
    pid = fields.qemu("fields")
    doc = wanted(fields, **LIVE["vm.vcpus"])
    assert fields.converge(doc) == ["vm.redefine", "vm.vcpus"]
    assert fields.plan(doc).quiet
    assert fields.converge(wanted(fields)) == ["vm.redefine"], "fewer wait: the guest would have to give them back"
    assert [f.path for f in fields.plan(wanted(fields)).pending] == ["spec.cpu.sockets"]
    assert fields.qemu("fields") == pid
    _reborn(fields)


def test_an_io_thread_comes_before_the_disk_on_it_and_stays_with_it(fields: Site) -> None:
    """With its pin. Without a disk it goes at once; with one it waits for the restart, as the disk does."""
    pid = fields.qemu("fields")
    disks = [ROOT, DATA, {"name": "more", "volume": "local/fields-more"}]
    served = {"ioThreads": 3, "disks": [*disks[:2], {**disks[2], "ioThread": 2}]}
    pinned = wanted(fields, **served, cpu={"maxSockets": 2, "pinning": {"ioThreads": [{"ioThread": 2, "cpuset": 1}]}})
    assert fields.converge(pinned) == ["vm.redefine", "vm.iothreads", "vm.plug"]
    assert fields.plan(pinned).quiet
    assert 'iothreadpin iothread="2" cpuset="1"' in _active(fields)
    assert fields.converge(wanted(fields, **{**served, "ioThreads": 2})) == ["vm.redefine", "vm.pin", "vm.iothreads"]
    assert fields.plan(wanted(fields, **{**served, "ioThreads": 2})).quiet
    freed = wanted(fields, disks=disks)
    assert fields.converge(freed) == ["vm.redefine"]
    assert {f.path for f in fields.plan(freed).pending} == {"spec.disks[more].ioThread", "spec.ioThreads"}
    assert fields.qemu("fields") == pid
    _reborn(fields)


def test_the_channel_of_the_agent_waits_where_the_instance_has_no_bus_for_it(fields: Site) -> None:
    """libvirt can plug no virtio-serial controller, and keeps one in the definition that no channel needs any more."""
    fields.doors.libvirt.destroy("fields")
    fields.doors.libvirt.undefine("fields")
    fields.converge(wanted(fields, guestAgent=False))
    pid = fields.qemu("fields")
    assert fields.converge(wanted(fields)) == ["vm.redefine"]
    assert [f.path for f in fields.plan(wanted(fields)).pending] == ["spec.guestAgent"]
    assert fields.converge(wanted(fields, guestAgent=False)) == ["vm.redefine"]
    assert fields.plan(wanted(fields, guestAgent=False)).quiet
    assert fields.qemu("fields") == pid
    _reborn(fields)


def _active(site: Site) -> str:  # noqa: F811
    return str(site.doors.libvirt.domain("fields").active).replace("'", '"')  # type: ignore[union-attr] # it runs


def test_cpu_time_is_what_the_kernel_accounts_by(fields: Site) -> None:
    """Shares and quota of the VM's own cgroup, in either version of cgroups; and the kernel's own without them."""
    spec = {"maxSockets": 2, "shares": 300, "limit": "750m"}
    assert fields.converge(wanted(fields, cpu=spec)) == ["vm.redefine", "vm.scheduler"]
    assert _accounted(fields) in ({"300", "75000"}, {"300", "75000 100000"})
    assert fields.converge(wanted(fields)) == ["vm.redefine", "vm.scheduler"]
    assert _accounted(fields) in ({"1024", "-1"}, {"100", "max 100000"})
    live = fields.doors.libvirt.observe()["cpus"]
    assert str(live.shares) in _accounted(fields)


def _accounted(site: Site) -> set[str]:  # noqa: F811
    files = "cpu.shares cpu.cfs_quota_us cpu.weight cpu.max"
    script = (
        f"cd /sys/fs/cgroup/cpu 2>/dev/null || cd /sys/fs/cgroup; "
        f"cd machine*/*fields*/ && for file in {files}; do cat $file 2>/dev/null || true; done"
    )
    return set(site.lab.exec(["sh", "-c", script], check=True).stdout.splitlines())


@pytest.mark.parametrize("secure", [False, True])
def test_uefi_with_its_variables_and_a_tpm_starts_and_stays_as_declared(fields: Site, secure: bool) -> None:
    doc = wanted(
        fields,
        firmware={"type": "uefi", "secureBoot": secure},
        tpm={},
        updatePolicy={"restart": "Now"},
    )
    assert fields.converge(doc) == ["vm.redefine", "vm.stop", "vm.start"]
    assert fields.plan(doc).quiet
    text = fields.doors.libvirt.domain("fields").active  # type: ignore[union-attr] # it was just started
    assert (".ms.fd</loader>" in text) is secure  # type: ignore[operator]
    _reborn(fields)


def _addresses(text: str) -> dict[str, dict[str, str]]:
    from cell_reconciler.kinds.virtual_machine import devices, xml

    found = {}
    root = xml.parse(text)
    for element in (*(e for codec in devices.LISTS for e in codec.elements(root)), *root.findall("devices/rng")):
        address = element.find("address")
        found[devices.alias(element) or element.tag] = {} if address is None else dict(address.attrib)
    return found


def _reborn(site: Site) -> None:  # noqa: F811
    """As at the beginning."""
    site.doors.libvirt.destroy("fields")
    time.sleep(0.2)
    site.converge(wanted(site))
    assert site.plan(wanted(site)).quiet
