"""What changed in the network, as it happens: names only, and only as a hint to look."""

from __future__ import annotations

import errno
import os
import socket
import struct

from cell_reconciler.drivers.netlink import routes
from cell_reconciler.drivers.netlink.raw import IFADDR, IFINFO, IFLA_IFNAME, IFLA_MASTER, text
from cell_reconciler.drivers.netlink.rules import RTM_DELRULE, RTM_NEWRULE
from cell_reconciler.drivers.netlink.transport import HEADER, RECEIVE_BYTES, attributes, messages
from cell_reconciler.errors import Unreachable

RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR = 16, 17, 20, 21
RTMGRP_LINK, RTMGRP_IPV4IFADDR, RTMGRP_IPV6IFADDR = 0x1, 0x10, 0x100
RTMGRP_IPV4_ROUTE, RTMGRP_IPV4_RULE, RTMGRP_IPV6_ROUTE, RTMGRP_IPV6_RULE = 0x40, 0x80, 0x400, 0x40000
GROUPS = (
    RTMGRP_LINK
    | (RTMGRP_IPV4IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV4_RULE)
    | (RTMGRP_IPV6IFADDR | RTMGRP_IPV6_ROUTE | RTMGRP_IPV6_RULE)
)
RULES = ""  # stands among the names for the policy rules, which belong to no link
ROUTES = "/"  # ... and this one says that a route came or went: no link has such a name
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
MOST_PIDS = 1 << 22  # PID_MAX_LIMIT of the kernel; the ports of further sockets of a process are far above
RCVBUF = 8 << 20  # bytes; one bond change under 500 VLANs is some 20,000 messages


class LinkEvents:
    """A subscription to links, addresses, routes and rules, to be made before the first observation.

    Wait for ``fileno()`` to become readable, then ``read()``. Not for several threads at once.
    """

    def __init__(self) -> None:
        """Raises Unreachable when the kernel gives no netlink socket."""
        self._names: dict[int, str] = {}
        self._masters: dict[int, int] = {}
        self._own = os.getpid()
        self.senders: dict[str, int] = {}  # of the last read: name → process id of who made the change, where told
        try:
            self._socket = self._open()
        except OSError as error:
            raise Unreachable("netlink", str(error)) from error

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> set[str] | None:
        """Names of the links that changed since the last call, and of their masters; empty when nothing did.

        ``RULES`` among them says that a policy rule came or went, ``ROUTES`` that a route did. None: events were lost
        (the kernel's buffer overran, or the socket had to be opened anew), so that everything has to be looked at
        again. Raises Unreachable when the socket cannot be opened any more.
        """
        changed: set[str] = set()
        self.senders.clear()
        while True:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return changed
            except OSError as error:
                self._reopen(error)
                return None
            for kind, _, _, message in messages(data):
                names = self._about(kind, message)
                changed |= names
                # The port of the socket that asked for it: of a process's first one its id. 0 is the kernel.
                (*_, port) = HEADER.unpack_from(message)
                if port not in (0, self._own) and port <= MOST_PIDS:
                    self.senders.update(dict.fromkeys(names, port))

    def _about(self, kind: int, message: bytes) -> set[str]:
        if kind in (RTM_NEWLINK, RTM_DELLINK):
            return self._link(message)
        if kind in (RTM_NEWADDR, RTM_DELADDR):
            (*_, index) = IFADDR.unpack_from(message, HEADER.size)
            return self._names_of(index)
        if kind in (routes.RTM_NEWROUTE, routes.RTM_DELROUTE):
            return self._names_of(*routes.through(message)) | {ROUTES}
        return {RULES} if kind in (RTM_NEWRULE, RTM_DELRULE) else set()

    def _link(self, message: bytes) -> set[str]:
        _, _, index, _, _ = IFINFO.unpack_from(message, HEADER.size)
        found = dict(attributes(message, HEADER.size + IFINFO.size))
        if IFLA_IFNAME in found:
            self._names[index] = text(found[IFLA_IFNAME])
        before = self._masters.pop(index, 0)
        now = struct.unpack("=I", found[IFLA_MASTER])[0] if IFLA_MASTER in found else 0
        if now:
            self._masters[index] = now
        # The master that lost a port is told by what was heard of the port before.
        return self._names_of(index, before, now)

    def _names_of(self, *indexes: int) -> set[str]:
        return {self._name(index) for index in indexes if index} - {""}

    def _name(self, index: int) -> str:
        if index not in self._names:
            try:
                return socket.if_indextoname(index)
            except OSError:
                return ""
        return self._names[index]

    def _reopen(self, error: OSError) -> None:
        # After ENOBUFS a socket goes on working, but what it still holds is older than what was lost.
        self._socket.close()
        self._names.clear()
        self._masters.clear()
        try:
            self._socket = self._open()
        except OSError:
            raise Unreachable("netlink", errno.errorcode.get(error.errno or 0, str(error))) from error

    @staticmethod
    def _open() -> socket.socket:
        flags = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        sock = socket.socket(socket.AF_NETLINK, flags, socket.NETLINK_ROUTE)
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, RCVBUF)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RCVBUF)  # up to net.core.rmem_max
        _leave_out_daemons(sock)
        sock.bind((0, GROUPS))
        return sock


def _leave_out_daemons(sock: socket.socket) -> None:
    """Let the kernel drop the routes of routing daemons, which may change by the thousand, and its own.

    A classic BPF program (struct sock_filter: code, two jumps, a number); it loads in network byte order.
    """
    import ctypes  # for who listens only, and not for each command

    load_half, load_byte, is_equal, answer = 0x28, 0x30, 0x15, 0x06
    protocols = routes.KEPT
    program = [
        (load_half, 0, 0, 4),  # nlmsg_type
        (is_equal, 1, 0, socket.htons(routes.RTM_NEWROUTE)),
        (is_equal, 0, len(protocols) + 2, socket.htons(routes.RTM_DELROUTE)),
        (load_byte, 0, 0, HEADER.size + 5),  # rtm_protocol
        *((is_equal, len(protocols) - i, 0, protocol) for i, protocol in enumerate(protocols)),
        (answer, 0, 0, 0),
        (answer, 0, 0, 0xFFFFFFFF),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(code)))
