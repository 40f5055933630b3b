"""Reconciler: the settings document of the reconciler itself (at most one counts on a host)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.reconciler.spec import ReconcilerSpec
from cell_reconciler.kinds.settings import SettingsKind
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key


class ReconcilerKind(SettingsKind):
    """See ``kinds.contract.Kind``."""

    name = "Reconciler"
    aliases: tuple[str, ...] = ("settings",)
    spec = ReconcilerSpec

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        for index, probe in enumerate(doc.spec.probes):
            if bool(probe.ping) == bool(probe.tcp):
                yield Problem(
                    pointer=f"/spec/probes/{index}",
                    rule="exactly-one",
                    message=f"probe {probe.name!r} must have exactly one of ping and tcp",
                )


KIND = ReconcilerKind()
