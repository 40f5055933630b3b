"""The last look before a VM gets devices of the host: the same questions as when it was planned, with fresh facts."""

from __future__ import annotations

from typing import Any

from cell_reconciler.errors import Transient
from cell_reconciler.kinds.virtual_machine import guard, host_devices, hugepages, observe
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.host_devices import HostDevices, on_pci
from cell_reconciler.model.live import Domain, Live
from cell_reconciler.model.storage import DiskSource


def start(doors: Any, domain: Domain | None) -> None:
    """Nothing, when the VM may start with the devices and huge pages of its definition.

    Raises Transient when it may not, and Unreachable when that cannot be told.
    """
    if domain is not None and domain.inactive is not None:
        spec = observe.parsed(domain.inactive).spec
        if host_devices.handed(spec) or spec.memory.hugepages is not None:
            what = f"VM {domain.name} is not started"
            devices = _look(doors, domain.name, spec, set(host_devices.names(spec)), what)
            short = hugepages.shortage(domain.name, spec, devices)
            if short is not None:
                raise Transient(f"{what}: {short.message}", short.advice)


def plug(doors: Any, domain: Domain, name: str) -> None:
    """Nothing, when this device may be plugged into the running VM. Raises as ``start`` does."""
    spec = observe.parsed(domain.inactive or "").spec
    if name in set(host_devices.names(spec)):
        _look(doors, domain.name, spec, {name}, f"{name} is not plugged into VM {domain.name}")


def _look(doors: Any, vm: str, spec: VirtualMachineSpec, asked: set[str], what: str) -> HostDevices:
    devices: HostDevices = doors.devices.observe()["devices"]
    domains, links = doors.libvirt.observe()["domains"], doors.netlink.observe()["links"]
    live = Live(host="", domains=domains, links=links, devices=devices)
    refusal = next(guard.objections(vm, spec, {}, live, {}, asked), None)
    if refusal is not None:
        raise Transient(f"{what}: {refusal.message}", refusal.advice)
    for name, address in host_devices.functions(spec, {}).items():
        for block in on_pci(devices, address) if name in asked else ():
            # The kernel knows of mounts in every namespace, of ZFS and of RAID; and processes may write to the disk.
            users = doors.disks.users(DiskSource(backend="block", path=f"/dev/{block.name}"))
            if users:
                message = f"{what}: {address} has the disk {block.name}, which is open at {', '.join(users)}"
                raise Transient(message, "stop that user first")
    return devices
