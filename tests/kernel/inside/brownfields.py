"""Hosts as chance makes them: commands of ip(8) and bridge(8) from a seed, of which the kernel may refuse some.

There is nothing of ours in them. The NICs are of kind ``dummy``, as a booted kernel has no other.
"""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

NICS = ("eno1", "eno2", "eno3", "eno4", "eno5")
_MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
_BOND = {  # as ip-link(8) spells them
    "miimon": (0, 50, 100, 250), "updelay": (0, 100, 250), "downdelay": (0, 200), "peer_notify_delay": (0, 100),
    "use_carrier": (0, 1), "arp_interval": (0, 500), "arp_ip_target": ("10.0.0.1", "10.0.0.1,10.0.0.2"),
    "arp_validate": ("none", "active", "all", "filter"), "arp_all_targets": ("any", "all"), "arp_missed_max": (2, 5),
    "primary_reselect": ("always", "better", "failure"), "fail_over_mac": ("none", "active", "follow"),
    "xmit_hash_policy": ("layer2", "layer2+3", "layer3+4", "encap3+4", "vlan+srcmac"), "resend_igmp": (0, 1, 5),
    "num_grat_arp": (0, 1, 3), "all_slaves_active": (0, 1), "min_links": (0, 1, 2), "lp_interval": (1, 5),
    "packets_per_slave": (0, 1, 8), "lacp_rate": ("slow", "fast"), "lacp_active": ("on", "off"),
    "ad_select": ("stable", "bandwidth", "count"), "ad_actor_sys_prio": (1, 65535), "ad_user_port_key": (0, 17),
    "ad_actor_system": ("00:00:00:00:00:00", "02:00:00:00:00:77"), "tlb_dynamic_lb": (0, 1),
}  # fmt: skip
_BRIDGE = {
    "stp_state": (0, 1), "forward_delay": (200, 400, 1500), "hello_time": (100, 200), "max_age": (600, 2000),
    "priority": (4096, 32768), "ageing_time": (0, 10000, 30000), "mcast_snooping": (0, 1), "mcast_querier": (0, 1),
    "group_fwd_mask": (8, 0x4000), "vlan_filtering": (0, 1), "vlan_default_pvid": (0, 1, 7), "nf_call_iptables": (0, 1),
    "vlan_protocol": ("802.1Q", "802.1ad"), "mcast_router": (0, 1, 2), "mcast_igmp_version": (2, 3),
    "vlan_stats_enabled": (0, 1), "fdb_max_learned": (0,), "no_linklocal_learn": (0, 1),
}  # fmt: skip
_PORT = {
    "isolated": ("on", "off"), "learning": ("on", "off"), "flood": ("on", "off"), "mcast_flood": ("on", "off"),
    "bcast_flood": ("on", "off"), "guard": ("on", "off"), "root_block": ("on", "off"), "hairpin": ("on", "off"),
    "cost": (1, 100), "priority": (1, 32), "neigh_suppress": ("on", "off"), "fastleave": ("on", "off"),
    "mcast_router": (0, 1, 2), "mcast_to_unicast": ("on", "off"),
}  # fmt: skip
_OTHERS = (
    "link add docker0 type bridge", "link add virbr0 type bridge", "link add cni0 type bridge",
    "link add veth0 type veth peer name veth1", "link add mv0 link eno5 type macvlan mode bridge",
    "link add mt0 link eno5 type macvtap mode bridge", "link add vx0 type vxlan id 42 dstport 4789",
    "link add loop7 type dummy", "link add gre9 type gretap remote 10.0.0.1 local 10.0.0.2",
    "link add vrf1 type vrf table 77", "link add wg0 type wireguard", "link add ifb9 type ifb",
    "link add iv0 link eno5 type ipvlan mode l2", "link add team0 type team", "tuntap add tun3 mode tun",
    "link add ovs-system type dummy", "link add cloud0 type bridge", "link add hsr0 type hsr slave1 eno4 slave2 eno5",
)  # fmt: skip


class Chance:
    """The commands of one host, in an order in which they can be run."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._links: list[str] = [*NICS]
        self._free: list[str] = [*NICS]  # of no master
        self._number = 0

    def commands(self) -> Iterator[str]:
        yield from (f"ip link add {nic} type dummy" for nic in NICS)
        for number in range(self._upto(2)):
            yield from self._bond(f"bond{number}")
        for _ in range(self._upto(4)):
            yield from self._vlan()
        for number in range(self._upto(3)):
            yield from self._bridge(self._pick(("br{}", "br-VM.{}", "vmbr{}")).format(number))
        yield from (f"ip {words}" for words in _OTHERS if self._odds(0.2))
        for link in self._links:
            yield from self._look(link)
        for link in self._links:
            yield f"ip link set {link} {'up' if self._odds(0.9) else 'down'}"
        for link in self._free:
            yield from self._addresses(link)
        for _ in range(self._upto(6)):
            yield f"ip {self._route()}"
        for _ in range(self._upto(4)):
            yield f"ip {self._rule()}"

    # links

    def _bond(self, name: str) -> Iterator[str]:
        options = " ".join(f"{key} {self._pick(of)}" for key, of in _BOND.items() if self._odds(0.15))
        mode = self._pick(_MODES)
        yield f"ip link add {name} type bond mode {mode} {options}"
        yield f"ip link add {name} type bond mode {mode}"  # when it refused those
        for key, of in _BOND.items():
            if self._odds(0.1):
                yield f"ip link set {name} type bond {key} {self._pick(of)}"
        for nic in self._take(self._upto(3)):
            yield f"ip link set {nic} down"
            yield f"ip link set {nic} master {name}"
            if self._odds(0.2):
                yield f"ip link set {name} type bond primary {nic}"
            if self._odds(0.2):
                yield f"ip link set {nic} type bond_slave queue_id {self._pick((1, 3))}"
            if self._odds(0.2):
                yield f"ip link set {nic} type bond_slave prio 5"
        self._add(name)

    def _vlan(self) -> Iterator[str]:
        parent, vid = self._pick([x for x in self._links if len(x) < 10]), self._pick((1, 20, 101, 4094))
        name = self._pick((f"{parent}.{vid}", f"v{self._next()}", f"storage{self._next()}.{vid}"))
        flags = " ".join(f"{f} {self._pick(('on', 'off'))}" for f in ("reorder_hdr", "gvrp", "loose_binding", "mvrp")
                         if self._odds(0.2))  # fmt: skip
        protocol = " protocol 802.1ad" if self._odds(0.2) else ""
        qos = " egress-qos-map 1:3" if self._odds(0.1) else ""
        yield f"ip link add link {parent} name {name} type vlan{protocol} id {vid} {flags}{qos}"
        self._add(name)

    def _bridge(self, name: str) -> Iterator[str]:
        options = " ".join(f"{key} {self._pick(of)}" for key, of in _BRIDGE.items() if self._odds(0.15))
        yield f"ip link add {name} type bridge {options}"
        yield f"ip link add {name} type bridge"
        ports = self._take(self._pick((0, 1, 1, 1, 2)))
        if self._odds(0.5):
            yield f"ip tuntap add vnet{(tap := self._next())} mode tap"
            ports.append(f"vnet{tap}")
        for port in ports:
            yield f"ip link set {port} master {name}"
            for key, of in _PORT.items():
                if self._odds(0.05):
                    yield f"bridge link set dev {port} {key} {self._pick(of)}"
            for _ in range(self._upto(2)):
                vids = self._pick(("100-200", "300", "5 pvid untagged", "9 untagged"))
                yield f"bridge vlan add dev {port} vid {vids}"
            if self._odds(0.1):
                yield f"bridge vlan del dev {port} vid 1"
        if self._odds(0.2):
            yield f"bridge vlan add dev {name} vid 300 self"
        self._add(name)

    def _look(self, link: str) -> Iterator[str]:
        if self._odds(0.15):
            yield f"ip link set {link} mtu {self._pick((1400, 1500, 9000))}"
        if self._odds(0.1):
            yield f"ip link set {link} alias made-by-hand-{link}"
        if self._odds(0.1):
            yield f"ip link set {link} group 7"
        if self._odds(0.1):
            yield f"ip link set {link} address 02:00:00:00:00:{self._next():02x}"
        if self._odds(0.2):
            yield f"sysctl {link} disable_ipv6 {self._pick((0, 1))}"

    # layer 3

    def _addresses(self, link: str) -> Iterator[str]:
        for _ in range(self._pick((0, 0, 0, 1, 2, 3))):
            n = self._next()
            words = self._pick((
                f"10.{n}.0.5/24 dev {link}", f"10.{n}.0.5/24 brd + dev {link}", f"10.{n}.0.5/32 dev {link}",
                f"10.{n}.0.5 peer 10.{n}.0.9/32 dev {link}", f"10.{n}.0.5/24 dev {link} label {link}:1",
                f"10.{n}.0.5/24 dev {link} scope link", f"10.{n}.0.5/24 dev {link} noprefixroute",
                f"10.{n}.0.5/24 dev {link} valid_lft 6000 preferred_lft 3000", f"10.{n}.0.5/24 dev {link} metric 77",
                f"fd00:{n}::5/64 dev {link} nodad", f"fd00:{n}::5/64 dev {link} nodad noprefixroute",
                f"fd00:{n}::5/64 dev {link} nodad valid_lft 6000 preferred_lft 0", f"fe80::{n}/64 dev {link} nodad",
                f"fd00:{n}::5/128 dev {link} nodad", f"fd00:{n}::5/64 dev {link} nodad home",
                f"fd00:{n}::5/64 dev {link} nodad preferred_lft 0", f"169.254.{n}.1/16 dev {link} scope link",
            ))  # fmt: skip
            yield f"ip address add {words}"

    def _route(self) -> str:
        dev, other = self._pick(self._free), self._pick(self._free)
        n = self._next()
        via = f"via 10.{self._pick(range(1, n + 1))}.0.9"
        to = self._pick((f"10.{n}.0.0/16", f"172.16.{n}.7/32", "default"))
        proto = self._pick(("", "", "", "proto static", "proto dhcp", "proto bird", "proto zebra", "proto ra"))
        more = self._pick(("", "", "metric 50", "table 100", "mtu 1400", "mtu lock 1400", "advmss 1200", "realm 3",
                           "src 10.1.0.5", "tos 0x10", "initcwnd 20", "table 4000000000"))  # fmt: skip
        return self._pick((
            f"route add {to} dev {dev} {proto} {more}", f"route add {to} {via} dev {dev} onlink {proto} {more}",
            f"route add {to} {via} {proto} {more}", f"route add blackhole {to} {proto} metric {n}",
            f"route add unreachable {to} metric {n}", f"route add throw {to} table 100", f"route add prohibit {to}",
            f"route add {to} {more} nexthop dev {dev} weight 1 nexthop dev {other} weight 2",
            f"-6 route add fd0a:{n}::/64 dev {dev} {proto}", f"-6 route add default via fe80::99 dev {dev} metric {n}",
            f"-6 route add fd0b:{n}::/64 via fe80::99 dev {dev} {proto} expires 600",
            f"-6 route add fd0c:{n}::/64 nexthop via fe80::98 dev {dev} nexthop via fe80::99 dev {other}",
            f"-6 route add blackhole fd0d:{n}::/64", f"-6 route add fd0e:{n}::/64 dev {dev} pref high table 100",
            f"-6 route add default via fe80::99 dev {dev} proto ra", f"-6 route add fd0f:{n}::/64 dev {dev} metric 5",
        ))  # fmt: skip

    def _rule(self) -> str:
        n = self._next()
        return self._pick((
            f"rule add from 10.{n}.0.5 lookup 100 priority {1000 + n}", f"rule add to 10.{n}.0.0/16 lookup 100",
            f"rule add iif {self._pick(self._free)} lookup 100 priority {1000 + n}", "rule add fwmark 7 lookup 100",
            f"rule add oif {self._pick(self._free)} lookup 77", "rule add fwmark 0x10/0xf0 lookup 254",
            f"rule add from 10.{n}.0.0/24 blackhole", "rule add lookup 254 suppress_prefixlength 0 priority 900",
            f"rule add not from 10.{n}.0.0/24 lookup 100", "rule add uidrange 0-100 lookup 100",
            "rule add ipproto tcp dport 80 lookup 100", f"-6 rule add from fd00:{n}::/64 lookup 100",
            f"-6 rule add iif {self._pick(self._free)} lookup 100", "-6 rule add lookup 100 priority 88",
            f"rule add from 10.{n}.0.5 tos 0x10 lookup 100", f"rule add goto 32766 priority {500 + n}",
            f"rule add from 10.{n}.0.5 lookup 100 protocol static",
            f"rule add from 10.{n}.0.5 lookup 100 protocol bird",
        ))  # fmt: skip

    # parts

    def _add(self, link: str) -> None:
        self._links.append(link)
        self._free.append(link)

    def _take(self, count: int) -> list[str]:
        """Links that get a master."""
        taken = self._random.sample(self._free, min(count, len(self._free)))
        self._free = [link for link in self._free if link not in taken]
        return taken

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _upto(self, most: int) -> int:
        return self._random.randint(0, most)

    def _odds(self, odds: float) -> bool:
        return self._random.random() < odds

    def _pick(self, of: Sequence[T]) -> T:
        return self._random.choice(of)


def make(seed: int) -> list[str]:
    """Make it; the commands that the kernel took."""
    return [command for command in Chance(seed).commands() if _run(command)]


def _run(command: str) -> bool:
    words = command.split()
    if words[0] == "sysctl":  # by path: a dot in a name would be a separator
        try:
            Path("/proc/sys/net/ipv6/conf", words[1], words[2]).write_text(words[3])
        except OSError:
            return False
        return True
    return subprocess.run(words, capture_output=True, check=False).returncode == 0
