"""Why a resource is not ready, when several of its steps did not come to their end."""

from __future__ import annotations

from cell_reconciler.model.change import Change, Outcome, Plan, Result, Step, Verb
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.status.reduce import reduce
from tests.planning.test_order import Nothing

WEB = Key("VirtualMachine", "web")


def test_what_failed_first_is_the_reason_and_not_what_waited_for_it() -> None:
    steps = tuple(Step(key=WEB, op="test", text=str(number), action=Nothing()) for number in range(4))
    plan = Plan(host="h1", changes=(Change(key=WEB, verb=Verb.UPDATE, steps=steps),), steps=steps, edges=((),) * 4)
    results = (Result.DONE, Result.FAILED, Result.BLOCKED, Result.FAILED)
    outcomes = [
        Outcome(step=number, key=WEB, op="test", result=result, error=f"error {number}")
        for number, result in enumerate(results)
    ]
    document = Document(key=WEB, spec=None, given={}, position=Position("a", 1))
    found = reduce({}, Loaded(documents={WEB: document}), plan, outcomes, {}, "now", executed=True)
    ready = found[WEB].condition("Ready")
    assert ready is not None
    assert (ready.reason, ready.message) == ("StepFailed", "error 1")
