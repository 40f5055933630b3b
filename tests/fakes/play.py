"""The same calls of the netlink door on the fake and on a real kernel, and what is to be seen after each of them.

Nothing of what a kernel does some milliseconds later (carrier, active member, state of a port) is looked at, nor what
it draws by chance: of an address that was not given only whose it is, or with whom it is shared.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.errors import CellError
from cell_reconciler.model.live import Link
from tests.fakes import bonding, bridging
from tests.fakes.door import FakeNetlink
from tests.fakes.kernel import Kernel

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
NICS = {f"eno{number}": f"52:54:00:00:00:0{number}" for number in (1, 2, 3)}
TAP, TAP_MAC = "vnet0", "fe:54:00:00:00:01"
_SWITCH = "sw-"  # begins the names of the other ends of cables
# The third is a quarter of another interval, in the jiffies of whatever the kernel's HZ is.
_UNSEEN = ("bond_active_slave", "vlan_flags", "br_mcast_startup_query_intvl")
_KINDS = ("bond", "bridge", "vlan")


def call(name: str, *args: Any, **more: Any) -> Call:
    return name, args, more


def fake_host() -> FakeNetlink:
    """Three NICs and a tap in memory."""
    kernel = Kernel()
    for name, mac in NICS.items():
        kernel.nic(name, mac=mac)
    kernel.tap(TAP)
    kernel.set_link(TAP, up=False, mac=TAP_MAC)
    return FakeNetlink(kernel, Writes())


def real_host() -> NetlinkDoor:
    """The same in the network namespace (a fresh one) of the caller: a pair of veths for a NIC, as every kernel has."""
    for name, mac in NICS.items():
        _ip("link", "add", name, "address", mac, "type", "veth", "peer", "name", f"{_SWITCH}{name}")
        _ip("link", "set", f"{_SWITCH}{name}", "up")
    _ip("tuntap", "add", TAP, "mode", "tap")
    _ip("link", "set", TAP, "address", TAP_MAC)
    return NetlinkDoor(Writes())


class Seen(msgspec.Struct, frozen=True):
    """After a call: the class of its error (empty: none), and facts by link, field and option."""

    error: str
    facts: dict[tuple[str, ...], Any]


def play(door: FakeNetlink | NetlinkDoor, calls: Iterable[Call]) -> list[Seen]:
    """Make the calls, and look after each of them."""
    seen = []
    for name, args, more in calls:
        error = ""
        try:
            getattr(door, name)(*args, **more)
        except CellError as failure:
            error = type(failure).__name__
        seen.append(Seen(error, network(door)))
    return seen


def agree(calls: list[Call]) -> None:
    """Raises AssertionError with the first difference. For a network namespace in which nothing is."""
    for number, (ours, theirs) in enumerate(zip(play(fake_host(), calls), play(real_host(), calls), strict=True)):
        where = f"after call {number}, {calls[number]}: the fake's, the kernel's"
        assert ours.error == theirs.error, (where, ours.error, theirs.error)
        # Not every kernel has every option; what one has, the fake has too.
        keys = {key for key in ours.facts.keys() | theirs.facts.keys() if key in theirs.facts or key[1] != "data"}
        different = {
            k: (ours.facts.get(k), theirs.facts.get(k)) for k in keys if ours.facts.get(k) != theirs.facts.get(k)
        }
        assert not different, (where, different)


def network(door: FakeNetlink | NetlinkDoor) -> dict[tuple[str, ...], Any]:
    """What ``observe`` tells, in words that are the same for two kernels in the same state."""
    live = door.observe()
    links: dict[str, Link] = {
        name: link for name, link in live["links"].items() if name != "lo" and _SWITCH not in name
    }
    facts: dict[tuple[str, ...], Any] = {("", "routes", ""): live["routes"], ("", "rules", ""): live["rules"]}
    for name, link in links.items():
        for field, value in _link(link, links).items():
            options = value.items() if isinstance(value, dict) else [("", value)]
            facts.update({(name, field, option): inner for option, inner in options})
    return facts


def _link(link: Link, links: Mapping[str, Link]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": link.kind if link.kind in _KINDS else "nic",
        **{name: getattr(link, name) for name in ("master", "up", "mtu", "group", "alias", "vlans")},
        **{name: getattr(link, name) for name in ("addresses", "owned_addresses", "dynamic_addresses")},
        "parent": link.parent if link.kind in _KINDS else None,
        "ipv6_disabled": link.ipv6_disabled,
        "mac": _mac(link, links),
        "data": {key: value for key, value in link.data.items() if key in _compared(link)},
    }
    if link.port and "bond_slave_perm_hwaddr" in link.port:
        told["permanent"] = _name_of(link.port["bond_slave_perm_hwaddr"], links)
    elif link.port:
        told["port"] = {k: v for k, v in link.port.items() if k not in ("brport_state", "brport_cost")}
    return told


def _compared(link: Link) -> set[str]:
    """Options that the fake knows; of an older or younger kernel there are others."""
    return set(_FRESH.get(link.kind or "", ())) - set(_UNSEEN)


def _mac(link: Link, links: Mapping[str, Link]) -> str:
    bond = links.get(link.master or "", link)
    if bond.kind == "bond":
        options = bond.data
        if link is not bond and options["bond_mode"] in bonding.OWN_MACS:
            return "of one of the members"
        if options["bond_mode"] == bonding.AB and options["bond_fail_over_mac"] != "none":
            return "of the active member"
    ports = {x.mac for x in links.values() if x.master == link.name}
    if link.kind == "bridge" and link.mac in ports and not all(map(_given, ports)):
        return "of one of the ports"  # the lowest one, and some are drawn by chance
    return _name_of(link.mac, links)


def _name_of(mac: str, links: Mapping[str, Link]) -> str:
    """The address itself if somebody gave it, else the first link that has it."""
    if not _given(mac):
        return "as " + min((name for name, link in links.items() if link.mac == mac), default="nobody")
    return mac


def _given(mac: str) -> bool:
    """Not drawn by chance."""
    return mac.startswith(("52:54:00", "fe:54:00")) or mac == "00:00:00:00:00:00"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


_FRESH: dict[str, set[str]] = {
    "bond": {*bonding.DEFAULTS, "bond_primary", "bond_arp_ip_target"},
    "bridge": set(bridging.DEFAULTS),
    "vlan": {"vlan_id", "vlan_protocol"},
}
