"""Bandwidth and network filters of an interface in domain XML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, add, child, drop

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


class Limited(Codec):
    """Whether an interface's rate is limited at all; the limits are fields of their own."""

    def read(self, scope: Element) -> bool:
        return scope.find("bandwidth/*") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "bandwidth")


class FilterParameters(Codec):
    """``filterref/parameter``: one for each value. libvirt sorts them by name, and keeps the order of the values."""

    def read(self, scope: Element) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for parameter in scope.findall("filterref/parameter"):
            name = parameter.get("name") or ""
            found[name] = (*found.get(name, ()), parameter.get("value") or "")
        return found

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, "filterref/parameter")
        for name, values in value.items():
            for one in values:
                add(child(scope, "filterref"), "parameter", name=name, value=one)
