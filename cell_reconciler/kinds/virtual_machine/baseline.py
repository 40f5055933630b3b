"""``cpu.mode: cluster-baseline``: the CPU of the Cluster document, as a custom one. Pure.

It is what the document says, and nothing is computed here: a new baseline is a change of the document, which somebody
reviews, and which every VM waits for until it is restarted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.virtual_machine.spec import CpuMode, VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.cpu import CpuFeatures
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key


def cluster(documents: Mapping[Key, Document]) -> Any:
    """The spec of the Cluster document that counts here; None without one."""
    return next((doc.spec for key, doc in documents.items() if key.kind == "Cluster"), None)


def of(documents: Mapping[Key, Document]) -> Any:
    """Its ``cpuBaseline``; None without one."""
    spec = cluster(documents)
    return None if spec is None or spec.cpu_baseline is UNSET else spec.cpu_baseline


def resolved(spec: VirtualMachineSpec, documents: Mapping[Key, Document]) -> VirtualMachineSpec:
    """The spec as it stands in the domain. The VM's own features count before those of the baseline."""
    if spec.cpu.mode != CpuMode.CLUSTER_BASELINE:
        return spec
    found = of(documents)
    if found is None:
        return spec  # see ``missing``
    own = spec.cpu.features
    require = {*found.features.require, *own.require} - set(own.disable)
    disable = {*found.features.disable, *own.disable} - set(own.require)
    cpu = msgspec.structs.replace(
        spec.cpu,
        mode=CpuMode.CUSTOM,
        model=found.model,
        vendor=None if found.vendor is UNSET else found.vendor,
        features=CpuFeatures(require=tuple(sorted(require)), disable=tuple(sorted(disable))),
    )
    return msgspec.structs.replace(spec, cpu=cpu)


def missing(spec: VirtualMachineSpec) -> Refusal | None:
    """Of a resolved spec: is there no baseline, since the Cluster document is invalid and has no last good version?"""
    if spec.cpu.mode != CpuMode.CLUSTER_BASELINE:
        return None
    message = "no Cluster document says what the baseline CPU is"
    return Refusal(reason="NoBaseline", message=message, advice="cellctl validate says what is wrong", waiting=True)


def problems(spec: VirtualMachineSpec, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """The mode needs a document; the vendor a model."""
    if spec.cpu.mode == CpuMode.CLUSTER_BASELINE and of(documents) is None:
        yield Problem(
            pointer="/spec/cpu/mode",
            rule="vm-cpu-baseline",
            message="mode cluster-baseline needs a Cluster document with cpuBaseline",
            advice="cellctl cpu-baseline HOST.json… >cluster.yaml computes it from snapshots of the hosts",
        )
    if spec.cpu.vendor is not UNSET and spec.cpu.model is UNSET:
        message = "cpu.vendor says nothing without cpu.model"
        yield Problem(pointer="/spec/cpu/vendor", rule="vm-cpu-vendor", message=message)
