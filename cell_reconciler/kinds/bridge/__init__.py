"""Bridge: what VMs are plugged into, with a NIC, a bond or a VLAN of one as its way out.

The theory: a bridge is shared. Its existence, its address and its uplink are ours; what VMs and other programs plug
into it is theirs, is never touched, and protects the bridge from being deleted. A port is ours when it is in our
group, which is set in the same request that attaches it. An access bridge owns the VLAN device below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.bridge import observe, plan, rules
from cell_reconciler.kinds.bridge.conditions import conditions
from cell_reconciler.kinds.bridge.spec import BridgeMode, BridgeSpec
from cell_reconciler.kinds.bridge.uplink import declared_uplink
from cell_reconciler.kinds.contract import Reference
from cell_reconciler.kinds.links.kind import LinkKind
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Source


class BridgeKind(LinkKind):
    """See ``kinds.contract.Kind``."""

    name = "Bridge"
    aliases = ("br",)
    spec = BridgeSpec
    link_kind = "bridge"

    def sources_of(self, doc: Document, documents: Mapping[Key, Document]) -> frozenset[Source]:
        """An internal bridge is not known without its packet filter."""
        return self.sources | {Source.NFTABLES} if doc.spec.mode == BridgeMode.INTERNAL else self.sources

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        """The uplink, when a document declares it; a NIC needs none and is looked for on the host."""
        if doc.spec.uplink is not UNSET and (below := declared_uplink(doc, documents)) is not None:
            yield Reference(below.key, "/spec/uplink")

    check = staticmethod(rules.check)
    owned = staticmethod(observe.owned)
    foreign = staticmethod(observe.foreign)
    observe = staticmethod(observe.observe)
    plan = staticmethod(plan.plan)
    conditions = staticmethod(conditions)


KIND = BridgeKind()
