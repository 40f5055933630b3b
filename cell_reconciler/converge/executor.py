"""Runs the steps of a plan: each as soon as those before it are done, a few side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol

from cell_reconciler.converge.journal import JournalWriter
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import CellError, StepFailed
from cell_reconciler.model.change import Outcome, Plan, Result, Step

WORKERS = 4  # libvirtd serves 5 requests of one connection at a time; one is left for reads

OnOutcome = Callable[[Outcome, Plan], None]


class Stop(Protocol):
    """Says whether no further step may be begun, as ``threading.Event`` does."""

    def is_set(self) -> bool: ...


def execute(
    plan: Plan,
    doors: Doors,
    journal: JournalWriter,
    on_outcome: OnOutcome | None = None,
    stop: Stop | None = None,
    among: Collection[int] | None = None,
    known: Sequence[Outcome] = (),
) -> list[Outcome]:
    """Run all steps; never raises for a step that fails: its outcome says so, and what needs it is BLOCKED.

    ``stop`` set: the running steps are finished, no further one is begun (they get no outcome). ``among``: only
    these steps; ``known`` is what came of those before them, and is part of the answer.
    """
    outcomes = {outcome.step: outcome for outcome in known}
    running: dict[Future[Outcome], int] = {}
    waiting = set(range(len(plan.steps)) if among is None else among)
    with ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="step") as pool:
        while not (stop is not None and stop.is_set()):
            for index in _ready(plan, waiting, outcomes):
                waiting.discard(index)
                blocker = _blocker(plan, index, outcomes)
                if blocker is not None:
                    _note(_blocked(plan, index, blocker), plan, outcomes, on_outcome)
                else:
                    running[pool.submit(_run, index, plan.steps[index], doors, journal)] = index
            if not running:
                if not _ready(plan, waiting, outcomes):
                    break
                continue
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                del running[future]
                _note(future.result(), plan, outcomes, on_outcome)
        begun = [future for future in running if not future.cancel()]  # asked to stop: what only queues is not begun
        for future in begun:
            _note(future.result(), plan, outcomes, on_outcome)
    return [outcomes[index] for index in sorted(outcomes)]


def _ready(plan: Plan, waiting: set[int], outcomes: dict[int, Outcome]) -> list[int]:
    return sorted(i for i in waiting if all(before in outcomes for before in plan.edges[i]))


def _blocker(plan: Plan, index: int, outcomes: dict[int, Outcome]) -> Outcome | None:
    for before in plan.edges[index]:
        if outcomes[before].result in (Result.FAILED, Result.BLOCKED):
            return outcomes[before]
    return None


def _blocked(plan: Plan, index: int, blocker: Outcome) -> Outcome:
    step = plan.steps[index]
    cause = plan.steps[blocker.step].text
    return Outcome(step=index, key=step.key, op=step.op, result=Result.BLOCKED, error=f"waits for: {cause}")


def _note(outcome: Outcome, plan: Plan, outcomes: dict[int, Outcome], on_outcome: OnOutcome | None) -> None:
    outcomes[outcome.step] = outcome
    if on_outcome is not None:
        on_outcome(outcome, plan)


def _run(index: int, step: Step, doors: Doors, journal: JournalWriter) -> Outcome:
    started = time.monotonic()
    journal.begin(index, step)
    result, error, advice, retryable = Result.DONE, "", "", True
    try:
        if step.action.done(doors):
            result = Result.SKIPPED
        else:
            step.action.do(doors)
            if not step.action.done(doors):
                raise StepFailed(f"{step.text}: read back, and it did not take effect")
    except CellError as failure:
        result, error, advice, retryable = Result.FAILED, failure.message, failure.advice, failure.retryable
    except Exception as failure:  # noqa: BLE001 - a bug in one step must not stop the steps of other resources
        result, error = Result.FAILED, f"{step.text}: {type(failure).__name__}: {failure}"
    outcome = Outcome(
        step=index,
        key=step.key,
        op=step.op,
        result=result,
        seconds=round(time.monotonic() - started, 4),
        error=error,
        advice=advice,
        retryable=retryable,
    )
    journal.end(outcome)
    return outcome
