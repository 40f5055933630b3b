"""Opens each door once, when it is first needed, and counts what is written through them."""

from __future__ import annotations

import threading
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from cell_reconciler.drivers.pool_progress import Tell, unheard
from cell_reconciler.drivers.waiting import Waiting
from cell_reconciler.model.guest import SEEDS
from cell_reconciler.model.storage import PoolTarget

if TYPE_CHECKING:
    from cell_reconciler.drivers.devices import DevicesDoor
    from cell_reconciler.drivers.disks import DiskDoor
    from cell_reconciler.drivers.libvirt import LibvirtDoor
    from cell_reconciler.drivers.netlink import NetlinkDoor
    from cell_reconciler.drivers.nftables import NftablesDoor
    from cell_reconciler.drivers.pools import PoolDoor
    from cell_reconciler.drivers.promised import Promised
    from cell_reconciler.drivers.seeds import SeedDoor


class Writes:
    """Counts writing calls by name; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()

    def add(self, call: str) -> None:
        with self._lock:
            self._calls[call] += 1

    @property
    def calls(self) -> dict[str, int]:
        """Calls so far, by name."""
        with self._lock:
            return dict(self._calls)

    @property
    def total(self) -> int:
        with self._lock:
            return self._calls.total()


class Doors:
    """All doors of one host. Attributes open on first use; ``close`` closes what was opened."""

    def __init__(self, libvirt_uri: str = "qemu:///system", seeds: str = SEEDS) -> None:
        self.libvirt_uri = libvirt_uri
        self.seeds_directory = seeds
        self.writes = Writes()
        self.waiting = Waiting()
        self.progress: Tell = unheard  # who is told how far a step that takes long has come
        self._pools: dict[PoolTarget, PoolDoor] = {}
        self._promised: dict[PoolTarget, Promised] = {}
        self._lock = threading.RLock()

    @cached_property
    def libvirt(self) -> LibvirtDoor:
        from cell_reconciler.drivers.libvirt import LibvirtDoor

        return LibvirtDoor(self.libvirt_uri, self.writes)

    @cached_property
    def seeds(self) -> SeedDoor:
        from cell_reconciler.drivers.seeds import SeedDoor

        return SeedDoor(self.seeds_directory, self.writes)

    @cached_property
    def netlink(self) -> NetlinkDoor:
        from cell_reconciler.drivers.netlink import NetlinkDoor

        return NetlinkDoor(self.writes)

    @cached_property
    def nftables(self) -> NftablesDoor:
        from cell_reconciler.drivers.nftables import NftablesDoor

        return NftablesDoor(self.writes)

    @cached_property
    def disks(self) -> DiskDoor:
        from cell_reconciler.drivers.disks import DiskDoor

        return DiskDoor(lambda uuid, usage: self.libvirt.secret_value(uuid, usage), self.writes)

    @cached_property
    def devices(self) -> DevicesDoor:
        from cell_reconciler.drivers.devices import DevicesDoor

        return DevicesDoor()

    def password(self, file: str) -> str:
        """The password in a file, for a VNC console. Never log or keep it. Raises StepFailed."""
        from cell_reconciler.drivers import secret_files

        return secret_files.password(file)

    def pool(self, target: PoolTarget) -> PoolDoor:
        """The door of a storage pool; one per target, opened by the driver of its backend."""
        from cell_reconciler.drivers.pools import open_pool

        with self._lock:
            if target not in self._pools:
                self._pools[target] = open_pool(target, self.writes)
            return self._pools[target]

    def promised(self, target: PoolTarget) -> Promised:
        """What a storage pool has promised by now."""
        from cell_reconciler.drivers.promised import Promised

        with self._lock:
            if target not in self._promised:
                self._promised[target] = Promised(lambda: self.pool(target).observe())
            return self._promised[target]

    def close(self) -> None:
        """Close what was opened; the doors open again when used again."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()
        for name in ("libvirt", "netlink", "nftables", "disks"):
            door = self.__dict__.pop(name, None)
            if door is not None:
                door.close()
