"""One network device of the fake kernel, and what is common to all kinds of them."""

from __future__ import annotations

import errno
import hashlib
from typing import Any

import msgspec

from cell_reconciler.drivers.netlink.transport import KernelError
from cell_reconciler.model.live import VlanRange

ETH_MIN_MTU, ETH_DATA_LEN, ETH_MAX_MTU = 68, 1500, 65535
IPV6_MIN_MTU = 1280
IFNAMSIZ, IFALIASZ = 16, 256
PINNED, RANDOM, STOLEN, PERMANENT = "set", "random", "stolen", "permanent"  # addr_assign_type


class Address(msgspec.Struct, frozen=True, order=True):
    """``origin``: ours, static or dynamic, as ``facts.read`` tells them apart."""

    cidr: str
    origin: str = "static"

    @property
    def version(self) -> int:
        return 6 if ":" in self.cidr else 4


class Device(msgspec.Struct, kw_only=True, repr_omit_defaults=True):
    """Mutable; other devices are named, since nothing here is ever renamed."""

    name: str
    index: int
    kind: str | None
    mac: str
    assigned: str = PERMANENT
    permanent: str | None = None
    mtu: int = ETH_DATA_LEN
    mtu_pinned: bool = False  # BROPT_MTU_SET_BY_USER of a bridge
    up: bool = False
    cable: bool = True
    master: str | None = None
    parent: str | None = None
    group: int = 0
    alias: str | None = None
    data: dict[str, Any] = {}
    port: dict[str, Any] = {}
    addresses: list[Address] = []
    ipv6: bool | None = True  # None: no IPv6 on it at all, since its MTU is too small
    mtu_alone: int = 0  # of a bond's member: what it returns to
    vlans: tuple[VlanRange, ...] = ()  # of a bridge and of its ports


def random_mac(seed: str) -> str:
    """Another address each time that another seed is given; random is what nobody may rely on."""
    digest = hashlib.sha256(seed.encode()).digest()
    return bytes([0xEE, *digest[:5]]).hex(":")


def check_mac(mac: str) -> None:
    """is_valid_ether_addr"""
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        raise KernelError(errno.EADDRNOTAVAIL, "")


def check_mtu(kind: str | None, mtu: int) -> None:
    """dev_validate_mtu; NICs of tests have no limits."""
    least, most = (0, ETH_MAX_MTU) if kind == "vlan" else (ETH_MIN_MTU, ETH_MAX_MTU)
    if kind not in ("vlan", "bond", "bridge", "tun"):
        return
    if mtu < least:
        raise KernelError(errno.EINVAL, "mtu less than device minimum")
    if mtu > most:
        raise KernelError(errno.EINVAL, "mtu greater than device maximum")
