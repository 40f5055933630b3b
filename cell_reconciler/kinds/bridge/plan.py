"""What to do about a bridge. Pure.

The order: the bridge itself first, then its MTU from the bottom up (or from the top down when it shrinks), then the
old uplink before the new one (two at once would be a loop), then addresses: new before old. Ports that others plugged
in are never touched; they decide how dangerous a step is.
"""

from __future__ import annotations

import ipaddress

import msgspec

from cell_reconciler.kinds.bridge.delete import delete
from cell_reconciler.kinds.bridge.observe import canonical_addresses, owned_ports
from cell_reconciler.kinds.bridge.uplink import Uplink, uplink
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links.actions import (
    AddAddress,
    Attach,
    CreateLink,
    DeleteAddress,
    DeleteLink,
    Release,
    SetData,
    SetLink,
    SetMark,
)
from cell_reconciler.kinds.links.changes import (
    Steps,
    acted_upon,
    created,
    differences,
    objection,
    settled,
    stable_mac,
)
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.marks import fresh_mark, owner_of
from cell_reconciler.model.change import Change, Risk, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.live import Link

NO_HARM = (Risk.NONE, "")


def plan(want: Document | None, have: Observed | None, world: World) -> Change:
    """See ``kinds.contract.Kind.plan``."""
    if want is None:
        if have is None:
            raise ValueError("nothing is wanted and nothing is there")
        return delete(have, world)
    way_out = uplink(want, world)
    if have is None:
        return _create(want, way_out, world)
    if refusal := objection(want, have, "bridge"):
        return Change(key=want.key, verb=Verb.NONE, refused=(refusal,), position=want.position)
    return _update(want, have, way_out, world)


def _create(doc: Document, way_out: Uplink | None, world: World) -> Change:
    name, spec = doc.key.name, doc.spec
    steps = Steps(doc.key)
    if way_out is not None and way_out.refusal is not None:
        return created(doc, steps, [way_out.refusal], spec)
    mac, mac_of = (str(spec.mac), None) if spec.mac is not UNSET else (None, way_out.name if way_out else None)
    create = CreateLink(
        name=name,
        kind="bridge",
        mac=mac if mac or mac_of else stable_mac(world.host, name),
        mac_of=mac_of,
        pin_mtu=None if spec.mtu is UNSET else spec.mtu,
        ipv6=bool(spec.addresses),
        alias=fresh_mark(doc, None).to_text(),
        data={"br_stp_state": int(spec.stp)},
    )
    on = f" on {way_out.device}" if way_out else ""
    steps.add("create", f"create bridge {name}{on}", create)
    steps.add("up", f"bring {name} up", SetLink(name=name, up=True))
    if way_out is not None:
        _bring_in(steps, doc, way_out, world)
    _addresses(steps, doc, None, way_out)
    return created(doc, steps, [], msgspec.structs.replace(spec, addresses=canonical_addresses(spec)))


def _update(doc: Document, have: Observed, way_out: Uplink | None, world: World) -> Change:
    name, link = doc.key.name, have.detail
    spec = msgspec.structs.replace(doc.spec, addresses=canonical_addresses(doc.spec))
    fields = differences(doc, spec, have)
    todo = acted_upon(fields)
    steps, refused = Steps(doc.key), []
    blip = graph_of(world.live).blip(name) if todo else NO_HARM
    if not link.up:
        steps.add("up", f"bring {name} up", SetLink(name=name, up=True))
    if "stp" in todo:
        action = SetData(name=name, kind="bridge", data={"br_stp_state": int(spec.stp)})
        steps.add("stp", f"turn STP of {name} {'on' if spec.stp else 'off'}", action, blip)
    if "mac" in todo:
        steps.add("mac", f"set the address of {name} to {spec.mac}", SetLink(name=name, mac=str(spec.mac)), blip)
    if way_out is not None and way_out.refusal is not None:
        # What works goes on working; it is an objection only to what would have to change.
        refused += [way_out.refusal] if {"uplink", "vlan", "mtu"} & todo else []
    else:
        if {"uplink", "vlan"} & todo:
            _change_uplink(steps, doc, link, way_out, world)
        else:
            _upkeep(steps, doc, way_out, world)
        _mtu(steps, doc, link, way_out, world, todo)
    if "addresses" in todo:
        _addresses(steps, doc, link, way_out)
    return settled(doc, have, fields, steps, refused)


def _change_uplink(steps: Steps, doc: Document, bridge: Link, way_out: Uplink | None, world: World) -> None:
    """The old one goes before the new one comes. What was there decides the risk: without it nothing is lost."""
    wanted = way_out.device if way_out and not way_out.stale else None
    for port in owned_ports(bridge, world.live):
        if port.name != wanted:
            _take_off(steps, doc, bridge, port, world)
    if way_out is not None:
        _bring_in(steps, doc, way_out, world)


def _take_off(steps: Steps, doc: Document, bridge: Link, port: Link, world: World) -> None:
    harm, gives = graph_of(world.live).cut(bridge.name), (f"free:{port.name}",)
    if owner_of(port) == doc.key:
        text = f"delete the VLAN device {port.name}"
        steps.add("vlan.delete", text, DeleteLink(name=port.name, port_of=bridge.name), harm, gives=gives)
    else:
        action = Release(name=port.name, master=bridge.name, disown=True)
        steps.add("detach", f"take {port.name} off {bridge.name}", action, harm, gives=gives)


def _bring_in(steps: Steps, doc: Document, way_out: Uplink, world: World) -> None:
    name, spec, port = doc.key.name, doc.spec, way_out.device
    below, link = world.live.links.get(way_out.name), world.live.links.get(port)
    needs = (f"free:{port}",) if way_out.waits else ()
    _raise_nic(steps, doc, below)
    if spec.vlan is not UNSET:
        if below is not None and not below.up:
            steps.add("up", f"bring {below.name} up", SetLink(name=below.name, up=True))
        alias = fresh_mark(doc, None).to_text()
        if link is None or way_out.waits or way_out.stale or link.group == 0:
            create = CreateLink(
                name=port,
                kind="vlan",
                parent=way_out.name,
                ipv6=False,
                alias=alias,
                data={"vlan_id": spec.vlan},
                adopt=doc.adopts and link is not None and not way_out.waits,
            )
            steps.add("vlan.create", f"create VLAN {spec.vlan} on {way_out.name}: {port}", create, needs=needs)
        elif not link.alias:
            steps.add("vlan.mark", f"mark {port} as ours", SetMark(name=port, alias=alias))
        if spec.mtu is not UNSET:
            steps.add("vlan.mtu", f"set the MTU of {port} to {spec.mtu}", SetLink(name=port, mtu=spec.mtu))
    harm = NO_HARM
    if way_out.moves:
        harm = (Risk.CUTS_MANAGEMENT, f"moves {', '.join(way_out.moves)} from {port}; its routes are lost")
    own = spec.vlan is UNSET and (link is None or not link.alias)
    attach = Attach(name=port, master=name, own=own)
    steps.add("attach", f"make {port} a port of {name}", attach, harm, needs=needs)


def _raise_nic(steps: Steps, doc: Document, below: Link | None) -> None:
    """A NIC has no document: the bridge raises its MTU to what it needs itself, and never lowers it."""
    if below is not None and below.kind != "bond" and doc.spec.mtu is not UNSET and below.mtu < doc.spec.mtu:
        text = f"raise the MTU of {below.name} to {doc.spec.mtu}"
        steps.add("nic.mtu", text, SetLink(name=below.name, mtu=doc.spec.mtu))


def _mtu(steps: Steps, doc: Document, bridge: Link, way_out: Uplink | None, world: World, todo: frozenset[str]) -> None:
    """Lower top down, raise bottom up. A VLAN device does not grow by itself when its parent does."""
    spec = doc.spec
    if spec.mtu is UNSET or ("mtu" not in todo and bridge.mtu != spec.mtu):
        return
    blip = graph_of(world.live).blip(bridge.name)
    own = [(bridge.name, "mtu", bridge.mtu)]
    if way_out is not None:
        port = world.live.links.get(way_out.device)
        if port is not None and spec.vlan is not UNSET and port.master == bridge.name:
            own.append((port.name, "vlan.mtu", port.mtu))
        if port is not None and port.mtu < spec.mtu:
            _raise_nic(steps, doc, world.live.links.get(way_out.name))
    if bridge.mtu < spec.mtu:
        own.reverse()
    for name, op, mtu in own:
        if mtu != spec.mtu:
            steps.add(op, f"set the MTU of {name} from {mtu} to {spec.mtu}", SetLink(name=name, mtu=spec.mtu), blip)


def _upkeep(steps: Steps, doc: Document, way_out: Uplink | None, world: World) -> None:
    """The uplink is in its place; somebody may have taken it down, or our mark was not written before a crash."""
    port = world.live.links.get(way_out.device) if way_out else None
    if way_out is None or port is None or port.master != doc.key.name:
        return
    below = world.live.links.get(way_out.name)
    if below is not None and not below.up and below.kind != "bond":
        steps.add("up", f"bring {below.name} up", SetLink(name=below.name, up=True))
    if doc.spec.vlan is not UNSET and owner_of(port) is None and (port.group or doc.adopts):
        steps.add(
            "vlan.mark", f"mark {port.name} as ours", SetMark(name=port.name, alias=fresh_mark(doc, None).to_text())
        )
    if not port.up:
        steps.add("up", f"bring {port.name} up", SetLink(name=port.name, up=True))


def _addresses(steps: Steps, doc: Document, bridge: Link | None, way_out: Uplink | None) -> None:
    """New ones first, then the ones that the NIC below had, then the ones that nobody declares any more."""
    name, wanted = doc.key.name, canonical_addresses(doc.spec)
    have = bridge.addresses if bridge else ()
    for cidr in wanted:
        if cidr not in have:
            steps.add("address.add", f"add {cidr} to {name}", AddAddress(name=name, cidr=cidr))
    for cidr in way_out.moves if way_out else ():
        nic = way_out.name if way_out else ""
        steps.add("address.move", f"remove {cidr} from {nic}", DeleteAddress(name=nic, cidr=cidr))
    for cidr in bridge.owned_addresses if bridge else ():
        if cidr not in wanted:
            harm = _removal(cidr, wanted)
            steps.add("address.delete", f"remove {cidr} from {name}", DeleteAddress(name=name, cidr=cidr), harm)


def _removal(cidr: str, wanted: tuple[str, ...]) -> tuple[Risk, str]:
    """Who was reached directly still is when the network of the address grows; when it shrinks, maybe not."""
    old = ipaddress.ip_interface(cidr)
    ip, same = old.ip, [new for other in wanted if (new := ipaddress.ip_interface(other)).ip == old.ip]
    if ip.is_link_local or any(new.network.prefixlen <= old.network.prefixlen for new in same):
        return Risk.BLIP, f"{ip} changes its network"
    return Risk.CUTS_MANAGEMENT, f"the host may be managed by {ip}"
