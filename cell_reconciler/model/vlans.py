"""VLAN memberships of a bridge port as values: what people write, and the kernel's ranges in one canonical form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

from cell_reconciler.model.live import VlanRange

FIRST, LAST = 1, 4094  # VLAN ids of IEEE 802.1Q; 0 and 4095 are reserved
_RANGE = re.compile(r"([1-9][0-9]{0,3})(?:-([1-9][0-9]{0,3}))?")


def parse(text: int | str) -> tuple[int, int]:
    """``300`` or ``"100-200"`` → first and last. Raises ValueError for what is no range of VLANs."""
    match = _RANGE.fullmatch(str(text))
    first = int(match[1]) if match else 0
    last = int(match[2] or match[1]) if match else 0
    if not FIRST <= first <= last <= LAST:
        raise ValueError(f"{text} is no VLAN and no range of VLANs from {FIRST} to {LAST}, such as 100-200")
    return first, last


def spell(first: int, last: int) -> int | str:
    """The reverse of ``parse``, as a document would have it."""
    return first if first == last else f"{first}-{last}"


def each(ranges: Iterable[VlanRange]) -> dict[int, VlanRange]:
    """Every VLAN by its id. Of two ranges with the same VLAN the later one counts."""
    return {
        vid: VlanRange(first=vid, last=vid, pvid=item.pvid, untagged=item.untagged)
        for item in ranges
        for vid in range(item.first, item.last + 1)
    }


def merged(singles: Mapping[int, VlanRange]) -> tuple[VlanRange, ...]:
    """The reverse of ``each``: the fewest ranges, in their order; the PVID stands alone, as the kernel wants it."""
    found: list[VlanRange] = []
    for vid in sorted(singles):
        item = singles[vid]
        last = found[-1] if found else None
        if last and last.last + 1 == vid and not (last.pvid or item.pvid) and last.untagged == item.untagged:
            found[-1] = VlanRange(first=last.first, last=vid, untagged=item.untagged)
        else:
            found.append(item)
    return tuple(found)


def canonical(ranges: Iterable[VlanRange]) -> tuple[VlanRange, ...]:
    """The same VLANs in the fewest ranges: two memberships are equal exactly if these are."""
    ranges = tuple(ranges)
    if all(a.last + 1 < b.first for a, b in pairwise(ranges)) and all(r.first == r.last or not r.pvid for r in ranges):
        return ranges
    return merged(each(ranges))


def wanted(untagged: int | None, trunk: Iterable[int | str] = ()) -> tuple[VlanRange, ...]:
    """What a port carries: one VLAN without tags, and those of a trunk. Raises ValueError for a range that is none."""
    singles = each(VlanRange(first=first, last=last) for first, last in map(parse, trunk))
    if untagged is not None:
        singles[untagged] = VlanRange(first=untagged, last=untagged, pvid=True, untagged=True)
    return merged(singles)
