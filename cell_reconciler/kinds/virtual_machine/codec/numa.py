"""NUMA cells in domain XML: ``cpu/numa/cell``, and ``numatune/memnode`` for where their memory comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, Items, absent, add, child, remove
from cell_reconciler.kinds.virtual_machine.codec.memory import read_size, write_size
from cell_reconciler.model.quantities import Bytes, CpuSet

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


class Cells(Items):
    """Every cell by its number; also the one that ``maxGuest`` makes (``observe`` tells them apart by the document)."""

    def items(self, scope: Element, context: Context | None = None) -> Iterator[tuple[str, Element]]:
        for number, cell in enumerate(scope.findall("cpu/numa/cell")):
            yield cell.get("id") or str(number), cell

    def known(self, name: str) -> dict[str, Any]:
        return {"cell": int(name)}

    def create(self, scope: Element, name: str) -> Element:
        return add(child(scope, "cpu/numa"), "cell", id=name)

    def delete(self, element: Element) -> None:
        _drop_node(element)
        numa = element.getparent()
        remove(element)
        if numa is not None and not len(numa):
            remove(numa)


def _node(cell: Element) -> Element | None:
    """The ``memnode`` of a cell."""
    root = cell.getroottree().getroot()
    found = (node for node in root.findall("numatune/memnode") if node.get("cellid") == cell.get("id"))
    return next(found, None)


def _drop_node(cell: Element) -> None:
    node = _node(cell)
    tune = None if node is None else node.getparent()
    if node is not None and tune is not None:
        remove(node)
        if not len(tune):
            remove(tune)


class CellCpus(Codec):
    """``cell/@cpus``."""

    def read(self, scope: Element) -> CpuSet:
        return CpuSet.parse(scope.get("cpus") or "") if scope.get("cpus") else CpuSet()

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        scope.set("cpus", str(value))


class CellMemory(Codec):
    """``cell/@memory``."""

    def read(self, scope: Element) -> Bytes:
        return read_size(scope, "memory")

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        write_size(scope, int(value), "memory")


class HostNodes(Codec):
    """``memnode/@nodeset`` of the cell."""

    def read(self, scope: Element) -> CpuSet | None:
        node = _node(scope)
        return CpuSet.parse(node.get("nodeset") or "") if node is not None and node.get("nodeset") else None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            _drop_node(scope)
            return
        node = _node(scope)
        if node is None:
            tune = child(scope.getroottree().getroot(), "numatune")
            node = add(tune, "memnode", cellid=scope.get("id") or "0", mode=str(owner.mode))
        node.set("nodeset", str(value))


class NodeMode(Codec):
    """``memnode/@mode``; without host nodes there is nothing that it could say."""

    def read(self, scope: Element) -> str:
        node = _node(scope)
        return "strict" if node is None else node.get("mode") or "strict"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        node = _node(scope)
        if node is not None:
            node.set("mode", str(value))
