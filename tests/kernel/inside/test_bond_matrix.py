"""What the declarations of Bond say about the kernel, asked of the kernel: every option, in every mode, in every state.

The answer has to be the same both ways: what we call possible the kernel does, and what we call impossible it refuses.
"""

from __future__ import annotations

import struct
from typing import Any

import pytest
from msgspec import inspect as mi

from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.netlink import NetlinkDoor
from cell_reconciler.errors import CellError
from cell_reconciler.kinds.bond import options
from cell_reconciler.kinds.bond.modes import BondMode
from cell_reconciler.model.fields import UNSET, Effect, Field
from cell_reconciler.model.live import Link
from tests.kinds.bonds import BESIDE, another
from tests.network import document, isolated, problems

pytestmark = pytest.mark.kernel
NICS = ("eno1", "eno2")
STATES = [(members, up) for members in (0, 2) for up in (False, True)]
# Those that name a member have no other value, and the kernel takes a note of a primary that is no member.
NAMES = {"primary": "eno2", "active_slave": "eno2"}


def said(field: Field) -> Any:
    """Another value than the default, in the kernel's words."""
    if field.name in NAMES:
        return NAMES[field.name]
    return options.to_kernel(tuple(value) if isinstance(value := another(field), list) else value)


def refused(door: NetlinkDoor, **data: Any) -> str:
    """What the kernel says to it; empty: it has done it, and tells so."""
    try:
        door.set_data("bond0", "bond", **data)
    except CellError as error:
        return error.message
    return ""


def newer(door: NetlinkDoor) -> set[str]:
    """Options that this kernel does not have: it says yes to them, and nothing happens."""
    lacking: set[str] = set()
    for mode in BondMode:
        door.create_link("bond0", "bond", data={"bond_mode": mode.value, "bond_miimon": 100})
        link = door.link("bond0")
        assert link is not None
        lacking |= {
            name
            for name, field in options.PLAIN.items()
            if field.extra["since"] and mode in field.extra["modes"] and not options.reported(field, link)
        }
        door.delete_link("bond0")
    return lacking


class Bond:
    """One bond after another in a network namespace with two NICs."""

    def __init__(self) -> None:
        self.door = NetlinkDoor(Writes())
        for nic in NICS:
            self.door.create_link(nic, "dummy", group=0)

    def make(self, mode: BondMode, members: int, up: bool) -> None:
        self.door.delete_link("bond0")
        self.door.create_link("bond0", "bond", data={"bond_mode": mode.value, "bond_miimon": 100})
        for nic in NICS[:members]:
            self.door.set_link(nic, up=False)
            self.door.set_link(nic, master="bond0")
        self.door.set_link("bond0", up=up)

    @property
    def link(self) -> Link:
        link = self.door.link("bond0")
        assert link is not None
        return link

    @property
    def data(self) -> dict[str, Any]:
        return self.link.data

    def takes(self, field: Field) -> bool:
        """Sets the option and, if the kernel took it, sets it back."""
        option, value = field.extra["netlink"], said(field)
        if refused(self.door, **{option: value}):
            return False
        assert self.data.get(option) in (value, None if field.name == "primary" else value), field.yaml
        if option == "bond_arp_interval":
            self.door.set_data("bond0", "bond", bond_miimon=100)
        elif field.name in NAMES:
            self.door.set_data("bond0", "bond", **{option: None})
        else:
            absent = field.extra["absent"]
            usual = {"miimon": 100, "num_unsol_na": 1}.get(field.name, absent)
            self.door.set_data("bond0", "bond", **{option: options.to_kernel(usual)})
        return True


def expected(field: Field, mode: BondMode, members: int, up: bool) -> bool:
    """What the declaration says."""
    if mode not in field.extra["modes"] or (field.name == "active_slave" and not members):
        return False
    return {
        Effect.LIVE: True,
        Effect.DOWN: not up,
        Effect.EMPTY: not members,
    }[field.change]


@isolated
def test_every_option_in_every_mode_and_state() -> None:
    bond = Bond()
    fields = [f for n, f in options.FIELDS.items() if n not in ("prio", "queue_id")]
    cases, wrong = 0, []
    for mode in BondMode:
        for members, up in STATES:
            bond.make(mode, members, up)
            known = [f for f in fields if not f.extra["since"] or options.reported(f, bond.link)]
            for field in known:
                cases += 1
                if (did := bond.takes(field)) != expected(field, mode, members, up):
                    wrong.append((field.yaml, mode.value, members, "up" if up else "down", did))
            other = BondMode.BROADCAST if mode != BondMode.BROADCAST else BondMode.BALANCE_RR
            cases += 1
            if bool(refused(bond.door, bond_mode=other.value)) == (not members and not up):
                wrong.append(("mode", mode.value, members, "up" if up else "down", bool(members) or up))
    assert not wrong, wrong
    assert cases >= 480


@isolated
def test_every_number_of_a_member_in_every_mode() -> None:
    bond = Bond()
    for mode in BondMode:
        bond.make(mode, 2, True)
        for name in ("prio", "queue_id"):
            field = options.FIELDS[name]
            try:
                bond.door.set_member("eno1", **{field.extra["netlink"]: 3})
            except CellError:
                assert mode not in field.extra["modes"], (name, mode)
                continue
            assert mode in field.extra["modes"], (name, mode)
            link = bond.door.link("eno1")
            assert link is not None
            assert link.port[field.extra["netlink"]] == 3


@isolated
def test_what_the_rules_allow_beside_a_mode_makes_a_bond_and_what_they_do_not_makes_none() -> None:
    door = NetlinkDoor(Writes())
    unknown = newer(door)
    for mode in BondMode:
        everything: dict[str, Any] = {"mode": mode.value}
        for field in (f for f in options.PLAIN.values() if f.name not in unknown):
            spec = {"mode": mode.value, **BESIDE.get(field.name, {}), field.yaml: another(field)}
            found = problems(document("Bond/bond0", spec)) - {"min-links"}
            if found:
                assert found <= {"option-mode", "monitor-both"}, (spec, found)
                data = options.request(document("Bond/bond0", spec).spec, {field.name})
                with pytest.raises(CellError, match="not supported in mode"):
                    door.create_link("bond0", "bond", data={"bond_mode": mode.value, **data})
            elif not problems(document("Bond/bond0", {**everything, **spec})) - {"min-links"}:
                everything |= spec
        data = options.creation(document("Bond/bond0", everything).spec)
        door.create_link("bond0", "bond", data=data)
        link = door.link("bond0")
        assert link is not None
        assert options.same(link.data, data), (data, link.data)
        assert len(data) >= 18
        door.delete_link("bond0")


@isolated
def test_the_defaults_are_the_kernels() -> None:
    door = NetlinkDoor(Writes())
    for mode in BondMode:
        door.create_link("bond0", "bond", data={"bond_mode": mode.value})
        link = door.link("bond0")
        assert link is not None
        for name, value in options.observed(link).items():
            absent = options.FIELDS[name].extra["absent"]
            if absent is not UNSET:
                assert value == absent, (name, mode)
        door.delete_link("bond0")


@isolated
def test_limits_are_the_kernels() -> None:
    bond = Bond()
    for name, field in options.PLAIN.items():
        if not isinstance(field.type, mi.IntType):
            continue
        mode = next(m for m in BondMode if m in field.extra["modes"])
        bond.make(mode, 0, False)
        option, low, high = field.extra["netlink"], field.type.ge, field.type.le
        assert low is not None
        assert high is not None
        if option not in bond.data:
            continue
        if name not in options.DELAYS:  # they are rounded
            assert not refused(bond.door, **{option: high}), name
            assert not refused(bond.door, **{option: low}), name
        for beyond in (low - 1, high + 1):
            try:
                assert refused(bond.door, **{option: beyond}), (name, beyond)
            except struct.error:  # no such number in the message
                continue
