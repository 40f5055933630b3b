"""Memory in domain XML: what the guest has, what it may get, what the balloon leaves it, and how that is laid out.

libvirt overwrites ``<memory>`` by the sum of the NUMA cells and the memory modules, and takes modules only with a
``<maxMemory>`` and a cell to put them in. ``layout`` makes the parts fit the total that was written.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, add, child, drop, remove
from cell_reconciler.model.quantities import Bytes, CpuSet

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

UNITS = {"b": 1, "bytes": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}  # libvirt writes KiB
SLOTS = 32  # for modules; each growth takes one. vhost can map 64 regions of memory (max_mem_regions), the kernel less
STEP = 128 * 2**20  # what Linux can plug: sections of 128 MiB on x86


def read_size(element: Element, attribute: str = "") -> Bytes:
    """The size that an element says, in its text or in an attribute; in KiB unless it has another ``unit``."""
    text = element.get(attribute) if attribute else element.text
    return Bytes(int(text or 0) * UNITS[element.get("unit") or "KiB"])


def write_size(element: Element, size: int, attribute: str = "") -> None:
    """Write a size in KiB."""
    element.set("unit", "KiB")
    if attribute:
        element.set(attribute, str(size // 1024))
    else:
        element.text = str(size // 1024)


def size_at(scope: Element, path: str) -> Bytes:
    """The size in the text of the element at ``path``; 0 where there is none."""
    element = scope.find(path)
    return Bytes(0) if element is None else read_size(element)


class Memory(Codec):
    """``memory``; ``currentMemory`` goes with it, unless the balloon leaves the guest less."""

    def read(self, scope: Element) -> Bytes:
        return size_at(scope, "memory")

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        ballooned = CurrentMemory().read(scope)
        write_size(child(scope, "memory"), int(value))
        write_size(child(scope, "currentMemory"), int(value) if ballooned is None else min(ballooned, int(value)))


class MaxMemory(Codec):
    """``maxMemory``; what else it takes, ``layout`` makes."""

    def read(self, scope: Element) -> Bytes | None:
        return size_at(scope, "maxMemory") or None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            drop(scope, "maxMemory")
            return
        most = child(scope, "maxMemory")
        write_size(most, int(value))
        if not int(most.get("slots") or 0):
            most.set("slots", str(SLOTS))


class CurrentMemory(Codec):
    """``currentMemory`` where it is less than ``memory``."""

    def read(self, scope: Element) -> Bytes | None:
        current = size_at(scope, "currentMemory")
        return current if 0 < current < size_at(scope, "memory") else None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        size = size_at(scope, "memory")
        write_size(child(scope, "currentMemory"), size if absent(value) else min(int(value), size))


def taken(scope: Element) -> int | None:
    """What the balloon is to take from the guest; None for nothing."""
    current = CurrentMemory().read(scope)
    return None if current is None else size_at(scope, "memory") - current


def modules(scope: Element) -> list[Element]:
    """The memory modules of a domain."""
    return scope.findall("devices/memory[@model='dimm']")


def module_size(module: Element) -> int:
    return size_at(module, "target/size")


def step(scope: Element) -> int:
    """What memory grows by: whole sections of the guest, and whole pages of the host."""
    return max(STEP, *(read_size(page, "size") for page in scope.findall("memoryBacking/hugepages/page")), 0)


def layout(root: Element, changed: Collection[str] | None, *, fixed: bool, module: int = 0) -> None:
    """Make cells and modules add up to ``memory``.

    ``fixed``: the document says how large the cells are; otherwise the only cell takes what the modules leave.
    ``module``: what the running instance gets plugged in now, so that the definition gets the same module.
    """
    plugs, cells = root.find("maxMemory") is not None, root.findall("cpu/numa/cell")
    single = len(cells) <= 1 and not fixed
    if not plugs:
        for old in modules(root):
            remove(old)
        if single and changed is not None and "spec.memory.maxGuest" in changed:
            _drop_our_cell(root, cells)
            return
    elif not cells:
        cells = [add(child(root, "cpu/numa"), "cell", id="0")]
    if single and cells:
        _one_cell(root, cells[0], module)
    elif cells:
        _fixed_cells(root, cells, module)


def _one_cell(root: Element, cell: Element, module: int) -> None:
    vcpus = CpuSet.of(range(int(root.findtext("vcpu") or 1)))
    if cell.get("cpus") != vcpus:
        cell.set("cpus", vcpus)
    total, before = size_at(root, "memory"), read_size(cell, "memory") if cell.get("memory") else 0
    kept, sizes = modules(root), [module_size(m) for m in modules(root)]
    if module:
        while kept and total - sum(sizes) - module <= 0:
            remove(kept.pop())
            sizes.pop()
        sizes.append(module)
        add_module(root, module)
    else:
        while kept and before + sum(sizes) > total:
            remove(kept.pop())
            sizes.pop()
    rest, least = total - sum(sizes), step(root)
    if rest == MaxMemory().read(root) and rest > least:  # QEMU wants room to plug
        add_module(root, least)
        rest -= least
    if rest != before:
        write_size(cell, rest, "memory")


def _fixed_cells(root: Element, cells: list[Element], module: int) -> None:
    rest = size_at(root, "memory") - sum(read_size(cell, "memory") for cell in cells) - module
    kept = modules(root)
    while kept and sum(map(module_size, kept)) > rest:
        remove(kept.pop())
    rest -= sum(map(module_size, kept))
    for size in (module, rest):
        if size > 0:
            add_module(root, size)


def add_module(root: Element, size: int) -> Element:
    """A new module, in the cell that has the least memory."""

    def filled(cell: Element) -> int:
        there = (m for m in modules(root) if (m.findtext("target/node") or "0") == cell.get("id"))
        return read_size(cell, "memory") + sum(map(module_size, there)) if cell.get("memory") else 0

    node = min(root.findall("cpu/numa/cell"), key=filled).get("id") or "0"
    module = add(child(root, "devices"), "memory", model="dimm")
    target = add(module, "target")
    add(target, "size", unit="KiB").text = str(size // 1024)
    add(target, "node").text = node
    return module


def _drop_our_cell(root: Element, cells: list[Element]) -> None:
    """Without memory to plug, the cell that was made for it goes; one of which others said more stays."""
    for cell in cells:
        plain = not len(cell) and set(cell.attrib) <= {"id", "cpus", "memory", "unit"}
        node = root.find(f"numatune/memnode[@cellid='{cell.get('id')}']")
        numa = cell.getparent()
        if plain and node is None and numa is not None:
            remove(cell)
            if not len(numa):
                remove(numa)
        elif cell.get("memory"):
            write_size(cell, size_at(root, "memory"), "memory")
