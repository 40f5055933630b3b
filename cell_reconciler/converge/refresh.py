"""Observe again only what some keys need, and keep the rest of the last observation.

A pass about one VM reads one domain, its bridges and its volumes' pools, and not a thousand domains. The periodic full
resync makes it correct again whatever was missed. The network has its own part: ``refresh_network``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from cell_reconciler.converge.refresh_network import refresh_network
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.observe import observe_guests
from cell_reconciler.errors import Unreachable
from cell_reconciler.kinds import kind
from cell_reconciler.kinds.world import guest_targets, needs_devices, needs_filters, pool_targets
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Gap, Live, Source


def refresh(
    doors: Doors,
    live: Live,
    documents: Mapping[Key, Document],
    keys: Collection[Key],
    heard: Collection[str] | None = None,
) -> Live:
    """``live`` with the parts renewed that ``keys`` and what they refer to depend on. Never raises Unreachable.

    ``heard``: what the kernel said that changed since the last observation, as ``LinkEvents`` tells it; the rest of the
    network is as it was then. None: nobody listens, so that all of it is read.
    """
    wanted = with_references(keys, documents)
    parts: dict[str, Any] = {}
    gaps = list(live.gaps)  # what is known to be silent is not asked here; the full observation does
    silent = {(gap.source, gap.scope) for gap in gaps}
    domains = {key.name for key in wanted if key.kind == "VirtualMachine"}
    if domains and (Source.LIBVIRT, "") not in silent:
        _part(Source.LIBVIRT, parts, gaps, lambda: _domains(doors, live, documents, domains))
    linked = {key for key in wanted if Source.NETLINK in kind(key.kind).sources}
    if (linked or heard) and (Source.NETLINK, "") not in silent:
        seen = msgspec.structs.replace(live, **parts)
        _part(Source.NETLINK, parts, gaps, lambda: refresh_network(doors, seen, documents, linked, heard))
    if (Source.NFTABLES, "") not in silent and _filtered(live, documents, linked, whole=heard is None):
        _part(Source.NFTABLES, parts, gaps, lambda: doors.nftables.observe())
    asking = {key: documents[key] for key in wanted if key in documents}
    if (Source.DEVICES, "") not in silent and needs_devices(asking):
        _part(Source.DEVICES, parts, gaps, lambda: doors.devices.observe())
    for name, target in pool_targets(documents).items():
        source = Source.CEPH if target.backend == "rbd" else Source.FILES
        if Key("StoragePool", name) in wanted and (source, name) not in silent:
            _part(source, parts, gaps, lambda t=target: _pool(doors, live, parts, t), scope=name)
    if not parts and len(gaps) == len(live.gaps):
        return live  # the very same, so that what was derived from it need not be derived again
    return msgspec.structs.replace(live, at=datetime.now(UTC), gaps=tuple(gaps), **parts)


def _filtered(live: Live, documents: Mapping[Key, Document], linked: Collection[Key], *, whole: bool) -> bool:
    """Have the packet filters to be read? With all of the network, or for a bridge that has one, or should."""
    if whole:
        return bool(linked) and (live.filters is not None or needs_filters(documents))
    named = live.filters or {}
    return any(key.name in named or needs_filters({key: documents[key]}) for key in linked if key in documents)


def _part(source: Source, parts: dict[str, Any], gaps: list[Gap], read: Any, scope: str = "") -> None:
    try:
        parts.update(read())
    except Unreachable as error:
        gaps.append(Gap(source, error.reason, scope))


def _domains(doors: Doors, live: Live, documents: Mapping[Key, Document], names: set[str]) -> dict[str, Any]:
    keys = (Key("VirtualMachine", name) for name in names)
    targets = guest_targets({key: documents[key] for key in keys if key in documents})
    found = observe_guests(doors, targets, names)
    for part in ("domains", "seeds", "passwords"):
        kept = {name: fact for name, fact in getattr(live, part).items() if name not in names}
        found[part] = {**kept, **found[part]}
    return found


def _pool(doors: Doors, live: Live, parts: dict[str, Any], target: Any) -> dict[str, Any]:
    pool, images = doors.pool(target).observe()
    prefix = f"{target.name}/"
    old_images = parts.get("images", live.images)
    kept = {name: image for name, image in old_images.items() if not name.startswith(prefix)}
    return {
        "pools": {**parts.get("pools", live.pools), target.name: pool},
        "images": {**kept, **{prefix + image.name: image for image in images}},
    }


def with_references(keys: Collection[Key], documents: Mapping[Key, Document]) -> set[Key]:
    """The keys and all that their documents refer to."""
    found: set[Key] = set()
    queue = list(keys)
    while queue:
        key = queue.pop()
        if key in found:
            continue
        found.add(key)
        if key in documents:
            queue += [r.target for r in kind(key.kind).references(documents[key], documents)]
    return found
