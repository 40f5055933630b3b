"""VirtualMachine: a persistent libvirt domain, its devices, and whether it runs.

The theory: comparing XML is useless, since libvirt rewrites nearly everything it is given. So a domain is read into
the same typed spec as the document (``observe``), compared there field by field (``differ``), and only the fields
that differ are written into the domain's own XML (``patch``); a new domain is a fixed board filled by the same walk
(``render``). Each field names in ``spec`` the codec by which it stands in the XML (``codec``, ``devices``; ``tree``
walks them), so that nothing about a field is said twice.

A running VM has two truths: what is defined, and what it was booted with. What differs only in the second is
pending until it is restarted, and nothing here restarts it unless the document allows that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cell_reconciler.kinds.contract import Claim, Observed, Problem, Reference, World
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Change
from cell_reconciler.model.condition import Condition
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.mark import Mark

if TYPE_CHECKING:
    from cell_reconciler.kinds.export import Exporter


class VirtualMachineKind:
    """See ``kinds.contract.Kind``. What reads XML is imported when it is needed: ``validate`` does without lxml."""

    name = "VirtualMachine"
    aliases: tuple[str, ...] = ("vm", "vms", "domain")
    spec = VirtualMachineSpec
    sources: frozenset[Source] = frozenset({Source.LIBVIRT})
    tells_cause = True  # its plan says whether a difference is drift: what is secret is in no digest

    @property
    def export(self) -> Exporter:
        from cell_reconciler.kinds.virtual_machine.export import VirtualMachineExporter

        return VirtualMachineExporter()

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        from cell_reconciler.kinds.virtual_machine import rules

        return rules.check(doc, documents)

    def claims(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Claim]:
        """What no VM of another host may have."""
        from cell_reconciler.kinds.virtual_machine import rules

        return rules.claims(doc, documents)

    def defaults(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[str]:
        """What this document has by its guest OS, for people: a line for each kind of thing, or none."""
        from cell_reconciler.kinds.virtual_machine import guest_drivers, guest_os

        return (*guest_os.told(doc.spec), *guest_drivers.told(doc, documents))

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        from cell_reconciler.kinds.virtual_machine import references

        return references.references(doc, documents)

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        from cell_reconciler.kinds.virtual_machine import references

        return references.derive(doc, documents)

    def sources_of(self, doc: Document, documents: Mapping[Key, Document]) -> frozenset[Source]:
        """Nothing can be said about a VM that gets devices of the host while those, or its links, are not known."""
        from cell_reconciler.kinds.virtual_machine.host_devices import guarded, handed

        more = [Source.DEVICES] if guarded(doc.spec) else []
        return self.sources.union(more, [Source.NETLINK] if handed(doc.spec) else [])

    def exists(self, name: str, live: Live) -> bool:
        return name in live.domains

    def observe(self, name: str, world: World) -> Observed | None:
        from cell_reconciler.kinds.virtual_machine import differ, observe, seed

        domain = world.live.domains.get(name)
        if domain is None:
            return seed.leftover(name, world)
        doc = world.declared(self.name, name)
        known = differ.known(doc, world) if doc else observe.Known(None, {}, world.pools)
        spec = observe.configured(domain, known) or observe.running(domain, known)
        refs = observe.used(domain, known)
        return Observed(key=Key(self.name, name), spec=spec, mark=observe.mark_of(domain), refs=refs, detail=domain)

    def owned(self, live: Live) -> Iterable[tuple[str, Mark]]:
        from cell_reconciler.kinds.virtual_machine import observe, seed

        marks = ((name, observe.mark_of(domain)) for name, domain in live.domains.items())
        return [*((name, mark) for name, mark in marks if mark is not None), *seed.owned(live)]

    def foreign(self, live: Live) -> Iterable[str]:
        from cell_reconciler.kinds.virtual_machine import observe

        return [name for name, domain in live.domains.items() if observe.mark_of(domain) is None]

    def plan(self, want: Document | None, have: Observed | None, world: World) -> Change:
        from cell_reconciler.kinds.virtual_machine import plan

        return plan.plan(want, have, world)

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        from cell_reconciler.kinds.virtual_machine import status

        return status.conditions(doc, have, world)


KIND = VirtualMachineKind()
