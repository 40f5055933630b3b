"""Running interfaces that hang in the air: a bridge that was deleted and made anew has lost the taps of its VMs.

libvirt puts them back only when it is restarted itself. A tap that is on another bridge is left there: somebody
moved it, and what the definition says about it is compared elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.model.change import Step
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Live


class Loose(msgspec.Struct, frozen=True):
    """A tap without a master, and the bridge that its running definition names."""

    tap: str
    bridge: str


class Plug(msgspec.Struct, frozen=True):
    """Make the tap a port of its bridge again."""

    tap: str
    bridge: str

    def done(self, doors: Any) -> bool:
        link = doors.netlink.link(self.tap)
        return link is None or link.master is not None

    def do(self, doors: Any) -> None:
        doors.netlink.set_link(self.tap, master=self.bridge)


def loose(domain: Domain, live: Live) -> tuple[Loose, ...]:
    """The taps of a running domain that have no master; none when the links are not known."""
    found = []
    for place in _places(domain.active) if domain.active is not None else ():
        link = live.links.get(place.tap)
        if link is not None and link.master is None:
            found.append(place)
    return tuple(found)


def steps(key: Key, places: Iterable[Loose]) -> Iterable[Step]:
    """One step for each."""
    for place in places:
        text = f"put {place.tap} of running VM {key.name} back on {place.bridge}"
        yield Step(key=key, op="vm.plug-interface", text=text, action=Plug(place.tap, place.bridge))


@lru_cache(maxsize=4096)
def _places(active: str) -> tuple[Loose, ...]:
    """Taps and bridges as a running definition names them; remembered by its text."""
    found = []
    for element in xml.parse(active).findall("devices/interface[@type='bridge']"):
        source, target = element.find("source"), element.find("target")
        tap = target.get("dev") if target is not None else None
        bridge = source.get("bridge") if source is not None else None
        if tap and bridge:
            found.append(Loose(tap, bridge))
    return tuple(found)
