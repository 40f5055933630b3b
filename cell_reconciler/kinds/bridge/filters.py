"""The packet filter of an internal bridge, as rules, and the two things one can do with it.

What has to hold: a VM on the bridge and the host reach each other by the addresses that the host has on the bridge, and
nobody reaches anything else by it. Four ways would lead around that, each has its rules:

- *routing*: a host that forwards (``ip_forward``) would carry packets between the bridge and its other networks;
- *answers*: the host would answer a sender that claims an address of another network there;
- *the weak host model*: Linux takes a packet for any of its addresses on any interface, so that a VM could reach the
  services of the host by the management address, and a neighbour those on the bridge (by a route via this host);
- *bridging*: a frame goes from port to port without ever being routed. VMs do not see each other, and what is no tap
  and no veth (a NIC, a bond, a VLAN, a tunnel that somebody plugged in) gets no frame in or out.

The last needs ``nft_meta_bridge`` in the kernel (``meta ibrname``); without it there are the first three, and a
condition that says so. Addresses are looked up when a packet comes (``fib``), so that the rules depend on the name
alone, and count for addresses that others set, too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.model.firewall import Expression, Filter, FilterChain, FilterRule

GUESTS = ("tun", "veth")  # IFLA_INFO_KIND of what a VM or a container is plugged in with
# Per protocol, the field, the link-local network (RFC 3927, RFC 4291) and the address of who has none yet (DHCP, DAD).
SOURCES = (("ip", ("169.254.0.0", 16), "0.0.0.0"), ("ip6", ("fe80::", 10), "::"))  # noqa: S104 - binds nothing
_INET_PRIORITY = -10  # just before NF_IP_PRI_FILTER: what is dropped here never reaches the chains of others
_BRIDGE_PRIORITY = -210  # the same for NF_BR_PRI_FILTER_BRIDGED (-200)
_COUNT, _DROP, _ACCEPT = {"counter": None}, {"drop": None}, {"accept": None}
_ADDRESS_HERE = {"fib": {"result": "type", "flags": ["daddr", "iif"]}}  # what the destination is on this interface
_ADDRESS = {"fib": {"result": "type", "flags": ["daddr"]}}  # what it is on this host


def filters(bridge: str) -> tuple[Filter, ...]:
    """The filters that count for this bridge: the whole one, and what a kernel without nft_meta_bridge can hold."""
    note = "the kernel lacks nft_meta_bridge: frames between ports pass"
    return Filter(chains=_routed(bridge, "") + _bridged(bridge)), Filter(chains=_routed(bridge, f"; {note}"))


def _routed(bridge: str, note: str) -> tuple[FilterChain, ...]:
    own = {"set": ["broadcast", "local", "multicast"]}  # broadcast for DHCP, multicast for neighbour discovery
    forward = (
        _rule(f"nothing is routed away from {bridge}{note}", _is("iifname", bridge), _COUNT, _DROP),
        _rule(f"nothing is routed to {bridge}", _is("oifname", bridge), _COUNT, _DROP),
    )
    to_host = (
        _rule(
            f"by {bridge} the host has only its addresses on {bridge}",
            _is("iifname", bridge),
            _match("!=", _ADDRESS_HERE, own),
            _COUNT,
            _DROP,
        ),
        # The answer to a sender of another network would leave by another interface.
        *(
            _rule(
                f"{bridge} has link-local {protocol} only",
                _is("iifname", bridge),
                _match("!=", _field(protocol, "saddr"), _prefix(*network)),
                _match("!=", _field(protocol, "saddr"), none),
                _COUNT,
                _DROP,
            )
            for protocol, network, none in SOURCES
        ),
        # fe80::/10 needs no such rule: the kernel takes an IPv6 link-local address on its own link only.
        _rule(
            f"link-local addresses are for {bridge} and the host itself",
            _match("!=", {"meta": {"key": "iifname"}}, bridge),
            _match("!=", {"meta": {"key": "iifname"}}, "lo"),
            _match("==", _field("ip", "daddr"), _prefix("169.254.0.0", 16)),
            _match("==", _ADDRESS, "local"),
            _match("!=", _ADDRESS_HERE, "local"),  # an interface with a link-local address of its own keeps it
            _COUNT,
            _DROP,
        ),
    )
    return (
        FilterChain(family="inet", hook="forward", priority=_INET_PRIORITY, rules=forward),
        FilterChain(family="inet", hook="input", priority=_INET_PRIORITY, rules=to_host),
    )


def _bridged(bridge: str) -> tuple[FilterChain, ...]:
    between = _rule(f"ports of {bridge} do not see each other", _is("ibrname", bridge), _COUNT, _DROP)
    ends = (("input", "ibrname", "iifkind"), ("output", "obrname", "oifkind"))
    return (
        FilterChain(family="bridge", hook="forward", priority=_BRIDGE_PRIORITY, rules=(between,)),
        *(
            FilterChain(family="bridge", hook=hook, priority=_BRIDGE_PRIORITY, rules=_guests_only(bridge, *keys))
            for hook, *keys in ends
        ),
    )


def _guests_only(bridge: str, of: str, kind_of: str) -> tuple[FilterRule, ...]:
    """What may pass is said, and the rest dropped: a NIC has no kind at all, so that ``!=`` would not match it."""
    guests = (_rule(f"{kind} of {bridge}", _is(of, bridge), _is(kind_of, kind), _ACCEPT) for kind in GUESTS)
    return (*guests, _rule(f"no other port of {bridge}", _is(of, bridge), _COUNT, _DROP))


def _rule(comment: str, *expr: Expression) -> FilterRule:
    return FilterRule(comment=comment, expr=expr)


def _is(key: str, value: str) -> Expression:
    return _match("==", {"meta": {"key": key}}, value)


def _field(protocol: str, name: str) -> Expression:
    return {"payload": {"protocol": protocol, "field": name}}


def _prefix(address: str, length: int) -> Expression:
    return {"prefix": {"addr": address, "len": length}}


def _match(op: str, left: Expression, right: Any) -> Expression:
    return {"match": {"op": op, "left": left, "right": right}}


class SetFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Put the filter of an internal bridge in place, as a whole and at once; the bridge need not be there yet."""

    bridge: str

    def done(self, doors: Doors) -> bool:
        return doors.nftables.filter(self.bridge) in {one.digest() for one in filters(self.bridge)}

    def do(self, doors: Doors) -> None:
        doors.nftables.replace(self.bridge, *filters(self.bridge))


class DeleteFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Remove the filter of a bridge that is internal no more, or gone."""

    bridge: str

    def done(self, doors: Doors) -> bool:
        return doors.nftables.filter(self.bridge) is None

    def do(self, doors: Doors) -> None:
        doors.nftables.delete(self.bridge)
