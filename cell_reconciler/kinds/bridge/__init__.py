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
from cell_reconciler.kinds.contract import Observed, Problem, Reference, World
from cell_reconciler.model.change import Change
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.mark import Mark


class BridgeKind:
    """See ``kinds.contract.Kind``."""

    name = "Bridge"
    aliases: tuple[str, ...] = ("br",)
    spec = BridgeSpec
    sources = frozenset({Source.NETLINK})

    def sources_of(self, doc: Document, documents: Mapping[Key, Document]) -> frozenset[Source]:
        """An internal bridge is not known without its packet filter."""
        return self.sources | {Source.NFTABLES} if doc.spec.mode == BridgeMode.INTERNAL else self.sources

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        return rules.check(doc, documents)

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        """The uplink, when a document declares it; a NIC needs none and is looked for on the host."""
        if doc.spec.uplink is not UNSET and (below := declared_uplink(doc, documents)) is not None:
            yield Reference(below.key, "/spec/uplink")

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        return ()

    def exists(self, name: str, live: Live) -> bool:
        link = live.links.get(name)
        return link is not None and link.kind == "bridge"

    def observe(self, name: str, world: World) -> Observed | None:
        return observe.observe(name, world)

    def owned(self, live: Live) -> Iterable[tuple[str, Mark]]:
        return observe.owned(live)

    def foreign(self, live: Live) -> Iterable[str]:
        return observe.foreign(live)

    def plan(self, want: Document | None, have: Observed | None, world: World) -> Change:
        return plan.plan(want, have, world)

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        return conditions(doc, have, world)


KIND = BridgeKind()
