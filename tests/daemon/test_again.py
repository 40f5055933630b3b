"""What falls due at a certain time is looked at then: a maintenance window that opens between two resyncs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cell_reconciler.converge.engine import Engine, Options
from cell_reconciler.daemon.passes import Passes
from cell_reconciler.model.change import Change, Plan, Verb
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live

AT = datetime(2026, 11, 28, 1, 58, 30, tzinfo=UTC)
WEB, DB = Key("VirtualMachine", "web"), Key("VirtualMachine", "db")


def test_a_key_is_due_when_its_change_says(tmp_path: Path) -> None:
    engine = Engine(Options(host="h1", paths=(), state_dir=str(tmp_path)))
    passes = Passes(engine, lambda job: None, lambda: 1000.0, lambda: 0.0)
    opens = Change(key=WEB, verb=Verb.UPDATE, again=AT + timedelta(seconds=90))
    plan = Plan(host="h1", changes=(opens, Change(key=DB, verb=Verb.NONE)), steps=(), edges=())
    passes.look_again(plan, Live(host="h1"))
    assert passes.next_due() is None, "not known what time it is"
    passes.look_again(plan, Live(host="h1", at=AT))
    assert passes.next_due() == 1090.0
    assert passes.take(1089.0) == []
    assert passes.take(1090.0) == [WEB]
