"""Which packet filters of ours somebody changed, as it happens: names of bridges, and only as a hint to look."""

from __future__ import annotations

import socket

from cell_reconciler.drivers.netlink.transport import HEADER, RECEIVE_BYTES, SOL_NETLINK, attributes, messages
from cell_reconciler.drivers.nftables import NETLINK_NETFILTER, PREFIX, bridge_of

NETLINK_ADD_MEMBERSHIP = 1
NFNLGRP_NFTABLES, NFNL_SUBSYS_NFTABLES = 7, 10  # linux/netfilter/nfnetlink.h
NFGENMSG = 4  # bytes of struct nfgenmsg after the header
NFT_MSG_NEWGEN = 15
TABLE = 1  # NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE … : attribute 1 of every message but NEWGEN


class FilterEvents:
    """A subscription to nftables. Wait for ``fileno()`` to become readable, then ``read()``.

    Another program that changes its own rules a thousand times costs some cheap reads. What is lost when the buffer
    overruns is found by the resync.
    """

    def __init__(self) -> None:
        """Raises OSError where the kernel has no nf_tables, and without CAP_NET_ADMIN."""
        kinds = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kinds, NETLINK_NETFILTER)
        try:
            self._socket.bind((0, 0))
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def read(self) -> set[str]:
        """Bridges whose filter changed since the last call."""
        changed: set[str] = set()
        while True:
            try:
                data = self._socket.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return changed
            except OSError:  # ENOBUFS: the socket goes on working
                continue
            for kind, _, _, message in messages(data):
                if kind >> 8 == NFNL_SUBSYS_NFTABLES and kind & 0xFF != NFT_MSG_NEWGEN:
                    name = dict(attributes(message, HEADER.size + NFGENMSG)).get(TABLE, b"").rstrip(b"\0").decode()
                    changed |= {bridge_of(name)} if name.startswith(PREFIX) else set()
