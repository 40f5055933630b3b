"""A new domain: the board that every VM of ours has, filled with the fields of the spec.

What is fixed here is not owned afterwards: patching never touches it, whoever changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine import metadata, patch, tree, xml
from cell_reconciler.kinds.virtual_machine.codec import add, child
from cell_reconciler.kinds.virtual_machine.codec.board import machine_family
from cell_reconciler.kinds.virtual_machine.spec import DiskBus, GraphicsType, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.tree import Context

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

SPARE_PORTS = 4  # pcie-root-ports for devices that are plugged in later: libvirt leaves one, and none can be added live


def domain(name: str, spec: VirtualMachineSpec, domain_type: str, context: Context, note: metadata.Note) -> Element:
    """The tree of a new domain. ``spec`` is effective, ``context`` knows the sources of all its volumes."""
    root = xml.parse("<domain/>")
    root.set("type", domain_type)
    add(root, "name").text = name
    child(root, "metadata")
    _board(root, spec)
    tree.write(root, spec, context, None)
    patch.settle(root)
    patch.note(root, spec, patch.outfit(root, spec, context, None, note))
    return root


def _board(root: Element, spec: VirtualMachineSpec) -> None:
    add(add(root, "os"), "type", arch="x86_64", machine=spec.machine.type).text = "hvm"
    features = add(root, "features")
    for name in ("acpi", "apic"):
        add(features, name)
    clock = add(root, "clock", offset="utc")
    add(clock, "timer", name="rtc", tickpolicy="catchup")
    add(clock, "timer", name="pit", tickpolicy="delay")
    add(clock, "timer", name="hpet", present="no")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        add(root, f"on_{event}").text = action
    devices = add(root, "devices")
    for controller in _controllers(spec):
        add(devices, "controller", **controller)
    if spec.graphics.type != GraphicsType.NONE:
        add(devices, "input", type="tablet", bus="usb")  # the pointer of VNC is absolute


def _controllers(spec: VirtualMachineSpec) -> list[dict[str, Any]]:
    usb = {"type": "usb", "index": "0", "model": "qemu-xhci"}
    if machine_family(spec.machine.type) != "q35":
        return [usb]
    # One port each for: USB, virtio-serial, SCSI, rng, balloon, screen, watchdog's bridge, every virtio disk, every
    # interface.
    ports = 7 + sum(d.bus == DiskBus.VIRTIO for d in spec.disks) + len(spec.interfaces) + SPARE_PORTS
    root = {"type": "pci", "index": "0", "model": "pcie-root"}
    return [root, *({"type": "pci", "index": str(i + 1), "model": "pcie-root-port"} for i in range(ports)), usb]
