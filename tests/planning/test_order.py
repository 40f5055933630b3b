"""Any plan respects its order: properties over random changes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.model.change import Change, Step, Verb
from cell_reconciler.model.key import Key
from cell_reconciler.planning.order import Circle, order


class Nothing(msgspec.Struct, frozen=True):
    """An action for plans that are never executed."""

    def done(self, doors: Any) -> bool:
        return True

    def do(self, doors: Any) -> None:
        raise AssertionError("planning executes nothing")


def change(name: str, count: int, *, deletes: bool = False, **tokens: Any) -> Change:
    key = Key("Bridge", name)
    steps = tuple(
        Step(key=key, op="test", text=f"{name}.{i}", action=Nothing(), deletes=deletes, **(tokens if i == 0 else {}))
        for i in range(count)
    )
    return Change(key=key, verb=Verb.DELETE if deletes else Verb.UPDATE, steps=steps)


@given(st.lists(st.integers(min_value=0, max_value=4), min_size=1, max_size=12), st.data())
def test_dependencies_come_first(counts: list[int], data: st.DataObject) -> None:
    changes = [change(f"k{i}", count) for i, count in enumerate(counts)]
    # Edges only from higher to lower numbers: no cycle.
    refers = {
        c.key: [changes[j].key for j in data.draw(st.sets(st.integers(0, i - 1)) if i else st.just(set()))]
        for i, c in enumerate(changes)
    }
    shuffled = data.draw(st.permutations(changes))
    steps, edges, soft = order(shuffled, refers, {})
    assert soft == ()
    assert sorted(s.text for s in steps) == sorted(s.text for c in changes for s in c.steps)
    place = {step.text: index for index, step in enumerate(steps)}
    for c in changes:
        texts = [step.text for step in c.steps]
        assert [place[t] for t in texts] == sorted(place[t] for t in texts)
        for ref in refers[c.key]:
            target = next(x for x in changes if x.key == ref)
            if c.steps and target.steps:
                assert place[target.steps[-1].text] < place[c.steps[0].text]
    assert all(before < index for index, earlier in enumerate(edges) for before in earlier)


def test_a_thing_goes_after_its_last_user_moved_away() -> None:
    bridge = change("br", 1, deletes=True)
    vm = change("vm", 2)
    steps, _, _ = order([bridge, vm], {}, {vm.key: [bridge.key]})
    assert [s.text for s in steps] == ["vm.0", "vm.1", "br.0"]


def test_tokens_of_a_kind_order_across_keys() -> None:
    takes, frees = change("a", 1, needs=("free:eno1",)), change("b", 1, gives=("free:eno1",))
    steps, _, _ = order([takes, frees], {}, {})
    assert [s.text for s in steps] == ["b.0", "a.0"]


def test_what_comes_after_need_not_succeed_and_need_not_be_there() -> None:
    third = change("a", 1, after=("started:1", "started:0", "started:7"), gives=("started:2",))
    second, first = change("b", 1, after=("started:0",), gives=("started:1",)), change("c", 1, gives=("started:0",))
    steps, edges, soft = order([third, second, first], {}, {})
    assert [s.text for s in steps] == ["c.0", "b.0", "a.0"]
    assert (edges, soft) == (((), (), ()), ((), (0,), (0, 1)))


def test_a_circle_is_named() -> None:
    one, two = change("one", 1), change("two", 1)
    waits, before = change("waits", 1), change("before", 1)
    refers = {one.key: [two.key], two.key: [one.key, before.key], waits.key: [one.key]}
    with pytest.raises(Circle, match="of Bridge/one, Bridge/two wait") as circle:
        order([one, two, waits, before], refers, {})
    assert circle.value.keys == {one.key, two.key}, "and not who waits for them, or they for"
