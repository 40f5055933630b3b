"""A live bridge in the terms of BridgeSpec: which of its ports are ours, and which of those is the uplink."""

from __future__ import annotations

from collections.abc import Iterable

from cell_reconciler.kinds.bridge import isolation, options
from cell_reconciler.kinds.bridge.spec import BridgeSpec
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3, ports
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import mark_of, owner_of
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, UnsetType
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import GROUP, Mark
from cell_reconciler.model.quantities import Mac

UPLINK_KINDS = (None, "bond", "vlan", "team")  # kinds of links that lead out of the host


def observe(name: str, world: World) -> Observed | None:
    """None when no link has the name, unless a bridge that is declared no more left its VLAN device or its filter."""
    key = Key("Bridge", name)
    link = world.live.links.get(name)
    if link is None:
        left = vlan_of(key, world.live)
        if key in world.documents:
            return None
        if left is not None:
            refs = _refs(left.parent, world)
            return Observed(key=key, spec=BridgeSpec(), mark=Mark.parse(left.alias), refs=refs, detail=left)
        return Observed(key=key, spec=BridgeSpec(), mark=Mark(key, "")) if _filtered(name, world.live) else None
    if link.kind != "bridge":
        return Observed(key=key, spec=BridgeSpec(), mark=None, detail=link)
    mark, doc = mark_of(link, key), world.documents.get(key)
    port = uplink_port(link, mark, world)
    uplink, vlan = (UNSET, UNSET) if port is None else _as_spec(port, doc)
    spec = BridgeSpec(
        mode=isolation.mode_of(key, world),
        uplink=uplink,
        vlan=vlan,
        mtu=link.mtu,
        mac=Mac(link.mac),
        ports=_ports(link, doc, world),
        **options.observed(link, None if doc is None else doc.spec),
        **layer3.observed(key, link, mark, world),
    )
    spare = vlan_of(key, world.live)
    refs = _refs(None if uplink is UNSET else uplink, world) | _refs(spare.parent if spare else None, world)
    return Observed(key=key, spec=spec, mark=mark, refs=refs, detail=link)


def owned(live: Live) -> Iterable[tuple[str, Mark]]:
    """Bridges that are ours, and names of bridges that are gone but whose VLAN device or filter is left."""
    for link in live.links.values():
        if link.kind == "bridge" and (mark := mark_of(link, Key("Bridge", link.name))) is not None:
            yield link.name, mark
        elif link.kind == "vlan" and (owner := owner_of(link)) is not None and owner.name not in live.links:
            left = Mark.parse(link.alias)
            if owner.kind == "Bridge" and left is not None:
                yield owner.name, left
    for name in isolation.leftovers(live):
        if vlan_of(key := Key("Bridge", name), live) is None:
            yield name, Mark(key, "")


def _filtered(name: str, live: Live) -> bool:
    return name in isolation.leftovers(live)


def foreign(live: Live) -> Iterable[str]:
    ours = {name for name, _ in owned(live)}
    return (link.name for link in live.links.values() if link.kind == "bridge" and link.name not in ours)


def device(spec: BridgeSpec) -> str | None:
    """The port through which the bridge reaches the network outside: the uplink itself, or its VLAN device."""
    if isinstance(spec.uplink, UnsetType):
        return None
    return spec.uplink if spec.vlan is UNSET else f"{spec.uplink}.{spec.vlan}"


def owned_ports(bridge: Link, live: Live) -> list[Link]:
    """Ports that we attached: they are in our group. Taps, and ports that somebody else attached, are not."""
    return [port for port in graph_of(live).ports(bridge.name) if port.group == GROUP]


def vlan_of(key: Key, live: Live) -> Link | None:
    """The VLAN device that belongs to this bridge, wherever it is."""
    return graph_of(live).devices.get(key)


def uplink_port(bridge: Link, mark: Mark | None, world: World) -> Link | None:
    """The port that counts as the uplink. One of ours that is not declared comes first, so that it is noticed."""
    doc = world.declared("Bridge", bridge.name)
    wanted = device(doc.spec) if doc else None
    mine = owned_ports(bridge, world.live)
    if mark is None:
        mine = [p for p in graph_of(world.live).ports(bridge.name) if p.kind in UPLINK_KINDS]
    others = sorted((p for p in mine if p.name != wanted), key=lambda p: p.name)
    declared = world.live.links.get(wanted or "")
    if mark is not None and others:
        return others[0]
    if declared is not None and declared.master == bridge.name:
        return declared
    return others[0] if others else None


def _as_spec(port: Link, doc: Document | None) -> tuple[str, int | UnsetType]:
    """A VLAN device is the bridge's own if its name says so, unless it is declared (a Vlan) as the uplink itself."""
    declared = doc is not None and doc.spec.uplink == port.name and doc.spec.vlan is UNSET
    owner = owner_of(port)
    if port.kind != "vlan" or not port.parent or declared or (owner is not None and owner.kind != "Bridge"):
        return port.name, UNSET
    vid = port.data.get("vlan_id", UNSET)
    return (port.parent, vid) if owner is not None or port.name == f"{port.parent}.{vid}" else (port.name, UNSET)


def _ports(bridge: Link, doc: Document | None, world: World) -> tuple[ports.BridgePort, ...]:
    """Of a declared bridge the ports that the document names; one that is not there has nothing that could differ."""
    if doc is not None:
        found = ((want, world.live.links.get(want.name)) for want in doc.spec.ports)
        return tuple(
            ports.observed(want.name, link, want) if link is not None and is_port(link, bridge.name) else want
            for want, link in found
        )
    # Of an undeclared one what leads out of the host and is not as the kernel made it.
    every = (p for p in graph_of(world.live).ports(bridge.name) if p.kind in UPLINK_KINDS)
    usual = ports.ranges(ports.PortVlans(access=pvid)) if (pvid := bridge.data.get("br_vlan_default_pvid")) else ()
    return tuple(
        ports.observed(p.name, p, None)
        for p in sorted(every, key=lambda p: p.name)
        if p.vlans not in ((), usual) or any(p.port.get(o, value) != value for o, value in ports.DEFAULTS.items())
    )


def is_port(link: Link, bridge: str) -> bool:
    """Is it a port of the bridge, or the bridge itself?"""
    return bridge in (link.master, link.name)


def _refs(uplink: str | None, world: World) -> frozenset[Key]:
    """What must stay until the bridge let go of it."""
    link = world.live.links.get(uplink or "")
    if link is None:
        return frozenset()
    owner = owner_of(link)
    if link.kind == "bond":
        return frozenset({Key("Bond", link.name)})
    return frozenset({owner}) if owner is not None and owner.kind == "Vlan" else frozenset()
