"""Changes fields of an existing domain in its own XML.

Foreign elements, PCI addresses, the machine's version and the NVRAM path stay as they are, byte for byte: only the
elements of the changed fields move. Generating the XML anew would lose all of that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from cell_reconciler.kinds.virtual_machine import devices, metadata, tree
from cell_reconciler.kinds.virtual_machine.codec import drop
from cell_reconciler.kinds.virtual_machine.codec.cpu import Asked
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Duration

if TYPE_CHECKING:
    from lxml.etree import _Element as Element


def apply(root: Element, spec: VirtualMachineSpec, context: Context, changed: Collection[str], mark: Mark) -> None:
    """Write the fields at the paths ``changed``, and our mark."""
    for codec in devices.LISTS:
        codec.claim(root, context.names)
    tree.write(root, spec, context, changed)
    settle(root)
    note(root, spec, metadata.read(root)._replace(mark=mark))


def note(root: Element, spec: VirtualMachineSpec, before: metadata.Note) -> None:
    """Write our metadata to go with the spec."""
    stop = Duration(spec.shutdown_timeout)
    metadata.write(root, before._replace(cpu=Asked.of(root).to_text(), stop=stop, force=spec.force_stop))


def settle(root: Element) -> None:
    """What libvirt wants to be consistent: a boot order of devices excludes ``<boot dev=…>`` in ``<os>``."""
    if root.find("devices/*/boot") is not None:
        drop(root, "os/boot")
