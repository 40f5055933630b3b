"""Runs the steps of a plan: each as soon as those before it are done, a few side by side.

Steps that change links are made one after another, without a thread of their own: the kernel has one lock for them all,
and handing a step that takes a millisecond to a thread takes longer than the step.
"""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Protocol

from cell_reconciler.converge.journal import JournalWriter
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import CellError, StepFailed, of_host
from cell_reconciler.kinds import kind
from cell_reconciler.model.change import Outcome, Plan, Result, Step
from cell_reconciler.model.live import Source

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
    schedule = _Schedule(plan, range(len(plan.steps)) if among is None else among, known)
    ended: SimpleQueue[Outcome] = SimpleQueue()
    running = 0

    def work(index: int) -> None:
        ended.put(_run(index, plan.steps[index], doors, journal))

    with ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="step") as pool:
        while True:
            begin = stop is None or not stop.is_set()
            if begin and schedule.others and running < WORKERS:
                index = heapq.heappop(schedule.others)
                if (blocker := schedule.blocker(index)) is not None:
                    _note(_blocked(plan, index, blocker), plan, schedule, on_outcome)
                else:
                    pool.submit(work, index)
                    running += 1
            elif begin and schedule.links and ended.empty():
                index = heapq.heappop(schedule.links)
                blocker = schedule.blocker(index)
                outcome = _blocked(plan, index, blocker) if blocker else _run(index, plan.steps[index], doors, journal)
                _note(outcome, plan, schedule, on_outcome)
            elif running:
                _note(ended.get(), plan, schedule, on_outcome)
                running -= 1
            else:
                break
    return [schedule.outcomes[index] for index in sorted(schedule.outcomes)]


class _Schedule:
    """Which steps may begin: each as soon as all those before it have come to something. Lowest number first.

    Two heaps: steps of ``links``, and ``others``.
    """

    def __init__(self, plan: Plan, among: Collection[int], known: Sequence[Outcome]) -> None:
        self.outcomes = {outcome.step: outcome for outcome in known}
        self._edges = plan.edges
        kinds = {step.key.kind for step in plan.steps}
        self._of_links = {name for name in kinds if kind(name).sources == {Source.NETLINK}}
        self._steps = plan.steps
        self.links: list[int] = []
        self.others: list[int] = []
        self._after: dict[int, list[int]] = defaultdict(list)
        self._missing: dict[int, int] = {}
        here = set(among)
        for index in here:
            mere = {b for b in plan.soft[index] if b in here} if plan.soft else set()
            before = [b for b in mere.union(plan.edges[index]) if b not in self.outcomes]
            self._missing[index] = len(before)
            for other in before:
                self._after[other].append(index)
        for index, count in self._missing.items():
            if count == 0:
                self._push(index)

    def _push(self, index: int) -> None:
        link = self._steps[index].key.kind in self._of_links
        heapq.heappush(self.links if link else self.others, index)

    def blocker(self, index: int) -> Outcome | None:
        """What a step needs and did not get."""
        before = (self.outcomes[b] for b in self._edges[index])
        return next((o for o in before if o.result in (Result.FAILED, Result.BLOCKED)), None)

    def ended(self, outcome: Outcome) -> None:
        self.outcomes[outcome.step] = outcome
        for index in self._after.pop(outcome.step, ()):
            self._missing[index] -= 1
            if self._missing[index] == 0:
                self._push(index)


def _blocked(plan: Plan, index: int, blocker: Outcome) -> Outcome:
    step = plan.steps[index]
    cause = plan.steps[blocker.step].text
    return Outcome(step=index, key=step.key, op=step.op, result=Result.BLOCKED, error=f"waits for: {cause}")


def _note(outcome: Outcome, plan: Plan, schedule: _Schedule, on_outcome: OnOutcome | None) -> None:
    schedule.ended(outcome)
    if on_outcome is not None:
        on_outcome(outcome, plan)


def _note_begin(index: int, step: Step, journal: JournalWriter) -> None:
    try:
        journal.begin(index, step)
    except OSError as failure:
        message, advice = of_host(failure)
        raise StepFailed(f"not begun, since its state cannot be written: {message}", advice) from failure


def _run(index: int, step: Step, doors: Doors, journal: JournalWriter) -> Outcome:
    started = time.monotonic()
    result, error, advice, retryable = Result.DONE, "", "", True
    try:
        _note_begin(index, step, journal)
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
