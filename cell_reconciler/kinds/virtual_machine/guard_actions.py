"""The last look before a VM gets devices of the host: the same questions as when it was planned, with fresh facts."""

from __future__ import annotations

from typing import Any

from cell_reconciler.errors import Transient
from cell_reconciler.kinds.virtual_machine import guard, host_devices, hugepages, observe
from cell_reconciler.model.host_devices import HostDevices, on_pci
from cell_reconciler.model.live import Live


def check(doors: Any, name: str, only: str | None = None) -> None:
    """Nothing, when the VM may have what its definition gives it (``only``: the device of this name).

    Raises Transient when it may not, and Unreachable when that cannot be told.
    """
    domain = doors.libvirt.domain(name)
    if domain is None or domain.inactive is None:
        return
    raw = observe.parsed(domain.inactive)
    disks = {disk: source.path for disk, source in raw.sources.items() if source.backend == "block"}
    named = {*disks, *host_devices.names(raw.spec)}
    asked = named if only is None else named & {only}
    if not asked and (only is not None or not host_devices.needed(raw.spec)):
        return
    devices: HostDevices = doors.devices.observe()["devices"]
    domains, links = doors.libvirt.observe()["domains"], doors.netlink.observe()["links"]
    live = Live(host="", domains=domains, links=links, devices=devices)
    refusal = next(guard.objections(name, raw.spec, {}, live, {}, asked, disks), None)
    if refusal is None and only is None:
        refusal = hugepages.shortage(name, raw.spec, devices)
    if refusal is not None:
        what = f"VM {name} is not started" if only is None else f"{only} is not plugged into VM {name}"
        raise Transient(f"{what}: {refusal.message}", refusal.advice)
    given = [address for key, address in host_devices.functions(raw.spec, {}).items() if key in asked]
    blocks = [block.name for address in given for block in on_pci(devices, address)]
    blocks += [found.name for key, path in disks.items() if key in asked and (found := devices.block_at(path))]
    for block in blocks:
        if doors.devices.held(block):
            what = f"the host's kernel holds {block} for somebody: a mount in another namespace, ZFS, or RAID"
            raise Transient(f"VM {name} does not get its devices: {what}", f"find out who: lsblk /dev/{block}")
