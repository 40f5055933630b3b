"""The door to the kernel's network configuration: links and addresses, by rtnetlink.

The theory: pyroute2 knows the attributes, we own the socket. Its tables say their numbers and forms; requests, dumps,
errors and events run over a plain netlink socket of ours. So nothing of an event loop is in here, a dump that the
kernel marks as interrupted is seen and repeated, an attribute that pyroute2 does not know is refused instead of
dropped, the kernel's own error text reaches the operator, and one lost socket is simply replaced.

Rule 1: links are known by name. An index is looked up for one request and never kept.
Rule 2: requests and events have separate sockets; a request socket that failed once is never used again.
Rule 3: ``lo`` is not ours to change.
"""

from __future__ import annotations

from cell_reconciler.drivers.netlink.door import NetlinkDoor
from cell_reconciler.drivers.netlink.events import LinkEvents

__all__ = ["LinkEvents", "NetlinkDoor"]
