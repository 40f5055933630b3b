"""The host's NICs and their cables.

A NIC is one end of a veth pair; the other end, of the same name, is a port of the bridge ``switch`` in a network
namespace of its own. To pull the cable is to set that port down: the NIC loses its carrier, as at a switch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from cell_reconciler.errors import UsageError

SWITCH = "switch"
STORAGE = "storage"
CEPH_NIC = "ceph0"
# What the kernel takes as an interface name (dev_valid_name) and `ip` as an argument.
NIC = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")
DEFAULT_NICS = ("eno1", "eno2", "ens1f0", "ens1f1")


def check_names(nics: Sequence[str]) -> None:
    """Raises UsageError for a name that cannot be a NIC, or one given twice."""
    for nic in nics:
        if not NIC.fullmatch(nic):
            raise UsageError(f"{nic!r} cannot be the name of a NIC", "a letter, then at most 14 of A-Z a-z 0-9 _ . -")
        if nic in (SWITCH, STORAGE, CEPH_NIC, "lo"):
            raise UsageError(f"the name {nic!r} is taken by the lab itself", "choose another")
    if len(set(nics)) != len(nics):
        raise UsageError("a NIC is named twice", f"given: {' '.join(nics)}")


def switch_commands() -> list[str]:
    """`ip -batch` commands that make the switch. No STP: a port forwards at once."""
    return [
        "link set lo up",
        f"link add {SWITCH} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"link set {SWITCH} mtu 9000 up",
    ]


def nic_commands(nics: Sequence[str], namespace: str, bridge: str = SWITCH) -> list[str]:
    """`ip -batch` commands, run at the switch, that put NICs into ``namespace`` (a PID) and plug them in."""
    commands = []
    for nic in nics:
        commands.append(f"link add name {nic} mtu 9000 type veth peer name {nic} netns {namespace}")
        commands.append(f"link set {nic} master {bridge} up")
    return commands


def cable_command(nic: str, up: bool) -> list[str]:
    """argv, run at the switch, that plugs or pulls the cable of a NIC."""
    return ["ip", "link", "set", nic, "up" if up else "down"]


CEPH_ADDRESS, HOST_ADDRESS = "198.18.0.1", "198.18.0.2"  # RFC 2544: no spec names these


def storage_commands() -> list[str]:
    """`ip -batch` commands that make the storage switch with Ceph's address on it."""
    return [
        f"link add {STORAGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0",
        f"address add {CEPH_ADDRESS}/24 dev {STORAGE}",
        f"link set {STORAGE} up",
    ]


def ceph_nic_commands(namespace: str) -> list[str]:
    """As ``nic_commands``, for the NIC that leads to Ceph."""
    return nic_commands([CEPH_NIC], namespace, STORAGE)


def ceph_tap_commands() -> list[str]:
    """As ``ceph_nic_commands``, for a QEMU: it opens the tap, and the guest's own NIC is its other end."""
    return [f"tuntap add dev {CEPH_NIC} mode tap", f"link set {CEPH_NIC} master {STORAGE} up"]


def ceph_address_commands() -> list[str]:
    """`ip -batch` commands, run in the host, that give it its address on the storage network."""
    return [f"address add {HOST_ADDRESS}/24 dev {CEPH_NIC}", f"link set {CEPH_NIC} up"]
