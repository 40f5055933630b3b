"""The virtio socket of the running instance: it is plugged in as the definition has it, and unplugged.

Its address there, and with ``cid`` its CID, are those that it keeps after the next start. Another CID waits for that:
libvirt cannot change it, and to plug the socket anew would cut every connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cell_reconciler.errors import Transient
from cell_reconciler.kinds.virtual_machine import differ, xml
from cell_reconciler.kinds.virtual_machine.live_actions import LiveAction, Unplug
from cell_reconciler.model.change import Risk, Step
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain

_PATH, _ELEMENT = "spec.vsock", "devices/vsock"


def steps(key: Key, found: differ.Differences) -> Iterator[Step]:
    """What makes the running instance have a socket, or none."""
    if _PATH not in found.live:
        return
    if found.want.vsock:
        text = f"plug a vsock into running VM {key.name}"
        yield Step(key=key, op="vm.plug", text=text, action=PlugVsock(key.name))
        return
    yield Step(
        key=key,
        op="vm.unplug",
        text=f"unplug the vsock from running VM {key.name}",
        action=UnplugVsock(key.name, "the vsock", ""),
        risk=Risk.CUTS_VM,
        why="its guest loses the socket",
    )


def _vsock(text: str | None) -> Any:
    return None if text is None else xml.parse(text).find(_ELEMENT)


class PlugVsock(LiveAction, frozen=True):
    """Plug the socket of the definition into the running instance."""

    def holds(self, domain: Domain) -> bool:
        return _vsock(domain.active) is not None

    def do(self, doors: Any) -> None:
        domain = doors.libvirt.domain(self.name)
        element = None if domain is None else _vsock(domain.inactive)
        if element is None:
            raise Transient(f"the definition of domain {self.name} has no vsock", "plan again")
        doors.libvirt.attach_device(self.name, xml.text(element))


class UnplugVsock(Unplug, frozen=True):
    """Take the socket out of the running instance; it has no handle, since there is but one."""

    def holds(self, domain: Domain) -> bool:
        return _vsock(domain.active) is None

    def device(self, doors: Any, handle: str) -> Any:
        domain = doors.libvirt.domain(self.name)
        element = None if domain is None else _vsock(domain.active)
        if element is None:
            raise Transient(f"domain {self.name} has no vsock at the moment")
        return element
