"""Nic: a network interface that is there, with the few things that are ours to say of it.

The theory: a card belongs to the machine. It is never made, deleted or renamed, and what others set on it stays. A
document is the adoption of exactly the fields that it names; when the document goes, what it brought goes too. Which
card a name means can be pinned (``match``), since names move when firmware or slots change. While a NIC is a member
of a bond or the port of a bridge, those say what happens to it; a document beside them says its MTU and nothing that
they would contradict.
"""

from __future__ import annotations

from collections.abc import Iterable

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links.kind import LinkKind
from cell_reconciler.kinds.links.managers import also_managed
from cell_reconciler.kinds.nic import observe, plan, rules
from cell_reconciler.kinds.nic.conditions import conditions
from cell_reconciler.kinds.nic.spec import NicSpec
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Live


class NicKind(LinkKind):
    """See ``kinds.contract.Kind``."""

    name = "Nic"
    spec = NicSpec

    def exists(self, name: str, live: Live) -> bool:
        link = live.links.get(name)
        return link is not None and observe.is_nic(link)

    check = staticmethod(rules.check)
    owned = staticmethod(observe.owned)
    foreign = staticmethod(observe.foreign)
    observe = staticmethod(observe.observe)
    plan = staticmethod(plan.plan)

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        return (*conditions(doc, have), *also_managed((doc.key.name,), world))


KIND = NicKind()
