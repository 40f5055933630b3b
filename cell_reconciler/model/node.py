"""What a hypervisor node is: CPUs, memory, and what its libvirt can offer a VM. Facts that seldom change.

Not to be confused with the document Host, which says what a host is *allowed*: ``Overcommit`` is the part of it that
planning needs.
"""

from __future__ import annotations

import msgspec

MOST_VCPUS = 8  # of all VMs for each core of the host: the limit of Cell
MOST_CPUS, MOST_MEMORY = 4096, 16 * 2**40  # of one host: what is beyond, Cell does not use


class Cpu(msgspec.Struct, frozen=True, kw_only=True):
    """A CPU as libvirt describes it: a named model, and what differs from it."""

    model: str
    vendor: str = ""  # empty: any
    features: dict[str, str] = {}  # name → require or disable


class Hypervisor(msgspec.Struct, frozen=True, kw_only=True):
    """What one domain type (``kvm``, ``qemu``) offers on this node."""

    vcpus: int  # that one VM may have at most, whatever its machine type
    cpu: Cpu | None = None  # what a guest with host-model gets; None: libvirt does not say
    provides: tuple[str, ...] = ()  # every feature of that CPU, also those of the model; empty: not known
    usable: tuple[str, ...] = ()  # CPU models that run here
    unusable: tuple[str, ...] = ()  # models that lack something here, as they are


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One host."""

    arch: str
    cores: int  # physical
    threads: int  # logical CPUs
    memory: int  # bytes
    numa: int  # NUMA nodes
    machines: dict[str, int] = {}  # machine type (alias or version) → vCPUs that one VM may have at most
    types: dict[str, Hypervisor] = {}  # by domain type

    def vcpus(self, domain_type: str, machine: str) -> int | None:
        """How many vCPUs one VM may have; None when that is not known."""
        most = self.machines.get(machine)
        offered = self.types.get(domain_type)
        return min(most, offered.vcpus) if most and offered is not None and offered.vcpus else most


class Load(msgspec.Struct, frozen=True):
    """What VMs take of a node."""

    vcpus: int = 0
    memory: int = 0  # bytes

    def __add__(self, other: Load) -> Load:
        return Load(self.vcpus + other.vcpus, self.memory + other.memory)


class Overcommit(msgspec.Struct, frozen=True, kw_only=True):
    """How much more than it has a host may promise: vCPUs for a core, guest memory, sizes of volumes. 1: no more."""

    cpu: float = 1.0
    memory: float = 1.0
    disk: float = 1.0
