"""A new domain: the board that every VM of ours has, filled with the fields of the spec.

What is fixed here is not owned afterwards: patching never touches it, whoever changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine import metadata, patch, tree, xml
from cell_reconciler.kinds.virtual_machine.codec import add, child, ports
from cell_reconciler.kinds.virtual_machine.codec.board import machine_family
from cell_reconciler.kinds.virtual_machine.spec import GraphicsType, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.tree import Context

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


def domain(name: str, spec: VirtualMachineSpec, domain_type: str, context: Context, note: metadata.Note) -> Element:
    """The tree of a new domain. ``spec`` is effective, ``context`` knows the sources of all its volumes."""
    root = xml.parse("<domain/>")
    root.set("type", domain_type)
    add(root, "name").text = name
    child(root, "metadata")
    _board(root, spec)
    tree.write(root, spec, context, None)
    patch.settle(root)
    note = patch.outfit(root, spec, context, None, note._replace(ports=ports.noted(spec.hotplug_ports)))
    patch.note(root, spec, note)
    return root


def _board(root: Element, spec: VirtualMachineSpec) -> None:
    add(add(root, "os"), "type", arch="x86_64", machine=spec.machine.type).text = "hvm"
    features = add(root, "features")
    for name in ("acpi", "apic"):
        add(features, name)
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
    return [{"type": "pci", "index": "0", "model": "pcie-root"}, usb]  # its ports come when the devices are known
