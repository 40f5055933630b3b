"""The I/O threads of a domain: how many, their numbers, and what is served by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Number, drop, remove

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


class IoThreads(Number):
    """How many I/O threads there are; they are numbered from 1, unless ``iothreadids`` says otherwise for some."""

    def __init__(self) -> None:
        super().__init__("iothreads", absent=0)

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        super().write(scope, value, owner, context)
        named = sorted(scope.findall("iothreadids/iothread"), key=_number)
        for thread in named[int(value) :]:
            remove(thread)
        if not value:
            drop(scope, "iothreadids")


def numbers(scope: Element, count: int | None = None) -> set[int]:
    """The number of every thread: the least that ``iothreadids`` names, and for the rest the least that are free.

    ``count``: of as many threads as there will be; None: as there are.
    """
    named = sorted(map(_number, scope.findall("iothreadids/iothread")))
    count = max(int(scope.findtext("iothreads") or 0), len(named)) if count is None else count
    found, number = set(named[:count]), 1
    while len(found) < count:
        found.add(number)
        number += 1
    return found


def users(scope: Element) -> Iterator[tuple[int, Element]]:
    """Disks and controllers that a thread serves, each with its number; libvirt removes no such thread."""
    for device in scope.findall("devices/*"):
        driver = device.find("driver[@iothread]")
        if driver is not None:
            yield int(driver.get("iothread") or 0), device


def _number(thread: Element) -> int:
    return int(thread.get("id") or 0)
