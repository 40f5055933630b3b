"""Calls of the netlink door for the contract suite: scripts that tell one rule of the kernel each, and random ones."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.fakes.play import TAP, Call, call

MAC_A, MAC_B = "52:54:00:aa:00:01", "52:54:00:aa:00:02"

LINKS: dict[str, list[Call]] = {
    "names": [
        call("create_link", "br0", "bridge"),
        call("create_link", "br0", "bridge"),
        call("create_link", "a-name-that-is-too-long", "bridge"),
        call("create_link", "lo", "bridge"),
        call("set_link", "absent", up=True),
        call("set_link", "absent", master="br0"),
        call("set_link", "eno1", master="absent"),
        call("delete_link", "absent"),
        call("delete_link", "br0"),
    ],
    "marks": [
        call("create_link", "br0", "bridge", group=7),
        call("set_alias", "br0", "x" * 254),
        call("set_alias", "br0", "x" * 255),
        call("set_alias", "br0", ""),
        call("set_link", "br0", group=0, alias="both"),
        call("set_link", "lo", group=1),
    ],
    "the address of a bridge follows its lowest port until it is set": [
        call("create_link", "br0", "bridge"),
        call("set_link", "eno2", master="br0"),
        call("set_link", "eno1", master="br0"),
        call("set_link", "eno1", mac=MAC_A),
        call("set_link", "eno2", master=None),
        call("set_link", "eno1", master=None),
        call("set_link", "eno2", master="br0"),
        call("set_link", "br0", mac=MAC_B),
        call("set_link", "eno1", master="br0"),
        call("set_link", "br0", mac="01:00:00:00:00:00"),
    ],
    "an address at creation pins it": [
        call("create_link", "br0", "bridge", mac=MAC_A),
        call("set_link", "eno1", master="br0"),
        call("set_link", "eno1", master=None),
        call("create_link", "br1", "bridge", mac="01:00:00:00:00:00"),
    ],
    "the MTU of a bridge follows its smallest port until it is really changed": [
        call("create_link", "br0", "bridge"),
        call("set_link", "eno1", mtu=9000),
        call("set_link", "eno1", master="br0"),
        call("set_link", "br0", mtu=9000),
        call("set_link", "eno2", master="br0"),
        call("set_link", "eno2", master=None),
        call("set_link", "br0", mtu=8999),
        call("set_link", "br0", mtu=9000),
        call("set_link", "eno2", master="br0"),
        call("set_link", "eno1", master=None),
        call("set_link", "br0", mtu=67),
        call("set_link", "br0", mtu=65536),
    ],
    "an MTU at creation pins nothing": [
        call("create_link", "br0", "bridge", mtu=1400),
        call("set_link", "eno1", master="br0"),
    ],
    "a port moves without being asked, and a deleted bridge lets go": [
        call("create_link", "br0", "bridge"),
        call("create_link", "br1", "bridge"),
        call("set_link", "br0", up=True),
        call("set_link", "eno1", up=True, master="br0"),
        call("set_link", TAP, up=True, master="br0"),
        call("set_link", "eno1", master="br1", group=5),
        call("set_link", "br0", master="br1"),
        call("set_link", "eno2", master="eno1"),
        call("delete_link", "br0"),
        call("delete_link", "br1"),
    ],
    "a port from the start": [
        call("create_link", "br0", "bridge"),
        call("create_link", "br1", "bridge", master="br0"),
        call("create_link", "br1", "bridge", master="absent"),
    ],
    "options of bridges": [
        call("create_link", "br0", "bridge", data={"br_forward_delay": 0, "br_stp_state": 0}),
        call("set_data", "br0", "bridge", br_stp_state=1),
        call("set_data", "br0", "bridge", br_forward_delay=100),
        call("set_data", "br0", "bridge", br_forward_delay=400, br_hello_time=200, br_max_age=600),
        call("set_data", "br0", "bridge", br_hello_time=99),
        call("set_data", "br0", "bridge", br_max_age=4001),
        call("set_data", "br0", "bridge", br_group_fwd_mask=1),
        call("set_data", "br0", "bridge", br_group_fwd_mask=8),
        call("set_data", "br0", "bridge", br_priority=4096, br_ageing_time=100, br_mcast_snooping=0),
        call("set_data", "eno1", "bridge", br_stp_state=1),
        call("set_data", "br0", "bond", bond_miimon=1),
        call("create_link", "br1", "bridge", data={"br_group_fwd_mask": 2}),
    ],
    "options of ports": [
        call("create_link", "br0", "bridge"),
        call("set_port", "eno1", brport_isolated=1),
        call("set_link", "eno1", master="br0"),
        call("set_port", "eno1", brport_isolated=1, brport_learning=0, brport_unicast_flood=0, brport_guard=1),
        call("set_port", "eno1", brport_cost=0),
        call("set_port", "eno1", brport_priority=64),
        call("set_port", "eno1", brport_cost=7, brport_priority=63),
        call("set_link", "eno1", master=None),
        call("set_link", "eno1", master="br0"),
        call("set_port", "br0", brport_isolated=1),
        call("set_port", "absent", brport_isolated=1),
    ],
    "addresses": [
        call("create_link", "br0", "bridge"),
        call("add_address", "br0", "10.0.0.1/24"),
        call("add_address", "br0", "10.0.0.1/24"),
        call("add_address", "br0", "10.0.0.1/16"),
        call("add_address", "br0", "10.0.0.2/24", own=False),
        call("add_address", "br0", "FD00:0::1/64"),
        call("add_address", "br0", "fd00::1/65"),
        call("set_link", "br0", up=True),
        call("set_link", "br0", up=False),
        call("set_link", "br0", up=True),
        call("delete_address", "br0", "10.0.0.1/24"),
        call("delete_address", "br0", "10.0.0.9/24"),
        call("delete_address", "absent", "10.0.0.1/24"),
        call("add_address", "absent", "10.0.0.1/24"),
        call("set_link", "eno1", up=True),
        call("add_address", "eno1", "fd00::2/64"),
        call("set_link", "eno1", master="br0"),
        call("delete_link", "br0"),
    ],
    "IPv6": [
        call("create_link", "br0", "bridge"),
        call("add_address", "br0", "fd00::1/64"),
        call("disable_ipv6", "br0"),
        call("add_address", "br0", "fd00::1/64"),
        call("disable_ipv6", "br0", False),
        call("add_address", "br0", "fd00::1/64"),
        call("set_link", "br0", mtu=1279),
        call("add_address", "br0", "fd00::1/64"),
        call("disable_ipv6", "br0"),
        call("set_link", "br0", mtu=1280),
        call("disable_ipv6", "br0"),
        call("set_link", "br0", mtu=1279),
        call("set_link", "br0", mtu=1280),
        call("disable_ipv6", "absent"),
    ],
}


NAMES = ("eno1", "eno2", TAP, "br0", "br1")


def maybe(draw: st.DrawFn, key: str, values: st.SearchStrategy[object]) -> dict[str, object]:
    return {key: draw(values)} if draw(st.booleans()) else {}


@st.composite
def link_calls(draw: st.DrawFn, names: tuple[str, ...] = NAMES, masters: tuple[str, ...] = ("br0", "br1")) -> Call:
    """One call that any link may get."""
    name = draw(st.sampled_from(names))
    what = draw(st.sampled_from(["set", "set", "master", "master", "add", "remove", "ipv6", "create", "delete"]))
    if what == "set":
        asked = maybe(draw, "up", st.booleans())
        asked |= maybe(draw, "mtu", st.sampled_from([1200, 1400, 1500, 9000]))
        asked |= maybe(draw, "mac", st.sampled_from([MAC_A, MAC_B]))
        asked |= maybe(draw, "group", st.sampled_from([0, 5]))
        return call("set_link", name, **asked)
    if what == "master":
        fit = [m for m in masters if not (m == "bond0" and name.startswith("br"))]  # nobody makes a bridge a member
        return call("set_link", name, master=draw(st.sampled_from([None, *fit])))
    if what in ("add", "remove"):
        cidr = draw(st.sampled_from(["10.0.0.1/24", "10.0.0.2/24", "10.1.0.1/24", "fd00::1/64"]))
        return call("add_address" if what == "add" else "delete_address", name, cidr)
    if what == "ipv6":
        return call("disable_ipv6", name, draw(st.booleans()))
    if what == "delete":
        return call("delete_link", draw(st.sampled_from(masters)))
    return draw(bridge_creations())


@st.composite
def bridge_creations(draw: st.DrawFn) -> Call:
    more = maybe(draw, "mac", st.sampled_from([MAC_A, MAC_B])) | maybe(draw, "mtu", st.sampled_from([1400, 9000]))
    return call("create_link", draw(st.sampled_from(["br0", "br1"])), "bridge", **more)
