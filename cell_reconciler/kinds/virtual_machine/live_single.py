"""Devices of which the running instance has one or none: they are plugged in as the definition has them, and unplugged.

The address there is the one that a device keeps after the next start, and so is the ``cid`` of a vsock. Another CID
waits for that: libvirt cannot change it, and to plug the socket anew would cut every connection. Of the guest agent's
channel QEMU itself takes the port away; the others a guest has to release.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from cell_reconciler.errors import Transient
from cell_reconciler.kinds.virtual_machine import differ, xml
from cell_reconciler.kinds.virtual_machine.codec import consoles
from cell_reconciler.kinds.virtual_machine.live_actions import LiveAction, Unplug
from cell_reconciler.model.change import Risk, Step
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain


class _Single(NamedTuple):
    """A field, where its device stands in the XML, and what people call it."""

    path: str
    element: str
    said: str
    loses: str = ""  # what a guest that is at work loses with it


_SINGLE = (
    _Single("spec.vsock", "devices/vsock", "vsock", "the socket"),
    _Single("spec.rng", "devices/rng", "random number generator"),  # one that is up has seeded its own from it
    _Single("spec.guestAgent", f"devices/channel/target[@name='{consoles.AGENT}']/..", "channel of the guest agent"),
)


def steps(key: Key, found: differ.Differences) -> Iterator[Step]:
    """What makes the running instance have such a device, or none."""
    for single in _SINGLE:
        change = found.live.get(single.path)
        if change is None:
            continue
        if change.want not in (None, False):  # a vsock may be a struct with nothing in it
            text = f"plug the {single.said} into running VM {key.name}"
            yield Step(key=key, op="vm.plug", text=text, action=PlugSingle(key.name, single.said, single.element))
        else:
            yield _unplug(key, single)


def _unplug(key: Key, single: _Single) -> Step:
    return Step(
        key=key,
        op="vm.unplug",
        text=f"unplug the {single.said} from running VM {key.name}",
        action=UnplugSingle(key.name, f"the {single.said}", single.element),
        risk=Risk.CUTS_VM if single.loses else Risk.NONE,
        why=f"its guest loses {single.loses}" if single.loses else "",
    )


def _elements(text: str | None, path: str) -> list[Any]:
    return xml.parse(text or "<domain/>").findall(path)


class PlugSingle(LiveAction, frozen=True):
    """Plug the device of the definition into the running instance."""

    said: str
    element: str

    def holds(self, domain: Domain) -> bool:
        return bool(_elements(domain.active, self.element))

    def do(self, doors: Any) -> None:
        domain = doors.libvirt.domain(self.name)
        defined = _elements(None if domain is None else domain.inactive, self.element)
        if not defined:
            raise Transient(f"the definition of domain {self.name} has no {self.said}", "plan again")
        doors.libvirt.attach_device(self.name, xml.text(defined[0]))


class UnplugSingle(Unplug, frozen=True):
    """Take the device out of the running instance, and every other of its kind; ``handle`` is where they stand."""

    def holds(self, domain: Domain) -> bool:
        return not _elements(domain.active, self.handle)

    def going(self, doors: Any) -> list[Any]:
        domain = doors.libvirt.domain(self.name)
        return _elements(None if domain is None else domain.active, self.handle)
