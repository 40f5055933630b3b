"""One observation of the host: every needed source in bulk, side by side; what did not answer is a gap."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.drivers.managers import managers
from cell_reconciler.errors import Unreachable
from cell_reconciler.model.guest import GuestTarget
from cell_reconciler.model.live import Gap, Image, Live, Pool, Source
from cell_reconciler.model.storage import PoolTarget


def observe(
    doors: Doors,
    host: str,
    pools: Mapping[str, PoolTarget],
    sources: Collection[Source] = tuple(Source),
    down: Mapping[tuple[Source, str], str] | None = None,
    optional: Collection[Source] = (),
    guests: Mapping[str, GuestTarget] | None = None,
    left_out: Collection[Source] = (),
) -> Live:
    """Read everything. Never raises for a source that is unreachable: it becomes a ``Gap`` of the result.

    ``down``: (source, pool or "") → reason of what is known not to answer: it is not asked, and is a gap at once.
    ``optional``: sources that no document needs; what they do not answer is no gap. ``left_out``: those that are not
    even asked then. ``guests``: what is to be compared with the host for the VMs that need it.
    """
    gaps = [Gap(source, reason, scope) for (source, scope), reason in (down or {}).items()]
    pools = {name: target for name, target in pools.items() if name not in {gap.scope for gap in gaps}}
    sources = set(sources) - {gap.source for gap in gaps if not gap.scope} - set(left_out)
    found: dict[str, Any] = {}
    with ThreadPoolExecutor(max_workers=5, thread_name_prefix="observe") as executor:
        jobs: list[tuple[Source, str, Any]] = []
        if Source.LIBVIRT in sources:
            jobs.append((Source.LIBVIRT, "", executor.submit(lambda: observe_guests(doors, guests or {}))))
            jobs.append((Source.LIBVIRT, "", executor.submit(lambda: doors.libvirt.glance())))
        if Source.NETLINK in sources:
            jobs.append((Source.NETLINK, "", executor.submit(lambda: observe_network(doors))))
        if Source.NFTABLES in sources:
            jobs.append((Source.NFTABLES, "", executor.submit(lambda: doors.nftables.observe())))
        if Source.DEVICES in sources:
            jobs.append((Source.DEVICES, "", executor.submit(lambda: doors.devices.observe())))
        for target in pools.values():
            source = Source.CEPH if target.backend == "rbd" else Source.FILES
            if source in sources:
                jobs.append((source, target.name, executor.submit(_pool, doors, target)))
        for source, scope, job in jobs:
            try:
                for name, part in job.result().items():
                    found[name] = {**found.get(name, {}), **part} if isinstance(part, dict) else part
            except Unreachable as error:
                gaps += [] if source in optional else [Gap(source, error.reason, scope)]
    return Live(host=host, at=datetime.now(UTC), gaps=tuple(gaps), filters=found.pop("filters", None), **found)


def observe_guests(
    doors: Doors, targets: Mapping[str, GuestTarget], names: Collection[str] | None = None
) -> dict[str, Any]:
    """Domains (of ``names``, or all) and what they need beside their XML. Raises Unreachable."""
    found = doors.libvirt.observe(names)
    some = {name: target for name, target in targets.items() if names is None or name in names}
    seeds = {name: target.seed for name, target in some.items() if target.seed is not None}
    files = {name: target.password for name, target in some.items() if target.password}
    return {
        **found,
        "seeds": doors.seeds.observe(seeds, names),
        "passwords": doors.libvirt.passwords(files) if files else {},
    }


def observe_network(doors: Doors) -> dict[str, Any]:
    """What the kernel reports of the network, and who else manages its links. Raises Unreachable."""
    found = doors.netlink.observe()
    return {**found, "managers": managers(found["links"])}


def _pool(doors: Doors, target: PoolTarget) -> dict[str, dict[str, Pool] | dict[str, Image]]:
    door = doors.pool(target)
    pool, images = door.observe()
    return {"pools": {target.name: pool}, "images": {f"{target.name}/{i.name}": i for i in images}}
