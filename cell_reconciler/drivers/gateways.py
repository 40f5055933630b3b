"""The default gateways of the main table, as /proc/net tells them (Documentation/networking, fib_trie.c, route.c)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import msgspec

IPV4_TABLE, IPV6_TABLE = "/proc/net/route", "/proc/net/ipv6_route"
_RTF_UP, _RTF_GATEWAY = 0x1, 0x2


class Gateway(msgspec.Struct, frozen=True):
    """``link`` leads to it."""

    address: str
    link: str


def default_gateways(ipv4: str = IPV4_TABLE, ipv6: str = IPV6_TABLE) -> tuple[Gateway, ...]:
    """IPv4 first; empty when there is none."""
    return (*_ipv4(ipv4), *_ipv6(ipv6))


def scope(address: str) -> str | None:
    """The link of a link-local IPv6 gateway, which means nothing without one; None for any other address."""
    if "%" in address:
        return address.partition("%")[2]
    if not ipaddress.ip_address(address).is_link_local or ":" not in address:
        return None
    return next((gateway.link for gateway in _ipv6(IPV6_TABLE) if gateway.address == address), None)


def _ipv4(table: str) -> Iterator[Gateway]:
    """Little-endian hex words: Iface Destination Gateway Flags RefCnt Use Metric Mask …."""
    for row in _rows(table)[1:]:
        destination, gateway, flags, mask = row[1], row[2], int(row[3], 16), row[7]
        if destination == mask == "00000000" and flags & _RTF_GATEWAY:
            yield Gateway(socket.inet_ntoa(bytes.fromhex(gateway)[::-1]), row[0])


def _ipv6(table: str) -> Iterator[Gateway]:
    """Network-order hex: destination, its length, source, its length, next hop, metric, refcnt, use, flags, device."""
    for row in _rows(table):
        flags = int(row[8], 16)
        if row[0] == "0" * 32 and row[1] == "00" and flags & _RTF_UP and flags & _RTF_GATEWAY:
            yield Gateway(str(ipaddress.IPv6Address(bytes.fromhex(row[4]))), row[9])


def _rows(table: str) -> list[list[str]]:
    try:
        with open(table, encoding="ascii") as file:
            return [line.split() for line in file]
    except OSError:  # a kernel without that family
        return []
