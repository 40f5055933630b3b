"""The I/O threads of the running instance: they come before the disks that they serve, and go after them.

Which threads there are, the definition says by their numbers. libvirt removes none that serves a device, and nothing
moves a device from one thread to another while it runs: fewer of them wait for the next start then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cell_reconciler.kinds.virtual_machine import differ, xml
from cell_reconciler.kinds.virtual_machine.codec import io_threads
from cell_reconciler.kinds.virtual_machine.live_actions import LiveAction
from cell_reconciler.kinds.virtual_machine.live_tuning import Pin
from cell_reconciler.model.change import FieldChange, Step
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain

_PATH = "spec.ioThreads"


def coming(key: Key, found: differ.Differences) -> Iterator[Step]:
    """More of them."""
    change = found.live.get(_PATH)
    if change is not None and _grows(change):
        yield _step(key, found, "add I/O threads to")


def going(key: Key, found: differ.Differences) -> Iterator[Step]:
    """Fewer."""
    change = found.live.get(_PATH)
    if change is not None and not _grows(change):
        yield _step(key, found, "take I/O threads from")


def _grows(change: FieldChange) -> bool:
    return int(change.want) > int(change.have)


def _step(key: Key, found: differ.Differences, verb: str) -> Step:
    text = f"{verb} running VM {key.name}: {found.want.io_threads}"
    return Step(key=key, op="vm.iothreads", text=text, action=IoThreads(key.name))


class IoThreads(LiveAction, frozen=True):
    """Make the threads those of the definition; one that comes is put where it is pinned there."""

    def holds(self, domain: Domain) -> bool:
        there, defined = self._numbers(domain)
        return there == defined

    def do(self, doors: Any) -> None:
        there, defined = self._numbers(doors.libvirt.domain(self.name))
        added = sorted(defined - there)
        for number in added:
            doors.libvirt.tuning.add_io_thread(self.name, number)
        if added:
            Pin(self.name, tuple(f"iothread {number}" for number in added), rest=False, online="").do(doors)
        for number in sorted(there - defined):
            doors.libvirt.tuning.remove_io_thread(self.name, number)

    def _numbers(self, domain: Domain) -> tuple[set[int], set[int]]:
        """Of the instance, and of the definition."""
        texts = (domain.active, domain.inactive)
        there, defined = (io_threads.numbers(xml.parse(text or "<domain/>")) for text in texts)
        return there, defined
