"""Links as documents. What the kernel would give a new link by itself is left out; what no field says is told."""

from __future__ import annotations

import ipaddress
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cell_reconciler.kinds.contract import Kind, World
from cell_reconciler.kinds.export import Exported, unusual
from cell_reconciler.kinds.links.graph import TAP_KINDS, graph_of
from cell_reconciler.kinds.links.managers import remedy, said
from cell_reconciler.kinds.links.marks import owner_of
from cell_reconciler.model.fields import fields_of
from cell_reconciler.model.live import Link, Live, Route, Rule
from cell_reconciler.model.mark import GROUP
from cell_reconciler.model.protocols import protocol_name

ETHERNET_MTU = 1500
KNOWN = (None, "bond", "bridge", "vlan")  # kinds of links that our kinds speak about
PLUGGED = (*sorted(TAP_KINDS), "veth")  # what VMs and containers are plugged in by
_MOST = 20  # names in one note

# Links that belong to a program, by the names that it gives them.
_PROGRAMS = {
    re.compile(r"^virbr[0-9]+$"): "a network of libvirt",
    re.compile(r"^(docker[0-9]+|docker_gwbridge|br-[0-9a-f]{12})$"): "a network of Docker",
    re.compile(r"^(podman|cni-podman)[0-9]+$"): "a network of Podman",
    re.compile(r"^(cni|cbr|flannel|cali|cilium|weave|kube-)"): "a network of Kubernetes",
    re.compile(r"^(lxcbr|lxdbr|incusbr)[0-9]+$"): "a network of LXC",
    re.compile(r"^(vnet|tap|macvtap|veth)"): "a port of a VM or a container",
    re.compile(r"^ovs"): "a link of Open vSwitch",
    re.compile(r"^(wg|tun)[0-9]+$"): "a tunnel",
    re.compile(r"^(cloud0|cloudVirBr|brvx-)"): "a bridge of the CloudStack agent",
}
# What the kernel (6.1) gives a new link, for options that no field says; without statistics, which are nobody's wish,
# and what follows from another one.
_UNSAID = {
    "br_group_addr": "01:80:c2:00:00:00",
    "br_mcast_hash_max": 4096,
    "br_mcast_igmp_version": 2,
    "br_mcast_last_member_intvl": 100,
    "br_mcast_membership_intvl": 26000,
    "br_mcast_mld_version": 1,
    "br_mcast_querier_intvl": 25500,
    "br_mcast_query_intvl": 12500,
    "br_mcast_query_response_intvl": 1000,
    "br_mcast_query_use_ifaddr": 0,
    "br_mcast_router": 1,
    "br_nf_call_arptables": 0,
    "br_nf_call_ip6tables": 0,
    "br_nf_call_iptables": 0,
}
_VLAN_FLAGS = {0x8: "mvrp on", 0x10: "bridge_binding on"}  # VLAN_FLAG_* that no field says


class LinkExporter:
    """Exports one kind of link. See ``kinds.export.Exporter``.

    A kind may declare ``usual(spec)``: what its fields without a default have when nobody says anything about them.
    """

    def __init__(self, of: Kind) -> None:
        self._of = of
        self._said = {f.extra["netlink"] for f in fields_of(of.spec) if isinstance(f.extra.get("netlink"), str)}

    def left_out(self, name: str, live: Live) -> str:
        link = live.links.get(name)
        if link is None or link.group == GROUP:
            return ""
        if whose := _program(name):
            return whose
        if link.kind not in KNOWN and self._of.name == "Nic":
            return f"a link of kind {link.kind}"
        ports = graph_of(live).ports(name)
        if link.kind == "bridge" and any(name == f"br{p.parent}-{p.data.get('vlan_id')}" for p in ports):
            return "a bridge of the CloudStack agent"
        holder = live.links.get(link.master or "")
        if link.kind == "vlan" and holder and holder.kind == "bridge" and name == _device(link):
            return f"the VLAN device of Bridge/{holder.name}"
        return ""

    def export(self, name: str, world: World) -> Exported | None:
        have, link = self._of.observe(name, world), world.live.links.get(name)
        if have is None or link is None:
            return None
        usual = getattr(self._of, "usual", None)
        spec = unusual(have.spec, usual(have.spec) if usual else None)
        for field in _by_itself(link, self._of.name, spec, world.live):
            spec.pop(field, None)
        if addresses := [text for text in spec.pop("addresses", ()) if not _made_by_machine(text)]:
            spec = {"addresses": addresses, **spec}
        lost = tuple(self._lost(link, spec, world.live))
        return Exported(spec=spec, lost=lost, optional=self._of.name == "Nic")

    def _lost(self, link: Link, spec: dict[str, Any], live: Live) -> Iterator[str]:
        if (manager := live.managers.get(link.name)) is not None:
            yield f"{link.name} is managed by {said(manager)}; before it is applied: {remedy(link.name, manager)}"
        if link.dynamic_addresses:
            yield f"dynamic addresses are not declared: {', '.join(link.dynamic_addresses)}"
        if left := [a for a in link.addresses if a not in spec.get("addresses", ())]:
            yield f"addresses that are not declared: {', '.join(left)}"
        for address, options in link.address_options.items():
            if address in spec.get("addresses", ()):
                yield f"{address} has {options}: it keeps that, and one made anew by this document has not"
        yield from _lost_routes(link, spec, live)
        if link.alias and owner_of(link) is None:
            yield f"its alias {link.alias!r} gives way to our mark when it is adopted"
        if link.group not in (0, GROUP):
            yield f"its group {link.group} gives way to ours when it is adopted"
        for option, usual in _UNSAID.items():
            if option not in self._said and link.data.get(option, usual) != usual:
                yield f"no field says {option.partition('_')[2]} {link.data[option]}"
        for flag, word in _VLAN_FLAGS.items():
            if link.kind == "vlan" and link.data.get("vlan_flags", 0) & flag:
                yield f"no field says {word}"
        if link.kind == "bridge":
            yield from _lost_ports(link, spec, live)


def _program(name: str) -> str:
    return next((whose for pattern, whose in _PROGRAMS.items() if pattern.match(name)), "")


def _by_itself(link: Link, kind: str, spec: dict[str, Any], live: Live) -> Iterator[str]:
    """Fields without a default of their own that have the value which a new link would get."""
    below = _below(link, live)
    if (link.mtu == ETHERNET_MTU and all(x.mtu == ETHERNET_MTU for x in below)) or _follows_a_port(link, spec, live):
        yield "mtu"
    master = live.links.get(link.master or "")
    if kind == "Nic" and master is not None and master.kind == "bond":
        yield "mtu"  # a member follows its bond
    if any(link.mac in (x.mac, x.permanent_mac) for x in below):
        yield "mac"
    unknown = master is not None or link.ipv6_disabled is None  # a port has none; nor has a kernel without IPv6
    needed = bool(spec.get("addresses")) or any(":" in route["to"] for route in spec.get("routes", ()))
    if unknown or spec.get("ipv6") == (kind == "Nic" or needed):
        yield "ipv6"


def _follows_a_port(link: Link, spec: dict[str, Any], live: Live) -> bool:
    """A bridge has the MTU of its smallest port. Declared, it would be that of the uplink too."""
    uplink = live.links.get(_uplink(spec) or "")
    return link.kind == "bridge" and uplink is not None and uplink.mtu != link.mtu


def _uplink(spec: dict[str, Any]) -> str | None:
    """The port by which a bridge reaches the network outside."""
    return spec.get("uplink") if "vlan" not in spec else f"{spec['uplink']}.{spec['vlan']}"


def _made_by_machine(cidr: str) -> bool:
    """An IPv6 link-local address that nobody would type: NetworkManager sets its own as if a person had (RFC 7217)."""
    ip = ipaddress.ip_interface(cidr).ip
    return ip.version == 6 and ip.is_link_local and int(ip) & 0xFFFFFFFF00000000 != 0


def _below(link: Link, live: Live) -> list[Link]:
    """Everything that a link stands on: members, ports that lead out of the host, parents, and what those stand on."""
    found: list[Link] = []
    todo = [link]
    while todo:
        upper = todo.pop()
        nearest = [p for p in graph_of(live).ports(upper.name) if p.kind not in PLUGGED]
        if upper.kind == "vlan" and upper.parent in live.links:
            nearest.append(live.links[upper.parent])
        fresh = [below for below in nearest if below not in found]
        found += fresh
        todo += fresh
    return found


def _device(link: Link) -> str:
    return f"{link.parent}.{link.data.get('vlan_id')}"


def _lost_ports(bridge: Link, spec: dict[str, Any], live: Live) -> Iterator[str]:
    device = _uplink(spec)
    if _follows_a_port(bridge, spec, live):
        yield f"its MTU {bridge.mtu} is not declared: it follows its smallest port, and {device} has another"
    for port in sorted(graph_of(live).ports(bridge.name), key=lambda p: p.name):
        if port.name == device:
            if "vlan" in spec and port.addresses:
                yield f"addresses of its VLAN device {port.name} are not declared: {', '.join(port.addresses)}"
        elif port.kind in (None, "bond", "vlan"):
            yield f"{port.name} is a port too, and a bridge has one uplink: it stays, and is not declared"


def _lost_routes(link: Link, spec: dict[str, Any], live: Live) -> Iterator[str]:
    told = {(_network(r["to"], r.get("via")), r.get("table", 254), r.get("metric")) for r in spec.get("routes", ())}
    for route in live.routes:
        if route.link != link.name:
            continue
        metrics = (route.metric, None) if route.metric in (0, 1024) else (route.metric,)
        if not any((route.to, route.table, metric) in told for metric in metrics):
            yield f"a route is not declared: {said_route(route)}"


def _network(to: str, via: str | None) -> str:
    if to == "default":
        return "::/0" if via and ":" in via else "0.0.0.0/0"
    return str(ipaddress.ip_network(to, strict=False))


def unsaid(live: Live, documents: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What belongs to no link that could have a document: links of other kinds, routes without one, policy rules.

    A port of a bridge that a VM or a container is plugged in by comes and goes with that, and is not told.
    """
    others: dict[str, list[str]] = defaultdict(list)
    for name, link in sorted(live.links.items()):
        plugged = link.kind in PLUGGED
        if link.kind in KNOWN or name == "lo" or (plugged and link.master):
            continue
        kind = "a port of a VM or a container, or a tunnel" if plugged else f"a link of kind {link.kind}"
        others[_program(name) or kind].append(name)
    for what, names in others.items():
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        yield f"left alone, {what}: {', '.join(names[:_MOST])}{more}"
    for route in live.routes:
        if route.link is None:
            yield f"a route is not declared: {said_route(route)}"
    told = {(r["priority"], r["table"]) for document in documents for r in document["spec"].get("rules", ())}
    for rule in live.rules:
        if (rule.priority, rule.table) not in told:
            yield f"a policy rule is not declared: {said_rule(rule)}"


def said_route(route: Route) -> str:
    """As ``ip route`` shows it."""
    parts = [route.type if route.type != "unicast" else "", route.to, f"via {route.via}" if route.via else ""]
    parts += [f"table {route.table}" if route.table != 254 else "", f"metric {route.metric}" if route.metric else ""]
    parts += [f"proto {protocol_name(route.protocol)}", route.detail]
    return " ".join(part for part in parts if part)


def said_rule(rule: Rule) -> str:
    """As ``ip rule`` shows it."""
    parts = [f"{rule.priority}: from {rule.source or 'all'}", f"to {rule.to}" if rule.to else ""]
    parts += [f"iif {rule.iif}" if rule.iif else "", f"lookup {rule.table}", rule.detail]
    return " ".join(part for part in parts if part)
