"""Splitting a plan: nothing lost, nothing shared, order kept; what is held takes its dependents along."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.daemon.split import split
from cell_reconciler.model.change import Change, Plan, Step, Verb
from cell_reconciler.model.key import Key


class Nothing:
    def done(self, doors: object) -> bool:
        return True

    def do(self, doors: object) -> None: ...


def make(steps: list[tuple[str, list[int]]], quiet: tuple[str, ...] = ()) -> Plan:
    """Steps as (name of the key, indexes that come before)."""
    made = tuple(
        Step(key=Key("Bridge", name), op="x", text=f"{name}{index}", action=Nothing())
        for index, (name, _) in enumerate(steps)
    )
    keys = dict.fromkeys(step.key for step in made)
    changes = [Change(key=k, verb=Verb.UPDATE, steps=tuple(s for s in made if s.key == k)) for k in keys]
    changes += [Change(key=Key("Bridge", name), verb=Verb.NONE) for name in quiet]
    edges = tuple(tuple(before) for _, before in steps)
    unknown = {Key("Volume", "v"): "ceph is unreachable"}
    return Plan(host="h", changes=tuple(changes), steps=made, edges=edges, unknown=unknown)


def texts(plan: Plan) -> list[str]:
    return [step.text for step in plan.steps]


def test_independent_keys_become_plans_of_their_own() -> None:
    plan = make([("a", []), ("b", []), ("a", [0]), ("c", [1])], quiet=("q",))
    parts = split(plan, lambda _key: False)
    assert [texts(p) for p in parts.moving] == [["a0", "a2"], ["b1", "c3"]]
    assert parts.moving[0].edges == ((), (0,))
    assert parts.moving[1].edges == ((), (0,))
    assert [c.key.name for c in parts.still.changes] == ["q"]
    assert parts.still.unknown == plan.unknown
    assert not parts.moving[0].unknown


def test_held_takes_along_what_needs_it_but_not_what_it_needs() -> None:
    plan = make([("bridge", []), ("good", [0]), ("bad", [0]), ("after", [2])])
    parts = split(plan, lambda key: key.name == "bad")
    assert [texts(p) for p in parts.moving] == [["bridge0", "good1"]]
    assert {key.name for key in parts.held} == {"bad", "after"}


def test_what_only_comes_after_goes_with_it_and_without_it() -> None:
    plan = msgspec.structs.replace(make([("first", []), ("second", []), ("other", [])]), soft=((), (0,), ()))
    parts = split(plan, lambda _key: False)
    assert [texts(p) for p in parts.moving] == [["first0", "second1"], ["other2"]]
    assert parts.moving[0].soft == ((), (0,))
    parts = split(plan, lambda key: key.name == "first")
    assert [texts(p) for p in parts.moving] == [["second1"], ["other2"]]


def test_a_key_is_held_as_a_whole() -> None:
    plan = make([("a", []), ("b", []), ("a", [1])])
    parts = split(plan, lambda key: key.name == "b")
    assert parts.moving == ()
    assert {key.name for key in parts.held} == {"a", "b"}


def test_a_held_key_without_steps_is_not_written_about() -> None:
    parts = split(make([], quiet=("q", "r")), lambda key: key.name == "q")
    assert [c.key.name for c in parts.still.changes] == ["r"]


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(0, 12))
    steps = []
    for index in range(count):
        name = draw(st.sampled_from("abcdef"))
        before = draw(st.lists(st.integers(0, index - 1), max_size=2, unique=True)) if index else []
        steps.append((name, before))
    return make(steps, quiet=("q",))


@given(plans(), st.sets(st.sampled_from("abcdef")))
def test_every_step_is_in_one_part_or_held_and_order_is_kept(plan: Plan, stop: set[str]) -> None:
    parts = split(plan, lambda key: key.name in stop)
    found = [text for part in parts.moving for text in texts(part)]
    assert len(found) == len(set(found))
    assert set(found) | {s.text for s in plan.steps if s.key in parts.held} == set(texts(plan))
    keys = [{c.key for c in part.changes} for part in parts.moving]
    assert sum(map(len, keys)) == len(set().union(*keys)), "a key in two parts would have two workers"
    assert not any(key.name in stop for part in keys for key in part)
    for part in parts.moving:
        for index, before in enumerate(part.edges):
            assert all(b < index for b in before)
            original = plan.edges[texts(plan).index(part.steps[index].text)]
            assert [part.steps[b].text for b in before] == [plan.steps[b].text for b in original]
