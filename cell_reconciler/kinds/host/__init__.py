"""Host: what one host is and allows. Settings only; the name is the host's name, the labels are selected by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.host.spec import DomainType, HostSpec
from cell_reconciler.kinds.settings import SettingsKind
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.node import MOST_VCPUS


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


KIND = HostKind()
