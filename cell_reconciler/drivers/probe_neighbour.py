"""Asks for the Ethernet address of an IP address: ARP by a packet socket, IPv6 by neighbour solicitation.

Nothing is read from or written to the kernel's neighbour table, whose entries outlive the path to them. Needs
CAP_NET_RAW.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from collections.abc import Iterator

from cell_reconciler.model.live import Link

_ETH_P_ARP = 0x0806
_ARP = struct.Struct("!HHBBH6s4s6s4s")  # RFC 826: hardware, protocol, their lengths, operation, sender, target
_REQUEST, _REPLY = 1, 2
_SOLICITATION, _ADVERTISEMENT = 135, 136  # RFC 4861 §4.3, §4.4
_BROADCAST = b"\xff" * 6


def neighbour(address: str, link: Link, timeout: float) -> bool:
    """True when ``address`` answers on ``link`` within ``timeout`` seconds. Raises OSError when it cannot be asked."""
    if ":" in address:
        return _solicit(ipaddress.IPv6Address(address), link, timeout)
    return _arp(ipaddress.IPv4Address(address), link, timeout)


def _arp(address: ipaddress.IPv4Address, link: Link, timeout: float) -> bool:
    mac = bytes.fromhex(link.mac.replace(":", ""))
    protocol = socket.htons(_ETH_P_ARP)
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, protocol) as sock:
        sock.bind((link.name, _ETH_P_ARP))
        request = _ARP.pack(1, 0x0800, 6, 4, _REQUEST, mac, _source(address, link), bytes(6), address.packed)
        sock.sendto(request, (link.name, _ETH_P_ARP, 0, 0, _BROADCAST))
        for data in _received(sock, timeout):
            if len(data) >= _ARP.size:
                fields = _ARP.unpack_from(data)
                if fields[4] == _REPLY and fields[6] == address.packed:
                    return True
    return False


def _source(target: ipaddress.IPv4Address, link: Link) -> bytes:
    """Our address in the network of the target; 0.0.0.0 (a probe by RFC 5227) when the link has none there."""
    interfaces = [ipaddress.ip_interface(text) for text in (*link.addresses, *link.dynamic_addresses)]
    ours = (i for i in interfaces if i.version == 4 and target in i.network)
    return next((i.ip.packed for i in ours), bytes(4))


def _solicit(address: ipaddress.IPv6Address, link: Link, timeout: float) -> bool:
    """The kernel fills in checksum and source. Hop limit 255 proves that nobody forwarded it."""
    index = socket.if_nametoindex(link.name)
    group = ipaddress.IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + address.packed[-3:])
    mac = bytes.fromhex(link.mac.replace(":", ""))
    option = b"\x01\x01" + mac  # source link-layer address
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.name.encode() + b"\0")
        message = struct.pack("!BBHI", _SOLICITATION, 0, 0, 0) + address.packed + option
        sock.sendto(message, (str(group), 0, 0, index))
        for data in _received(sock, timeout):
            if len(data) >= 24 and data[0] == _ADVERTISEMENT and data[8:24] == address.packed:
                return True
    return False


def _received(sock: socket.socket, timeout: float) -> Iterator[bytes]:
    """What arrives until the time is over."""
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            yield sock.recv(2048)
        except TimeoutError:
            return
