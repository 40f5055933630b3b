"""Vlan: a VLAN of a NIC, a bond or a bridge as a link of its own, for addresses of the host or as a bridge's uplink.

The theory: parent, number and protocol are what a VLAN device is. The kernel changes none of them afterwards (it says
yes and does nothing), so another one is another device: it is *replaced*, in one action that puts everything back
that was on it, and that says before what it cuts. The kernel has each VLAN of a link once, under whatever name. The
device lives under its parent: it is up only while the parent is, and never has a larger MTU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Observed, Reference, World
from cell_reconciler.kinds.links.kind import LinkKind
from cell_reconciler.kinds.links.managers import also_managed
from cell_reconciler.kinds.vlan import observe, plan, rules
from cell_reconciler.kinds.vlan.conditions import conditions
from cell_reconciler.kinds.vlan.spec import VlanSpec
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key


class VlanKind(LinkKind):
    """See ``kinds.contract.Kind``."""

    name = "Vlan"
    spec = VlanSpec
    link_kind = "vlan"

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        """The parent, when a document declares it; a NIC is looked for on the host."""
        if (parent := rules.parent_of(doc, documents)) is not None:
            yield Reference(parent.key, "/spec/parent")

    check = staticmethod(rules.check)
    owned = staticmethod(observe.owned)
    foreign = staticmethod(observe.foreign)
    observe = staticmethod(observe.observe)
    plan = staticmethod(plan.plan)

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        return (*conditions(have), *also_managed((doc.key.name,), world))


KIND = VlanKind()
