"""The queue, by values and by properties: no key is lost, and no key is with two workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cell_reconciler.daemon.queue import WorkQueue
from cell_reconciler.model.key import Key

A, B, C = (Key("VirtualMachine", name) for name in "abc")


def test_the_longest_waiting_comes_first_and_once() -> None:
    queue = WorkQueue()
    queue.add(B, 2.0)
    queue.add(A, 1.0)
    queue.add(A, 1.5)
    assert queue.next_due() == 1.0
    assert queue.take(0.5) == []
    assert queue.take(3.0) == [A, B]
    assert queue.take(9.0) == []


def test_the_earlier_time_counts() -> None:
    queue = WorkQueue()
    queue.add(A, 100.0)
    queue.add(A, 5.0)
    queue.add(A, 50.0)
    assert queue.next_due() == 5.0


def test_added_while_busy_comes_after() -> None:
    queue = WorkQueue()
    queue.add(A, 0.0)
    assert queue.take(0.0) == [A]
    queue.add(A, 1.0)
    assert queue.take(10.0) == []
    assert queue.next_due() is None
    queue.done(A)
    assert queue.take(10.0) == [A]


def test_done_can_postpone_what_was_added_meanwhile() -> None:
    queue = WorkQueue()
    queue.add(A, 0.0)
    queue.take(0.0)
    queue.add(A, 0.05)  # an event that our own failing attempt caused
    queue.done(A, not_before=30.0)
    assert queue.next_due() == 30.0


def test_claim_takes_a_key_that_is_waiting_or_new_but_not_one_at_work() -> None:
    queue = WorkQueue()
    queue.add(A, 7.0)
    assert queue.claim(A)
    assert queue.claim(B)
    assert not queue.claim(A)
    assert queue.busy == {A, B}
    queue.done(A)
    assert queue.next_due() == 7.0  # what was wanted before the claim is still wanted


def test_drop() -> None:
    queue = WorkQueue()
    queue.add(A, 0.0)
    queue.add(B, 0.0)
    queue.take(0.0)
    queue.add(A, 1.0)
    queue.add(C, 1.0)
    queue.drop(A)
    queue.drop(C)
    queue.done(A)
    assert queue.next_due() is None


def test_done_of_what_is_not_busy_is_a_bug() -> None:
    with pytest.raises(KeyError):
        WorkQueue().done(A)


class Model(RuleBasedStateMachine):
    """The queue against the plainest model: a set of wanted keys and a set of busy ones."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = WorkQueue()
        self.now = 0.0
        self.wanted: dict[Key, float] = {}
        self.again: dict[Key, float] = {}
        self.busy: set[Key] = set()

    @rule(key=st.sampled_from([A, B, C]), delay=st.floats(0, 10))
    def add(self, key: Key, delay: float) -> None:
        due = self.now + delay
        self.queue.add(key, due)
        place = self.again if key in self.busy else self.wanted
        place[key] = min(due, place.get(key, due))

    @rule(step=st.floats(0, 10))
    def take(self, step: float) -> None:
        self.now += step
        taken = self.queue.take(self.now)
        assert len(taken) == len(set(taken))
        assert not set(taken) & self.busy, "with two workers at a time"
        assert set(taken) == {key for key, due in self.wanted.items() if due <= self.now}
        for key in taken:
            del self.wanted[key]
        self.busy |= set(taken)

    @rule(key=st.sampled_from([A, B, C]), hold=st.floats(0, 10))
    def done(self, key: Key, hold: float) -> None:
        if key not in self.busy:
            return
        self.queue.done(key, self.now + hold)
        self.busy.discard(key)
        if key in self.again:
            self.wanted[key] = max(self.again.pop(key), self.now + hold)

    @rule(key=st.sampled_from([A, B, C]))
    def claim(self, key: Key) -> None:
        assert self.queue.claim(key) is (key not in self.busy)
        if key not in self.busy:
            self.busy.add(key)
            if key in self.wanted:
                self.again[key] = self.wanted.pop(key)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.queue.busy == self.busy
        assert len(self.queue) == len(self.wanted) + len(self.again)
        assert self.queue.next_due() == min(self.wanted.values(), default=None)


TestModel = Model.TestCase


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.floats(0, 100)), max_size=30))
def test_whatever_is_added_comes_out_exactly_once(adds: list[tuple[Key, float]]) -> None:
    queue = WorkQueue()
    for key, due in adds:
        queue.add(key, due)
    assert sorted(queue.take(1000.0)) == sorted({key for key, _ in adds})
