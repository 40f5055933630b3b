"""Fakes, each beside a contract suite that runs on it and on the real thing (``tests/contract``).

``FakeNetlink`` stands in for ``NetlinkDoor``: a kernel's network in memory, with the rules of bonding, 8021q, bridge
and the routing tables that a plan can trip over. Where it and the kernel differ, the contract suite fails and the fake
is mended.
"""

from __future__ import annotations

from tests.fakes.door import FakeDoors, FakeNetlink
from tests.fakes.kernel import Kernel

__all__ = ["FakeDoors", "FakeNetlink", "Kernel"]
