"""Nic: a network interface that is there, with the few things that are ours to say of it.

The theory: a card belongs to the machine. It is never made, deleted or renamed, and what others set on it stays. A
document is the adoption of exactly the fields that it names; when the document goes, what it brought goes too. Which
card a name means can be pinned (``match``), since names move when firmware or slots change. While a NIC is a member
of a bond or the port of a bridge, those say what happens to it; a document beside them says its MTU and nothing that
they would contradict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Observed, Problem, Reference, World
from cell_reconciler.kinds.links.managers import also_managed
from cell_reconciler.kinds.nic import observe, plan, rules
from cell_reconciler.kinds.nic.conditions import conditions
from cell_reconciler.kinds.nic.spec import NicSpec
from cell_reconciler.model.change import Change
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.mark import Mark


class NicKind:
    """See ``kinds.contract.Kind``."""

    name = "Nic"
    aliases: tuple[str, ...] = ()
    spec = NicSpec
    sources = frozenset({Source.NETLINK})

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        return rules.check(doc, documents)

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        return ()

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        return ()

    def exists(self, name: str, live: Live) -> bool:
        link = live.links.get(name)
        return link is not None and observe.is_nic(link)

    def observe(self, name: str, world: World) -> Observed | None:
        return observe.observe(name, world)

    def owned(self, live: Live) -> Iterable[tuple[str, Mark]]:
        return observe.owned(live)

    def foreign(self, live: Live) -> Iterable[str]:
        return observe.foreign(live)

    def plan(self, want: Document | None, have: Observed | None, world: World) -> Change:
        return plan.plan(want, have, world)

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        return (*conditions(doc, have), *also_managed((doc.key.name,), world))


KIND = NicKind()
