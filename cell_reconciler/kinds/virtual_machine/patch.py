"""Changes fields of an existing domain in its own XML.

Foreign elements, PCI addresses, the machine's version and the NVRAM path stay as they are, byte for byte: only the
elements of the changed fields move. Generating the XML anew would lose all of that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from cell_reconciler.kinds.virtual_machine import devices, metadata, tree
from cell_reconciler.kinds.virtual_machine.codec import apic, drop, memory, ports, remove
from cell_reconciler.kinds.virtual_machine.codec.cpu import Asked
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Duration

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

_PORTS = "spec.hotplugPorts"


# The fields that the parts of the memory, and what a board needs for its vCPUs, depend on.
_LAID_OUT = tuple(
    f"spec.{name}"
    for name in ("memory.", "cpu.numa", "cpu.sockets", "cpu.maxSockets", "cpu.cores", "cpu.threads", "machine")
)


def apply(root: Element, spec: VirtualMachineSpec, context: Context, changed: Collection[str], mark: Mark) -> None:
    """Write the fields at the paths ``changed``, and our mark."""
    claimed = [name for codec in devices.LISTS for name in codec.claim(root, context.names)]
    noted = _PORTS in changed
    if noted and ports.HotplugPorts().read(root) == spec.hotplug_ports:  # as it should be, and only to be noted
        changed, noted = {*changed} - {_PORTS}, ports.spare(root) == spec.hotplug_ports
    tree.write(root, spec, context, changed)
    settle(root)
    before = metadata.read(root)
    if noted:
        before = before._replace(ports=ports.noted(spec.hotplug_ports))
    if before.ports is not None:
        ports.HotplugPorts().write(root, before.ports, spec, context)  # a device more needs a port more
    before = outfit(root, spec, context, changed, before)
    note(root, spec, before._replace(mark=mark, named=(*before.named, *claimed)))


def release(root: Element) -> None:
    """Take our mark away, and the names that we gave to devices of others."""
    for codec in devices.LISTS:
        codec.disown(root, metadata.read(root).named)
    metadata.erase(root)
    for empty in root.findall("metadata"):
        if not len(empty):
            remove(empty)


def note(root: Element, spec: VirtualMachineSpec, before: metadata.Note) -> None:
    """Write our metadata to go with the spec."""
    stop, taken = Duration(spec.shutdown_timeout), memory.taken(root)
    metadata.write(root, before._replace(cpu=Asked.of(root).to_text(), stop=stop, force=spec.force_stop, taken=taken))


def outfit(
    root: Element, spec: VirtualMachineSpec, context: Context, changed: Collection[str] | None, before: metadata.Note
) -> metadata.Note:
    """What follows from several fields: the parts of the memory, and the board of many vCPUs."""
    if changed is None or any(path.startswith(_LAID_OUT) for path in changed):
        memory.layout(root, changed, fixed=bool(spec.cpu.numa.cells), module=context.module)
        before = before._replace(eim=apic.outfit(root, ours=before.eim))
    return before


def settle(root: Element) -> None:
    """What libvirt wants to be consistent: a boot order of devices excludes ``<boot dev=…>`` in ``<os>``."""
    if root.find("devices/*/boot") is not None:
        drop(root, "os/boot")
