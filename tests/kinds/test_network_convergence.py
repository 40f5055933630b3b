"""Any host and any valid documents: one plan that ends, does what it says, is enough, and touches nothing of others.

The hosts are fakes (``tests/fakes``), which do what kernels do: see the contract suite. A step that the kernel refuses
is a failure here, whatever the plan said before; what the plan itself refuses is fine, as long as it stays refused.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Link, Live
from cell_reconciler.model.mark import Mark
from tests.fakes import Kernel
from tests.fakes.foreign import violations
from tests.fakes.host import Choose, Host, in_order
from tests.fakes.specs import documents
from tests.fakes.worlds import Act, acts, disturb, worlds

EXAMPLES = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def spared(before: Live, after: Live, documents: list[Document]) -> None:
    """Everything of others is still there."""
    found = violations(before, after, documents)
    assert not found, found


def choosing(data: st.DataObject) -> Choose:
    return lambda ready: data.draw(st.sampled_from(ready))


@EXAMPLES
@given(worlds(), documents(), st.booleans(), st.data())
def test_one_plan_is_enough_and_spares_what_is_not_ours(
    kernel: Kernel, wanted: list[Document], prune: bool, data: st.DataObject
) -> None:
    host = Host(kernel)
    before = host.live()
    plan = host.plan(wanted, prune)
    host.run(plan, choosing(data))
    host.settle(wanted, prune, plan)
    spared(before, host.live(), wanted)


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
    host.settle(then, prune, plan)
    spared(before, host.live(), then)


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
    host.settle(then, prune, plan)
    other.run(other.plan(then, prune), in_order, number)
    note(f"stopped after {number} steps:")
    rest = other.plan(then, prune)
    other.run(rest, in_order)
    other.settle(then, prune, rest)
    ended, wanted = state(other.live()), state(host.live())
    different = {name: (ended.get(name), wanted.get(name)) for name in ended.keys() | wanted.keys()}
    different = {name: two for name, two in different.items() if two[0] != two[1]}
    assert not different, different
    spared(before, other.live(), then)


def state(live: Live) -> dict[str, Any]:
    """What may not depend on the way that led there."""
    fields = ("kind", "master", "parent", "mtu", "up", "group", "addresses", "owned_addresses", "vlans")
    found: dict[str, Any] = {n: {f: getattr(x, f) for f in fields} | _mark(x) for n, x in live.links.items()}
    return found | {"routes": live.routes, "rules": live.rules, "filters": live.filters}


def _mark(link: Link) -> dict[str, Any]:
    """All of it but the digest: a mark is not written again for that alone."""
    mark = Mark.parse(link.alias)
    return {"mark": link.alias if mark is None else (mark.owner, mark.flags)}


@given(worlds())
def test_no_documents_no_steps(kernel: Kernel) -> None:
    host = Host(kernel)
    assert not host.plan([], True).steps
