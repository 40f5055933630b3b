"""A fake host and what the reconciler does to it: plans are made by the real planner and run step by step."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import currently_in_test_context, note

from cell_reconciler.model.change import Plan
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Live
from tests.fakes.door import FakeDoors
from tests.fakes.kernel import Kernel
from tests.network import HOST, plan_of

ROUNDS = 6
Choose = Callable[[list[int]], int]


def say(text: str) -> None:
    """Shown when the test fails."""
    (note if currently_in_test_context() else print)(text)


def refused(plan: Plan) -> list[str]:
    return [f"{change.key}: {r.reason}: {r.message}" for change in plan.changes for r in change.refused]


def in_order(ready: list[int]) -> int:
    return ready[0]


class Host:
    """A fake host, and what the reconciler does to it."""

    def __init__(self, kernel: Kernel) -> None:
        self.doors = FakeDoors(kernel)

    def live(self) -> Live:
        return Live(host=HOST, filters=self.doors.nftables.filters, **self.doors.netlink.observe())

    def plan(self, wanted: list[Document], prune: bool) -> Plan:
        plan = plan_of(wanted, self.live(), prune=prune)
        for step in plan.steps:
            say(f"  {step.op}: {step.text}")
        for line in refused(plan):
            say(f"  refused: {line}")
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

    def settle(self, wanted: list[Document], prune: bool, before: Plan) -> None:
        """The plan that was run is enough: the next one is empty. But what was refused, or waited for something that
        was refused, may be possible after it; it is done then, and a plan comes soon that is empty."""
        for _ in range(ROUNDS):
            say("again:")
            writes = self.doors.writes.total
            again = self.plan(wanted, prune)
            held = {change.key for change in before.changes if change.refused}
            early = [step.text for step in again.steps if step.key not in held]
            assert not early, early
            new = [line for line in refused(again) if not any(line.startswith(f"{key}:") for key in held)]
            # With an address go the routes that send from it, whoever has declared them.
            new = [line for line in new if "nobody has the address" not in line]
            assert not new, new
            if not again.steps:
                break
            self.run(again, in_order)
            before = again
        else:
            raise AssertionError(f"still {[step.text for step in again.steps]}")
        assert refused(again) or not any(change.fields for change in again.changes)
        assert self.doors.writes.total == writes
