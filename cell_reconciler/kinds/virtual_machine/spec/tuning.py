"""The fields of how a VM's CPUs are placed on those of the host, and of the guest's NUMA nodes.

A thread, or a cell, is known by its number; ``name`` makes that the key by which lists are compared.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.virtual_machine.codec import numa, tuning
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.quantities import Bytes, CpuSet


class VcpuPin(Spec, frozen=True, kw_only=True):
    """Where one vCPU may run."""

    vcpu: Annotated[int, doc("Number of the vCPU, from 0.", Effect.LIVE, ge=0, le=709)]
    cpuset: Annotated[CpuSet, doc("CPUs of the host.", Effect.LIVE, xml=tuning.Cpuset())]

    @property
    def name(self) -> str:
        """Its key in the list."""
        return str(self.vcpu)


class IoThreadPin(Spec, frozen=True, kw_only=True):
    """Where one I/O thread may run."""

    io_thread: Annotated[int, doc("Number of the I/O thread, from 1 to `ioThreads`.", Effect.LIVE, ge=1, le=64)]
    cpuset: Annotated[CpuSet, doc("CPUs of the host.", Effect.LIVE, xml=tuning.Cpuset())]

    @property
    def name(self) -> str:
        """Its key in the list."""
        return str(self.io_thread)


class Pinning(Spec, frozen=True, kw_only=True):
    """On which CPUs of the host the threads of the VM may run."""

    cpuset: (
        Annotated[
            CpuSet,
            doc(
                "For every vCPU, the emulator and every I/O thread that has no set of its own. Absent: all CPUs.",
                Effect.LIVE,
                xml=tuning.CpusetOfAll(),
            ),
        ]
        | UnsetType
    ) = UNSET
    vcpus: Annotated[
        tuple[VcpuPin, ...],
        doc(
            "Single vCPUs.",
            Effect.LIVE,
            max_length=710,
            examples=[[{"vcpu": 0, "cpuset": "4"}, {"vcpu": 1, "cpuset": "5"}]],
            xml=tuning.Pins("vcpupin", "vcpu", "vcpu"),
        ),
    ] = ()
    emulator: (
        Annotated[
            CpuSet,
            doc(
                "The rest of QEMU: all threads that are no vCPU and no I/O thread.", Effect.LIVE, xml=tuning.Emulator()
            ),
        ]
        | UnsetType
    ) = UNSET
    io_threads: Annotated[
        tuple[IoThreadPin, ...],
        doc("Single I/O threads.", Effect.LIVE, max_length=64, xml=tuning.Pins("iothreadpin", "iothread", "io_thread")),
    ] = ()


class NumaMode(StrEnum):
    """What happens when the host nodes of a cell have no memory left; libvirt's words."""

    STRICT = "strict"  # the allocation fails
    PREFERRED = "preferred"  # another node gives it
    INTERLEAVE = "interleave"  # page by page from each of the nodes
    RESTRICTIVE = "restrictive"  # by the cgroup alone, so that libvirt may move it


class NumaCell(Spec, frozen=True, kw_only=True):
    """One NUMA node of the guest."""

    cell: Annotated[int, doc("Its number, from 0 without a gap.", Effect.RESTART, ge=0, le=127)]
    cpus: Annotated[
        CpuSet, doc("Its vCPUs, also those that can be plugged.", Effect.RESTART, examples=["0-3"], xml=numa.CellCpus())
    ]
    memory: Annotated[Bytes, doc("Its memory, in whole MiB.", Effect.RESTART, examples=["4GiB"], xml=numa.CellMemory())]
    host_nodes: (
        Annotated[
            CpuSet,
            doc(
                "NUMA nodes of the host that its memory comes from. Absent: any.",
                Effect.RESTART,
                examples=["0"],
                xml=numa.HostNodes(),
            ),
        ]
        | UnsetType
    ) = UNSET
    mode: Annotated[
        NumaMode,
        doc(
            "What happens when the host nodes have no memory left. `restrictive` goes for all cells or none.",
            Effect.RESTART,
            xml=numa.NodeMode(),
        ),
    ] = NumaMode.STRICT

    @property
    def name(self) -> str:
        """Its key in the list."""
        return str(self.cell)


class Numa(Spec, frozen=True, kw_only=True):
    """The guest's NUMA nodes."""

    cells: Annotated[
        tuple[NumaCell, ...],
        doc(
            "Every vCPU is in one of them. Absent: the guest sees one node.",
            Effect.RESTART,
            max_length=128,
            xml=numa.Cells(),
        ),
    ] = ()
