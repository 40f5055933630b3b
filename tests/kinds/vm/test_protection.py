"""deletionProtection and cell/protect: one mechanism, two spellings."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.kinds.virtual_machine import observe, xml
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.live import Domain, Live
from cell_reconciler.planning import Policy, make_plan
from tests.kinds.vm.hosts import on
from tests.kinds.vm.make import planned, vm
from tests.kinds.vm.schema import rendered

SPELLINGS: list[dict[str, Any]] = [{"deletionProtection": True}, {"annotations": {"cell/protect": "true"}}]


def _domain(doc: Document) -> Domain:
    text = xml.text(rendered(planned(doc, on(None, doc))))
    return Domain(uuid="", name="web", state="shutoff", inactive=text, active=None)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_it_stays_when_its_document_goes(spelling: dict[str, Any]) -> None:
    kept, gone = _domain(vm("web", runStrategy="Halted", **spelling)), _domain(vm("web", runStrategy="Halted"))
    for domain, ops in ((kept, []), (gone, ["vm.undefine"])):
        other = vm("other", runStrategy="Halted")
        live = Live(host="h1", domains={"web": domain})
        plan = make_plan("h1", Loaded(documents={other.key: other}), live, Policy(prune=True))
        [change] = [change for change in plan.changes if change.key.name == "web"]
        assert [step.op for step in change.steps] == ops
        assert any("it is protected" in note for note in change.notes) is (not ops)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_it_can_be_switched_on_and_off_while_it_runs(spelling: dict[str, Any]) -> None:
    for before, after in (({}, spelling), (spelling, {})):
        doc = vm("web", runStrategy="Halted", **after)
        change = planned(doc, on(None, doc, domains=(_domain(vm("web", runStrategy="Halted", **before)),)))
        assert [step.op for step in change.steps] == ["vm.redefine"]
        [step] = change.steps
        assert step.action.mark.protected is bool(after)  # type: ignore[attr-defined] # a Redefine
    same = vm("web", runStrategy="Halted", **spelling)
    assert planned(same, on(None, same, domains=(_domain(same),))).quiet
    mark = observe.mark_of(_domain(same))
    assert mark is not None
    assert mark.protected
