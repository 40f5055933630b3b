"""What may never be given to a VM: disks and NICs that the host itself uses, and what another VM has.

Pure: facts in, objections out. It is asked when a change is planned, and once more, with fresh facts, at the moment of
the start or of plugging in (``guard_actions``): what the host mounts may have changed in between. A controller is
judged by everything that hangs on it, and a function by its whole IOMMU group, since the hardware cannot keep those
apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from cell_reconciler.kinds.links.index import users
from cell_reconciler.kinds.virtual_machine import observe
from cell_reconciler.kinds.virtual_machine.codec import said
from cell_reconciler.kinds.virtual_machine.host_devices import functions
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.host_device import HostDevice, Usb
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.host_devices import (
    BlockDevice,
    HostDevices,
    PciDevice,
    UsbDevice,
    on_pci,
    on_usb,
    overlap,
    uses_of,
)
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Live

Documents = Mapping[Key, Document]
# Drivers that leave a function alone, so that its neighbours in the IOMMU group can be given away.
_IDLE = frozenset({None, "vfio-pci", "pci-stub", "pcieport"})
_NETWORK = "02"  # the PCI class of network cards
_TOLD = 3  # chains and names in one message


def objections(
    vm: str,
    spec: VirtualMachineSpec,
    chosen: Mapping[str, str],
    live: Live,
    documents: Documents,
    only: Collection[str] | None = None,
) -> Iterator[Refusal]:
    """Why the VM may not have what its spec asks for; ``only``: of the devices of these names."""
    given = functions(spec, chosen)
    mine = set(given.values())
    for name, address in given.items():
        if only is None or name in only:
            yield from _about(name, of_function(address, vm, mine, live, documents))
    for device in spec.host_devices:
        if only is None or device.name in only:
            yield from _about(device.name, _of_device(device, vm, live))


def _about(name: str, found: Iterator[Refusal]) -> Iterator[Refusal]:
    for refusal in found:
        yield Refusal(reason=refusal.reason, message=f"{name}: {refusal.message}", advice=refusal.advice)


# -- PCI -------------------------------------------------------------------------------------------------------


def of_function(address: str, vm: str, mine: Collection[str], live: Live, documents: Documents) -> Iterator[Refusal]:
    """Why a PCI function may not be given to the VM, which gets ``mine`` (with this one)."""
    devices = live.devices or HostDevices()
    device = devices.pci.get(address)
    if device is None:
        advice = "lspci -D lists what is there"
        yield Refusal(reason="HostDeviceMissing", message=f"there is no PCI device {address}", advice=advice)
        return
    if device.bridge:
        message = f"{address} is a PCI bridge, which stays with the host"
        yield Refusal(reason="HostDeviceInUse", message=message, advice="name the device behind it")
        return
    yield from _isolation(device, vm, mine, live)
    yield from _users(device, vm, live)
    for function in (device, *(devices.pci[vf] for vf in device.vfs if vf in devices.pci)):
        yield from _host_uses(function, live, documents)
    for block in on_pci(devices, address):
        yield from _of_block(block, f"{address} has the disk {block.label}", vm, live)


def _isolation(device: PciDevice, vm: str, mine: Collection[str], live: Live) -> Iterator[Refusal]:
    devices = live.devices or HostDevices()
    if device.group is None:
        where = f"{device.address} is behind no IOMMU" if devices.iommu else "this host has no IOMMU in use"
        message = f"{where}: {device.address} cannot be given to a VM"
        advice = "enable VT-d or AMD-Vi in the firmware, and boot with intel_iommu=on (AMD's is on by itself)"
        yield Refusal(reason="NoIommu", message=message, advice=advice)
        return
    peers = [peer for peer in devices.group_of(device) if not peer.bridge and peer.address not in mine]
    stay = [f"{peer.address} ({peer.ids}, driver {peer.driver})" for peer in peers if peer.driver not in _IDLE]
    lent = [f"{peer.address} ({other})" for peer in peers for other in _holders(peer.address, vm, live)]
    if stay or lent:
        message = f"{device.address} shares IOMMU group {device.group} with {some([*stay, *lent])}, which would stay"
        advice = "give all of the group to this VM, or put the card into a slot of its own"
        yield Refusal(reason="IommuGroupShared", message=message, advice=advice)


def _users(device: PciDevice, vm: str, live: Live) -> Iterator[Refusal]:
    """Other VMs that have it, one of its VFs, or the card that it is a VF of."""
    for address in (device.address, *device.vfs, *([device.pf] if device.pf else [])):
        for other in _holders(address, vm, live):
            what = device.address if address == device.address else f"{address}, a part of the same card,"
            yield _taken(f"{what} belongs to domain {other}", other)


def _taken(message: str, other: str) -> Refusal:
    return Refusal(reason="Conflict", message=message, advice=f"take it from domain {other}, or choose another one")


def _holders(address: str, vm: str, live: Live) -> list[str]:
    return sorted(d.name for d in live.domains.values() if d.name != vm and address in functions_of(d))


def functions_of(domain: Domain) -> frozenset[str]:
    """Addresses of the PCI functions that a domain has, as it is defined and as it runs."""
    specs = (observe.parsed(text).spec for text in (domain.inactive, domain.active) if text)
    return frozenset(address for spec in specs for address in functions(spec, {}).values())


def _host_uses(device: PciDevice, live: Live, documents: Documents) -> Iterator[Refusal]:
    nics = {nic for nic, place in (live.devices or HostDevices()).nics.items() if device.address in place.pci}
    for nic in sorted(nics):
        if use := nic_use(nic, live, documents):
            yield _nic_in_use(device.address, nic, use)
    if device.kind.startswith(_NETWORK) and device.driver not in _IDLE and not nics:
        message = f"the host's driver {device.driver} runs {device.address}, whose interface cannot be seen from here"
        advice = "is it in another network namespace, or run by DPDK? Bring it back, or unbind the driver"
        yield Refusal(reason="HostNicInUse", message=message, advice=advice)


def _nic_in_use(what: str, nic: str, use: str) -> Refusal:
    message = f"{what} is the host's interface {nic}, which is in use: {use}"
    return Refusal(reason="HostNicInUse", message=message, advice=f"take {nic} out of the host's network first")


def nic_use(name: str, live: Live, documents: Documents) -> str:
    """What the host does with an interface; empty: nothing, as far as it can be told."""
    link = live.links.get(name)
    found = [str(key) for key in users(name, documents)]
    if link is not None:
        found += [f"it is a port of {link.master}"] if link.master else []
        found += [f"it has {address}" for address in (*link.addresses, *link.dynamic_addresses)]
        found += [f"{other.name} is on it" for other in live.links.values() if other.parent == name]
    return some(found)


def address_of(nic: str, live: Live) -> str | None:
    """The PCI function that an interface is, None for one that is on no PCI card."""
    place = live.devices.nics.get(nic) if live.devices else None
    return place.pci[-1] if place and place.pci else None


# -- block devices ---------------------------------------------------------------------------------------------


def _of_block(block: BlockDevice, what: str, vm: str, live: Live) -> Iterator[Refusal]:
    devices = live.devices or HostDevices()
    chains = uses_of(devices, block.name)
    if chains:
        message = f"{what}, which the host itself uses: {some(chains)}"
        advice = "it is never given away; give single disks that the host does not use, or move the host off it first"
        yield Refusal(reason="HostDiskInUse", message=message, advice=advice)
    for other in live.domains.values():
        for path in _disk_paths(other) if other.name != vm else ():
            found = devices.block_at(path)
            if found is not None and overlap(devices, block.name, found.name):
                yield _taken(f"{what}, and domain {other.name} has {path} as a disk", other.name)


def _disk_paths(domain: Domain) -> frozenset[str]:
    """Paths of the block devices that a domain has as disks."""
    texts = [text for text in (domain.inactive, domain.active) if text]
    sources = (source for text in texts for source in observe.parsed(text).sources.values())
    return frozenset(source.path for source in sources if source.path.startswith("/dev/"))


# -- USB and mediated devices ----------------------------------------------------------------------------------


def _of_device(device: HostDevice, vm: str, live: Live) -> Iterator[Refusal]:
    if mdev := said(device.mdev):
        yield from _of_mdev(mdev.uuid, vm, live)
    if usb := said(device.usb):
        yield from _of_usb(usb, vm, live)


def _of_mdev(uuid: str, vm: str, live: Live) -> Iterator[Refusal]:
    devices = live.devices or HostDevices()
    if uuid not in devices.mdevs:
        rooms = [f"{t.type} ({t.text}) on {t.parent}" for t in devices.mdev_types if t.available]
        advice = f"make it first: mdevctl start. There is room for: {some(rooms) or 'none'}"
        yield Refusal(reason="HostDeviceMissing", message=f"there is no mediated device {uuid}", advice=advice)
    for other in _owners(live, vm, lambda d: d.mdev is not None and d.mdev.uuid == uuid):
        yield _taken(f"mediated device {uuid} belongs to domain {other}", other)


def _of_usb(usb: Usb, vm: str, live: Live) -> Iterator[Refusal]:
    devices = live.devices or HostDevices()
    found = _matching(usb, devices)
    words = said(usb.id) or f"{usb.bus}.{usb.device}"
    if len(found) != 1:
        message = f"{len(found) or 'no'} USB devices are {words}" if found else f"there is no USB device {words}"
        advice = "name it by bus and device (lsusb lists them)" if found else "plug it in (lsusb lists what is there)"
        yield Refusal(reason="HostDeviceMissing", message=message, advice=advice)
        return
    port = found[0].port
    if found[0].hub:
        message = f"USB device {words} is a hub, which stays with the host"
        yield Refusal(reason="HostDeviceInUse", message=message, advice="name the device behind it")
    for block in on_usb(devices, port):
        yield from _of_block(block, f"USB device {words} has the disk {block.label}", vm, live)
    for nic, place in sorted(devices.nics.items()):
        if place.usb == port and (use := nic_use(nic, live, {})):
            yield _nic_in_use(f"USB device {words}", nic, use)
    for other in _owners(live, vm, lambda d: d.usb is not None and found[0] in _matching(d.usb, devices)):
        yield _taken(f"USB device {words} belongs to domain {other}", other)


def _matching(usb: Usb, devices: HostDevices) -> list[UsbDevice]:
    ids = said(usb.id)
    if ids is not None:
        return [found for found in devices.usb if found.ids == ids]
    return [found for found in devices.usb if (found.bus, found.device) == (usb.bus, usb.device)]


def _owners(live: Live, vm: str, holds: Callable[[Any], bool]) -> list[str]:
    """Other domains with a host device for which ``holds``."""
    return sorted(
        domain.name
        for domain in live.domains.values()
        if domain.name != vm
        and any(
            holds(device)
            for text in (domain.inactive, domain.active)
            if text
            for device in observe.parsed(text).spec.host_devices
        )
    )


def some(words: Collection[str]) -> str:
    """The first few of them."""
    told = ", ".join(list(words)[:_TOLD])
    return told + (f" and {len(words) - _TOLD} more" if len(words) > _TOLD else "")
