"""The floor of the network: a straight-line script with bare pyroute2 that knows no state, no order and no safety.

``floor_network.py create|check COUNT``: one active-backup bond, COUNT VLANs on it and COUNT bridges on those. ``check``
dumps all links and compares what ``create`` has set.
"""

import sys

from pyroute2 import IPRoute

MEMBERS = ("ens1f0", "ens1f1")
BOND, FIRST = "bond-VM", 101


def create(ip: IPRoute, count: int) -> None:
    ip.link("add", ifname=BOND, kind="bond", bond_mode=1, bond_miimon=100)
    bond = ip.link_lookup(ifname=BOND)[0]
    for name in MEMBERS:
        index = ip.link_lookup(ifname=name)[0]
        ip.link("set", index=index, state="down")
        ip.link("set", index=index, master=bond)
        ip.link("set", index=index, state="up")
    ip.link("set", index=bond, state="up")
    for vid in range(FIRST, FIRST + count):
        ip.link("add", ifname=f"br-VM.{vid}", kind="bridge", br_stp_state=0)
        bridge = ip.link_lookup(ifname=f"br-VM.{vid}")[0]
        ip.link("set", index=bridge, state="up")
        ip.link("add", ifname=f"{BOND}.{vid}", kind="vlan", link=bond, vlan_id=vid)
        vlan = ip.link_lookup(ifname=f"{BOND}.{vid}")[0]
        ip.link("set", index=vlan, master=bridge)
        ip.link("set", index=vlan, state="up")


def check(ip: IPRoute, count: int) -> None:
    links = {link.get_attr("IFLA_IFNAME"): link for link in ip.get_links()}
    bond = links[BOND]
    assert bond.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_BOND_MODE") == 1
    assert all(links[name].get_attr("IFLA_MASTER") == bond["index"] for name in MEMBERS)
    for vid in range(FIRST, FIRST + count):
        bridge, vlan = links[f"br-VM.{vid}"], links[f"{BOND}.{vid}"]
        assert bridge["flags"] & vlan["flags"] & 1
        assert bridge.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_BR_STP_STATE") == 0
        assert vlan.get_nested("IFLA_LINKINFO", "IFLA_INFO_DATA", "IFLA_VLAN_ID") == vid
        assert (vlan.get_attr("IFLA_LINK"), vlan.get_attr("IFLA_MASTER")) == (bond["index"], bridge["index"])


if __name__ == "__main__":
    with IPRoute() as route:
        {"create": create, "check": check}[sys.argv[1]](route, int(sys.argv[2]))
