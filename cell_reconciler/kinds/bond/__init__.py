"""Bond: several NICs that act as one.

The theory: the kernel lets most options of a bond change while it works; only its mode needs a bond that is down and
empty. So a bond is never deleted to be changed: it keeps its index, and with it the VLANs and the bridge on top.
Its members are wholly ours to say; whoever stands on it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.bond import observe, plan, rules
from cell_reconciler.kinds.bond.conditions import conditions
from cell_reconciler.kinds.bond.spec import BondSpec
from cell_reconciler.kinds.contract import Observed, Problem, Reference, World
from cell_reconciler.model.change import Change
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.mark import Mark


class BondKind:
    """See ``kinds.contract.Kind``."""

    name = "Bond"
    aliases: tuple[str, ...] = ()
    spec = BondSpec
    sources = frozenset({Source.NETLINK})

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        return rules.check(doc, documents)

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        return ()  # members are NICs: nobody declares them

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        return ()

    def exists(self, name: str, live: Live) -> bool:
        link = live.links.get(name)
        return link is not None and link.kind == "bond"

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


KIND = BondKind()
