"""The loop: one thread that hears hints, decides when to look, and gives what there is to do to the workers.

It alone touches the queue, the engine's observation and the status. Workers only execute plans, and tell.

- A hint marks keys dirty. A pass looks at the dirty keys (or at everything), plans, and hands out what moves.
- A pass about everything comes every ``interval`` with jitter, and whenever hints may have been lost.
- After a job its keys are looked at once more: that look finds nothing to do, writes Ready, and ends the matter.
"""

from __future__ import annotations

import contextlib
import gc
import queue
import random
import time
from collections.abc import Callable, Mapping

import msgspec
import structlog

from cell_reconciler.converge.engine import Engine, settings_of
from cell_reconciler.daemon import mapping
from cell_reconciler.daemon.hints import (
    Back,
    Befell,
    Died,
    Domain,
    Files,
    Filter,
    Finished,
    Hint,
    Link,
    Lost,
    PoolBack,
    PoolLost,
    Reload,
    Sleep,
    Stop,
)
from cell_reconciler.daemon.logs import logger
from cell_reconciler.daemon.news import invalid, news
from cell_reconciler.daemon.notify import Notify
from cell_reconciler.daemon.passes import Passes
from cell_reconciler.daemon.workers import Workers
from cell_reconciler.kinds.reconciler.spec import ReconcilerSpec
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Source
from cell_reconciler.status.records import Event

RESCAN = 30.0  # seconds between scans of the specs, whatever the watch says
SETTLE = 0.03  # seconds from an event to the look: what belongs together comes together
GAP_FIRST, GAP_CAP = 1.0, 5.0  # seconds until a source that did not answer is asked again
PATIENCE = 30.0  # seconds that systemd is asked for, again and again, while the last steps end


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says about the loop. None: as the settings document says."""

    observe_only: bool | None = None
    interval: float | None = None
    once: bool = False


class Loop:
    """``run`` returns when it was told to stop, with the exit code."""

    def __init__(
        self,
        engine: Engine,
        workers: Workers,
        inbox: queue.SimpleQueue[Hint],
        notify: Notify,
        options: Options,
    ) -> None:
        self._engine = engine
        self._workers = workers
        self._inbox = inbox
        self._notify = notify
        self._options = options
        self.suspect: Callable[[str], None] = lambda _pool: None  # set by the service: asks a pool more often
        self.suspect_libvirt: Callable[[], None] = lambda: None  # likewise
        self.keep_awake: Callable[[bool], None] = lambda _on: None  # likewise: told whether any VM runs
        self._sleep = Sleep(inhibited=False)
        self._clock = time.monotonic
        self._random = random.random
        self._loaded: Loaded | None = None
        self._heard: set[str] = set()  # what the kernel told of the network since the last look
        self._heard_due: float | None = None
        self.passes = Passes(engine, workers.submit, self._clock, self._random)
        self._full_due = 0.0
        self._scan_due = 0.0
        self._gap_delay = GAP_FIRST
        self._fed = 0.0
        self._told = ""
        self._trouble = ""
        self._reloading = False
        self._stop: Stop | None = None
        self._died: Died | None = None

    # life

    def run(self) -> int:
        """Until SIGTERM (0), until a thread dies (1), or for one pass (``--once``: the codes of apply)."""
        self._rescan()
        self._everything()
        gc.collect()
        gc.freeze()  # a thousand documents live for ever: the collector need not walk over them again
        if not self._options.once:
            self._notify.ready(self.passes.summary())
            logger().info("watching", resources=len(self.loaded.documents), summary=self.passes.summary())
        while not self._over():
            self._turn()
        return self._leave()

    def _over(self) -> bool:
        if self._stop or self._died:
            return True
        return self._options.once and not self.passes.jobs and not self.passes.wants_everything

    def _turn(self) -> None:
        for hint in self._wait():
            self._hear(hint)
        if self._stop or self._died:
            return
        now = self._clock()
        if now >= self._scan_due:
            self._rescan()
        if now >= self._full_due:
            self._everything()
        elif (keys := self.passes.take(now)) or (self._heard_due is not None and now >= self._heard_due):
            self._look(keys)
        self._feed(now)

    def _wait(self) -> list[Hint]:
        """Everything that was told; waits for it until something is due."""
        beat = self._notify.watchdog_seconds
        times = [self._full_due, self._scan_due, self._clock() + (beat / 3 if beat else RESCAN)]
        times += [due for due in (self.passes.next_due(), self._heard_due) if due is not None]
        found: list[Hint] = []
        try:
            found.append(self._inbox.get(timeout=max(0.0, min(times) - self._clock())))
            while True:
                found.append(self._inbox.get_nowait())
        except queue.Empty:
            return found

    def _leave(self) -> int:
        """Running steps are finished, but none waits for a guest; none is begun; what came of them is written down."""
        for what in self._engine.doors.waiting.now():
            logger().warning(f"not waiting any longer for {what}")
        self._engine.stop.set()
        why = f"thread {self._died.thread} died" if self._died else (self._stop.signal if self._stop else "one pass")
        if self._died:
            logger().critical("a thread died: this process ends", thread=self._died.thread, error=self._died.error)
        if not self._options.once:
            self._notify.stopping(f"stopping: {why}")
        end = self._clock() + (10.0 if self._died else float("inf"))
        while self.passes.jobs and self._clock() < end:
            self._notify.extend(PATIENCE)
            try:
                hint = self._inbox.get(timeout=PATIENCE / 3 if not self._died else 1.0)
            except queue.Empty:
                continue
            if isinstance(hint, Finished):
                self.passes.finished(hint, self.loaded)
            elif isinstance(hint, Stop) and self._stop:
                logger().warning("told twice: not waiting any longer", signal=hint.signal)
                break
        logger().info("stopped", reason=why, unfinished=len(self.passes.jobs))
        if self._died:
            return 1
        return self.passes.exit_code(self.loaded) if self._options.once and not self._stop else 0

    # hearing

    def _hear(self, hint: Hint) -> None:
        match hint:
            case Files(trouble):
                self._scan_due = 0.0
                self._say_trouble(trouble)
            case Domain(name):
                self._dirty(mapping.of_domain(name, self.loaded.documents))
            case Link(name, writer):
                self._heard.add(name)
                if writer:
                    self.passes.changed_by(name, writer)
                if self._heard_due is None and self._matters(name):
                    self._heard_due = self._clock() + SETTLE
            case Filter(bridge):
                self._dirty({Key("Bridge", bridge)} & self.loaded.documents.keys())
            case Finished():
                self.passes.finished(hint, self.loaded)
                if self.passes.wants_everything:
                    self._full_due = 0.0
            case Reload():
                logger().info("reload")
                self._notify.reloading()
                self._reloading = True
                self._scan_due = self._full_due = 0.0
            case Stop():
                self._stop = hint
            case Died():
                self._died = hint
            case Befell() | Lost() | Back() | PoolLost() | PoolBack() | Sleep():
                self._hear_news(hint)

    def _hear_of_sleep(self, hint: Sleep) -> None:
        self._sleep = hint
        if hint.reason:
            logger().warning("the host may be suspended while VMs run", reason=hint.reason)
            self._event("Warning", "SleepPossible", f"the host may be suspended while VMs run: {hint.reason}")
        else:
            text = "sleep is inhibited while VMs run" if hint.inhibited else "no VM runs: the host may be suspended"
            logger().info(text)
            self._event("Normal", "SleepInhibited" if hint.inhibited else "SleepAllowed", text)
        self._tell_status()

    def _hear_news(self, hint: Befell | Lost | Back | PoolLost | PoolBack | Sleep) -> None:
        """What went silent is a gap until it answers again, and either is a reason to look at everything."""
        match hint:
            case Befell(name, reason, text):
                for key in mapping.of_domain(name, self.loaded.documents):
                    logger().warning(text, key=str(key))
                    self._event("Warning", reason, text, key)
            case Lost(source, reason):
                logger().warning("source lost", source=source.value, reason=reason)
                self._engine.down[(source, "")] = reason
                self._full_due = 0.0
            case Back(source, reason):
                logger().info("source answers", source=source.value, reason=reason)
                self._engine.down.pop((source, ""), None)
                self._full_due = 0.0
            case PoolLost(pool, reason):
                self._pool_lost(pool, reason)
            case PoolBack(pool):
                logger().info("pool answers again", pool=pool)
                self._forget_silence(pool)
                self._full_due = 0.0
            case Sleep():
                self._hear_of_sleep(hint)

    def _pool_lost(self, pool: str, reason: str) -> None:
        document = self.loaded.documents.get(Key("StoragePool", pool))
        if document is None or any(place[1] == pool for place in self._engine.down):
            return
        logger().warning("pool lost", pool=pool, reason=reason)
        target = mapping.pools(self.loaded.documents)[pool]
        self._engine.down[(Source.CEPH if target.backend == "rbd" else Source.FILES, pool)] = reason
        self._full_due = 0.0

    def _forget_silence(self, pool: str) -> None:
        for place in [place for place in self._engine.down if place[1] == pool]:
            del self._engine.down[place]

    def _dirty(self, keys: set[Key]) -> None:
        due = self._clock() + SETTLE
        for key in keys:
            self.passes.want(key, due)

    def _matters(self, name: str) -> bool:
        return self._engine.live is not None and mapping.matters(name, self.passes.users, self._engine.live)

    def _say_trouble(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            logger().warning("watching specs by polling", reason=trouble)
            self._event("Warning", "WatchDegraded", trouble)
        elif self._trouble and not trouble:
            self._event("Normal", "WatchRestored", "file events work again")
        self._trouble = trouble

    # looking

    @property
    def loaded(self) -> Loaded:
        """The specs in force. Raises RuntimeError before the first scan."""
        if self._loaded is None:
            raise RuntimeError("the specs were not loaded yet")
        return self._loaded

    @property
    def documents(self) -> Mapping[Key, Document]:
        """The documents in force, none before the first scan; for other threads to read."""
        loaded = self._loaded
        return loaded.documents if loaded is not None else {}

    def _rescan(self) -> None:
        old, new = self._loaded, self._load()
        self._scan_due = self._clock() + RESCAN
        if self.passes.words_of_operators():
            self._full_due = 0.0
        if new is old:
            return
        self._loaded = new
        found = news(old, new)
        self.passes.users = mapping.links(new.documents)
        for problem in found.problems:
            say = logger().error if invalid(problem) else logger().warning
            say(str(problem), advice=problem.advice, rule=problem.rule)
            self._event("Warning", "SpecInvalid" if invalid(problem) else "SpecWarning", str(problem))
        if found.told:
            with contextlib.suppress(OSError):
                self._engine.status.set_diagnostics(new.diagnostics)
        if old is None:
            return
        if found.touched or found.gone:
            logger().info("specs changed", changed=len(found.touched), gone=len(found.gone))
        for key in found.touched | found.gone:
            if key.kind == "StoragePool":  # it is another place now, or none: whatever was silent there does not count
                self._forget_silence(key.name)
        now = self._clock()
        for key in found.touched:
            self.passes.renew(key, now)
        self.passes.forget(found.gone, new)
        self.passes.nudge(now)
        if found.gone or found.settings or found.solved:
            self._full_due = 0.0

    def _load(self) -> Loaded:
        """The specs as they are now; what was in force when a bug keeps them from being taken together."""
        try:
            return self._engine.load()
        except Exception as error:
            if self._loaded is None:
                raise  # there is nothing to go on with
            logger().critical("the specs cannot be read: what was in force stays", error=str(error), exc_info=True)
            return self._loaded

    def _everything(self) -> None:
        self._full_due = self._clock() + self._interval() * (0.9 + 0.2 * self._random())
        self.passes.wants_everything = False
        self.passes.take(self._clock())
        self._look(None)
        if self._reloading:
            self._reloading = False
            self._notify.ready(self.passes.summary())

    def _look(self, keys: list[Key] | None) -> None:
        heard = None if self._options.once else self._heard
        self._heard, self._heard_due = set(), None
        with structlog.contextvars.bound_contextvars(reconcile=self.passes.new_id()):
            gaps = self.passes.look(self.loaded, keys, writing=not self._observe_only(), heard=heard)
        for gap in gaps:
            if (gap.source, gap.scope) in self._engine.down:
                continue
            if gap.scope:
                self._engine.down[(gap.source, gap.scope)] = gap.reason
                self.suspect(gap.scope)
            elif gap.source == Source.LIBVIRT:  # each look would wait for it in vain, and the network with it
                logger().warning("source lost", source=gap.source.value, reason=gap.reason)
                self._engine.down[(gap.source, "")] = gap.reason
                self.suspect_libvirt()
        if any((gap.source, gap.scope) not in self._engine.down for gap in gaps):
            self._full_due = min(self._full_due, self._clock() + self._gap_delay)
            self._gap_delay = min(GAP_CAP, self._gap_delay * 1.5)
        elif not gaps:
            self._gap_delay = GAP_FIRST
        live = self._engine.live
        if live is not None and live.gap(Source.LIBVIRT) is None:  # else it stays as it is
            self.keep_awake(any(domain.active is not None for domain in live.domains.values()))
        self._tell_status()

    def _observe_only(self) -> bool:
        if self._options.observe_only is not None:
            return self._options.observe_only
        settings = settings_of(self.loaded)
        return settings is not None and settings.spec.mode == "observe"

    def _interval(self) -> float:
        if self._options.interval is not None:
            return self._options.interval
        settings = settings_of(self.loaded)
        return float(settings.spec.resync_interval) if settings is not None else float(ReconcilerSpec().resync_interval)

    # telling

    def _tell_status(self) -> None:
        summary = self.passes.summary() + ("; sleep is inhibited" if self._sleep.inhibited else "")
        if summary != self._told:
            self._told = summary
            self._notify.status(summary)

    def _feed(self, now: float) -> None:
        """The watchdog is fed by a turn that was made, and not while every worker hangs."""
        beat = self._notify.watchdog_seconds
        if beat and now - self._fed >= beat / 4 and not self._workers.hung:
            self._notify.alive()
            self._fed = now

    def _event(self, kind: str, reason: str, message: str, key: Key | None = None) -> None:
        with contextlib.suppress(OSError):  # a full disk: the log has it
            self._engine.status.add_events(
                [Event(time=self.passes.moment(), type=kind, reason=reason, message=message, key=key)]
            )
