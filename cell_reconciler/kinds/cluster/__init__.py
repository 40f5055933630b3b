"""Cluster: what hosts have in common that a VM may move between. Settings only (at most one counts on a host)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.cluster.spec import ClusterSpec
from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.settings import SettingsKind
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key


class ClusterKind(SettingsKind):
    """See ``kinds.contract.Kind``."""

    name = "Cluster"
    aliases: tuple[str, ...] = ()
    spec = ClusterSpec

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        spec: ClusterSpec = doc.spec
        if spec.cpu_baseline is UNSET:
            return
        features = spec.cpu_baseline.features
        both = sorted(set(features.require) & set(features.disable))
        if both:
            message = f"{', '.join(both)}: required and disabled"
            yield Problem(pointer="/spec/cpuBaseline/features", rule="cluster-cpu-features", message=message)


KIND = ClusterKind()
