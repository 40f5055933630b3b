"""``<cputune>`` and the pinning of ``<vcpu>``: which CPUs of the host a VM may use, and how much of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, Items, absent, add, child, drop, remove, unset
from cell_reconciler.model.quantities import Cpus, CpuSet

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

PERIOD = 100_000  # µs: the kernel's own, by which a quota counts


class _Tune(Codec):
    """Something in ``<cputune>``, which goes when nothing is left in it."""

    def settle(self, scope: Element) -> None:
        found = scope.find("cputune")
        if found is not None and not len(found):
            remove(found)


class Shares(_Tune):
    """``shares``; 0 is none, as libvirt itself reads it."""

    def read(self, scope: Element) -> int | None:
        return int(scope.findtext("cputune/shares") or 0) or None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "cputune/shares")
        if not absent(value):
            add(child(scope, "cputune"), "shares").text = str(value)
        self.settle(scope)


class Limit(_Tune):
    """``global_quota`` in a ``global_period``, as a number of CPUs. A negative quota is none."""

    def read(self, scope: Element) -> Cpus | None:
        quota = int(scope.findtext("cputune/global_quota") or 0)
        period = int(scope.findtext("cputune/global_period") or 0) or PERIOD
        return Cpus(round(quota * 1000 / period)) if quota > 0 else None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        for tag in ("global_period", "global_quota"):
            drop(scope, f"cputune/{tag}")
        if not absent(value):
            add(child(scope, "cputune"), "global_period").text = str(PERIOD)
            add(child(scope, "cputune"), "global_quota").text = str(quota(value))
        self.settle(scope)


def quota(limit: Cpus) -> int:
    """µs of CPU time in a ``PERIOD``."""
    return int(limit) * PERIOD // 1000


class CpusetOfAll(Codec):
    """``vcpu/@cpuset``: for every thread without a pin of its own. Not with ``placement='auto'``, which ignores it."""

    def read(self, scope: Element) -> CpuSet | None:
        vcpu = scope.find("vcpu")
        text = None if vcpu is None or vcpu.get("placement") == "auto" else vcpu.get("cpuset")
        return CpuSet.parse(text) if text else None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        vcpu = child(scope, "vcpu")
        if absent(value):
            unset(vcpu, "cpuset")
        else:
            vcpu.set("cpuset", str(value))
            vcpu.set("placement", "static")


class Emulator(_Tune):
    """``emulatorpin``."""

    def read(self, scope: Element) -> CpuSet | None:
        pin = scope.find("cputune/emulatorpin")
        return None if pin is None else CpuSet.parse(pin.get("cpuset") or "")

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "cputune/emulatorpin")
        if not absent(value):
            add(child(scope, "cputune"), "emulatorpin", cpuset=str(value))
        self.settle(scope)


class Pins(Items):
    """``vcpupin`` or ``iothreadpin``, by the number of the thread."""

    def __init__(self, tag: str, attribute: str, field: str) -> None:
        self.tag, self.attribute, self.field = tag, attribute, field

    def items(self, scope: Element, context: Context | None = None) -> Iterator[tuple[str, Element]]:
        for pin in scope.findall(f"cputune/{self.tag}"):
            yield pin.get(self.attribute) or "0", pin

    def known(self, name: str) -> dict[str, Any]:
        return {self.field: int(name)}

    def create(self, scope: Element, name: str) -> Element:
        return add(child(scope, "cputune"), self.tag, **{self.attribute: name})

    def delete(self, element: Element) -> None:
        tune = element.getparent()
        remove(element)
        if tune is not None and not len(tune):
            remove(tune)


class Cpuset(Codec):
    """``cpuset`` of one pin."""

    def read(self, scope: Element) -> CpuSet:
        return CpuSet.parse(scope.get("cpuset") or "")

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        scope.set("cpuset", str(value))
