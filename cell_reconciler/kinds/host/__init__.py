"""Host: what one host is and allows. Settings only; the name is the host's name, the labels are selected by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Observed, Problem, World
from cell_reconciler.kinds.host.spec import DomainType, HostSpec
from cell_reconciler.kinds.settings import SettingsKind
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.node import MOST_CPUS, MOST_MEMORY, MOST_VCPUS
from cell_reconciler.model.quantities import Bytes


class HostKind(SettingsKind):
    """See ``kinds.contract.Kind``."""

    name = "Host"
    aliases: tuple[str, ...] = ()
    spec = HostSpec

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        spec: HostSpec = doc.spec
        if spec.overcommit.cpu > MOST_VCPUS:
            lab = spec.domain_type == DomainType.QEMU
            yield Problem(
                pointer="/spec/overcommit/cpu",
                rule="host-overcommit-cpu",
                message=f"Cell supports {MOST_VCPUS} vCPUs for a core at most",
                severity=Severity.WARNING if lab else Severity.ERROR,
                advice="for a lab only" if lab else f"set it to {MOST_VCPUS} or less",
            )

    def conditions(self, doc: Document, have: Observed | None, world: World) -> Iterable[Condition]:
        """BeyondLimits: of this host only so much counts as Cell supports."""
        node = world.live.node
        if node is None or doc.key.name != world.host:
            return
        if node.threads > MOST_CPUS or node.memory > MOST_MEMORY:
            has, most = Bytes(node.memory // 2**20 * 2**20), Bytes(MOST_MEMORY)
            message = (
                f"the host has {node.threads} CPUs and {has.to_text()} of memory; Cell supports {MOST_CPUS} and "
                f"{most.to_text()}, and VMs get no more than that together"
            )
            yield Condition(type="BeyondLimits", status=Truth.TRUE, reason="CellLimits", message=message)


KIND = HostKind()
