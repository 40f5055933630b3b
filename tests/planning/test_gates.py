"""The gates: what is taken away, and what is said about it."""

from __future__ import annotations

from cell_reconciler.model.change import Change, Risk, Step, Verb
from cell_reconciler.model.diagnostic import Position
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.planning import gates
from tests.planning.test_order import Nothing

KEY = Key("VirtualMachine", "web")


def step(text: str, risk: Risk = Risk.NONE, *, restart: bool = False, deletes: bool = False) -> Step:
    return Step(key=KEY, op="test", text=text, action=Nothing(), risk=risk, restart=restart, deletes=deletes)


def test_within_permission_nothing_is_taken_away() -> None:
    change = Change(key=KEY, verb=Verb.UPDATE, steps=(step("a", Risk.BLIP),))
    assert gates.permission(change, Risk.BLIP) is change


def test_above_permission_nothing_of_the_change_is_done() -> None:
    change = Change(key=KEY, verb=Verb.UPDATE, steps=(step("take it down", Risk.DISRUPTIVE), step("set it")))
    gated = gates.permission(change, Risk.BLIP)
    assert gated.steps == ()
    assert gated.refused[0].reason == "NeedsPermission"
    assert "take it down" in gated.refused[0].message
    assert "--allow disruptive" in gated.refused[0].advice


def test_a_restart_without_permission_does_not_hold_up_live_steps() -> None:
    live, stop = step("plug"), step("shut down", Risk.CUTS_VM, restart=True)
    gated = gates.permission(Change(key=KEY, verb=Verb.UPDATE, steps=(live, stop)), Risk.BLIP)
    assert gated.steps == (live,)
    assert gated.refused


def test_protected_is_neither_deleted_nor_replaced_but_updated() -> None:
    document = Document(key=KEY, spec=None, given={}, position=Position("a", 1), annotations={"cell/protect": "true"})
    for verb in (Verb.DELETE, Verb.REPLACE):
        gated = gates.protected(Change(key=KEY, verb=verb, steps=(step("x", deletes=True),)), document)
        assert (gated.steps, gated.refused[0].reason) == ((), "Protected")
    update = Change(key=KEY, verb=Verb.UPDATE, steps=(step("x"),))
    assert gates.protected(update, document) is update


def test_suspended_and_fighting_stop_steps_and_name_the_way_out() -> None:
    change = Change(key=KEY, verb=Verb.UPDATE, steps=(step("x"),))
    for gated in (gates.suspended(change, "INC-1"), gates.fighting(change, "somebody else")):
        assert gated.steps == ()
        assert "cellctl resume VirtualMachine/web" in gated.refused[0].advice
    quiet = Change(key=KEY, verb=Verb.NONE)
    assert gates.suspended(quiet, "INC-1").quiet
