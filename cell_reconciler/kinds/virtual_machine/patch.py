"""Changes fields of an existing domain in its own XML.

Foreign elements, PCI addresses, the machine's version and the NVRAM path stay as they are, byte for byte: only the
elements of the changed fields move. Generating the XML anew would lose all of that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from cell_reconciler.kinds.virtual_machine import devices, metadata, tree
from cell_reconciler.kinds.virtual_machine.codec import apic, drop, memory
from cell_reconciler.kinds.virtual_machine.codec.cpu import Asked
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Duration

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


# The fields that the parts of the memory, and what a board needs for its vCPUs, depend on.
_LAID_OUT = tuple(
    f"spec.{name}"
    for name in ("memory.", "cpu.numa", "cpu.sockets", "cpu.maxSockets", "cpu.cores", "cpu.threads", "machine")
)


def apply(root: Element, spec: VirtualMachineSpec, context: Context, changed: Collection[str], mark: Mark) -> None:
    """Write the fields at the paths ``changed``, and our mark."""
    tree.write(root, spec, context, changed)
    for codec in devices.LISTS:
        codec.claim(root, context.names)
    settle(root)
    note(root, spec, outfit(root, spec, context, changed, metadata.read(root))._replace(mark=mark))


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
