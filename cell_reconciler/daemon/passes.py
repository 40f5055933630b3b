"""One look at some keys (or at everything), and what follows from it: status, jobs, retries, giving up.

Rule 1: a key belongs to one job at a time; whatever is planned for it meanwhile is planned again afterwards.
Rule 2: a key that failed is not touched before its backoff is over, unless its spec changes.
Rule 3: what only waits (for a dependency, for another key) is looked at again whenever a job did something.
Rule 4: deletions start only when nothing else is at work.
Rule 5: what goes down by itself is started again at once, and then after longer and longer.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta

import msgspec

from cell_reconciler.converge.engine import Engine, new_reconcile_id
from cell_reconciler.daemon import mapping
from cell_reconciler.daemon.backoff import Backoff
from cell_reconciler.daemon.fighting import Fighting, Writers, reason
from cell_reconciler.daemon.hints import Finished, Job
from cell_reconciler.daemon.logs import logger
from cell_reconciler.daemon.queue import WorkQueue
from cell_reconciler.daemon.split import split
from cell_reconciler.errors import CellError, Refused, SpecError, Unreachable
from cell_reconciler.model.change import Cause, Change, Outcome, Plan, Result
from cell_reconciler.model.condition import Truth
from cell_reconciler.model.document import Loaded, document_digest
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Gap, Live
from cell_reconciler.status.records import ResourceStatus, SuspensionRecord

CRASH_FIRST = 10.0  # seconds from a restart until the next one, twice as long each time, at most the cap of backoff
CALM = 600.0  # seconds that it has to run for its crashes to be forgotten
VERIFY = 0.05  # seconds from the end of a job to the look at its keys: its own events come within that time


class Passes:
    """The memory of the loop about keys: what is wanted, at work, failing, fought over."""

    def __init__(
        self, engine: Engine, submit: Callable[[Job], None], clock: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self._engine = engine
        self._submit = submit
        self._clock = clock
        self._queue = WorkQueue()
        self._backoff = Backoff(jitter)
        self._crashes = Backoff(jitter, CRASH_FIRST)
        self._fighting = Fighting()
        self._writers = Writers()
        self.jobs: set[Job] = set()
        self.wants_everything = False
        self.users: dict[str, frozenset[Key]] = {}  # link → the documents that it concerns
        self._id = ""
        self._applied: dict[Key, str] = {}  # digest of the document that was last applied without a failure
        self._waiting: set[Key] = set()
        self._ready: dict[Key, str] = {}  # key → "in sync", "drifted", "failed", "unknown"
        self._words: tuple[dict[Key, SuspensionRecord], dict[Key, str], str] | None = None
        self._codes: set[int] = set()

    # what is wanted

    def want(self, key: Key, due: float) -> None:
        """Look at ``key`` from ``due`` on, and not while its backoff lasts."""
        self._queue.add(key, max(due, self._backoff.not_before(key)))

    def renew(self, key: Key, now: float) -> None:
        """Its spec changed: whatever was before does not count any more."""
        self._backoff.reset(key)
        self._crashes.reset(key)
        self._fighting.resume(key)
        self._engine.fighting.pop(key, None)
        self._queue.add(key, now)

    def forget(self, keys: Iterable[Key], loaded: Loaded) -> None:
        """Keys that nothing declares any more."""
        gone = set(keys)
        for key in gone:
            self._queue.drop(key)
            self._backoff.reset(key)
            self._crashes.reset(key)
            self._fighting.resume(key)
            self._engine.fighting.pop(key, None)
            self._applied.pop(key, None)
            self._waiting.discard(key)
            self._ready.pop(key, None)
        if gone:
            with contextlib.suppress(OSError):
                self._engine.status.forget(loaded.documents)

    def changed_by(self, link: str, writer: str) -> None:
        """An event of this link named the process that caused it."""
        self._writers.heard(link, writer, self._clock())

    def nudge(self, now: float) -> None:
        """Something changed that others may have waited for."""
        for key in self._waiting:
            self.want(key, now)
        self._waiting.clear()

    def take(self, now: float) -> list[Key]:
        return self._queue.take(now)

    def next_due(self) -> float | None:
        return self._queue.next_due()

    def words_of_operators(self) -> bool:
        """Did somebody say ``suspend``, ``resume``, ``commit`` or ``rollback`` since the last question?

        ``resume`` also ends a fight.
        """
        store = self._engine.status
        try:
            words = (store.suspensions(), store.resumed(), self._engine.watch_pending())
        except CellError as error:  # planning refuses to go on without it, and says so for each key
            logger().error(error.message, advice=error.advice)
            return False
        before, self._words = self._words, words
        if before is None or before == words:
            return False
        for key in [key for key, time in words[1].items() if before[1].get(key) != time]:
            self._fighting.resume(key)
            self._engine.fighting.pop(key, None)
        return True

    # one look

    def new_id(self) -> str:
        self._id = new_reconcile_id()
        return self._id

    def moment(self, later: float = 0.0) -> str:
        """RFC 3339."""
        return (datetime.now(UTC) + timedelta(seconds=later)).isoformat(timespec="milliseconds")

    def look(
        self,
        loaded: Loaded,
        keys: Collection[Key] | None,
        *,
        writing: bool,
        heard: Collection[str] | None = None,
    ) -> tuple[Gap, ...]:
        """Observe, plan, write down what is known, hand out what there is to do. Returns what did not answer.

        ``heard``: what the kernel told of the network since the last look, None when nobody listens. Of what it told,
        only what is other than before makes work.
        """
        started = self._clock()
        self._rest(loaded)
        before = self._engine.live
        live = self._engine.refresh(loaded, keys, heard)
        if keys is not None and before is not None:
            keys = [*keys, *self._also(mapping.concerned(before, live, self.users, loaded.documents) - set(keys))]
        mine = self._queue.busy - {key for job in self.jobs for key in job.keys}
        for plan in self._plans(loaded, live, keys):
            if writing:
                self._hand_out(loaded, live, plan, mine)
            else:
                self._write(loaded, live, plan, (), executed=False)
        for key in mine:
            if not any(key in job.keys for job in self.jobs):
                self._queue.done(key, self._backoff.not_before(key))
        about = "everything" if keys is None else [str(key) for key in keys][:20]
        logger().debug("looked", about=about, seconds=round(self._clock() - started, 4), gaps=len(live.gaps))
        return live.gaps

    def _also(self, keys: Collection[Key]) -> list[Key]:
        """Those of the keys that may be looked at now and are not yet; the others are when their time comes."""
        now, found = self._clock(), []
        for key in keys:
            if self._backoff.not_before(key) <= now and self._queue.claim(key):
                found.append(key)
            else:
                self.want(key, now)
        return sorted(found)

    def _plans(self, loaded: Loaded, live: Live, keys: Collection[Key] | None) -> list[Plan]:
        """One plan. When planning fails, one for each key, so that one bad document stops nobody else."""
        if keys is not None:
            keys = [key for key in keys if key in loaded.documents]
            if not keys:
                return []
        try:
            return [self._engine.plan(loaded, live, keys)]
        except Exception as error:  # noqa: BLE001  a bug in one kind, or a circle in the specs
            logger().error("cannot plan", error=str(error), exc_info=not isinstance(error, CellError))
        plans = []
        for key in loaded.documents if keys is None else keys:
            try:
                plans.append(self._engine.plan(loaded, live, [key]))
            except Exception as error:  # noqa: BLE001
                logger().error("cannot plan", key=str(key), error=str(error))
                self.want(key, self._backoff.failed(key, self._clock()))
                self._ready[key] = "failed"
        return plans

    def _hand_out(self, loaded: Loaded, live: Live, plan: Plan, mine: Collection[Key]) -> None:
        now = self._clock()
        theirs = {key for job in self.jobs for key in job.keys}

        crashed = {c.key for c in plan.changes if c.cause == Cause.CRASH and self._crashes.not_before(c.key) > now}

        def hold(key: Key) -> bool:
            return key in theirs or key in crashed or self._backoff.not_before(key) > now

        parts = split(plan, hold)
        self._put_off(loaded, live, plan, crashed - theirs)
        for key in parts.held:
            if key not in theirs and self._backoff.not_before(key) <= now:
                self._waiting.add(key)
        for part in parts.moving:
            if any(step.deletes for step in part.steps) and self.jobs:
                self.wants_everything = True
                continue
            for change in part.changes:
                if change.key not in mine:
                    self._queue.claim(change.key)
            job = Job(self._id, part)
            self.jobs.add(job)
            logger().info("reconciling", keys=[str(c.key) for c in part.changes][:20], steps=len(part.steps))
            self._submit(job)
        for part in parts.moving:  # after the jobs are under way: the truth until they are through
            self._write(loaded, live, part, (), executed=False)
        self._write(loaded, live, parts.still, ())
        self.look_again(plan, live)
        self._waiting |= {c.key for c in parts.still.changes if any(r.waiting for r in c.refused)}

    def look_again(self, plan: Plan, live: Live) -> None:
        """What falls due at a certain time (a maintenance window opens) is looked at then, not at the next resync."""
        for change in plan.changes:
            if change.again is not None and live.at is not None:
                self.want(change.key, self._clock() + (change.again - live.at).total_seconds())

    def _put_off(self, loaded: Loaded, live: Live, plan: Plan, keys: Collection[Key]) -> None:
        """What crashes again and again is started later; it is said until when."""
        if not keys:
            return
        changes = tuple(change for change in plan.changes if change.key in keys)
        part = msgspec.structs.replace(plan, changes=changes, steps=(), edges=(), soft=(), unknown={}, foreign=())
        self._write(loaded, live, part, (), executed=False)
        for key in keys:
            due = self._crashes.not_before(key)
            self._queue.add(key, due)
            self._show_retry(key, due - self._clock())

    def _write(
        self,
        loaded: Loaded,
        live: Live,
        plan: Plan,
        outcomes: Collection[Outcome],
        *,
        executed: bool = True,
        reconcile_id: str = "",
    ) -> None:
        try:
            states = self._engine.reduce(
                loaded,
                live,
                plan,
                tuple(outcomes),
                executed=executed,
                by="run",
                reconcile_id=reconcile_id or self._id,
            )
        except OSError as error:  # a full disk must not end the repairs
            logger().error("cannot write the status", error=str(error))
            return
        for key, status in states.items():
            self._ready[key] = _word(status)
        self._codes |= {code for change in plan.changes for code in _codes(change)}
        self._codes |= {Unreachable.exit_code} if plan.unknown else set()

    # what came of it

    def finished(self, hint: Finished, loaded: Loaded) -> None:
        """Write down the outcomes, and decide for each key when it is looked at again."""
        job, now = hint.job, self._clock()
        self.jobs.discard(job)
        live = self._engine.live or self._engine.refresh(loaded, None)
        whole = len(hint.outcomes) == len(job.plan.steps)  # not when we were told to stop
        self._write(loaded, live, job.plan, hint.outcomes, executed=whole, reconcile_id=job.reconcile_id)
        failed = {o.key: o for o in hint.outcomes if o.result == Result.FAILED}
        blocked = {o.key for o in hint.outcomes if o.result == Result.BLOCKED} - failed.keys()
        done = {o.key for o in hint.outcomes if o.result == Result.DONE}
        self._codes |= {CellError.exit_code} if failed else set()
        for change in job.plan.changes:
            key = change.key
            if key in failed:
                until = self._backoff.failed(key, now, hopeless=not failed[key].retryable, soon=hint.full)
                self._queue.done(key, until)
                self._queue.add(key, until)
                self._show_retry(key, until - now)
                continue
            if key in blocked:
                self._queue.done(key)
                self._waiting.add(key)
                continue
            self._backoff.reset(key)
            self._queue.done(key)
            if key in done:
                self._count_repair(change, loaded, now)
            if key in loaded.documents:
                self._queue.add(key, now + VERIFY)
        if done:
            self.nudge(now + VERIFY)

    def _count_repair(self, change: Change, loaded: Loaded, now: float) -> None:
        """A repair of drift, or the same spec applied once more, counts towards giving up.

        A restart after a crash does not: it counts towards waiting longer. Upkeep comes again by its nature.
        """
        if change.upkeep:
            return
        if change.cause == Cause.CRASH:
            if now - self._crashes.not_before(change.key) > CALM:
                self._crashes.reset(change.key)
            self._crashes.failed(change.key, now)
            return
        document = loaded.documents.get(change.key)
        if document is None:
            return
        digest = document_digest(document)
        again = self._applied.get(change.key) == digest
        self._applied[change.key] = digest
        if (again or change.cause == Cause.DRIFT) and self._fighting.repaired(change.key, digest, now):
            live = self._engine.live or Live(host=self._engine.options.host)
            why = reason(change, live, self._writers.recent(now))
            self._engine.fighting[change.key] = why
            logger().warning("fighting: left alone from now on", key=str(change.key), reason=why)

    def _rest(self, loaded: Loaded) -> None:
        """Give another chance to keys whose hour is over."""
        now = self._clock()
        for key in list(self._engine.fighting):
            document = loaded.documents.get(key)
            if document is None or not self._fighting.stopped(key, document_digest(document), now):
                del self._engine.fighting[key]

    def _show_retry(self, key: Key, delay: float) -> None:
        status = self._engine.status.get(key)
        if status is not None:
            with contextlib.suppress(OSError):  # said by the write before
                self._engine.status.put([msgspec.structs.replace(status, next_retry=self.moment(delay))])

    # telling

    def summary(self) -> str:
        """``42 in sync, 1 drifted, 0 failed`` and, when there are, ``2 unknown``, ``3 working``."""
        count = Counter(self._ready.values())
        text = f"{count['in sync']} in sync, {count['drifted']} drifted, {count['failed']} failed"
        text += f", {count['unknown']} unknown" if count["unknown"] else ""
        working = sum(len(job.keys) for job in self.jobs)
        return text + (f", {working} at work" if working else "")

    def exit_code(self, loaded: Loaded) -> int:
        """Of ``--once``, as ``apply`` has it: what failed is said first, then what makes the answer doubtful."""
        codes = self._codes | (set() if loaded.complete else {SpecError.exit_code})
        ranked = (CellError.exit_code, Unreachable.exit_code, SpecError.exit_code, Refused.exit_code)
        return next((code for code in ranked if code in codes), 0)


def _word(status: ResourceStatus) -> str:
    ready = status.condition("Ready")
    if ready is None or ready.status == Truth.UNKNOWN:
        return "unknown"
    if ready.status == Truth.TRUE:
        return "in sync"
    return "failed" if ready.reason in ("StepFailed", "DependencyFailed") else "drifted"


def _codes(change: Change) -> Iterable[int]:
    if any(not refusal.waiting for refusal in change.refused):
        yield Refused.exit_code
