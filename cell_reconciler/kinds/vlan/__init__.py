"""Vlan: a VLAN of a NIC, a bond or a bridge as a link of its own, for addresses of the host or as a bridge's uplink.

The theory: parent, number and protocol are what a VLAN device is. The kernel changes none of them afterwards (it says
yes and does nothing), so another one is another device: it is *replaced*, in one action that puts everything back
that was on it, and that says before what it cuts. The kernel has each VLAN of a link once, under whatever name. The
device lives under its parent: it is up only while the parent is, and never has a larger MTU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Observed, Problem, Reference, World
from cell_reconciler.kinds.links.managers import also_managed
from cell_reconciler.kinds.vlan import observe, plan, rules
from cell_reconciler.kinds.vlan.conditions import conditions
from cell_reconciler.kinds.vlan.spec import VlanSpec
from cell_reconciler.model.change import Change
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.mark import Mark


class VlanKind:
    """See ``kinds.contract.Kind``."""

    name = "Vlan"
    aliases: tuple[str, ...] = ()
    spec = VlanSpec
    sources = frozenset({Source.NETLINK})

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        return rules.check(doc, documents)

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        """The parent, when a document declares it; a NIC is looked for on the host."""
        if (parent := rules.parent_of(doc, documents)) is not None:
            yield Reference(parent.key, "/spec/parent")

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        return ()

    def exists(self, name: str, live: Live) -> bool:
        link = live.links.get(name)
        return link is not None and link.kind == "vlan"

    def observe(self, name: str, world: World) -> Observed | None:
        return observe.observe(name, world)

    def owned(self, live: Live) -> Iterable[tuple[str, Mark]]:
        return observe.owned(live)

    def foreign(self, live: Live) -> Iterable[str]:
        return observe.foreign(live)

    def plan(self, want: Document | None, have: Observed | None, world: World) -> Change:
        return plan.plan(want, have, world)

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        return (*conditions(have), *also_managed((doc.key.name,), world))


KIND = VlanKind()
