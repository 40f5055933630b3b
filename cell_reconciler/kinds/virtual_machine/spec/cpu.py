"""The fields of a VM's CPUs."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from cell_reconciler.kinds.virtual_machine.codec import cpu, tuning
from cell_reconciler.kinds.virtual_machine.spec.tuning import Numa, Pinning
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.quantities import Cpus

CpuFeatureName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_.-]{1,40}$(?!\n)")]


class CpuMode(StrEnum):
    """How the guest's CPU is made from the host's."""

    HOST_MODEL = "host-model"  # the named model nearest to the host's, with its features; can migrate
    HOST_PASSTHROUGH = "host-passthrough"  # exactly the host's
    CUSTOM = "custom"  # the named model
    CLUSTER_BASELINE = "cluster-baseline"  # the CPU of the Cluster document: what all its hosts can run


class CpuFeatures(Spec, frozen=True, kw_only=True):
    """Features beside those of the model."""

    require: Annotated[
        tuple[CpuFeatureName, ...],
        doc(
            "The guest has them, or it does not start.",
            Effect.RESTART,
            unordered=True,
            examples=[["pcid"]],
            xml=cpu.CpuFeatures("require"),
        ),
    ] = ()
    disable: Annotated[
        tuple[CpuFeatureName, ...],
        doc(
            "The guest does not have them.",
            Effect.RESTART,
            unordered=True,
            examples=[["hle", "rtm"]],
            xml=cpu.CpuFeatures("disable"),
        ),
    ] = ()


class Cpu(Spec, frozen=True, kw_only=True):
    """Virtual CPUs: ``sockets x cores x threads``."""

    sockets: Annotated[
        int,
        doc(
            "Sockets. More of them are plugged into the running VM, up to `maxSockets`; fewer wait for a restart.",
            Effect.LIVE,
            ge=1,
            le=710,
            xml=cpu.Topology("sockets"),
        ),
    ] = 1
    max_sockets: (
        Annotated[
            int,
            doc(
                "Sockets that the running VM may get. Default: as many as `sockets`, so that none can be plugged.",
                Effect.RESTART,
                ge=1,
                le=710,
                xml=cpu.Topology("maxSockets"),
            ),
        ]
        | UnsetType
    ) = UNSET
    cores: Annotated[int, doc("Cores in a socket.", Effect.RESTART, ge=1, le=710, xml=cpu.Topology("cores"))] = 1
    threads: Annotated[int, doc("Threads in a core.", Effect.RESTART, ge=1, le=8, xml=cpu.Topology("threads"))] = 1
    mode: Annotated[
        CpuMode,
        doc(
            "What the guest's CPU is: `host-model`, `host-passthrough`, `custom` with `model`, or `cluster-baseline`: "
            "the one of the Cluster document, with which it can move to every host of the cluster.",
            Effect.RESTART,
            xml=cpu.CpuMode(),
        ),
    ] = CpuMode.HOST_MODEL
    model: (
        Annotated[
            str,
            doc(
                "Name of a CPU model that libvirt knows (`virsh cpu-models x86_64`). Only with `mode: custom`.",
                Effect.RESTART,
                pattern=r"^[A-Za-z0-9_.-]+$",
                examples=["EPYC-Rome"],
                xml=cpu.CpuModel(),
            ),
        ]
        | UnsetType
    ) = UNSET
    vendor: (
        Annotated[
            str,
            doc(
                "The guest runs only on CPUs of this vendor, as libvirt names it. Only with `model`.",
                Effect.RESTART,
                pattern=r"^[A-Za-z]+$",
                examples=["Intel", "AMD"],
                xml=cpu.CpuVendor(),
            ),
        ]
        | UnsetType
    ) = UNSET
    features: Annotated[CpuFeatures, doc("Features beside those of the model.", Effect.RESTART)] = CpuFeatures()
    shares: (
        Annotated[
            int,
            doc(
                "Weight of the VM where the host's CPUs are short. Absent: what every process has, 1024 with cgroups "
                "v1 and 100 with v2 (which take at most 262144 and 10000).",
                Effect.LIVE,
                ge=2,
                le=262144,
                xml=tuning.Shares(),
            ),
        ]
        | UnsetType
    ) = UNSET
    limit: (
        Annotated[
            Cpus,
            doc(
                "CPU time that all of the VM, vCPUs and QEMU's own threads, may use together. Absent: no limit.",
                Effect.LIVE,
                examples=[2.5, "500m"],
                xml=tuning.Limit(),
            ),
        ]
        | UnsetType
    ) = UNSET
    pinning: Annotated[Pinning, doc("On which CPUs of the host the VM may run.", Effect.LIVE)] = Pinning()
    numa: Annotated[Numa, doc("The guest's NUMA nodes.", Effect.RESTART)] = Numa()
