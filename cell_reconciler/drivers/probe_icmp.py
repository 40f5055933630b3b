"""One ICMP echo (RFC 792, RFC 4443) by a raw socket, so that no other program is needed. Needs CAP_NET_RAW."""

from __future__ import annotations

import os
import socket
import struct
import time

_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}  # request, reply
_COOKIE = 16  # bytes that tell our echo from that of others


def echo(address: str, scope: str | None, timeout: float) -> bool:
    """True when ``address`` answers within ``timeout`` seconds. ``scope``: link of a link-local IPv6 address.

    Raises OSError when it cannot be sent: no route, no privilege, no such address.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    protocol = socket.IPPROTO_ICMPV6 if family == socket.AF_INET6 else socket.IPPROTO_ICMP
    request, reply = _ECHO[family]
    cookie = os.urandom(_COOKIE)
    with socket.socket(family, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as sock:
        head = _HEADER.pack(request, 0, 0, 0, 1)
        if family == socket.AF_INET:  # for ICMPv6 the kernel computes it, since it covers addresses
            head = _HEADER.pack(request, 0, checksum(head + cookie), 0, 1)
        sock.sendto(head + cookie, _target(address, scope, family))
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                data = sock.recv(1024)
            except TimeoutError:
                return False
            start = (data[0] & 0xF) * 4 if family == socket.AF_INET else 0  # IPv4 comes with its header
            if data[start] == reply and data[start + _HEADER.size :] == cookie:
                return True
    return False


def _target(address: str, scope: str | None, family: int) -> tuple[str, int] | tuple[str, int, int, int]:
    if family == socket.AF_INET:
        return address, 0
    return address.partition("%")[0], 0, 0, socket.if_nametoindex(scope) if scope else 0


def checksum(data: bytes) -> int:
    """Of RFC 1071; ``data`` of even length."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
