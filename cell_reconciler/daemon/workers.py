"""The threads that write. Each takes one job at a time; the loop makes sure that no two jobs share a key."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable

import msgspec
import structlog

from cell_reconciler.daemon.hints import Finished, Job, Tell
from cell_reconciler.daemon.logs import logger
from cell_reconciler.errors import CellError, of_host
from cell_reconciler.model.change import Outcome, Plan, Result

WORKERS = 4  # jobs side by side; libvirtd serves 5 requests of one connection at a time
STUCK = 900.0  # seconds after which a job counts as hung

Apply = Callable[[Plan, Callable[[Outcome, Plan], None]], list[Outcome]]


class Workers:
    """Runs jobs through ``apply`` and tells the loop ``Finished``."""

    def __init__(self, apply: Apply, tell: Tell) -> None:
        self._apply = apply
        self._tell = tell
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._running: dict[str, float] = {}  # thread → since when it is at its job
        self._further = 0.0  # when a step that takes long last said how far it is
        self.looked: Callable[[], float] = lambda: 0.0  # set by the service: when one that waits last looked

    def submit(self, job: Job) -> None:
        """The job is done as soon as a thread is free."""
        self._jobs.put(job)

    def stop(self) -> None:
        """Ends one ``run``; call it once for each thread."""
        self._jobs.put(None)

    def run(self) -> None:
        """The body of one worker thread."""
        me = threading.current_thread().name
        while (job := self._jobs.get()) is not None:
            self._running[me] = time.monotonic()
            with structlog.contextvars.bound_contextvars(reconcile=job.reconcile_id):
                self._tell(self._do(job))
            self._running.pop(me, None)

    def progress(self, text: str) -> None:
        """Hears how far a step is that takes long: what tells so does not hang."""
        self._further = time.monotonic()
        logger().info(text)

    @property
    def hung(self) -> bool:
        """True when every worker is at its job for longer than any job may take, and none comes further.

        What waits for a guest, and sees that it is not there yet, does not hang, however long the guest may take.
        """
        since = sorted(self._running.values())
        return len(since) >= WORKERS and time.monotonic() - max(since[-1], self._further, self.looked()) > STUCK

    def _do(self, job: Job) -> Finished:
        try:
            return Finished(job, tuple(self._apply(job.plan, _say)))
        except CellError as error:
            logger().error("apply failed", error=error.message, advice=error.advice)
            return Finished(job, _all_failed(job.plan, error.message, error.advice, error.retryable))
        except OSError as error:  # of the state directory: full, read-only, gone
            message, advice = of_host(error)
            logger().error("apply failed", error=message, advice=advice)
            return Finished(job, _all_failed(job.plan, message, advice, True), full=True)
        except Exception as error:  # noqa: BLE001  a bug in one kind must not stop the others; backoff keeps it cold
            logger().error("apply failed", error=traceback.format_exc())
            return Finished(job, _all_failed(job.plan, f"internal error: {type(error).__name__}: {error}", "", True))


def _say(outcome: Outcome, plan: Plan) -> None:
    text = plan.steps[outcome.step].text
    facts = {"key": str(outcome.key), "op": outcome.op, "seconds": outcome.seconds}
    if outcome.result == Result.FAILED:
        logger().error(f"failed: {text}", error=outcome.error, advice=outcome.advice, **facts)
    elif outcome.result == Result.BLOCKED:
        logger().warning(f"not done: {text}", error=outcome.error, **facts)
    else:
        logger().info(f"{outcome.result.value}: {text}", **facts)


def _all_failed(plan: Plan, error: str, advice: str, retryable: bool) -> tuple[Outcome, ...]:
    outcome = Outcome(
        step=0, key=plan.steps[0].key, op="", result=Result.FAILED, error=error, advice=advice, retryable=retryable
    )
    return tuple(
        msgspec.structs.replace(outcome, step=index, key=step.key, op=step.op) for index, step in enumerate(plan.steps)
    )
