"""One plan into plans that have nothing to do with each other, so that a slow VM delays nobody else. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import msgspec

from cell_reconciler.model.change import Change, Plan
from cell_reconciler.model.key import Key


class Parts(msgspec.Struct, frozen=True):
    """``still`` has no steps: in sync, refused or unknown. ``moving`` are independent. ``held`` were taken out."""

    still: Plan
    moving: tuple[Plan, ...]
    held: frozenset[Key]


def split(plan: Plan, hold: Callable[[Key], bool]) -> Parts:
    """``hold`` tells of which keys nothing may be done now; what needs their steps is held too."""
    out = _held_steps(plan, hold)
    held = {plan.steps[index].key for index in out} | {change.key for change in plan.changes if hold(change.key)}
    groups = _groups(plan, [i for i in range(len(plan.steps)) if plan.steps[i].key not in held])
    changes = {change.key: change for change in plan.changes}
    moving = tuple(_part(plan, changes, indexes) for indexes in groups)
    still = msgspec.structs.replace(
        plan,
        changes=tuple(c for c in plan.changes if not c.steps and c.key not in held),
        steps=(),
        edges=(),
        soft=(),
    )
    return Parts(still, moving, frozenset(held))


def _held_steps(plan: Plan, hold: Callable[[Key], bool]) -> set[int]:
    """Steps of held keys, all that come after them, and, since a key is done as a whole, the rest of those keys."""
    out = {index for index, step in enumerate(plan.steps) if hold(step.key)}
    while True:
        keys = {plan.steps[index].key for index in out}
        more = {
            index
            for index, step in enumerate(plan.steps)
            if index not in out and (step.key in keys or any(before in out for before in plan.edges[index]))
        }
        if not more:
            return out
        out |= more


def _groups(plan: Plan, indexes: list[int]) -> Iterable[list[int]]:
    """Steps that are connected by edges or by their key, in the order of their first step."""
    parent = {index: index for index in indexes}

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    first: dict[Key, int] = {}
    for index in indexes:
        for other in (*plan.before(index), first.setdefault(plan.steps[index].key, index)):
            if other in parent:
                a, b = sorted((root(index), root(other)))
                parent[b] = a
    groups: dict[int, list[int]] = defaultdict(list)
    for index in indexes:
        groups[root(index)].append(index)
    return groups.values()


def _part(plan: Plan, changes: dict[Key, Change], indexes: list[int]) -> Plan:
    place = {old: new for new, old in enumerate(indexes)}
    keys = dict.fromkeys(plan.steps[index].key for index in indexes)
    return msgspec.structs.replace(
        plan,
        changes=tuple(changes[key] for key in keys if key in changes),
        steps=tuple(plan.steps[index] for index in indexes),
        edges=_among(plan.edges, indexes, place),
        soft=_among(plan.soft, indexes, place) if plan.soft else (),
        unknown={},
        foreign=(),
    )


def _among(edges: Sequence[tuple[int, ...]], indexes: list[int], place: dict[int, int]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(place[b] for b in edges[index] if b in place) for index in indexes)
