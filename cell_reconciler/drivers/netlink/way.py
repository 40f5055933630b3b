"""Which way the kernel would send a packet now: RTM_GETROUTE for one destination, as ``ip route get``."""

from __future__ import annotations

import ipaddress
import socket
import struct

from cell_reconciler.drivers.netlink.transport import HEADER, KernelError, Transport, attributes

RTM_GETROUTE = 26
_RTMSG = struct.Struct(
    "=BBBBBBBBI"
)  # struct rtmsg: family, dst and src length, tos, table, protocol, scope, type, flags
_ATTR = struct.Struct("=HH")
_DST, _OIF = 1, 4
_UNICAST = 1  # RTN_UNICAST


def way_to(address: str) -> str | None:
    """The name of the link by which ``address`` is reached; None when there is no route, or it is our own."""
    target = ipaddress.ip_address(address)
    family = socket.AF_INET if target.version == 4 else socket.AF_INET6
    head = _RTMSG.pack(family, target.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    payload = head + _ATTR.pack(_ATTR.size + len(target.packed), _DST) + target.packed
    transport = Transport(timeout=2.0)
    try:
        for message in transport.request(payload, RTM_GETROUTE):
            fields = _RTMSG.unpack_from(message, HEADER.size)
            found = dict(attributes(message, HEADER.size + _RTMSG.size))
            if fields[7] == _UNICAST and _OIF in found:
                return socket.if_indextoname(struct.unpack("=I", found[_OIF])[0])
    except (OSError, KernelError):
        pass  # ENETUNREACH, EHOSTUNREACH: that is the answer
    finally:
        transport.close()
    return None
