"""Any host and any valid documents: one plan that ends, does what it says, is enough, and touches nothing of others.

The hosts are fakes (``tests/fakes``), which do what kernels do: see the contract suite. A step that the kernel refuses
is a failure here, whatever the plan said before; what the plan itself refuses is fine, as long as it stays refused.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from cell_reconciler.model.change import Plan
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Live
from tests.fakes import FakeDoors, Kernel
from tests.fakes.foreign import violations
from tests.fakes.specs import documents
from tests.fakes.worlds import Act, acts, disturb, worlds
from tests.network import HOST, plan_of

EXAMPLES = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
Choose = Callable[[list[int]], int]


class Host:
    """A fake host, and what the reconciler does to it."""

    def __init__(self, kernel: Kernel) -> None:
        self.doors = FakeDoors(kernel)

    def live(self) -> Live:
        return Live(host=HOST, filters=self.doors.nftables.filters, **self.doors.netlink.observe())

    def plan(self, wanted: list[Document], prune: bool) -> Plan:
        plan = plan_of(wanted, self.live(), prune=prune)
        for step in plan.steps:
            note(f"  {step.op}: {step.text}")
        for line in refused(plan):
            note(f"  refused: {line}")
        return plan

    def run(self, plan: Plan, choose: Choose, most: int | None = None) -> None:
        """The steps in any order that the edges allow, or the first ``most`` of them."""
        done: list[int] = []
        while len(done) < (len(plan.steps) if most is None else min(most, len(plan.steps))):
            ready = [i for i in range(len(plan.steps)) if i not in done and all(b in done for b in plan.edges[i])]
            index = choose(ready)
            action = plan.steps[index].action
            if not action.done(self.doors):
                action.do(self.doors)
                assert action.done(self.doors), f"{plan.steps[index].text}: read back, it had no effect"
            done.append(index)

    def settled(self, wanted: list[Document], prune: bool, before: Plan) -> None:
        """The plan that was made is enough: nothing is left but what was refused before."""
        note("again:")
        writes = self.doors.writes.total
        again = self.plan(wanted, prune)
        assert not again.steps, [step.text for step in again.steps]
        new = set(refused(again)) - set(refused(before))
        assert not new, new
        pending = [c for c in again.changes if c.fields and not c.refused]
        assert not pending, pending
        assert self.doors.writes.total == writes


def refused(plan: Plan) -> list[str]:
    return [f"{change.key}: {r.reason}" for change in plan.changes for r in change.refused]


def choosing(data: st.DataObject) -> Choose:
    return lambda ready: data.draw(st.sampled_from(ready))


def in_order(ready: list[int]) -> int:
    return ready[0]


@EXAMPLES
@given(worlds(), documents(), st.booleans(), st.data())
def test_one_plan_is_enough_and_spares_what_is_not_ours(
    kernel: Kernel, wanted: list[Document], prune: bool, data: st.DataObject
) -> None:
    host = Host(kernel)
    before = host.live()
    plan = host.plan(wanted, prune)
    host.run(plan, choosing(data))
    host.settled(wanted, prune, plan)
    assert not violations(before, host.live(), wanted)


@EXAMPLES
@given(worlds(), documents(), documents(), st.lists(acts(), max_size=4), st.booleans())
def test_from_what_was_ours_before_and_drifted(
    kernel: Kernel, first: list[Document], then: list[Document], drift: list[Act], prune: bool
) -> None:
    host = Host(kernel)
    host.run(host.plan(first, False), in_order)
    disturb(kernel, drift)
    before = host.live()
    note("then:")
    plan = host.plan(then, prune)
    host.run(plan, in_order)
    host.settled(then, prune, plan)
    assert not violations(before, host.live(), then)


@EXAMPLES
@given(worlds(), documents(), documents(), st.integers(0, 30), st.booleans())
def test_stopped_after_any_step_it_ends_in_the_same_state(
    kernel: Kernel, first: list[Document], then: list[Document], number: int, prune: bool
) -> None:
    host = Host(kernel)
    host.run(host.plan(first, False), in_order)
    other = Host(copy.deepcopy(kernel))
    other.doors.nftables.filters = dict(host.doors.nftables.filters)
    before = host.live()
    note("then:")
    plan = host.plan(then, prune)
    host.run(plan, in_order)
    other.run(other.plan(then, prune), in_order, number)
    note(f"stopped after {number} steps:")
    rest = other.plan(then, prune)
    other.run(rest, in_order)
    other.settled(then, prune, rest)
    assert state(other.live()) == state(host.live())
    assert not violations(before, other.live(), then)


def state(live: Live) -> dict[str, Any]:
    """What may not depend on the way that led there."""
    fields = ("kind", "master", "parent", "mtu", "group", "alias", "addresses", "owned_addresses", "vlans")
    found: dict[str, Any] = {n: {f: getattr(x, f) for f in fields} for n, x in live.links.items()}
    return found | {"routes": live.routes, "rules": live.rules, "filters": live.filters}


@given(worlds())
def test_no_documents_no_steps(kernel: Kernel) -> None:
    host = Host(kernel)
    assert not host.plan([], True).steps
