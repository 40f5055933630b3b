"""Calls of the netlink door for the contract suite: bonds, VLANs and filtering bridges. Each script tells one rule."""

from __future__ import annotations

from hypothesis import strategies as st

from cell_reconciler.drivers.netlink.facts import BOND_MODES
from cell_reconciler.model.live import VlanRange
from tests.contract.netlink_calls import MAC_A, MAC_B, NAMES, link_calls, maybe
from tests.fakes.play import Call, call


def _bond(**data: object) -> Call:
    return call("create_link", "bond0", "bond", data=data)


def _set(**data: object) -> Call:
    return call("set_data", "bond0", "bond", **data)


def _member(nic: str, bond: str | None = "bond0") -> Call:
    return call("set_link", nic, master=bond)


BONDS: dict[str, list[Call]] = {
    "a member has to be down, comes up, and is released down with its own address and MTU": [
        _bond(bond_mode="active-backup", bond_miimon=100),
        call("set_link", "eno1", up=True),
        _member("eno1"),
        call("set_link", "eno1", up=False, mtu=9000),
        _member("eno1"),
        _member("eno2"),
        call("set_link", "bond0", up=True, mtu=1400),
        call("set_link", "eno2", mtu=1300),
        _member("eno1", None),
        _member("eno2", None),
        _member("bond0"),
    ],
    "the address of an empty bond is any, and that of its first member then": [
        _bond(),
        _member("eno2"),
        _member("eno1"),
        _member("eno2", None),
        _member("eno1", None),
        _member("eno1"),
        call("set_link", "bond0", mac=MAC_A),
        _member("eno1", None),
        _member("eno2"),
    ],
    "an address that is given holds until the last member leaves": [
        call("create_link", "bond0", "bond", mac=MAC_A, data={"bond_mode": "active-backup"}),
        _member("eno1"),
        call("set_link", "eno1", mac=MAC_B),
        _member("eno1", None),
        _member("eno2"),
    ],
    "a member moves without being asked, if it is down": [
        _bond(),
        call("create_link", "bond1", "bond"),
        call("create_link", "br0", "bridge"),
        _member("eno1"),
        _member("eno2"),
        _member("eno1", "bond1"),
        _member("eno2", "br0"),
        call("set_link", "eno2", up=True),
        _member("eno2"),
        call("delete_link", "bond1"),
        call("delete_link", "bond0"),
    ],
    "the mode: down and empty": [
        _bond(bond_mode="balance-rr"),
        _member("eno1"),
        call("set_link", "bond0", up=True),
        _set(bond_mode="active-backup"),
        _member("eno1", None),
        _set(bond_mode="active-backup"),
        call("set_link", "bond0", up=False),
        _set(bond_mode="802.3ad"),
        _set(bond_miimon=0),
        _set(bond_mode="balance-alb"),
        _set(bond_mode="balance-rr"),
    ],
    "what goes with the mode only": [
        _bond(bond_mode="active-backup", bond_ad_lacp_rate="fast"),
        _bond(bond_mode="802.3ad", bond_ad_lacp_rate="fast"),
        _set(bond_arp_interval=100),
        _set(bond_packets_per_slave=7),
        _set(bond_tlb_dynamic_lb=0),
        call("set_link", "bond0", up=True),
        _set(bond_ad_lacp_rate="slow"),
        _set(bond_ad_select="count"),
        _set(bond_xmit_hash_policy="layer3+4", bond_min_links=1),
        call("set_link", "bond0", up=False),
        _set(bond_ad_select="count"),
        _set(bond_mode="active-backup"),
        _set(bond_primary_reselect="better", bond_num_peer_notif=3, bond_resend_igmp=2, bond_lp_interval=5),
        _set(bond_all_slaves_active=1, bond_use_carrier=0),
    ],
    "fail_over_mac: no members": [
        _bond(bond_mode="active-backup", bond_fail_over_mac="active"),
        _member("eno1"),
        _set(bond_fail_over_mac="none"),
        call("set_link", "bond0", mac=MAC_A),
        _member("eno1", None),
        _set(bond_fail_over_mac="none"),
        _member("eno1"),
    ],
    "miimon or arp_interval, and delays that are multiples": [
        _bond(bond_mode="active-backup"),
        _set(bond_updelay=100),
        _set(bond_updelay=0),
        _set(bond_miimon=100),
        _set(bond_updelay=250, bond_downdelay=99, bond_peer_notif_delay=300),
        _set(bond_miimon=50),
        _set(bond_miimon=100, bond_updelay=200),
        _set(bond_arp_interval=100, bond_miimon=100),
        _set(bond_arp_interval=100),
        _set(bond_arp_validate="all", bond_arp_all_targets="all", bond_missed_max=3),
        _set(bond_miimon=100),
        _set(bond_arp_interval=100, bond_miimon=0),
        _set(bond_mode="802.3ad"),
    ],
    "a bond that fails is not there": [
        _bond(bond_mode="balance-rr", bond_primary=None, bond_ad_lacp_rate="fast"),
        _bond(bond_mode="balance-rr", bond_miimon=100, bond_arp_interval=100),
        call("create_link", "bond0", "bond", mtu=67),
        call("create_link", "bond0", "bond", mac="01:00:00:00:00:00"),
        call("create_link", "bond0", "bond", master="eno1"),
        call("create_link", "bond0", "bond", mtu=9000, mac=MAC_A, up=True),
    ],
    "a primary that is no member is remembered, through modes that have none": [
        _bond(bond_mode="active-backup"),
        _set(bond_primary="eno1"),
        _member("eno2"),
        _member("eno1"),
        _set(bond_primary=None),
        _set(bond_primary="eno2"),
        _member("eno1", None),
        _member("eno2", None),
        _set(bond_mode="balance-rr"),
        _set(bond_primary="eno1"),
        _member("eno2"),
        _member("eno2", None),
        _set(bond_mode="balance-tlb"),
        _member("eno2"),
    ],
    "a bridge on a bond": [
        _bond(bond_mode="active-backup"),
        call("create_link", "br0", "bridge"),
        call("set_link", "bond0", master="br0", up=True),
        _member("eno1"),
        call("set_link", "bond0", mtu=9000),
        call("set_link", "bond0", mac=MAC_A),
        _member("eno1", None),
        _member("br0"),
        call("add_address", "bond0", "10.0.0.1/24"),
        call("delete_link", "bond0"),
    ],
}
VLAN5 = call("create_link", "eno1.5", "vlan", parent="eno1", data={"vlan_id": 5})
VLANS: dict[str, list[Call]] = {
    "identity": [
        VLAN5,
        call("create_link", "again", "vlan", parent="eno1", data={"vlan_id": 5}),
        call("create_link", "service", "vlan", parent="eno1", data={"vlan_id": 5, "vlan_protocol": "802.1ad"}),
        call("create_link", "other", "vlan", parent="eno2", data={"vlan_id": 5}),
        call("create_link", "zero", "vlan", parent="eno2", data={"vlan_id": 0}),
        call("create_link", "high", "vlan", parent="eno2", data={"vlan_id": 4095}),
        call("create_link", "none", "vlan", parent="eno2"),
        call("create_link", "none", "vlan", data={"vlan_id": 6}),
        call("create_link", "none", "vlan", parent="absent", data={"vlan_id": 6}),
        call("set_data", "eno1.5", "vlan", vlan_id=20),
        call("set_data", "eno1.5", "vlan", vlan_protocol="802.1ad"),
        call("create_link", "inner", "vlan", parent="eno1.5", data={"vlan_id": 7}),
        call("delete_link", "eno1.5"),
    ],
    "up and down with the parent": [
        VLAN5,
        call("set_link", "eno1.5", up=True),
        call("set_link", "eno1", up=True),
        call("set_link", "eno1.5", up=False),
        call("set_link", "eno1", up=False),
        call("set_link", "eno1", up=True),
        call("add_address", "eno1.5", "fd00::1/64"),
        call("add_address", "eno1.5", "10.0.0.1/24"),
        call("set_link", "eno1", up=False),
        call("set_link", "eno1", up=True),
    ],
    "MTU": [
        call("create_link", "big", "vlan", parent="eno1", mtu=1501, data={"vlan_id": 1}),
        call("create_link", "small", "vlan", parent="eno1", mtu=1400, data={"vlan_id": 1}),
        call("set_link", "eno1", mtu=9000),
        VLAN5,
        call("set_link", "small", mtu=9001),
        call("set_link", "eno1", mtu=1450),
        call("set_link", "eno1", mtu=9000),
        call("create_link", "inner", "vlan", parent="eno1.5", data={"vlan_id": 7}),
        call("set_link", "eno1.5", mtu=1280),
    ],
    "an address that is inherited is followed": [
        VLAN5,
        call("create_link", "own", "vlan", parent="eno1", mac=MAC_B, data={"vlan_id": 6}),
        call("create_link", "br0", "bridge"),
        call("set_link", "eno1.5", master="br0"),
        call("set_link", "eno1", mac=MAC_A),
        call("set_link", "eno1.5", mac=MAC_B),
        call("set_link", "eno1", mac="52:54:00:aa:00:09"),
        call("set_link", "eno1.5", mac="52:54:00:aa:00:09"),
        call("set_link", "eno1", mac=MAC_A),
    ],
    "on a bond": [
        _bond(bond_mode="active-backup", bond_miimon=100),
        call("create_link", "bond0.5", "vlan", parent="bond0", data={"vlan_id": 5}),
        _member("eno1"),
        call("set_link", "bond0", up=True),
        call("add_address", "bond0.5", "10.0.0.1/24"),
        call("set_link", "bond0", mtu=9000),
        _member("eno1", None),
        call("create_link", "br0", "bridge"),
        call("set_link", "bond0.5", master="br0"),
        call("set_link", "bond0", mtu=1400),
        call("delete_link", "bond0"),
    ],
    "on a member": [
        _bond(),
        VLAN5,
        _member("eno1"),
        _member("eno1", None),
        call("create_link", "br0", "bridge"),
        call("create_link", "br0.5", "vlan", parent="br0", data={"vlan_id": 5}),
        call("set_link", "br0.5", master="br0"),
        call("delete_link", "br0"),
    ],
}
_FIVE = (VlanRange(first=5, last=5, pvid=True, untagged=True),)
_TRUNK = (VlanRange(first=10, last=20), VlanRange(first=30, last=30))
FILTERS: dict[str, list[Call]] = {
    "every port has the default VLAN": [
        call("create_link", "br0", "bridge", data={"br_vlan_filtering": 1}),
        call("set_link", "eno1", master="br0"),
        call("set_vlans", "eno1", _TRUNK),
        call("set_vlans", "eno1", _FIVE),
        call("set_vlans", "br0", _TRUNK, True),
        call("set_data", "br0", "bridge", br_vlan_filtering=0),
        call("set_data", "br0", "bridge", br_vlan_filtering=1),
        call("set_link", "eno1", master=None),
        call("set_link", "eno1", master="br0"),
        call("set_vlans", "eno1", ()),
        call("set_vlans", "eno2", _FIVE),
        call("set_vlans", "absent", _FIVE),
    ],
    "the default VLAN moves what nobody else set": [
        call("create_link", "br0", "bridge", data={"br_vlan_filtering": 1, "br_vlan_default_pvid": 0}),
        call("set_link", "eno1", master="br0"),
        call("set_data", "br0", "bridge", br_vlan_default_pvid=5),
        call("set_link", "eno2", master="br0"),
        call("set_vlans", "eno2", _TRUNK),
        call("set_data", "br0", "bridge", br_vlan_default_pvid=9),
        call("set_data", "br0", "bridge", br_vlan_default_pvid=0),
        call("set_data", "br0", "bridge", br_vlan_default_pvid=4095),
        call("set_data", "br0", "bridge", br_vlan_protocol="802.1ad"),
    ],
}


@st.composite
def full_calls(draw: st.DrawFn) -> Call:
    """One call to a kernel that has bonds and VLANs."""
    what = draw(st.sampled_from(["any", "any", "any", "bond", "vlan", "data", "delete"]))
    if what == "any":
        names = (*NAMES, "bond0", "bond0.5", "eno1.5", "br0.5")
        return draw(link_calls(names, ("br0", "br1", "bond0", "bond0")))
    if what == "bond":
        data = maybe(draw, "bond_mode", st.sampled_from(BOND_MODES)) | maybe(draw, "bond_miimon", st.just(100))
        return call("create_link", "bond0", "bond", data=data, **maybe(draw, "mac", st.just(MAC_A)))
    if what == "vlan":
        parent = draw(st.sampled_from(["bond0", "eno1", "br0"]))
        more = maybe(draw, "mac", st.just(MAC_B)) | maybe(draw, "mtu", st.just(1400))
        return call("create_link", f"{parent}.5", "vlan", parent=parent, data={"vlan_id": 5}, **more)
    if what == "delete":
        return call("delete_link", draw(st.sampled_from(["bond0", "bond0.5", "eno1.5", "br0.5"])))
    data = draw(
        st.sampled_from(
            [
                {"bond_mode": "active-backup"},
                {"bond_mode": "802.3ad"},
                {"bond_miimon": 50},
                {"bond_arp_interval": 100},
                {"bond_updelay": 250},
                {"bond_primary": "eno1"},
                {"bond_primary": None},
                {"bond_fail_over_mac": "active"},
                {"bond_ad_lacp_rate": "fast"},
                {"bond_min_links": 1},
            ]
        )
    )
    return call("set_data", "bond0", "bond", **data)
