"""Devices of the host: what is never given away, which of several a VM gets, and what the plan says of it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cell_reconciler.kinds.virtual_machine import choice, hugepages, resolve, xml
from cell_reconciler.model.change import Change
from cell_reconciler.model.document import Document
from cell_reconciler.model.host_devices import (
    BlockDevice,
    BlockUse,
    HostDevices,
    Mdev,
    NicPlace,
    Pages,
    PciDevice,
    UsbDevice,
)
from cell_reconciler.model.live import Domain, Live
from tests.kinds.vm.make import VM, document, planned, vm, world
from tests.kinds.vm.schema import rendered
from tests.livelinks import link

HBA, RAID, GPU, GPU_AUDIO = "0000:3b:00.0", "0000:5e:00.0", "0000:af:00.0", "0000:af:00.1"
CARD, VF0, VF1, VF2 = "0000:18:00.0", "0000:18:02.0", "0000:18:02.1", "0000:18:02.2"
MGMT, PORT = "0000:19:00.0", "0000:3a:00.0"
VGPU, NO_VGPU = "4b20d080-1b54-4048-85b3-a6a62d165c01", "4b20d080-1b54-4048-85b3-a6a62d165c02"


def function(address: str, group: str | None, ids: str = "8086:10fb", driver: str | None = "ixgbe", **more: Any) -> Any:
    return PciDevice(address=address, ids=ids, kind=more.pop("kind", "020000"), driver=driver, group=group, **more)


def disk(name: str, *pci: str, **more: Any) -> BlockDevice:
    label = more.pop("label", name)
    names = (f"/dev/{name}", f"/dev/disk/by-id/scsi-{name}")
    return BlockDevice(name=name, label=label, size=1 << 40, names=names, pci=pci, **more)


PCI = (
    function(PORT, "1", "8086:2030", "pcieport", kind="060400"),
    function(HBA, "1", "1000:0097", "mpt3sas", kind="010700"),
    function(RAID, "2", "1000:005d", "megaraid_sas", kind="010400"),
    function(GPU, "3", "10de:1eb8", None, kind="030200"),
    function(GPU_AUDIO, "3", "10de:10f8", "snd_hda_intel", kind="040300"),
    function(CARD, "4", vfs=(VF0, VF1, VF2)),
    function(VF0, "5", "8086:10ed", None, pf=CARD),
    function(VF1, "6", "8086:10ed", "ixgbevf", pf=CARD),
    function(VF2, "7", "8086:10ed", None, pf=CARD),
    function(MGMT, "8"),
)
BLOCKS = (
    disk("sda", "0000:5d:00.0", RAID),
    disk("sda2", "0000:5d:00.0", RAID, disk="sda"),
    disk("dm-0", label="vg0-root", slaves=("sda2",)),
    disk("sdb", PORT, HBA),
    disk("sdc", PORT, HBA),
    disk("sdd", "0000:00:14.0", usb="1-4"),
)
DEVICES = HostDevices(
    iommu=True,
    pci={device.address: device for device in PCI},
    usb=(
        UsbDevice(port="1-4", bus=1, device=4, ids="0951:1666"),
        UsbDevice(port="1-5", bus=1, device=5, ids="0529:0001"),
        UsbDevice(port="1-6", bus=1, device=6, ids="0403:6001"),
        UsbDevice(port="1-7", bus=1, device=7, ids="0403:6001"),
        UsbDevice(port="1-1", bus=1, device=2, ids="05e3:0608", hub=True),
        UsbDevice(port="1-8", bus=1, device=8, ids="0b95:1790"),
    ),
    nics={
        "ens1f0": NicPlace(pci=(CARD,)),
        "ens1f0v1": NicPlace(pci=(VF1,)),
        "eno1": NicPlace(pci=(MGMT,)),
        "enx0": NicPlace(pci=("0000:00:14.0",), usb="1-8"),
    },
    mdevs={VGPU: Mdev(uuid=VGPU, type="nvidia-222", parent="0000:b0:00.0", group="9")},
    blocks={block.name: block for block in BLOCKS},
    uses=(BlockUse(block="dm-0", what="/"), BlockUse(block="sdd", what="/mnt/stick")),
    hugepages={2 << 20: Pages(total=1024, free=100)},
)
LINKS = {
    "ens1f0": link("ens1f0"),
    "ens1f0v1": link("ens1f0v1"),
    "eno1": link("eno1", master="bond-MGMT"),
    "enx0": link("enx0", addresses=("192.168.1.2/24",)),
}


def live(*domains: Domain, **devices: Any) -> Live:
    return Live(
        host="h1",
        devices=msgspec.structs.replace(DEVICES, **devices),
        links=LINKS,
        domains={domain.name: domain for domain in domains},
    )


def pci(**which: Any) -> dict[str, Any]:
    return {"name": "dev", "pci": which}


def refused(*devices: dict[str, Any], around: Live | None = None, others: tuple[Document, ...] = ()) -> dict[str, str]:
    """Reason → message, for a VM that is to get these host devices."""
    doc = vm("scvm", hostDevices=list(devices))
    return {r.reason: r.message for r in planned(doc, world(doc, *others, live=around or live())).refused}


def defined(name: str, **spec: Any) -> Domain:
    """A domain that is defined with these devices and off, whatever the host has."""
    doc = vm(name, runStrategy="Halted", **spec)
    text = xml.text(rendered(VM.plan(doc, None, world(doc))))
    return Domain(uuid="", name=name, state="shutoff", inactive=text, active=None)


# -- what is never given away ------------------------------------------------------------------------------------


def test_a_controller_with_disks_that_nobody_uses_is_given() -> None:
    doc = vm("scvm", hostDevices=[pci(address=HBA)])
    change = planned(doc, world(doc, live=live()))
    assert not change.refused
    assert [step.op for step in change.steps] == ["vm.define", "vm.start"]
    address = rendered(change).find("devices/hostdev/source/address")
    assert dict(address.attrib) == {"domain": "0x0000", "bus": "0x3b", "slot": "0x00", "function": "0x0"}


def test_the_controller_of_the_hosts_root_is_never_given() -> None:
    message = refused(pci(address=RAID))["HostDiskInUse"]
    assert message == f"dev: {RAID} has the disk sda, which the host itself uses: sda > sda2 > vg0-root > /"


@pytest.mark.parametrize(
    ("device", "reason", "words"),
    [
        (pci(address="0000:99:00.0"), "HostDeviceMissing", "there is no PCI device 0000:99:00.0"),
        (pci(address=PORT), "HostDeviceInUse", "is a PCI bridge"),
        (pci(address=GPU), "IommuGroupShared", f"IOMMU group 3 with {GPU_AUDIO} (10de:10f8, driver snd_hda_intel)"),
        (pci(address=MGMT), "HostNicInUse", "interface eno1, which is in use: it is a port of bond-MGMT"),
        ({"name": "dev", "mdev": {"uuid": NO_VGPU}}, "HostDeviceMissing", "no med"),
        ({"name": "dev", "usb": {"id": "1234:5678"}}, "HostDeviceMissing", "there is no USB device 1234:5678"),
        ({"name": "dev", "usb": {"id": "0403:6001"}}, "HostDeviceMissing", "2 USB devices are 0403:6001"),
        ({"name": "dev", "usb": {"bus": 1, "device": 2}}, "HostDeviceInUse", "is a hub"),
        ({"name": "dev", "usb": {"id": "0951:1666"}}, "HostDiskInUse", "sdd > /mnt/stick"),
        (
            {"name": "dev", "usb": {"bus": 1, "device": 8}},
            "HostNicInUse",
            "enx0, which is in use: it has 192.168.1.2/24",
        ),
    ],
)
def test_what_the_host_needs_or_has_not_is_refused(device: dict[str, Any], reason: str, words: str) -> None:
    found = refused(device)
    assert words in found[reason]
    assert found.keys() == {reason}


def test_a_card_whose_interface_is_somewhere_else_is_not_free() -> None:
    """In another network namespace, or run by DPDK: the kernel does not show it here, which is no proof of disuse."""
    without = {name: place for name, place in DEVICES.nics.items() if name != "ens1f0"}
    message = refused(pci(address=CARD), around=live(nics=without))["HostNicInUse"]
    assert "driver ixgbe runs 0000:18:00.0" in message


def test_all_of_a_group_can_be_given_together() -> None:
    assert not refused({"name": "gpu", "pci": {"address": GPU}}, {"name": "audio", "pci": {"address": GPU_AUDIO}})


def test_without_an_iommu_the_option_that_is_missing_is_named() -> None:
    without = {a: msgspec.structs.replace(d, group=None) for a, d in DEVICES.pci.items()}
    doc = vm("scvm", hostDevices=[pci(address=HBA)])
    (refusal,) = planned(doc, world(doc, live=live(iommu=False, pci=without))).refused
    assert refusal.reason == "NoIommu"
    assert "intel_iommu=on" in refusal.advice


def test_a_card_that_a_declared_bond_takes_is_not_given() -> None:
    bond = document(
        {"apiVersion": "cell/v1", "kind": "Bond", "metadata": {"name": "bond-VM"}, "spec": {"members": ["ens1f0"]}}
    )
    assert refused(pci(address=CARD)) == {}
    assert "Bond/bond-VM" in refused(pci(address=CARD), others=(bond,))["HostNicInUse"]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (pci(address=HBA), {"hostDevices": [pci(address=HBA)]}),
        (pci(address=CARD), {"interfaces": [{"name": "lan", "sriov": {"address": VF0}}]}),
        (pci(address=VF0), {"hostDevices": [pci(address=CARD)]}),
        ({"name": "dev", "mdev": {"uuid": VGPU}}, {"hostDevices": [{"name": "x", "mdev": {"uuid": VGPU}}]}),
        ({"name": "dev", "usb": {"id": "0529:0001"}}, {"hostDevices": [{"name": "x", "usb": {"bus": 1, "device": 5}}]}),
    ],
)
def test_what_another_domain_has_is_refused(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert not refused(mine)
    assert "belongs to domain other" in refused(mine, around=live(defined("other", **theirs)))["Conflict"]


def test_a_controller_is_not_given_when_another_domain_has_a_disk_on_it() -> None:
    other = defined("other")
    assert other.inactive
    source = "<source dev='/dev/disk/by-id/scsi-sdc'/><target dev='vda' bus='virtio'/>"
    block = f"<disk type='block' device='disk'>{source}</disk></devices>"
    other = msgspec.structs.replace(other, inactive=other.inactive.replace("</devices>", block))
    found = refused(pci(address=HBA), around=live(other))
    assert found == {
        "Conflict": f"dev: {HBA} has the disk sdc, and domain other has /dev/disk/by-id/scsi-sdc as a disk"
    }


# -- which of several ----------------------------------------------------------------------------------------------


def two_cards(*domains: Domain) -> Live:
    """Two HBAs of a kind, neither in use."""
    second = function("0000:3c:00.0", "10", "1000:0097", "mpt3sas", kind="010700")
    return live(*domains, pci={**DEVICES.pci, second.address: second})


def addresses(*docs: Document, around: Live) -> dict[str, str]:
    there = world(*docs, live=around)
    return {doc.key.name: ",".join(choice.chosen(doc.key.name, there).values()) for doc in docs}


def test_two_vms_that_ask_for_a_kind_of_card_get_two_cards() -> None:
    first, second = (vm(name, hostDevices=[pci(id="1000:0097")]) for name in ("a", "b"))
    assert addresses(second, first, around=two_cards()) == {"a": HBA, "b": "0000:3c:00.0"}


def test_a_vm_keeps_the_card_that_it_has_whoever_comes_first() -> None:
    first, second = (vm(name, hostDevices=[pci(id="1000:0097")]) for name in ("a", "b"))
    around = two_cards(defined("b", hostDevices=[pci(address=HBA)]))
    assert addresses(first, second, around=around) == {"a": "0000:3c:00.0", "b": HBA}
    there = world(first, second, live=around)
    change = VM.plan(second, VM.observe("b", there), there)
    assert "spec.hostDevices[dev].pci" not in {field.path for field in change.fields}


def test_a_card_that_another_document_names_is_not_chosen() -> None:
    named, any_of = vm("z", hostDevices=[pci(address=HBA)]), vm("a", hostDevices=[pci(id="1000:0097")])
    assert addresses(named, any_of, around=two_cards())["a"] == "0000:3c:00.0"


def test_a_group_that_is_asked_for_whole_by_ids_is_given_whole() -> None:
    gpu, audio = {"name": "gpu", "pci": {"id": "10de:1eb8"}}, {"name": "audio", "pci": {"id": "10de:10f8"}}
    assert not refused(gpu, audio)
    assert GPU_AUDIO in refused(gpu)["NoFreeHostDevice"], "its other half would stay"


def test_when_none_is_free_it_is_said_why() -> None:
    message = refused(pci(id="1000:005d"))["NoFreeHostDevice"]
    assert message.startswith(f"dev: no PCI device 1000:005d is free: {RAID} has the disk sda, which the host")
    assert refused(pci(id="abcd:0001"))["NoFreeHostDevice"].endswith("is free: there is none")


def test_a_virtual_function_is_one_that_the_host_does_not_use() -> None:
    """VF 1 has an interface on the host with an address: the first and the third are dealt out, then none is left."""
    links = {**LINKS, "ens1f0v1": link("ens1f0v1", addresses=("10.0.0.1/24",))}
    around = msgspec.structs.replace(live(), links=links)
    docs = [vm(name, interfaces=[{"name": "lan", "sriov": {"nic": "ens1f0"}, "vlan": 7}]) for name in ("a", "b", "c")]
    assert addresses(*docs, around=around) == {"a": VF0, "b": VF2, "c": ""}
    change = planned(docs[0], world(*docs, live=around))
    interface = rendered(change).find("devices/interface")
    assert interface.get("type") == "hostdev"
    assert interface.find("source/address").get("slot") == "0x02"
    assert interface.find("vlan/tag").get("id") == "7"
    assert [r.reason for r in planned(docs[2], world(*docs, live=around)).refused] == ["NoFreeHostDevice"]


# -- what the plan says --------------------------------------------------------------------------------------------


def running(domain: Domain, **devices: str) -> Domain:
    assert domain.inactive
    return msgspec.structs.replace(domain, state="running", active=domain.inactive, **devices)


def replanned(before: dict[str, Any], after: dict[str, Any], around: Live | None = None) -> Change:
    """A running VM of the first spec, whose document says the second now."""
    old, new = vm("scvm", **before), vm("scvm", **after)
    domain = running(defined("scvm", **before))
    there = world(new, live=around or live(domain))
    assert resolve.effective(old) != resolve.effective(new)
    return VM.plan(new, VM.observe("scvm", there), there)


def test_host_devices_are_plugged_and_unplugged_while_it_runs() -> None:
    with_it, without = {"hostDevices": [pci(address=HBA)]}, {"hostDevices": []}
    assert [s.op for s in replanned(without, with_it).steps] == ["vm.redefine", "vm.plug"]
    change = replanned(with_it, without)
    assert [(s.op, s.text) for s in change.steps][1:] == [("vm.unplug", "unplug host device dev from running VM scvm")]


def test_another_device_under_the_same_name_waits_for_a_restart() -> None:
    change = replanned({"hostDevices": [pci(address=HBA)]}, {"hostDevices": [pci(address=VF0)]})
    assert [step.op for step in change.steps] == ["vm.redefine"]
    assert [field.path for field in change.pending] == ["spec.hostDevices[dev].pci"]


def test_nothing_of_a_virtual_function_changes_while_it_runs() -> None:
    nic = {"name": "lan", "sriov": {"address": VF0}}
    for other in ({**nic, "vlan": 7}, {"name": "lan", "bridge": "br-VM"}):
        change = replanned({"interfaces": [nic]}, {"interfaces": [other]})
        assert [step.op for step in change.steps] == ["vm.redefine"]
        assert change.pending


def test_a_device_that_the_running_vm_has_is_not_judged_again() -> None:
    """The host cannot be in the way of what the VM has already; only what comes is asked about."""
    before = {"hostDevices": [pci(address=HBA)]}
    busy = BlockUse(block="sdb", what="/mnt")
    around = live(running(defined("scvm", **before)), uses=(*DEVICES.uses, busy))
    change = replanned(before, {**before, "description": "storage"}, around)
    assert not change.refused
    assert [step.op for step in change.steps] == ["vm.redefine", "vm.describe"]


# -- huge pages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("guest", "missing"), [("200MiB", 0), ("202MiB", 1), ("256MiB", 28)])
def test_as_many_huge_pages_as_the_guest_needs(guest: str, missing: int) -> None:
    doc = vm("scvm", memory={"guest": guest, "hugepages": {}})
    refusals = planned(doc, world(doc, live=live())).refused
    assert [r.reason for r in refusals] == ["HugepagesMissing"] * bool(missing)
    assert not missing or f"sysctl -w vm.nr_hugepages={1024 + missing}," in refusals[0].advice


def test_pages_of_one_gibibyte_have_a_place_of_their_own() -> None:
    spec = resolve.effective(vm("scvm", memory={"guest": "4GiB", "hugepages": {"pageSize": "1GiB"}}))
    few = hugepages.shortage("scvm", spec, HostDevices(hugepages={1 << 30: Pages(total=3, free=1)}))
    assert few
    assert few.message == "VM scvm needs 4 free huge pages of 1GiB; 1 of the host's 3 are free"
    assert "echo 6 > /sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages" in few.advice
    assert "hugepagesz=1024M hugepages=6" in few.advice
    none = hugepages.shortage("scvm", spec, HostDevices())
    assert none
    assert "no pages of 1GiB" in none.advice


def test_a_vm_that_is_off_and_kept_off_needs_none_yet() -> None:
    doc = vm("scvm", memory={"guest": "8GiB", "hugepages": {}}, runStrategy="Halted")
    assert not planned(doc, world(doc, live=live())).refused


# -- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ({"hostDevices": [{"name": "d"}]}, "vm-host-device"),
        ({"hostDevices": [{"name": "d", "pci": {}}]}, "vm-host-device"),
        ({"hostDevices": [{"name": "d", "pci": {"address": HBA, "id": "1000:0097"}}]}, "vm-host-device"),
        ({"hostDevices": [{"name": "d", "pci": {"address": HBA}, "mdev": {"uuid": VGPU}}]}, "vm-host-device"),
        ({"hostDevices": [{"name": "d", "usb": {"bus": 1}}]}, "vm-host-device"),
        ({"hostDevices": [{"name": "d", "usb": {"id": "0529:0001", "bus": 1, "device": 2}}]}, "vm-host-device"),
        ({"hostDevices": [{"name": "d", "mdev": {"uuid": VGPU}, "bootOrder": 1}]}, "vm-host-device"),
        ({"hostDevices": [pci(address=HBA), {**pci(address=HBA), "name": "e"}]}, "vm-host-device-unique"),
        ({"hostDevices": [pci(address=HBA), pci(address=RAID)]}, "vm-device-name"),
        ({"interfaces": [{"name": "n"}]}, "vm-interface"),
        ({"interfaces": [{"name": "n", "bridge": "br0", "sriov": {"nic": "eno1"}}]}, "vm-interface"),
        ({"interfaces": [{"name": "n", "sriov": {}}]}, "vm-host-device"),
        ({"interfaces": [{"name": "n", "sriov": {"nic": "eno1"}, "queues": 2}]}, "vm-sriov"),
        ({"interfaces": [{"name": "n", "sriov": {"nic": "eno1"}, "isolated": True}]}, "vm-sriov"),
    ],
)
def test_what_a_document_may_not_say(spec: dict[str, Any], rule: str) -> None:
    doc = vm("scvm", **spec)
    assert rule in {problem.rule for problem in VM.check(doc, {doc.key: doc})}


def test_two_documents_cannot_have_one_device_and_each_is_told_that_it_stays() -> None:
    first, second = (vm(name, hostDevices=[pci(address=HBA)]) for name in ("a", "b"))
    docs = {doc.key: doc for doc in (first, second)}
    found = {(p.rule, p.severity.value) for p in VM.check(first, docs)}
    assert found >= {("vm-host-device-unique", "error"), ("vm-host-device-migration", "warning")}
