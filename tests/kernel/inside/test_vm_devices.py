"""A host with an IOMMU, a RAID controller with a disk, LVM and RAID: what is seen, and what is given to a
VM by a real libvirt, QEMU and vfio-pci.

The controller at 0000:00:10.0 and the NIC at 0000:00:11.0 are there for this (``cell_reconciler.lab.guest``).
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.drivers import Doors
from cell_reconciler.errors import Transient
from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Change
from cell_reconciler.model.document import Document
from cell_reconciler.model.host_devices import HostDevices, on_pci, on_usb, uses_of
from cell_reconciler.model.live import Live
from cell_reconciler.model.storage import DiskSource
from tests.kinds.vm.make import carry_out, planned, vm, world

pytestmark = pytest.mark.kernel

STICK = "46f4:0001"
HBA, NIC, SMBUS, SATA = "0000:00:10.0", "0000:00:11.0", "0000:00:1f.3", "0000:00:1f.2"
MODULES = "megaraid_sas sd_mod e1000e xhci_pci usb-storage vfio-pci loop dm-mod raid1 xfs i2c-i801 ahci"
LVM = ("--config", "activation{udev_sync=0 udev_rules=0} devices{use_devicesfile=0} backup{backup=0 archive=0}")
SPEC: dict[str, Any] = {
    "memory": {"guest": "64MiB"},
    "cpu": {"mode": "custom", "model": "qemu64"},
    "graphics": {"type": "none"},
    "shutdownTimeout": "1s",
    "forceStop": True,
}


def sh(*argv: str | Path) -> str:
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def until(what: Callable[[], Any], seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.2)
    return found


def driver(address: str) -> str:
    link = Path("/sys/bus/pci/devices", address, "driver")
    return link.resolve().name if link.exists() else ""


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    sh("modprobe", "-a", *MODULES.split())
    until(lambda: on_pci(Doors().devices.observe()["devices"], HBA))
    opened = Doors()
    yield opened
    opened.close()
    # The NIC and the disks go again: other tests on this host count what there is.
    for module in ("e1000e", "megaraid_sas", "usb-storage", "xhci_pci"):
        subprocess.run(["modprobe", "-r", module], capture_output=True, check=False, timeout=120)


@pytest.fixture
def undo() -> Iterator[Callable[..., None]]:
    """Commands that take back what a test made, last first."""
    commands: list[tuple[str, ...]] = []
    yield lambda *argv: commands.append(argv)
    for argv in reversed(commands):
        subprocess.run(argv, capture_output=True, check=False, timeout=120)


def devices(doors: Doors) -> HostDevices:
    found = doors.devices.observe()["devices"]
    assert isinstance(found, HostDevices)
    return found


def disk(doors: Doors) -> str:
    """Name of the disk on the controller."""
    (found,) = on_pci(devices(doors), HBA)
    return found.name


def around(doors: Doors, *docs: Document) -> World:
    links = doors.netlink.observe()
    return world(*docs, live=Live(host="h1", **{**doors.libvirt.observe(), **links, **doors.devices.observe()}))


def plan(doors: Doors, doc: Document) -> Change:
    return planned(doc, around(doors, doc))


def refused(doors: Doors, doc: Document) -> dict[str, str]:
    return {refusal.reason: refusal.message for refusal in plan(doors, doc).refused}


def given(*addresses: str, **more: Any) -> Document:
    handed = [{"name": f"dev{i}", "pci": {"address": address}} for i, address in enumerate(addresses)]
    return vm("scvm", **{**SPEC, "hostDevices": handed, **more})


# -- the topology of disks -----------------------------------------------------------------------------------------


def test_partitions_lvm_swap_and_mounts_on_the_controller(doors: Doors, undo: Callable[..., None]) -> None:
    name = disk(doors)
    assert uses_of(devices(doors), name) == ()
    for number, start in ((1, 2048), (2, 204800)):
        sh("addpart", f"/dev/{name}", str(number), str(start), "200000")
        undo("delpart", f"/dev/{name}", str(number))
    sh("mkfs.ext4", "-q", f"/dev/{name}1")
    Path("/run/esp").mkdir(exist_ok=True)
    sh("mount", f"/dev/{name}1", "/run/esp")
    undo("umount", "/run/esp")
    sh("pvcreate", *LVM, "-ff", "-y", f"/dev/{name}2")
    sh("vgcreate", *LVM, "vg0", f"/dev/{name}2")
    undo("vgremove", *LVM, "-f", "-y", "vg0")
    for volume in ("root", "swap", "idle"):
        sh("lvcreate", *LVM, "-y", "-Zn", "-L", "24M", "-n", volume, "vg0")
    sh("mkfs.ext4", "-q", "/dev/mapper/vg0-root")
    Path("/run/root").mkdir(exist_ok=True)
    sh("mount", "/dev/mapper/vg0-root", "/run/root")
    undo("umount", "/run/root")
    sh("mkswap", "/dev/mapper/vg0-swap")
    sh("swapon", "/dev/mapper/vg0-swap")
    undo("swapoff", "/dev/mapper/vg0-swap")

    part = f"{name} > {name}2"
    assert set(uses_of(devices(doors), name)) == {
        f"{name} > {name}1 > /run/esp",
        f"{part} > vg0-root > /run/root",
        f"{part} > vg0-swap > swap",
        f"{part} > vg0-idle > active",
    }
    assert {use.split(" > ")[0] for use in uses_of(devices(doors), f"{name}1")} == {f"{name}1"}
    found = refused(doors, given(HBA))
    assert found.keys() == {"HostDiskInUse"}
    assert f"{name} > {name}1 > /run/esp" in found["HostDiskInUse"]


def test_raid_dm_and_a_file_system_with_a_log_elsewhere(doors: Doors, undo: Callable[..., None]) -> None:
    loops = []
    for number in range(4):
        file = Path(f"/run/keep/loop{number}.img")
        with file.open("wb") as image:
            image.truncate(320 << 20)
        loops.append(sh("losetup", "--find", "--show", str(file)))
        undo("losetup", "--detach", loops[-1])
    first, second, third, fourth = (loop.rpartition("/")[2] for loop in loops)
    sh("mdadm", "--build", "/dev/md9", "--level=1", "--raid-devices=2", "--assume-clean", *loops[:2])
    undo("mdadm", "--stop", "/dev/md9")
    sectors = sh("blockdev", "--getsz", "/dev/md9")
    sh("dmsetup", "create", "--noudevsync", "mpatha", "--table", f"0 {sectors} linear /dev/md9 0")
    undo("dmsetup", "remove", "--noudevsync", "mpatha")
    found = devices(doors)
    assert uses_of(found, first) == (f"{first} > md9 > mpatha > active",)
    assert uses_of(found, second) == (f"{second} > md9 > mpatha > active",)
    assert uses_of(found, third) == ()

    mapped = next(f"/dev/{block.name}" for block in found.blocks.values() if block.label == "mpatha")
    sh("mkfs.xfs", "-q", "-f", "-l", f"logdev={loops[3]},size=64m", mapped)
    Path("/run/xfs").mkdir(exist_ok=True)
    sh("mount", "-t", "xfs", "-o", f"logdev={loops[3]}", mapped, "/run/xfs")
    undo("umount", "/run/xfs")
    found = devices(doors)
    assert uses_of(found, first) == (f"{first} > md9 > mpatha > /run/xfs",)
    assert uses_of(found, fourth) == (f"{fourth} > /run/xfs",), "the log is on another device"


def test_the_kernel_knows_of_a_mount_that_no_table_of_ours_shows(doors: Doors, undo: Callable[..., None]) -> None:
    name = disk(doors)
    sh("mkfs.ext4", "-q", "-F", f"/dev/{name}")
    Path("/run/elsewhere").mkdir(exist_ok=True)
    script = f"mount /dev/{name} /run/elsewhere && echo ready && exec sleep 600"
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script]
    hidden = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        assert hidden.stdout
        assert hidden.stdout.readline() == "ready\n"
        assert uses_of(devices(doors), name) == ()
        change = plan(doors, given(HBA))
        assert not change.refused
        change.steps[0].action.do(doors)
        with pytest.raises(Transient, match=f"has the disk {name}, which is open at this host itself"):
            change.steps[1].action.do(doors)
    finally:
        hidden.kill()
        hidden.wait(timeout=30)
        doors.libvirt.undefine("scvm")
    until(lambda: not doors.disks.users(DiskSource(backend="block", path=f"/dev/{name}")))


# -- the bus -------------------------------------------------------------------------------------------------------


def test_functions_groups_and_drivers_are_those_of_sysfs(doors: Doors) -> None:
    found = devices(doors)
    assert found.iommu
    groups = {path.name: path.parent.parent.name for path in Path("/sys/kernel/iommu_groups").glob("*/devices/*")}
    assert {address: device.group for address, device in found.pci.items()} == groups
    assert found.pci[HBA].ids == "1000:0079"
    assert found.pci[HBA].driver == "megaraid_sas"
    assert [place.pci for place in found.nics.values() if NIC in place.pci] == [(NIC,)]


def test_a_function_whose_group_stays_with_the_host_is_refused(doors: Doors) -> None:
    assert driver(SMBUS) == "i801_smbus"
    found = refused(doors, given(SATA))
    assert "IommuGroupShared" in found
    assert SMBUS in found["IommuGroupShared"]


def test_a_stick_that_is_mounted_is_refused(doors: Doors, undo: Callable[..., None]) -> None:
    (stick,) = [device for device in devices(doors).usb if device.ids == STICK]
    (block,) = until(lambda: on_usb(devices(doors), stick.port))
    doc = vm("scvm", **SPEC, hostDevices=[{"name": "stick", "usb": {"bus": stick.bus, "device": stick.device}}])
    assert not plan(doors, doc).refused
    sh("mkfs.ext4", "-q", "-F", f"/dev/{block.name}")
    Path("/run/stick").mkdir(exist_ok=True)
    sh("mount", f"/dev/{block.name}", "/run/stick")
    undo("umount", "/run/stick")
    assert f"{block.name} > /run/stick" in refused(doors, doc)["HostDiskInUse"]


def test_a_nic_with_an_address_is_refused_and_then_chosen_by_its_ids(doors: Doors, undo: Callable[..., None]) -> None:
    nic = next(name for name, place in devices(doors).nics.items() if NIC in place.pci)
    sh("ip", "address", "add", "192.0.2.7/24", "dev", nic)
    undo("ip", "address", "flush", "dev", nic)
    assert "it has 192.0.2.7/24" in refused(doors, given(NIC))["HostNicInUse"]
    any_of = vm("scvm", **SPEC, hostDevices=[{"name": "nic", "pci": {"id": "8086:10d3"}}])
    assert "it has 192.0.2.7/24" in refused(doors, any_of)["NoFreeHostDevice"]
    sh("ip", "address", "flush", "dev", nic)
    assert not plan(doors, any_of).refused


# -- given -----------------------------------------------------------------------------------------------------------


def test_what_is_given_goes_to_the_vm_and_comes_back(doors: Doors) -> None:
    """A controller at the start, with huge pages that are set aside; a NIC and a stick while it runs. One start for all
    of it, since that takes a while here."""
    pages, name = Path("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"), disk(doors)
    spec = {**SPEC, "memory": {"guest": "64MiB", "hugepages": {}}}
    hba, nic = {"name": "hba", "pci": {"address": HBA}}, {"name": "nic", "pci": {"id": "8086:10d3"}}
    stick = {"name": "stick", "usb": {"id": STICK}}
    doc = vm("scvm", **spec, hostDevices=[hba])
    pages.write_text("31\n")
    try:
        assert refused(doors, doc).keys() == {"HugepagesMissing"}
        pages.write_text("40\n")
        change = plan(doors, doc)
        assert [step.op for step in change.steps] == ["vm.define", "vm.start"]
        change.steps[0].action.do(doors)

        sh("mkfs.ext4", "-q", "-F", f"/dev/{name}")
        Path("/run/late").mkdir(exist_ok=True)
        sh("mount", f"/dev/{name}", "/run/late")
        with pytest.raises(Transient, match=f"{name} > /run/late"):
            change.steps[1].action.do(doors)
        assert driver(HBA) == "megaraid_sas"
        sh("umount", "/run/late")

        begin = time.monotonic()
        change.steps[1].action.do(doors)
        print(f"\nstart with a controller: {time.monotonic() - begin:.1f} s")
        assert driver(HBA) == "vfio-pci"
        assert name not in devices(doors).blocks
        assert plan(doors, doc).quiet
        (conflict,) = plan(doors, vm("other", **SPEC, hostDevices=[hba])).refused
        assert conflict.message == f"hba: {HBA} belongs to domain scvm"

        pid = sh("cat", "/run/libvirt/qemu/scvm.pid")
        asked = ("virsh", "qemu-monitor-command", "scvm", "--hmp", "info status")  # emulated twice, it takes a while
        until(lambda: subprocess.run(asked, capture_output=True, check=False, timeout=120).returncode == 0, 120)
        more = vm("scvm", **spec, hostDevices=[hba, nic, stick])
        assert carry_out(plan(doors, more), doors) == ["vm.redefine", "vm.plug", "vm.plug"]
        assert driver(NIC) == "vfio-pci"
        assert plan(doors, more).quiet
        (none_left,) = plan(doors, vm("other", **SPEC, hostDevices=[nic])).refused
        assert none_left.reason == "NoFreeHostDevice"
        fewer = vm("scvm", **spec, hostDevices=[hba, nic])
        assert carry_out(plan(doors, fewer), doors) == ["vm.redefine", "vm.unplug"]
        assert plan(doors, fewer).quiet
        other = vm("scvm", **spec, hostDevices=[{**hba, "pci": {"address": HBA, "managed": False}}, nic])
        assert carry_out(plan(doors, other), doors) == ["vm.redefine"]
        assert [field.path for field in plan(doors, other).pending] == ["spec.hostDevices[hba].pci"]
        assert carry_out(plan(doors, fewer), doors) == ["vm.redefine"]
        assert sh("cat", "/run/libvirt/qemu/scvm.pid") == pid

        stopped = vm("scvm", **{**spec, "runStrategy": "Halted"}, hostDevices=[hba, nic])
        assert carry_out(plan(doors, stopped), doors) == ["vm.stop"]
        until(lambda: on_pci(devices(doors), HBA))
        assert (driver(HBA), driver(NIC)) == ("megaraid_sas", "e1000e")
    finally:
        if doors.libvirt.domain("scvm"):
            doors.libvirt.destroy("scvm")
            doors.libvirt.undefine("scvm")
        pages.write_text("0\n")
