"""Snapshots of a host: what ``observe`` writes and ``diff --live`` reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from cell_reconciler.errors import UsageError
from cell_reconciler.kinds.world import needs_devices, needs_filters, pool_targets
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Gap, Live, Source

FORMAT_VERSION = "1.0"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The file. A reader ignores keys that it does not know, and rejects another major version."""

    format_version: str = FORMAT_VERSION
    observed_at: str = ""  # RFC 3339
    live: Live


def to_json(live: Live, observed_at: str) -> bytes:
    """The file's content, indented, so that two snapshots can be compared by line."""
    encoded = msgspec.json.encode(Snapshot(observed_at=observed_at, live=live), order="sorted")
    return msgspec.json.format(encoded, indent=1) + b"\n"


def read(path: str, host: str | None = None) -> Live:
    """Raises UsageError for a file that is none, has another major version, or is of another host than ``host``."""
    try:
        snapshot = msgspec.json.decode(Path(path).read_bytes(), type=Snapshot)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not a snapshot: {error}", "make one with: cellctl observe -o FILE") from error
    if snapshot.format_version.partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
        raise UsageError(f"{path} has format {snapshot.format_version}; this version reads {FORMAT_VERSION}")
    if host and host != snapshot.live.host:
        raise UsageError(f"{path} is a snapshot of {snapshot.live.host!r}, not of {host!r}", "leave out --host")
    return snapshot.live


def complete(live: Live, documents: Mapping[Key, Document]) -> Live:
    """Pools, filters and devices that the specs need and nobody looked at are unknown, not absent (promise 9)."""
    unseen = "not in the snapshot; take it with these specs: cellctl observe -f PATH"
    gaps = [
        Gap(
            Source.CEPH if target.backend == "rbd" else Source.FILES,
            unseen,
            name,
        )
        for name, target in pool_targets(documents).items()
        if name not in live.pools
    ]
    if live.filters is None and needs_filters(documents):
        gaps.append(Gap(Source.NFTABLES, unseen))
    if live.devices is None and needs_devices(documents):
        gaps.append(Gap(Source.DEVICES, unseen))
    known = {(gap.source, gap.scope) for gap in live.gaps}
    added = tuple(gap for gap in gaps if (gap.source, gap.scope) not in known and not live.gap(gap.source))
    return msgspec.structs.replace(live, gaps=live.gaps + added)
