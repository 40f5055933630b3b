"""Disks and drives of a domain as a document has them; what is no RAW disk, and what stands beside one, is told.

A place in a declared StoragePool is a ``volume``, every other one a ``source``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from cell_reconciler.kinds.export import unusual
from cell_reconciler.kinds.virtual_machine import devices, sources
from cell_reconciler.kinds.virtual_machine.observe import Parsed
from cell_reconciler.kinds.virtual_machine.spec import Disk
from cell_reconciler.kinds.virtual_machine.spec.disk import Iotune
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.storage import DiskSource, PoolTarget

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

# What the fields of a disk are about, by the path of an element: its children, and after @ its attributes.
_KNOWN: Mapping[str, str] = {
    ".": "driver source target alias address boot iotune serial readonly shareable auth backingStore"
    " @type @device @rawio",
    "driver": "@name @type @cache @io @discard @detect_zeroes @iothread",
    "source": "host auth initiator reservations @file @dev @protocol @name @index",
    "source/host": "@name @port",
    "source/reservations": "@managed",
    "iotune": " ".join(Iotune.__struct_fields__),
    "target": "@dev @bus",
}


def disks(raw: Parsed, pools: Mapping[str, PoolTarget]) -> list[dict[str, Any]]:
    """What can be declared, as a document has it."""
    return [unusual(said(disk)) for found in raw.spec.disks if (disk := _placed(found, raw, pools)) is not None]


def drives(raw: Parsed) -> list[dict[str, Any]]:
    """CD-ROM drives that are empty, or have a file in them."""
    return [unusual(said(drive)) for drive in raw.spec.cdroms if _is_file(raw.sources[drive.name])]


def _placed(disk: Disk, raw: Parsed, pools: Mapping[str, PoolTarget]) -> Disk | None:
    volume = sources.volume_of(raw.sources[disk.name], pools)
    if volume is None and not disk.source:
        return None
    return msgspec.structs.replace(disk, volume=volume or UNSET, source=UNSET if volume else disk.source)


def _is_file(source: DiskSource) -> bool:
    return (source.backend == "file" and not source.foreign) or not (source.path or source.image or source.target)


def said(value: Any) -> Any:
    """None → UNSET: what is not there is not said."""
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **{f: said(getattr(value, f)) for f in value.__struct_fields__})
    if isinstance(value, tuple):
        return tuple(map(said, value))
    return UNSET if value is None else value


def lost(root: Element, raw: Parsed, pools: Mapping[str, PoolTarget]) -> Iterator[str]:
    """What the document does not say of disks and drives, a line each."""
    for disk in raw.spec.disks:
        if _placed(disk, raw, pools) is None:
            where = raw.sources[disk.name].text
            yield f"disk {disk.name} ({where}) cannot be declared, as it is no plain RAW disk; it stays as it is"
    for drive in raw.spec.cdroms:
        if not _is_file(source := raw.sources[drive.name]):
            yield f"drive {drive.name} ({source.text}) cannot be declared, as its medium is no file; it stays as it is"
    for codec in (devices.Disks(), devices.Cdroms()):
        for name, element in codec.items(root):
            if beside := list(_beside(element)):
                yield f"{', '.join(beside)} of disk {name} cannot be declared; it stays as it is"


def _beside(disk: Element) -> Iterator[str]:
    """Elements and attributes that no field is about."""
    for path, known in _KNOWN.items():
        words = known.split()
        for element in [disk] if path == "." else disk.findall(path):
            tags = [child.tag for child in element if isinstance(child.tag, str)]
            yield from (f"<{tag}>" for tag in tags if tag not in words)
            yield from (f'{name}="{element.get(name)}"' for name in map(str, element.attrib) if f"@{name}" not in words)
