"""Plain ``Live`` values for tests of planning: links as the kernel would report them."""

from __future__ import annotations

from itertools import count
from typing import Any

from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Gap, Link, Live
from cell_reconciler.model.mark import GROUP, NAMESPACE, Mark

_index = count(2)


def link(name: str, kind: str | None = None, **more: Any) -> Link:
    """A link that is up and has a carrier; by default a NIC."""
    values: dict[str, Any] = {
        "name": name,
        "index": next(_index),
        "kind": kind,
        "mac": "52:54:00:00:00:" + f"{sum(name.encode()) % 256:02x}",
        "permanent_mac": None,
        "mtu": 1500,
        "up": True,
        "carrier": True,
        "master": None,
        "parent": None,
        "group": 0,
        "alias": None,
    }
    return Link(**{**values, **more})


def ours(kind: str, name: str, **more: Any) -> dict[str, Any]:
    """Group and alias of a link that belongs to ``kind/name``."""
    return {"group": GROUP, "alias": Mark(Key(kind, name), "0123456789abcdef", **more).to_text()}


def bond(name: str, *, mode: str = "active-backup", foreign: bool = False, **more: Any) -> Link:
    data = {"bond_mode": mode, "bond_miimon": 100, **more.pop("data", {})}
    return link(name, "bond", data=data, **({} if foreign else ours("Bond", name)) | more)


def bridge(name: str, *, foreign: bool = False, **more: Any) -> Link:
    data = {"br_stp_state": 0, **more.pop("data", {})}
    return link(name, "bridge", data=data, **({} if foreign else ours("Bridge", name)) | more)


def vlan(parent: str, vid: int, *, of: str | None, **more: Any) -> Link:
    """The VLAN device of the bridge ``of``; None: somebody else's."""
    mark = ours("Bridge", of) if of else {}
    data = {"vlan_id": vid, "vlan_protocol": "802.1Q", "vlan_flags": 1} | more.pop("data", {})
    return link(more.pop("name", f"{parent}.{vid}"), "vlan", parent=parent, data=data, **{**mark, **more})


def own_vlan(name: str, parent: str, vid: int, **more: Any) -> Link:
    """The link of the document Vlan/NAME."""
    return vlan(parent, vid, of=None, name=name, **{**ours("Vlan", name), **more})


def tap(name: str, master: str) -> Link:
    return link(name, "tun", master=master)


def live(*links: Link, domains: tuple[Domain, ...] = (), gaps: tuple[Gap, ...] = ()) -> Live:
    return Live(host="cell-01", links={x.name: x for x in links}, domains={d.name: d for d in domains}, gaps=gaps)


def domain(name: str, on: str, *, dev: str | None = None, marked: bool = False, direct: bool = False) -> Domain:
    """A domain with one interface on the bridge ``on`` (``direct``: the link); it runs when ``dev`` names its tap."""
    metadata = f"<metadata><cell:mark xmlns:cell='{NAMESPACE}'/></metadata>" if marked else ""
    target = f"<target dev='{dev}'/>" if dev else ""
    source = f"<interface type='direct'><source dev='{on}' mode='bridge'/>" if direct else ""
    source = source or f"<interface type='bridge'><source bridge='{on}'/>"
    nic = f"<devices>{source}{target}</interface></devices>"
    xml = f"<domain><name>{name}</name>{metadata}{nic}</domain>"
    return Domain(uuid="u", name=name, state="running" if dev else "shutoff", inactive=xml, active=xml if dev else None)
