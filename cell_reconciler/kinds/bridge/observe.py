"""A live bridge in the terms of BridgeSpec: which of its ports are ours, and which of those is the uplink."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from cell_reconciler.kinds.bridge.spec import BridgeSpec
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import mark_of, owner_of
from cell_reconciler.model.fields import UNSET, UnsetType
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import GROUP, Mark
from cell_reconciler.model.quantities import Mac

UPLINK_KINDS = (None, "bond", "vlan", "team")  # kinds of links that lead out of the host


def observe(name: str, world: World) -> Observed | None:
    """None when no link has the name, unless our VLAN device is left over from a bridge that is declared no more."""
    key = Key("Bridge", name)
    link = world.live.links.get(name)
    if link is None:
        left = vlan_of(key, world.live)
        if left is None or key in world.documents:
            return None
        return Observed(
            key=key, spec=BridgeSpec(), mark=Mark.parse(left.alias), refs=_refs(left.parent, world), detail=left
        )
    if link.kind != "bridge":
        return Observed(key=key, spec=BridgeSpec(), mark=None, detail=link)
    mark = mark_of(link, key)
    port = uplink_port(link, mark, world)
    uplink, vlan = (UNSET, UNSET) if port is None else _as_spec(port)
    spec = BridgeSpec(
        uplink=uplink,
        vlan=vlan,
        stp=bool(link.data.get("br_stp_state")),
        mtu=link.mtu,
        mac=Mac(link.mac),
        addresses=_addresses(link, mark, world),
    )
    refs = _refs(None if uplink is UNSET else uplink, world)
    return Observed(key=key, spec=spec, mark=mark, refs=refs, detail=link)


def owned(live: Live) -> Iterable[tuple[str, Mark]]:
    """Bridges that are ours, and names of bridges that are gone but whose VLAN device is left."""
    for link in live.links.values():
        if link.kind == "bridge" and (mark := mark_of(link, Key("Bridge", link.name))) is not None:
            yield link.name, mark
        elif link.kind == "vlan" and (owner := owner_of(link)) is not None and owner.name not in live.links:
            left = Mark.parse(link.alias)
            if owner.kind == "Bridge" and left is not None:
                yield owner.name, left


def foreign(live: Live) -> Iterable[str]:
    ours = {name for name, _ in owned(live)}
    return (link.name for link in live.links.values() if link.kind == "bridge" and link.name not in ours)


def device(spec: BridgeSpec) -> str | None:
    """The port through which the bridge reaches the network outside: the uplink itself, or its VLAN device."""
    if isinstance(spec.uplink, UnsetType):
        return None
    return spec.uplink if spec.vlan is UNSET else f"{spec.uplink}.{spec.vlan}"


def canonical_addresses(spec: BridgeSpec) -> tuple[str, ...]:
    """As the kernel writes them: ``FD00:0::1/64`` is ``fd00::1/64``."""
    return tuple(sorted(str(ipaddress.ip_interface(text)) for text in spec.addresses))


def owned_ports(bridge: Link, live: Live) -> list[Link]:
    """Ports that we attached: they are in our group. Taps, and ports that somebody else attached, are not."""
    return [port for port in graph_of(live).ports(bridge.name) if port.group == GROUP]


def vlan_of(key: Key, live: Live) -> Link | None:
    """The VLAN device that belongs to this bridge, wherever it is."""
    return next((x for x in live.links.values() if x.kind == "vlan" and owner_of(x) == key), None)


def uplink_port(bridge: Link, mark: Mark | None, world: World) -> Link | None:
    """The port that counts as the uplink. One of ours that is not declared comes first, so that it is noticed."""
    doc = world.declared("Bridge", bridge.name)
    wanted = device(doc.spec) if doc else None
    ports = owned_ports(bridge, world.live)
    if mark is None:
        ports = [p for p in graph_of(world.live).ports(bridge.name) if p.kind in UPLINK_KINDS]
    others = sorted((p for p in ports if p.name != wanted), key=lambda p: p.name)
    declared = world.live.links.get(wanted or "")
    if mark is not None and others:
        return others[0]
    if declared is not None and declared.master == bridge.name:
        return declared
    return others[0] if others else None


def _as_spec(port: Link) -> tuple[str, int | UnsetType]:
    if port.kind == "vlan" and port.parent:
        return port.parent, port.data.get("vlan_id", UNSET)
    return port.name, UNSET


def _addresses(link: Link, mark: Mark | None, world: World) -> tuple[str, ...]:
    """Ours, and of the others those that the document declares too (set by hand before it did)."""
    doc = world.declared("Bridge", link.name)
    if doc is None:
        return link.owned_addresses if mark is not None else link.addresses
    declared = set(canonical_addresses(doc.spec))
    return tuple(a for a in link.addresses if a in declared or a in link.owned_addresses)


def _refs(uplink: str | None, world: World) -> frozenset[Key]:
    link = world.live.links.get(uplink or "")
    return frozenset({Key("Bond", link.name)}) if link is not None and link.kind == "bond" else frozenset()
