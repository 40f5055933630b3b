"""What to do about a bridge. Pure.

The order: the bridge itself and its options first, then the old uplink before the new one (two at once would be a
loop), then its MTU from the bottom up (or from the top down when it shrinks), then the settings of its ports, and only
then the filtering of VLANs, so that no port is ever filtered by what it is not meant to have; last, what the host has
on it. Ports that others plugged in are never touched; they decide how dangerous a step is.
"""

from __future__ import annotations

import msgspec

from cell_reconciler.kinds.bridge import isolation, options, ports
from cell_reconciler.kinds.bridge.delete import delete
from cell_reconciler.kinds.bridge.observe import owned_ports, vlan_of
from cell_reconciler.kinds.bridge.spec import BridgeMode, BridgeSpec
from cell_reconciler.kinds.bridge.uplink import Uplink, declared_uplink, uplink
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links import layer3
from cell_reconciler.kinds.links.actions import Attach, CreateLink, DeleteLink, Release, SetLink, SetMark
from cell_reconciler.kinds.links.changes import (
    Steps,
    acted_upon,
    afterwards,
    created,
    differences,
    leaves_address,
    objection,
    settled,
    stable_mac,
)
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.kinds.links.index import users
from cell_reconciler.kinds.links.marks import fresh_mark, named_paths, new_mark, owner_of
from cell_reconciler.kinds.links.rules import declared
from cell_reconciler.model.change import Change, Risk, Verb
from cell_reconciler.model.document import Document, spec_digest
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.live import Link
from cell_reconciler.model.mark import GROUP

NO_HARM = (Risk.NONE, "")


def plan(want: Document | None, have: Observed | None, world: World) -> Change:
    """See ``kinds.contract.Kind.plan``."""
    if want is None:
        if have is None:
            raise ValueError("nothing is wanted and nothing is there")
        return delete(have, world)
    if want.spec.mode == BridgeMode.RESERVED:
        return isolation.reserved(want, have, world)
    way_out = uplink(want, world)
    if have is None:
        return _create(want, way_out, world)
    if refusal := objection(want, have, "bridge"):
        return Change(key=want.key, verb=Verb.NONE, refused=(refusal,), position=want.position)
    return _update(want, have, way_out, world)


# -- create ------------------------------------------------------------------------------------------------------


def _create(doc: Document, way_out: Uplink | None, world: World) -> Change:
    name, spec = doc.key.name, layer3.canonical(doc.spec)
    steps = Steps(doc.key)
    if way_out is not None and way_out.refusal is not None:
        return created(doc, steps, [way_out.refusal], spec)
    isolation.before(steps, doc, None, world)
    on = f" on {way_out.device}" if way_out else ""
    steps.add("create", f"create bridge {name}{on}", _creation(doc, way_out, world))
    if way_out is not None:
        _bring_in(steps, doc, way_out, world)
    _clear(steps, doc, way_out, world)
    ports.configure(steps, doc, None, world, frozenset(), way_out.device if way_out else None)
    if spec.vlan_filtering:
        _set_options(steps, doc, ["vlan_filtering"], NO_HARM)
    layer3.create(steps, doc, world, _mover(way_out, world))
    return created(doc, steps, [], spec)


def _creation(doc: Document, way_out: Uplink | None, world: World) -> CreateLink:
    spec, name = doc.spec, doc.key.name
    mac, mac_of = (str(spec.mac), None) if spec.mac is not UNSET else (None, way_out.name if way_out else None)
    return CreateLink(
        name=name,
        kind="bridge",
        mac=mac if mac or mac_of else stable_mac(world.host, name),
        mac_of=mac_of,
        pin_mtu=None if spec.mtu is UNSET else spec.mtu,
        up=True,
        ipv6=layer3.create_ipv6(doc),
        alias=new_mark(doc).to_text(),
        data=options.kernel(spec, options.unusual(spec) - {"vlan_filtering"}),
    )


# -- update ------------------------------------------------------------------------------------------------------


def _update(doc: Document, have: Observed, way_out: Uplink | None, world: World) -> Change:
    name, link = doc.key.name, have.detail
    spec = layer3.canonical(doc.spec)
    fields = differences(doc, spec, have)
    todo = acted_upon(fields)
    steps, refused = Steps(doc.key), list(isolation.objections(doc, world))
    coming, mover = None, None
    if "mode" in todo:
        isolation.before(steps, doc, have, world)
    if have.mark is not None and not have.mark.digest:
        action = _creation(doc, way_out, world)
        steps.add("create", f"finish the creation of {name}", action, gives=(f"up:{name}", f"mtu:{name}"))
    elif not link.up:
        steps.add("up", f"bring {name} up", SetLink(name=name, up=True), gives=(f"up:{name}",))
    if (held := options.held_by_stp(spec, link, todo)) is not None:
        refused.append(held)
        todo -= {"forwardDelay"}
    later = _options(steps, doc, link, todo, world)
    if "mac" in todo:
        blip = graph_of(world.live).blip(name)
        steps.add("mac", f"set the address of {name} to {spec.mac}", SetLink(name=name, mac=str(spec.mac)), blip)
    if way_out is not None and way_out.refusal is not None:
        # What works goes on working; it is an objection only to what would have to change.
        refused += [way_out.refusal] if {"uplink", "vlan", "mtu"} & todo else []
    else:
        if {"uplink", "vlan"} & todo:
            _change_uplink(steps, doc, link, way_out, world)
            coming, mover = way_out.device if way_out else None, _mover(way_out, world)
        else:
            _upkeep(steps, doc, way_out, world)
        _clear(steps, doc, way_out, world)
        _mtu(steps, doc, link, way_out, world, todo)
    ports.configure(steps, doc, have.mark, world, todo, coming)
    if later:
        _set_options(steps, doc, later, graph_of(world.live).cut(name))
    layer3.update(steps, doc, have, world, todo, mover)
    if "mode" in todo and spec.mode == BridgeMode.NORMAL:
        isolation.after(steps, doc.key, world)
    blocked = way_out is not None and way_out.refusal is not None and "mtu" in todo
    pin = None if blocked else _pin(doc, have)
    change = settled(doc, have, fields, steps, refused, pin, _unpinned(doc, have))
    return msgspec.structs.replace(change, notes=(*change.notes, *isolation.notes(doc, world)))


def _options(steps: Steps, doc: Document, bridge: Link, todo: frozenset[str], world: World) -> list[str]:
    """Adds steps for all options that differ, and returns those that have to wait until the ports are set."""
    names = [name for yaml, name in options.BY_YAML.items() if yaml in todo]
    if not names:
        return []
    graph, spec = graph_of(world.live), doc.spec
    later = [name for name in names if name == "vlan_filtering" and spec.vlan_filtering]
    tags = [name for name in names if name in options.VLANS and name not in later]
    others = [name for name in names if name not in options.VLANS]
    if "stp" in others and not spec.stp:  # see rule 2 of options
        others.remove("stp")
        _set_options(steps, doc, ["stp"], graph.blip(bridge.name))
    _set_options(steps, doc, others, graph.blip(bridge.name))
    filters = bridge.data.get("br_vlan_filtering")
    _set_options(steps, doc, tags, graph.cut(bridge.name) if filters else NO_HARM)
    return later


def _set_options(steps: Steps, doc: Document, names: list[str], harm: tuple[Risk, str]) -> None:
    if names:
        action = options.SetOptions(name=doc.key.name, options=options.kernel(doc.spec, names))
        steps.add("set", f"set {options.said(doc.spec, names)} of {doc.key.name}", action, harm)


def _pin(doc: Document, have: Observed) -> int | None:
    """The MTU to pin when the mark is written; one that has to change is pinned by being changed.

    But when it grows, its uplink grows first, and the bridge may have followed it: then there is nothing to change.
    """
    named = named_paths(doc, have.mark)
    if doc.spec.mtu is UNSET or (named is not None and "/spec/mtu" not in named):
        return None
    mtu: int = doc.spec.mtu
    return mtu if have.detail.mtu == mtu or (have.mark is not None and have.detail.mtu < mtu) else None


def _unpinned(doc: Document, have: Observed) -> bool:
    """Was this very spec applied without an MTU? Then the right one that it has is that of its ports."""
    if have.mark is None or doc.spec.mtu is UNSET or have.detail.mtu != doc.spec.mtu:
        return False
    return have.mark.digest == spec_digest(_without_mtu(doc.spec))


def _without_mtu(spec: BridgeSpec) -> BridgeSpec:
    return msgspec.structs.replace(spec, mtu=UNSET)


# -- uplink ------------------------------------------------------------------------------------------------------


def _mover(way_out: Uplink | None, world: World) -> Link | None:
    """The NIC whose addresses and routes the bridge takes over."""
    return world.live.links.get(way_out.name) if way_out is not None and way_out.moves else None


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
        silent = leaves_address(port, bridge.mac, world)
        why = f", its IPv6 off: {bridge.name} keeps its address" if silent else ""
        later = afterwards(port.name, world)
        action = Release(name=port.name, master=bridge.name, disown=True, silent=silent, **later)
        steps.add("detach", f"take {port.name} off {bridge.name}{why}", action, harm, gives=gives)


def _clear(steps: Steps, doc: Document, way_out: Uplink | None, world: World) -> None:
    """A VLAN device of this bridge that is not its port, and not to be: somebody took it off, and then it changed."""
    left = vlan_of(doc.key, world.live)
    if left is None or left.master is not None or (way_out is not None and left.name == way_out.device):
        return
    named = declared(left.name, world.documents) or users(left.name, world.documents)
    if not named and not graph_of(world.live).stacked(left.name):
        text = f"delete the VLAN device {left.name}, which {doc.key.name} has no use for"
        steps.add("vlan.delete", text, DeleteLink(name=left.name), gives=(f"free:{left.name}",))


def _bring_in(steps: Steps, doc: Document, way_out: Uplink, world: World) -> None:
    name, spec, port = doc.key.name, doc.spec, way_out.device
    below, link = world.live.links.get(way_out.name), world.live.links.get(port)
    needs: tuple[str, ...] = (f"free:{port}",) if way_out.waits else ()
    needs += _needs_up(below, world) if spec.vlan is not UNSET else ()
    _raise_nic(steps, doc, below, world)
    if spec.vlan is not UNSET:
        _bring_below_up(steps, below, world)
        if way_out.stale and link is not None and link.master != name:
            text = f"delete {port}, which is not VLAN {spec.vlan} of {way_out.name}"
            steps.add("vlan.delete", text, DeleteLink(name=port), graph_of(world.live).cut(port))
        if link is None or way_out.waits or way_out.stale:
            text = f"create VLAN {spec.vlan} on {way_out.name}: {port}, a port of {name}"
            steps.add("vlan.create", text, _device(doc, way_out, master=name), needs=needs)
            return
        if link.group == 0 or not link.alias:  # to be adopted, or its creation was cut short
            text = f"take over the VLAN device {port}" if link.group == 0 else f"finish the creation of {port}"
            steps.add("vlan.create", text, _device(doc, way_out, adopt=doc.adopts and link.group == 0))
        if spec.mtu is not UNSET and link.mtu != spec.mtu:
            steps.add("vlan.mtu", f"set the MTU of {port} to {spec.mtu}", SetLink(name=port, mtu=spec.mtu))
    elif below is not None and below.kind == "vlan" and declared_uplink(doc, world.documents) is None:
        _bring_below_up(steps, world.live.links.get(below.parent or ""), world)
    harm = NO_HARM
    if way_out.moves:
        harm = (Risk.CUTS_MANAGEMENT, f"moves {', '.join(way_out.moves)} and its routes from {port} to {name}")
    own = spec.vlan is UNSET and (link is None or not link.alias)
    attach = Attach(name=port, master=name, own=own)
    steps.add("attach", f"make {port} a port of {name}", attach, harm, needs=needs)


def _device(doc: Document, way_out: Uplink, *, master: str | None = None, adopt: bool = False) -> CreateLink:
    return CreateLink(
        name=way_out.device,
        kind="vlan",
        parent=way_out.name,
        master=master,
        mtu=None if doc.spec.mtu is UNSET else doc.spec.mtu,
        up=True,
        ipv6=False,
        alias=(fresh_mark(doc, None) if adopt else new_mark(doc)).to_text(),
        data={"vlan_id": doc.spec.vlan},
        adopt=adopt,
    )


def _upkeep(steps: Steps, doc: Document, way_out: Uplink | None, world: World) -> None:
    """The uplink is in its place; somebody may have taken it down, or a creation was cut short before our mark."""
    port = world.live.links.get(way_out.device) if way_out else None
    if way_out is None or port is None or port.master != doc.key.name:
        return
    _bring_below_up(steps, world.live.links.get(way_out.name), world)
    if doc.spec.vlan is not UNSET and owner_of(port) is None:
        if port.group == GROUP:
            steps.add("vlan.create", f"finish the creation of {port.name}", _device(doc, way_out))
            return
        if doc.adopts:
            mark = SetMark(name=port.name, alias=fresh_mark(doc, None).to_text())
            steps.add("vlan.mark", f"mark {port.name} as ours", mark)
    if not port.up:
        needs = _needs_up(world.live.links.get(way_out.name), world) if doc.spec.vlan is not UNSET else ()
        steps.add("up", f"bring {port.name} up", SetLink(name=port.name, up=True), needs=needs)


def _needs_up(below: Link | None, world: World) -> tuple[str, ...]:
    """What the document of the bond below a VLAN device does before."""
    down = below is not None and not below.up and world.declared("Bond", below.name) is not None
    return (f"up:{below.name}",) if below is not None and down else ()


def _bring_below_up(steps: Steps, below: Link | None, world: World) -> None:
    """A bond that is declared comes up by its own document; a VLAN device above what is down cannot go up."""
    for name in graph_of(world.live).down_below(below.name) if below is not None else ():
        if world.declared("Bond", name) is None:
            steps.add("up", f"bring {name} up", SetLink(name=name, up=True))


# -- MTU ---------------------------------------------------------------------------------------------------------


def _raise_nic(steps: Steps, doc: Document, below: Link | None, world: World) -> None:
    """A NIC that no document declares an MTU for: the bridge raises it to what it needs, and never lowers it."""
    declared = declared_uplink(doc, world.documents)
    if below is None or below.kind == "bond" or (declared is not None and declared.spec.mtu is not UNSET):
        return
    master = world.live.links.get(below.master or "")
    leaving = master is not None and master.kind == "bond"  # which gives it its old MTU back
    if doc.spec.mtu is not UNSET and (below.mtu < doc.spec.mtu or leaving):
        text = f"raise the MTU of {below.name} to {doc.spec.mtu}"
        needs = (f"left:{below.name}",) if leaving else ()
        steps.add("nic.mtu", text, SetLink(name=below.name, mtu=doc.spec.mtu), needs=needs)


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
            _raise_nic(steps, doc, world.live.links.get(way_out.name), world)
    if bridge.mtu < spec.mtu:
        own.reverse()
    for name, op, mtu in own:
        if mtu != spec.mtu:
            text, gives = f"set the MTU of {name} from {mtu} to {spec.mtu}", (f"mtu:{name}",)
            steps.add(op, text, SetLink(name=name, mtu=spec.mtu), blip, gives=gives)
