"""VLANs of ports as values: what people write, the kernel's ranges, and the way from one membership to another."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.drivers.netlink import ports as wire
from cell_reconciler.drivers.netlink.transport import HEADER, attributes
from cell_reconciler.kinds.links.ports import BridgePort, PortVlans, observed, ranges
from cell_reconciler.model import vlans
from cell_reconciler.model.live import VlanRange
from tests.livelinks import link

VIDS = st.integers(vlans.FIRST, vlans.LAST)


@st.composite
def trunks(draw: st.DrawFn) -> list[int | str]:
    """A trunk as people write it, in any order and overlapping."""
    pairs = draw(st.lists(st.tuples(VIDS, st.integers(0, 300)), max_size=6))
    return [vlans.spell(first, min(first + more, vlans.LAST)) for first, more in pairs]


@st.composite
def memberships(draw: st.DrawFn) -> tuple[VlanRange, ...]:
    """What the kernel may report: any VLAN with or without a tag, and at most one PVID."""
    untagged = {vid: draw(st.booleans()) for vid in draw(st.sets(st.integers(1, 40), max_size=12))}
    pvid = draw(st.sampled_from([None, *untagged]))
    return vlans.merged({v: VlanRange(first=v, last=v, pvid=v == pvid, untagged=u) for v, u in untagged.items()})


def numbers(trunk: list[int | str]) -> set[int]:
    """The VLANs of a trunk, counted another way."""
    found: set[int] = set()
    for item in trunk:
        first, _, last = str(item).partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


@pytest.mark.parametrize(
    "text", [0, 4095, "0", "4095", "5-4", "1-4095", "x", "1-", "-1", "01", "1-2-3", "1 - 2", "", "1\n"]
)
def test_what_is_no_range_is_refused(text: int | str) -> None:
    with pytest.raises(ValueError, match="no VLAN"):
        vlans.parse(text)


@given(VIDS, VIDS)
def test_a_range_reads_as_it_is_spelled(one: int, other: int) -> None:
    first, last = sorted((one, other))
    assert vlans.parse(vlans.spell(first, last)) == (first, last)


@given(st.none() | VIDS, trunks())
def test_a_trunk_carries_what_it_says(native: int | None, trunk: list[int | str]) -> None:
    carried = vlans.wanted(native, trunk)
    each = vlans.each(carried)
    assert set(each) == numbers(trunk) | ({native} if native else set())
    assert [vid for vid, item in each.items() if item.pvid or item.untagged] == ([native] if native else [])
    assert carried == vlans.merged(each) == vlans.canonical(carried)


@given(st.none() | VIDS, trunks())
def test_ranges_are_the_fewest_and_in_order(native: int | None, trunk: list[int | str]) -> None:
    carried = vlans.wanted(native, trunk)
    for before, after in pairwise(carried):
        assert before.last < after.first
        touching = before.last + 1 == after.first
        assert not touching or before.pvid or after.pvid or before.untagged != after.untagged


@given(memberships())
def test_equal_memberships_have_one_form(carried: tuple[VlanRange, ...]) -> None:
    singles = tuple(vlans.each(carried).values())
    assert vlans.canonical(singles) == vlans.canonical(reversed(singles)) == carried


@given(memberships(), memberships())
def test_changes_lead_from_one_membership_to_the_other(
    have: tuple[VlanRange, ...], want: tuple[VlanRange, ...]
) -> None:
    put, remove = wire.vlan_changes(have, want)
    now = vlans.each(have)
    for vid, item in vlans.each(put).items():
        if item.pvid:  # __vlan_add_pvid: there is one PVID, a new one takes the place of the old
            now = {v: VlanRange(first=v, last=v, untagged=i.untagged) for v, i in now.items()}
        now[vid] = item
    for vid in vlans.each(remove):
        del now[vid]
    assert vlans.merged(now) == want
    assert have != want or not (put or remove)


@given(memberships())
def test_a_request_says_what_the_kernel_tells(carried: tuple[VlanRange, ...]) -> None:
    """Written as RTM_SETLINK wants it; told as RTM_GETVLAN does: the same flags, another frame."""
    body = wire.vlan_request(7, carried)
    ((_, spec),) = attributes(body, 16)
    told, first = b"", 0
    for _, value in attributes(spec, 0):
        flags, vid = struct.unpack("=HH", value)
        if flags & 0x8:  # RANGE_BEGIN
            first = vid
            continue
        info = struct.pack("=HHHH", 8, 1, flags & 0x6, first if flags & 0x10 else vid)
        more = struct.pack("=HHH2x", 6, 2, vid) if flags & 0x10 else b""
        told += struct.pack("=HH", 4 + len(info + more), 0x8001) + info + more
    message = HEADER.pack(0, 0, 0, 0, 0) + struct.pack("=BBHI", 7, 0, 0, 7) + told
    assert wire.read_vlans([message]) == {7: carried}


@given(memberships(), st.none() | VIDS, trunks())
def test_a_port_is_spelled_as_its_document_exactly_if_it_carries_the_same(
    carried: tuple[VlanRange, ...], native: int | None, trunk: list[int | str]
) -> None:
    said = PortVlans(native=native, trunk=tuple(trunk)) if native else PortVlans(trunk=tuple(trunk))
    for now in (carried, ranges(said)):
        found = observed("p", link("p", vlans=now), BridgePort(name="p", vlans=said))
        assert (found.vlans == said) == (now == ranges(said))
