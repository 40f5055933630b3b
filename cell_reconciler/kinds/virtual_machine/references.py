"""What a VM needs: its bridges and volumes; and the access bridges that its VLANs bring into being."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import msgspec

from cell_reconciler import kinds
from cell_reconciler.kinds.contract import Reference
from cell_reconciler.kinds.virtual_machine import devices, resolve
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key


def references(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Reference]:
    """Bridges by the name that the interface is put on; ``POOL/NAME`` volumes by their pool."""
    spec: VirtualMachineSpec = doc.spec
    for index, nic in enumerate(spec.interfaces):
        if nic.bridge is UNSET:
            continue
        base, bridge = Key("Bridge", str(nic.bridge)), Key("Bridge", devices.access_bridge(nic.bridge, nic.vlan))
        if resolve.filtering(nic.bridge, documents):
            yield Reference(base, f"/spec/interfaces/{index}/bridge")
            continue
        derivable = nic.vlan is not UNSET and bridge not in documents
        target = base if derivable and base in documents else bridge
        yield Reference(target, f"/spec/interfaces/{index}/bridge", basis=base if derivable else None)
    for index, disk in enumerate(spec.disks):
        if disk.volume is UNSET:
            continue
        pool, slash, _ = disk.volume.partition("/")
        declared = not slash or Key("Volume", disk.volume) in documents
        yield Reference(
            Key("Volume", disk.volume) if declared else Key("StoragePool", pool), f"/spec/disks/{index}/volume"
        )


def derive(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Document]:
    """The access bridge of every VLAN on a declared bridge, unless a file declares that one as well.

    A bridge that filters VLANs needs none.
    """
    spec: VirtualMachineSpec = doc.spec
    bridge_spec = kinds.kind("Bridge").spec
    tagged = [nic for nic in spec.interfaces if nic.bridge is not UNSET and nic.vlan is not UNSET]
    for name, vlan in sorted({(str(nic.bridge), nic.vlan) for nic in tagged}):
        base = documents.get(Key("Bridge", name))
        key = Key("Bridge", devices.access_bridge(name, vlan))
        declared = documents.get(key)
        if (
            base is None
            or base.spec.vlan is not UNSET
            or resolve.filtering(name, documents)
            or (declared is not None and not declared.derived_from)
        ):
            continue
        fields = {}
        if base.spec.uplink is not UNSET:  # without an uplink the VLAN is the host's own, and needs no tag
            fields = {"uplink": base.spec.uplink, "vlan": vlan}
        if base.spec.mtu is not UNSET:
            fields["mtu"] = base.spec.mtu
        yield Document(
            key=key,
            spec=msgspec.convert(fields, bridge_spec),
            given={"apiVersion": "cell/v1", "kind": "Bridge", "metadata": {"name": key.name}, "spec": fields},
            position=doc.position,
        )
