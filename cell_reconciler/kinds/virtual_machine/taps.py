"""The taps of running interfaces: whether they hang on their bridge, and the settings that they have as its ports.

A bridge that was deleted and made anew has lost the taps of its VMs, and libvirt puts them back only when it is
restarted itself. A tap that is on another bridge is left there: somebody moved it, and what the definition says about
it is compared elsewhere.

What a document says about the port (``isolated``, ``vlan`` on a bridge that filters) stands in no XML: the kernel has
it while the tap is plugged in, and forgets it with the tap, which has another name after each start, migration or
move. So it is compared whenever the VM is looked at, and set on whatever tap the interface has at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from cell_reconciler.kinds.compare import covered
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links import ports
from cell_reconciler.kinds.virtual_machine import devices, observe, resolve, xml
from cell_reconciler.model import vlans
from cell_reconciler.model.change import FieldChange, Risk, Step
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import Effect, given_paths
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Link, Live, VlanRange
from cell_reconciler.model.mark import Mark

ISOLATED = ports.OPTIONS["isolated"]


class Place(msgspec.Struct, frozen=True):
    """A tap and the bridge that the running definition names for it; ``name``: our alias, empty without one."""

    tap: str
    bridge: str
    mac: str
    name: str


class Plug(msgspec.Struct, frozen=True):
    """Make the tap a port of its bridge again."""

    tap: str
    bridge: str

    def done(self, doors: Any) -> bool:
        link = doors.netlink.link(self.tap)
        return link is None or link.master is not None

    def do(self, doors: Any) -> None:
        doors.netlink.set_link(self.tap, master=self.bridge)


def loose(domain: Domain, live: Live) -> tuple[Place, ...]:
    """The taps of a running domain that have no master; none when the links are not known."""
    found = []
    for place in _places(domain.active) if domain.active is not None else ():
        link = live.links.get(place.tap)
        if link is not None and link.master is None:
            found.append(place)
    return tuple(found)


def plugging(key: Key, places: Iterable[Place]) -> Iterable[Step]:
    """One step for each."""
    for place in places:
        text = f"put {place.tap} of running VM {key.name} back on {place.bridge}"
        yield Step(key=key, op="vm.plug-interface", text=text, action=Plug(place.tap, place.bridge))


# -- settings of the port ----------------------------------------------------------------------------------------


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What the tap of one interface has to be as a port of ``bridge``; what is not ours is left out.

    ``carried``: its VLANs on a bridge that filters; ``usual``: those that the kernel gives a new port there.
    ``spare``: taps that the bridge's own document has settings for.
    """

    pointer: str  # of the interface in the document
    interface: str
    mac: str
    vlan: int | None
    bridge: str
    options: dict[str, int]
    carried: tuple[VlanRange, ...] | None = None
    usual: tuple[VlanRange, ...] = ()
    spare: tuple[str, ...] = ()

    @property
    def unusual(self) -> bool:
        """Does a new port need anything done?"""
        options = any(ports.DEFAULTS[option] != value for option, value in self.options.items())
        return options or self.carried not in (None, self.usual)


class SetTap(msgspec.Struct, frozen=True, kw_only=True):
    """Give the tap that an interface has now its settings; nothing while the VM is off or the tap is elsewhere."""

    vm: str
    interface: str
    mac: str
    bridge: str
    options: dict[str, int] = {}
    carried: tuple[VlanRange, ...] | None = None
    spare: tuple[str, ...] = ()

    def done(self, doors: Any) -> bool:
        return all(action.done(doors) for action in self._actions(doors))

    def do(self, doors: Any) -> None:
        for action in self._actions(doors):
            if not action.done(doors):
                action.do(doors)

    def _actions(self, doors: Any) -> Iterator[ports.SetPort | ports.SetPortVlans]:
        domain = doors.libvirt.domain(self.vm)
        for place in _places(domain.active) if domain is not None and domain.active is not None else ():
            if (place.name or None) != self.interface and (place.name or place.mac != self.mac):
                continue
            if place.tap in self.spare:
                continue
            if self.options:
                yield ports.SetPort(name=place.tap, master=self.bridge, options=self.options)
            if self.carried is not None:
                yield ports.SetPortVlans(name=place.tap, master=self.bridge, vlans=self.carried)


def settings(doc: Document, mark: Mark | None, documents: Mapping[Key, Document]) -> Iterator[Setting]:
    """Of every interface. Of a VM that was there before us, only what the document names is ours."""
    adopted = doc.adopts or bool(mark and mark.adopted)
    named = frozenset(given_paths(doc.given)) if adopted else None
    for index, nic in enumerate(resolve.effective(doc).interfaces):
        pointer = f"/spec/interfaces/{index}"
        if nic.bridge is None:
            continue  # a virtual function of a card has no tap
        bridge = resolve.filtering(nic.bridge, documents)
        place = str(nic.bridge) if bridge else devices.access_bridge(nic.bridge, nic.vlan)
        own = documents.get(Key("Bridge", place))
        vlan = nic.vlan or None
        usual = vlans.wanted(bridge.spec.vlan_default_pvid or None) if bridge else ()
        carried = vlans.wanted(vlan) if bridge and vlan else usual
        ours = bridge is not None and (named is None or f"{pointer}/vlan" in named)
        options = {ISOLATED: int(nic.isolated)} if named is None or f"{pointer}/isolated" in named else {}
        yield Setting(
            pointer=pointer,
            interface=nic.name,
            mac=str(nic.mac),
            vlan=vlan,
            bridge=place,
            options=options,
            carried=carried if ours else None,
            usual=usual,
            spare=tuple(port.name for port in own.spec.ports) if own else (),
        )


class Different(msgspec.Struct, frozen=True):
    """A running interface whose tap is not as it has to be: which fields, and the step that settles it."""

    fields: tuple[FieldChange, ...]
    step: Step | None  # None: everything that differs is to be ignored


def differences(doc: Document, domain: Domain, mark: Mark | None, world: World) -> Iterator[Different]:
    """What differs on the taps of a running domain; nothing when the links are not known."""
    if domain.active is None:
        return
    raw = observe.parsed(domain.active)
    known = observe.Known(resolve.defined(doc, world.documents))
    names = observe.names_of(raw, observe.with_handles(domain, known))
    places = {place.name or names.get(place.mac, place.mac): place for place in _places(domain.active)}
    for wanted in settings(doc, mark, world.documents):
        place = places.get(wanted.interface)
        link = None if place is None else world.live.links.get(place.tap)
        if place is None or link is None or place.tap in wanted.spare:
            continue
        if link.master == wanted.bridge:
            fields = tuple(_fields(wanted, link, doc.ignored))
        elif wanted.unusual and (link.master is None or place.bridge != wanted.bridge):
            fields = ()  # it is plugged in by a step before, and has lost everything then
        else:
            continue
        if fields or link.master != wanted.bridge:
            acting = link.master != wanted.bridge or any(not field.ignored for field in fields)
            real = msgspec.structs.replace(wanted, mac=place.mac)
            yield Different(fields, step(doc.key, real, Risk.BLIP) if acting else None)


def step(key: Key, wanted: Setting, risk: Risk = Risk.NONE) -> Step:
    """The step that gives the tap of one interface its settings."""
    words = [f"VLAN {wanted.vlan}"] if wanted.carried is not None and wanted.vlan is not None else []
    words += ["isolated"] if wanted.options.get(ISOLATED) else []
    action = SetTap(
        vm=key.name,
        interface=wanted.interface,
        mac=wanted.mac,
        bridge=wanted.bridge,
        options=wanted.options,
        carried=wanted.carried,
        spare=wanted.spare,
    )
    whose = f"the port of interface {wanted.interface} of VM {key.name} on {wanted.bridge}"
    return Step(
        key=key,
        op="vm.port",
        text=f"set {whose}: {', '.join(words)}" if words else f"set {whose} to its defaults",
        action=action,
        risk=risk,
        why="its guest reaches others than before" if risk else "",
    )


def _fields(wanted: Setting, link: Link, ignored: tuple[str, ...]) -> Iterator[FieldChange]:
    rules = frozenset(ignored)
    path = f"spec.interfaces[{wanted.interface}]"
    have = link.port.get(ISOLATED, 0)
    if ISOLATED in wanted.options and have != wanted.options[ISOLATED]:
        skip = covered(f"{wanted.pointer}/isolated", rules)
        want = bool(wanted.options[ISOLATED])
        yield FieldChange(path=f"{path}.isolated", have=bool(have), want=want, effect=Effect.LIVE, ignored=skip)
    if wanted.carried is not None and link.vlans != wanted.carried:
        skip = covered(f"{wanted.pointer}/vlan", rules)
        said = [vlans.spell(item.first, item.last) for item in link.vlans]
        found = None if link.vlans == wanted.usual or not said else said[0] if len(said) == 1 else said
        yield FieldChange(path=f"{path}.vlan", have=found, want=wanted.vlan, effect=Effect.LIVE, ignored=skip)


def misfits(domain: Domain, live: Live) -> Iterator[tuple[Link, Link]]:
    """Taps whose MTU is not that of their bridge, with the bridge: what is larger is dropped on the way."""
    for place in _places(domain.active) if domain.active is not None else ():
        tap = live.links.get(place.tap)
        bridge = live.links.get(tap.master or "") if tap is not None else None
        if tap is not None and bridge is not None and tap.mtu != bridge.mtu:
            yield tap, bridge


@lru_cache(maxsize=4096)
def _places(active: str) -> tuple[Place, ...]:
    """Taps and bridges as a running definition names them; remembered by its text."""
    found = []
    for element in xml.parse(active).findall("devices/interface[@type='bridge']"):
        source, target = element.find("source"), element.find("target")
        tap = target.get("dev") if target is not None else None
        bridge = source.get("bridge") if source is not None else None
        if tap and bridge:
            found.append(Place(tap, bridge, devices.MacAddress().read(element) or "", devices.alias(element) or ""))
    return tuple(found)
