"""Hosts that anybody may have made: what people, programs, VMs and we ourselves (cut short anywhere) leave behind.

A host is drawn as the calls that made it, in the words of the netlink door; what the kernel refuses has not happened.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import strategies as st

from cell_reconciler.drivers.netlink.facts import BOND_MODES
from cell_reconciler.drivers.netlink.transport import KernelError
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Route, Rule
from cell_reconciler.model.mark import GROUP, RTPROT, Mark
from tests.fakes.devices import Address
from tests.fakes.kernel import Kernel
from tests.fakes.specs import ADDRESSES, BONDS, BRIDGES, LINKS, MACS, MTUS, NICS, TAPS, VIDS, VLANS

KINDS = dict.fromkeys(BONDS, "Bond") | dict.fromkeys(VLANS, "Vlan") | dict.fromkeys(BRIDGES, "Bridge")
BGP = 186  # RTPROT_BGP
Act = tuple[str, tuple[Any, ...]]


@st.composite
def worlds(draw: st.DrawFn) -> Kernel:
    """NICs, and what happened to them since."""
    kernel = Kernel()
    for name in NICS:
        if draw(st.integers(0, 7)):
            kernel.nic(name, up=draw(st.booleans()))
    disturb(kernel, draw(st.lists(acts(), max_size=20)))
    return kernel


def disturb(kernel: Kernel, happened: list[Act]) -> None:
    """Let it happen, as far as the kernel does."""
    for what, args in happened:
        with contextlib.suppress(KernelError):
            getattr(_Acts, what)(kernel, *args)


def acts() -> st.SearchStrategy[Act]:
    """One thing that somebody does to a network."""
    link, mark = st.sampled_from(LINKS), st.sampled_from(["none", "ours", "ours", "cut-short", "another's", "adopted"])
    return st.one_of(
        st.tuples(st.just("bond"), st.tuples(st.sampled_from(BONDS), st.sampled_from(BOND_MODES), mark)),
        st.tuples(st.just("bridge"), st.tuples(st.sampled_from(BRIDGES), st.sampled_from([0, 0, 1]), mark)),
        st.tuples(
            st.just("vlan"),
            st.tuples(st.sampled_from((*VLANS, "x5")), st.sampled_from(LINKS), st.sampled_from(VIDS), mark),
        ),
        st.tuples(st.just("tap"), st.tuples(st.sampled_from(TAPS), st.sampled_from(BRIDGES))),
        st.tuples(st.just("master"), st.tuples(link, st.sampled_from([None, *BONDS, *BRIDGES]), st.booleans())),
        st.tuples(st.just("up"), st.tuples(link, st.sampled_from([True, True, False]))),
        st.tuples(st.just("mtu"), st.tuples(link, st.sampled_from(MTUS))),
        st.tuples(st.just("mac"), st.tuples(link, st.sampled_from(MACS))),
        st.tuples(st.just("ipv6"), st.tuples(link, st.booleans())),
        st.tuples(
            st.just("address"),
            st.tuples(
                link,
                st.sampled_from([a.lower() for a in ADDRESSES[:4]]),
                st.sampled_from(["ours", "static", "dynamic"]),
            ),
        ),
        st.tuples(
            st.just("route"), st.tuples(link, st.sampled_from(_ROUTES), st.sampled_from([3, 4, 16, BGP, RTPROT]))
        ),
        st.tuples(st.just("rule"), st.tuples(st.sampled_from(_RULES), st.sampled_from([0, RTPROT]))),
        st.tuples(
            st.just("gone"),
            st.tuples(
                link,
            ),
        ),
    )


_ROUTES = (
    Route(to="0.0.0.0/0", link=None, via="10.0.0.254"),
    Route(to="0.0.0.0/0", link=None, via="10.0.0.254", metric=100),
    Route(to="10.9.0.0/16", link=None, via="10.0.0.254", table=100),
    Route(to="10.8.0.0/16", link=None),
    Route(to="10.7.0.0/16", link=None, source="10.0.0.1"),
    Route(to="::/0", link=None, via="fd00::fe", metric=1024),
    Route(to="fd01::/64", link=None, via="fd00::fe", metric=7),
)
_RULES = (
    Rule(family=4, priority=1000, table=100, source="10.0.0.1/32"),
    Rule(family=4, priority=2000, table=100, to="10.9.0.0/16"),
)


class _Acts:
    """Each of them: the kernel, and what is said in ``acts``."""

    @staticmethod
    def bond(kernel: Kernel, name: str, mode: str, mark: str) -> None:
        kernel.create(name, "bond", None, None, None, 0, False, None, {"bond_mode": mode, "bond_miimon": 100})
        _mark(kernel, name, mark)

    @staticmethod
    def bridge(kernel: Kernel, name: str, stp: int, mark: str) -> None:
        mac = None if mark == "none" else MACS[0]
        kernel.create(name, "bridge", mac, None, None, 0, False, None, {"br_stp_state": stp})
        _mark(kernel, name, mark)

    @staticmethod
    def vlan(kernel: Kernel, name: str, parent: str, vid: int, mark: str) -> None:
        kernel.create(name, "vlan", None, parent, None, 0, False, None, {"vlan_id": vid})
        _mark(kernel, name, mark)

    @staticmethod
    def tap(kernel: Kernel, name: str, bridge: str) -> None:
        kernel.tap(name)
        kernel.set_link(name, master=bridge)

    @staticmethod
    def master(kernel: Kernel, name: str, master: str | None, ours: bool) -> None:
        link = kernel.find(name)
        if master in BONDS and name in BRIDGES:
            return  # the kernel takes it; nobody does that
        if master in BONDS:
            kernel.set_link(name, up=False)
        kernel.set_link(name, master=master)
        if ours and master in BRIDGES and link.group == 0:
            kernel.set_link(name, group=GROUP)
        elif master is None and not link.alias:
            kernel.set_link(name, group=0)

    @staticmethod
    def up(kernel: Kernel, name: str, up: bool) -> None:
        kernel.set_link(name, up=up)

    @staticmethod
    def mtu(kernel: Kernel, name: str, mtu: int) -> None:
        kernel.set_link(name, mtu=mtu)

    @staticmethod
    def mac(kernel: Kernel, name: str, mac: str) -> None:
        kernel.set_link(name, mac=mac)

    @staticmethod
    def ipv6(kernel: Kernel, name: str, on: bool) -> None:
        kernel.disable_ipv6(name, not on)

    @staticmethod
    def address(kernel: Kernel, name: str, cidr: str, origin: str) -> None:
        kernel.layer3.add_address(kernel.find(name), Address(cidr, origin))

    @staticmethod
    def route(kernel: Kernel, name: str, route: Route, protocol: int) -> None:
        if protocol == BGP:  # those of daemons are not observed: one in the way is found when ours is set
            route = Route(to="10.66.0.0/16", link=None)
        kernel.layer3.set_route(
            Route(**{f: getattr(route, f) for f in route.__struct_fields__} | {"link": name, "protocol": protocol})
        )

    @staticmethod
    def rule(kernel: Kernel, rule: Rule, protocol: int) -> None:
        kernel.layer3.add_rule(Rule(**{f: getattr(rule, f) for f in rule.__struct_fields__} | {"protocol": protocol}))

    @staticmethod
    def gone(kernel: Kernel, name: str) -> None:
        kernel.unplug(name)


def _mark(kernel: Kernel, name: str, mark: str) -> None:
    if mark == "none":
        return
    kind = KINDS.get(name, "Vlan") if mark != "another's" else "Bridge"
    owner = Key(kind, name if mark != "another's" else "br1")
    if mark == "another's" and str(owner) in str([device.alias for device in kernel.devices.values()]):
        return  # a bridge has one VLAN device
    kernel.set_link(name, group=GROUP)
    if mark == "cut-short":
        return
    kernel.set_link(name, alias=Mark(owner, "0123456789abcdef", adopted=mark == "adopted").to_text())
