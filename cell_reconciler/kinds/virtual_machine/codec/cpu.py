"""CPUs in domain XML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, add, child, drop, remove, unset

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


class Topology(Codec):
    """One number of the topology. ``<vcpu>`` is the product of ``cpu/topology`` (libvirt refuses anything else).

    What can be plugged into the running VM later are sockets that are not there yet: the topology has ``maxSockets``
    of them, and ``vcpu/@current`` counts the CPUs of those that are.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def read(self, scope: Element) -> int:
        return self._numbers(scope)[self.name]

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        numbers = self._numbers(scope) | {self.name: int(value)}
        if self.name == "sockets":
            numbers["maxSockets"] = max(numbers["maxSockets"], numbers["sockets"])
        topology, vcpu = child(scope, "cpu/topology"), child(scope, "vcpu")
        each = numbers["cores"] * numbers["threads"] * int(topology.get("dies") or 1)
        topology.set("sockets", str(numbers["maxSockets"]))
        for name in ("cores", "threads"):
            topology.set(name, str(numbers[name]))
        vcpu.text = str(numbers["maxSockets"] * each)
        unset(vcpu, "current")
        if numbers["sockets"] < numbers["maxSockets"]:
            vcpu.set("current", str(numbers["sockets"] * each))
        drop(scope, "vcpus")  # lists every vCPU by number

    def _numbers(self, scope: Element) -> dict[str, int]:
        topology, vcpu = scope.find("cpu/topology"), scope.find("vcpu")
        total = 1 if vcpu is None else int(vcpu.text or 1)
        if topology is None:
            found = {"maxSockets": total, "cores": 1, "threads": 1, "dies": 1}
        else:
            found = {name: int(topology.get(name) or 1) for name in ("cores", "threads", "dies")}
            found["maxSockets"] = int(topology.get("sockets") or 1)
        current = 0 if vcpu is None else int(vcpu.get("current") or 0)
        there = current // (found["cores"] * found["threads"] * found["dies"])
        return found | {"sockets": there or found["maxSockets"]}


class CpuMode(Codec):
    """``cpu/@mode``. What a mode says besides (match, check, model) goes when the mode changes."""

    def read(self, scope: Element) -> str:
        cpu = scope.find("cpu")
        return "custom" if cpu is None else cpu.get("mode") or "custom"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        cpu = child(scope, "cpu")
        unset(cpu, "match", "check", "migratable")
        drop(cpu, "model")
        drop(cpu, "vendor")
        cpu.set("mode", str(value))
        if value == "custom":
            cpu.set("match", "exact")
            cpu.set("check", "partial")


class CpuModel(Codec):
    """``cpu/model`` of a custom CPU; libvirt may not replace it by another (``fallback='forbid'``)."""

    def read(self, scope: Element) -> str | None:
        return scope.findtext("cpu/model") or None if CpuMode().read(scope) == "custom" else None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "cpu/model")
        if absent(owner.vendor):
            drop(scope, "cpu/vendor")  # somebody's, of the model before
        if not absent(value):
            add(child(scope, "cpu"), "model", fallback="forbid").text = str(value)


class CpuVendor(Codec):
    """``cpu/vendor`` of a custom CPU."""

    def read(self, scope: Element) -> str | None:
        return scope.findtext("cpu/vendor") or None if CpuMode().read(scope) == "custom" else None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "cpu/vendor")
        if not absent(value):
            add(child(scope, "cpu"), "vendor").text = str(value)


class CpuFeatures(Codec):
    """The names of the ``cpu/feature`` of one policy, sorted."""

    def __init__(self, policy: str) -> None:
        self.policy = policy

    def read(self, scope: Element) -> tuple[str, ...]:
        found = scope.findall(f"cpu/feature[@policy='{self.policy}']")
        return tuple(sorted(feature.get("name") or "" for feature in found))

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        cpu = child(scope, "cpu")
        drop(cpu, f"feature[@policy='{self.policy}']")
        for name in sorted(value):
            for other in cpu.findall(f"feature[@name='{name}']"):
                remove(other)
            add(cpu, "feature", policy=self.policy, name=name)


class Asked(NamedTuple):
    """What was asked for of the CPU that an instance was started with; libvirt shows it expanded."""

    mode: str
    require: tuple[str, ...] = ()
    disable: tuple[str, ...] = ()

    @classmethod
    def of(cls, domain: Element) -> Asked:
        """As the definition has it."""
        return cls(CpuMode().read(domain), CpuFeatures("require").read(domain), CpuFeatures("disable").read(domain))

    @classmethod
    def parse(cls, text: str) -> Asked | None:
        """``host-model +pcid -hle``; None for an empty text."""
        words = text.split()
        if not words:
            return None
        by_sign = (tuple(word[1:] for word in words[1:] if word[0] == sign) for sign in "+-")
        return cls(words[0], *by_sign)

    def to_text(self) -> str:
        return " ".join([self.mode, *(f"+{name}" for name in self.require), *(f"-{name}" for name in self.disable)])
