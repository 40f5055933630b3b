"""The one comparison: owned fields only, keyed lists, ignore rules, and diff(x, x) is empty."""

from __future__ import annotations

from typing import Annotated

from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.kinds.compare import compare
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc
from cell_reconciler.model.quantities import Bytes


class Disk(Spec, frozen=True, kw_only=True):
    """A disk."""

    name: Annotated[str, doc("Name.", Effect.REPLACE)]
    size: Annotated[Bytes, doc("Size.")] | UnsetType = UNSET


class Thing(Spec, frozen=True, kw_only=True):
    """A thing."""

    mtu: Annotated[int, doc("MTU.")] | UnsetType = UNSET
    policy: Annotated[str, doc("Policy.", Effect.POLICY)] = "a"
    members: Annotated[tuple[str, ...], doc("Members.", unordered=True)] = ()
    password: Annotated[str, doc("Secret.", secret=True)] | UnsetType = UNSET
    disks: Annotated[tuple[Disk, ...], doc("Disks.", Effect.RESTART)] = ()


names = st.lists(st.text("abc", min_size=1, max_size=2), unique=True, max_size=4)
things = st.builds(
    Thing,
    mtu=st.integers(68, 9000) | st.just(UNSET),
    members=names.map(tuple),
    disks=names.map(lambda ns: tuple(Disk(name=n, size=Bytes(1)) for n in ns)),
)


@given(things)
def test_equal_things_do_not_differ(thing: Thing) -> None:
    assert compare(thing, thing) == ()


@given(things, st.randoms())
def test_order_of_keyed_and_unordered_lists_is_nothing(thing: Thing, random: object) -> None:
    turned = Thing(mtu=thing.mtu, members=thing.members[::-1], disks=thing.disks[::-1])
    assert compare(thing, turned) == ()


def test_unset_is_not_ours_and_absent_differs() -> None:
    assert compare(Thing(), Thing(mtu=1500)) == ()
    [change] = compare(Thing(mtu=1500), Thing())
    assert (change.path, change.have, change.want) == ("spec.mtu", None, 1500)


def test_policy_is_never_compared() -> None:
    assert compare(Thing(policy="a"), Thing(policy="b")) == ()


def test_keyed_lists_name_their_items() -> None:
    want = Thing(disks=(Disk(name="root", size=Bytes(2**30)), Disk(name="new")))
    have = Thing(disks=(Disk(name="old"), Disk(name="root", size=Bytes(2**20))))
    changes = {c.path: (c.have, c.want) for c in compare(want, have)}
    assert changes == {
        "spec.disks[root].size": ("1MiB", "1GiB"),
        "spec.disks[new]": (None, {"name": "new"}),
        "spec.disks[old]": ({"name": "old"}, None),
    }


def test_an_empty_list_that_we_own_removes() -> None:
    [change] = compare(Thing(disks=()), Thing(disks=(Disk(name="old"),)))
    assert (change.path, change.want) == ("spec.disks[old]", None)


def test_adopted_objects_own_only_what_is_named() -> None:
    want, have = Thing(mtu=1500, members=("a",)), Thing(mtu=9000, members=("b",))
    assert [c.path for c in compare(want, have, named={"/spec/mtu"})] == ["spec.mtu"]


def test_ignored_fields_are_shown_and_marked() -> None:
    want = Thing(mtu=1500, disks=(Disk(name="root", size=Bytes(1)),))
    have = Thing(mtu=9000, disks=(Disk(name="root", size=Bytes(2)), Disk(name="extra")))
    changes = compare(want, have, ignored=("/spec/disks",))
    assert {c.path: c.ignored for c in changes} == {
        "spec.mtu": False,
        "spec.disks[root].size": True,
        "spec.disks[extra]": True,
    }


def test_secrets_are_marked() -> None:
    [change] = compare(Thing(password="a"), Thing(password="b"))
    assert change.secret
