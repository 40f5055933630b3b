"""Puts steps in an order in which each finds what it needs.

Edges come from three places: the steps of one change run in their order; the first step of a change needs
``ready:REF`` for everything that its document refers to; and a deletion needs ``released:KEY`` of everything that
used the object until now. A kind may add tokens of its own (``free:ens1f0``). A token may have several givers: all
of them come first. What nobody gives is already true. ``left:NIC`` is for the order only: if a bond lets the NIC go in
this plan, then before. ``Step.after`` is weaker still: it waits until others came to an end, be it a failure.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from cell_reconciler.errors import Refused
from cell_reconciler.model.change import Change, Step
from cell_reconciler.model.key import Key

Edges = tuple[tuple[int, ...], ...]


class Circle(Refused):
    """The changes of these keys wait for each other."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = frozenset(keys)
        names = ", ".join(sorted(map(str, self.keys)))
        advice = "apply them one after the other, or break the circle in the specs"
        super().__init__(f"the changes of {names} wait for each other", advice)


def order(
    changes: Sequence[Change], refers: Mapping[Key, Iterable[Key]], used: Mapping[Key, Iterable[Key]]
) -> tuple[tuple[Step, ...], Edges, Edges]:
    """The steps of all changes, sorted; for each the indexes of those that must be done before, and of those that only
    come before (``Step.after``; empty when nobody asks for that).

    ``refers``: what a key's document needs; ``used``: what its live object uses now. Raises Circle for a
    cycle, naming the keys in it.
    """
    steps = [step for change in changes for step in change.steps]
    gives: dict[str, list[int]] = defaultdict(list)
    needs: list[set[str]] = [set(step.needs) for step in steps]
    before: list[set[int]] = [set() for _ in steps]
    start = 0
    for change in changes:
        if not change.steps:
            continue
        end = start + len(change.steps) - 1
        for index in range(start + 1, end + 1):
            before[index].add(index - 1)
        _tokens(change, start, end, gives, needs, refers, used)
        start = end + 1
    for index, step in enumerate(steps):
        for token in step.gives:
            gives[token].append(index)
    for index, tokens in enumerate(needs):
        for token in tokens:
            before[index].update(i for i in gives.get(token, ()) if i != index)
    soft = [{i for token in step.after for i in gives.get(token, ())} for step in steps]
    sequence = _sorted(steps, [hard | mere for hard, mere in zip(before, soft, strict=True)])
    edges = _renumbered(sequence, before)
    return tuple(steps[old] for old in sequence), edges, _renumbered(sequence, soft) if any(soft) else ()


def _tokens(
    change: Change,
    start: int,
    end: int,
    gives: dict[str, list[int]],
    needs: list[set[str]],
    refers: Mapping[Key, Iterable[Key]],
    used: Mapping[Key, Iterable[Key]],
) -> None:
    key = change.key
    for ref in used.get(key, ()):
        gives[f"released:{ref}"].append(end)
    if change.steps[-1].deletes:
        needs[start].add(f"released:{key}")
    elif (last := _last(change)) is not None:
        gives[f"ready:{key}"].append(start + last)
    needs[start].update(f"ready:{ref}" for ref in refers.get(key, ()))


def _last(change: Change) -> int | None:
    """The step after which the object is as declared; upkeep comes after it."""
    return max((index for index, step in enumerate(change.steps) if not step.upkeep), default=None)


def _sorted(steps: Sequence[Step], before: Sequence[set[int]]) -> list[int]:
    """Kahn's algorithm; among what could go next, the original order decides (so plans are stable)."""
    after: list[list[int]] = [[] for _ in steps]
    missing = [len(b) for b in before]
    for index, earlier in enumerate(before):
        for other in earlier:
            after[other].append(index)
    ready = [i for i, count in enumerate(missing) if count == 0]
    heapq.heapify(ready)
    sequence: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        sequence.append(index)
        for other in after[index]:
            missing[other] -= 1
            if missing[other] == 0:
                heapq.heappush(ready, other)
    if len(sequence) != len(steps):
        raise Circle(steps[i].key for i in _circle({i for i, count in enumerate(missing) if count > 0}, after))
    return sequence


def _circle(stuck: set[int], after: Sequence[Sequence[int]]) -> set[int]:
    """Of the steps that cannot go, those that not only wait for others: something waits for each of them, too."""
    while ends := {index for index in stuck if not stuck.intersection(after[index])}:
        stuck = stuck - ends
    return stuck


def _renumbered(sequence: Sequence[int], before: Sequence[set[int]]) -> Edges:
    place = {old: new for new, old in enumerate(sequence)}
    return tuple(tuple(sorted(place[b] for b in before[old])) for old in sequence)
