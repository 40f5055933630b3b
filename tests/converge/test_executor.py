"""The executor: order, skipping, read-back, failure, stopping, and what the journal says of a crash."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cell_reconciler.converge.executor import execute
from cell_reconciler.converge.journal import Journal
from cell_reconciler.converge.lock import holder, host_lock
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import Refused, Transient
from cell_reconciler.model.change import Outcome, Plan, Result, Step
from cell_reconciler.model.key import Key


class Touch(msgspec.Struct, frozen=True):
    """Makes a file: a step with an effect that can be read back."""

    path: str

    def done(self, doors: Any) -> bool:
        return Path(self.path).exists()

    def do(self, doors: Any) -> None:
        Path(self.path).touch()


class NoEffect(Touch, frozen=True):
    def do(self, doors: Any) -> None:
        pass


class Busy(Touch, frozen=True):
    def do(self, doors: Any) -> None:
        raise Transient("busy", "wait")


class Bug(Touch, frozen=True):
    def do(self, doors: Any) -> None:
        raise KeyError("oops")


def plan_of(*actions: Any, edges: tuple[tuple[int, ...], ...]) -> Plan:
    steps = tuple(Step(key=Key("Volume", f"v{i}"), op="t", text=f"step {i}", action=a) for i, a in enumerate(actions))
    return Plan(host="h", changes=(), steps=steps, edges=edges)


def run(plan: Plan, tmp_path: Path, stop: threading.Event | None = None) -> list[Outcome]:
    with Journal(tmp_path / "state").open(plan) as journal:
        return execute(plan, Doors(), journal, stop=stop)


def test_what_is_true_already_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    plan = plan_of(Touch(str(tmp_path / "a")), Touch(str(tmp_path / "b")), edges=((), ()))
    assert [o.result for o in run(plan, tmp_path)] == [Result.SKIPPED, Result.DONE]
    assert [o.result for o in run(plan, tmp_path)] == [Result.SKIPPED, Result.SKIPPED]


def test_a_step_without_effect_fails(tmp_path: Path) -> None:
    [outcome] = run(plan_of(NoEffect(str(tmp_path / "a")), edges=((),)), tmp_path)
    assert outcome.result == Result.FAILED
    assert "did not take effect" in outcome.error


def test_what_needs_a_failed_step_is_blocked_and_the_rest_goes_on(tmp_path: Path) -> None:
    ok = Touch(str(tmp_path / "ok"))
    after = Touch(str(tmp_path / "after"))
    plan = plan_of(Busy(str(tmp_path / "x")), after, after, ok, edges=((), (0,), (1,), ()))
    outcomes = run(plan, tmp_path)
    assert [o.result for o in outcomes] == [Result.FAILED, Result.BLOCKED, Result.BLOCKED, Result.DONE]
    assert outcomes[0].advice == "wait"
    assert "step 0" in outcomes[1].error
    assert not (tmp_path / "after").exists()


def test_what_only_comes_after_a_failed_step_is_made_all_the_same(tmp_path: Path) -> None:
    after = Touch(str(tmp_path / "after"))
    plan = msgspec.structs.replace(plan_of(Busy(str(tmp_path / "x")), after, edges=((), ())), soft=((), (0,)))
    ended: list[int] = []
    with Journal(tmp_path / "state").open(plan) as journal:
        outcomes = execute(plan, Doors(), journal, lambda outcome, _plan: ended.append(outcome.step))
    assert [o.result for o in outcomes] == [Result.FAILED, Result.DONE]
    assert ended == [0, 1]


def test_what_comes_after_a_step_of_a_later_part_does_not_wait_for_it(tmp_path: Path) -> None:
    """The parts of a change of the management path: before, under and after its guard."""
    plan = msgspec.structs.replace(
        plan_of(Touch(str(tmp_path / "a")), Touch(str(tmp_path / "b")), edges=((), ())), soft=((), (0,))
    )
    with Journal(tmp_path / "state").open(plan) as journal:
        assert [o.step for o in execute(plan, Doors(), journal, among={1})] == [1]


def test_a_bug_is_an_outcome(tmp_path: Path) -> None:
    [outcome] = run(plan_of(Bug(str(tmp_path / "x")), edges=((),)), tmp_path)
    assert (outcome.result, "KeyError" in outcome.error) == (Result.FAILED, True)


def test_stop_begins_nothing_more(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert run(plan_of(Touch(str(tmp_path / "a")), edges=((),)), tmp_path, stop) == []


class Slow(Touch, frozen=True):
    def do(self, doors: Any) -> None:
        time.sleep(0.3)
        super().do(doors)


def test_independent_steps_run_side_by_side(tmp_path: Path) -> None:
    plan = plan_of(*(Slow(str(tmp_path / str(i))) for i in range(4)), edges=((),) * 4)
    started = time.monotonic()
    assert {o.result for o in run(plan, tmp_path)} == {Result.DONE}
    assert time.monotonic() - started < 4 * 0.3


class Where(Touch, frozen=True):
    """Writes down which thread makes it."""

    def do(self, doors: Any) -> None:
        Path(self.path).write_text(threading.current_thread().name)


def test_steps_of_links_need_no_thread_and_do_not_wait_for_the_others(tmp_path: Path) -> None:
    three = (Where(str(tmp_path / f"link{i}")) for i in range(3))
    plan = plan_of(Slow(str(tmp_path / "volume")), *three, edges=((), (), (1,), (2,)))
    links = (msgspec.structs.replace(step, key=Key("Bridge", f"br{i}")) for i, step in enumerate(plan.steps[1:]))
    ended: list[int] = []
    with Journal(tmp_path / "state").open(plan) as journal:
        plan = msgspec.structs.replace(plan, steps=(plan.steps[0], *links))
        outcomes = execute(plan, Doors(), journal, lambda outcome, _plan: ended.append(outcome.step))
    assert {outcome.result for outcome in outcomes} == {Result.DONE}
    assert ended == [1, 2, 3, 0]
    assert (tmp_path / "link2").read_text() == threading.current_thread().name


def test_the_journal_names_the_step_of_a_crash(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    plan = plan_of(Touch("/nowhere"), edges=((),))

    def dies() -> None:
        with journal.open(plan) as writer:
            writer.begin(0, plan.steps[0])
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        dies()
    assert Journal(tmp_path).interrupted() == ["step 0"]
    with journal.open(plan):
        pass
    assert Journal(tmp_path).interrupted() == []


def test_one_writer_a_host(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    with host_lock(tmp_path, "cellctl run"):
        assert "cellctl run" in (holder(tmp_path) or "")
        with pytest.raises(Refused, match="cellctl run"), host_lock(tmp_path, "cellctl apply"):
            pass
    with host_lock(tmp_path, "cellctl apply"):
        pass
