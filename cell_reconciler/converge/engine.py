"""The whole way of the data behind one façade: what ``diff``, ``apply`` and ``run`` have in common.

The engine holds the only state that lasts between two passes of a process: the open doors, the last observation (so
that a pass about one VM does not read a thousand), and the specs with their parse cache.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from types import TracebackType

import msgspec

from cell_reconciler.converge import pending, report
from cell_reconciler.converge.confirmed import Confirmed
from cell_reconciler.converge.executor import OnOutcome, Stop, execute
from cell_reconciler.converge.guarded import Guarded
from cell_reconciler.converge.journal import Journal
from cell_reconciler.converge.lock import host_lock
from cell_reconciler.converge.pending import Confirms, Pending
from cell_reconciler.converge.refresh import refresh
from cell_reconciler.converge.settle import settle
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.observe import observe
from cell_reconciler.errors import NotHealthy
from cell_reconciler.kinds import kind, link_kinds
from cell_reconciler.kinds.world import build, guest_targets, needs_devices, needs_filters, pool_targets
from cell_reconciler.load import Specs
from cell_reconciler.model.change import Outcome, Plan, Risk
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.planning import Policy, make_plan
from cell_reconciler.planning.planner import live_digest
from cell_reconciler.planning.policy import IgnoreFields, suspension_of
from cell_reconciler.status.records import Event, ResourceStatus
from cell_reconciler.status.reduce import reduce
from cell_reconciler.status.store import StatusStore


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says. ``allow`` and ``prune`` None: as the settings document says."""

    host: str
    paths: tuple[str, ...]
    state_dir: str
    connect: str = "qemu:///system"
    allow: Risk | None = None
    prune: bool | None = None
    only: tuple[Key, ...] = ()
    confirm_timeout: float | None = None  # seconds; an operator confirms every change of a link


class Engine:
    """Context manager; closes the doors at the end. Not for use by several threads at a time, but for ``stop``."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.doors = Doors(options.connect)
        self.specs = Specs(options.paths, options.host)
        self.status = StatusStore(options.state_dir)
        self.journal = Journal(options.state_dir)
        self.stop = self.doors.waiting.stop  # no step is begun, and none waits for a guest any longer
        self.fighting: dict[Key, str] = {}
        self.down: dict[tuple[Source, str], str] = {}  # (source, pool or "") → why it is not asked: a gap at once
        self.live: Live | None = None
        self._told: Counter[str] = Counter()  # the writing calls that are in the history
        self.guarded = Guarded(options.state_dir, self.doors, options.confirm_timeout)
        self.confirmed = Confirmed(options.state_dir, options.host)
        self._seen: _Token | None = None  # when the host was observed last
        self.loaded: Loaded | None = None  # the last load: for workers, since only one thread may scan

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.doors.close()

    @property
    def writes(self) -> dict[str, int]:
        """Writing calls made so far, by name."""
        return self.doors.writes.calls

    def lock(self, who: str = "cellctl apply") -> AbstractContextManager[None]:
        """Only one process a host may write. Raises Refused naming the holder."""
        return host_lock(self.options.state_dir, who)

    # reading

    def load(self) -> Loaded:
        """Read what changed in the specs. Never raises for what users wrote: see ``diagnostics``."""
        self.loaded = self.specs.scan(self.live)
        return self.loaded

    def observe(self, documents: Mapping[Key, Document] | None = None) -> Live:
        """Read the whole host."""
        if documents is None:
            documents = self.load().documents
        self._seen = self._token()
        optional = () if needs_filters(documents) else (Source.NFTABLES,)
        left_out = () if needs_devices(documents) else (Source.DEVICES,)
        self.live = observe(
            self.doors,
            self.options.host,
            pool_targets(documents),
            down=self.down,
            optional=optional,
            left_out=left_out,
            guests=guest_targets(documents),
        )
        return self.live

    def refresh(self, loaded: Loaded, keys: Collection[Key] | None, heard: Collection[str] | None = None) -> Live:
        """Read again what these keys need (None: everything); the rest stays as last seen.

        ``heard``: what the kernel told of the network since then; None when nobody listens.
        """
        known = {(gap.source, gap.scope) for gap in self.live.gaps} if self.live is not None else set()
        if keys is None or self.live is None or known != self.down.keys():
            return self.observe(loaded.documents)
        self._seen = self._token()
        self.live = refresh(self.doors, self.live, loaded.documents, keys, heard)
        return self.live

    # deciding

    def policy(self, loaded: Loaded, now: datetime) -> Policy:
        """Settings document, command line, suspensions: resolved for this pass."""
        settings = settings_of(loaded)
        suspended = {key: record.reason for key, record in self.status.suspensions(now).items()}
        for key, document in loaded.documents.items():
            suspension = suspension_of(document)
            if suspension and suspension.active(now):
                suspended[key] = str(suspension)
        allow, prune = self.options.allow, self.options.prune
        if settings is not None:
            spec = settings.spec
            allow = Risk.parse(spec.allow.value) if allow is None else allow
            prune = spec.prune if prune is None else prune
        return Policy(
            allow=Risk.BLIP if allow is None else allow,
            prune=bool(prune),
            suspended=suspended,
            fighting=self.fighting,
            rolled_back=self.guarded.undone.among(loaded.documents),
            unconfirmed=_unconfirmed(self.pending),
            ignore=_ignore_rules(settings),
        )

    def plan(self, loaded: Loaded, live: Live | None = None, keys: Collection[Key] | None = None) -> Plan:
        """Compare and plan. ``live`` None: observe now. ``keys`` None: everything (or ``options.only``)."""
        live = self.observe(loaded.documents) if live is None else live
        only = keys if keys is not None else (self.options.only or None)
        plan = make_plan(self.options.host, loaded, live, self.policy(loaded, datetime.now(UTC)), only)
        if keys is not None:
            return plan  # of a pass about some keys, whose digests nobody asks for: they cost more than the plan
        return msgspec.structs.replace(plan, specs_digest=loaded.digest, live_digest=live_digest(live))

    # doing

    def apply(self, plan: Plan, on_outcome: OnOutcome | None = None) -> list[Outcome]:
        """Execute the plan; the caller holds ``lock``. A failing step is an outcome, not an exception."""
        if not plan.steps:
            return []
        live = self.live or self.observe()
        with self.journal.open(plan) as journal:

            def make(steps: Collection[int] | None, done: Sequence[Outcome], stop: Stop | None) -> list[Outcome]:
                return execute(plan, self.doors, journal, on_outcome, stop, steps, done)

            if not self.guarded.keys(plan, live):
                return make(None, (), self.stop)
            documents = (self.loaded or self.load()).documents
            try:
                return self.guarded.apply(plan, live, documents, make, self.stop)
            except NotHealthy:
                self.live = None
                raise

    @property
    def pending(self) -> Pending | None:
        """The change of the management path that an operator has to confirm, if there is one."""
        found = pending.current(self.options.state_dir)
        return found if found is not None and found.confirms == Confirms.OPERATOR else None

    def watch_pending(self) -> str:
        """Which change waits for an operator; empty when none does. One whose guard died gets a new one."""
        found = self.pending
        if found is None:
            return ""
        if not pending.guard_lives(self.options.state_dir):
            settle(self.options.state_dir, self.doors)
        return found.id

    def recover(self) -> list[str]:
        """First of all: undo a change that nobody can confirm any more, and tell what a dead process was doing.

        We hold the host's lock: whoever made it is gone. A change that waits for an operator is left alone, with a
        guard: the one that it had, or a new one.
        """
        texts = [f"the last pass was interrupted during: {text}" for text in self.journal.interrupted()]
        texts += settle(self.options.state_dir, self.doors)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with suppress(OSError):  # a full disk: the caller tells them as well
            self.status.add_events(Event(time=now, type="Warning", reason="Interrupted", message=t) for t in texts)
        return texts

    # telling

    def health(self, loaded: Loaded, live: Live, keys: Iterable[Key]) -> dict[Key, tuple[Condition, ...]]:
        """The conditions that the kinds report beside Ready."""
        world = build(self.options.host, loaded.documents, live)
        result = {}
        for key in keys:
            document = loaded.documents[key]
            have = kind(key.kind).observe(key.name, world)
            result[key] = tuple(kind(key.kind).conditions(document, have, world))
        return result

    def reduce(
        self,
        loaded: Loaded,
        live: Live,
        plan: Plan,
        outcomes: Sequence[Outcome],
        *,
        executed: bool = True,
        by: str = "run",
        reconcile_id: str = "",
    ) -> dict[Key, ResourceStatus]:
        """Write conditions, events and history of one pass, and return the new status of what it spoke about."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        before = {key: s for key in plan_keys(plan) if (s := self.status.get(key)) is not None}
        known = [c.key for c in plan.changes if c.key in loaded.documents]
        health = self.health(loaded, live, known)
        after = reduce(before, loaded, plan, outcomes, health, now, executed=executed)
        self.status.put(after.values())
        self._keep(loaded, live, plan)
        outcomes = report.noteworthy(plan, outcomes)
        self.status.add_events(report.events(before, after, outcomes, plan, now, reconcile_id))
        if outcomes:
            writes = dict(Counter(self.writes) - self._told)
            self._told = Counter(self.writes)
            specs = plan.specs_digest or loaded.digest
            self.status.add_history(report.history(plan, outcomes, now, by, reconcile_id, specs, writes))
        return after

    def keep_network(self, loaded: Loaded, live: Live, keys: Collection[Key]) -> None:
        """After steps were made: look whether these links are in sync now, and keep what is."""
        if links := [key for key in keys if key.kind in link_kinds() and key in loaded.documents]:
            self._keep(loaded, live, self.plan(loaded, live, links))

    def _keep(self, loaded: Loaded, live: Live, plan: Plan) -> None:
        """What this pass found in sync becomes the last confirmed network, or will when an operator confirms it."""
        token = self._token()
        if token != self._seen:
            return  # a change was begun, or undone, since we looked
        found = None if token.decided else self.pending
        ours = found is not None and found.made and self.options.confirm_timeout is not None
        if not (token.decided or ours):
            return  # what is in sync now may be undone
        quiet = [c.key for c in plan.changes if not c.steps and not c.refused and c.key in loaded.documents]
        self.confirmed.take(loaded.documents, quiet, live, _ignore_rules(settings_of(loaded)))
        if found is None:
            self.confirmed.keep(loaded.documents)
        else:
            kept = msgspec.to_builtins(self.confirmed.file())
            pending.update(self.options.state_dir, msgspec.structs.replace(found, kept=kept))

    def _token(self) -> _Token:
        return _Token(self.guarded.epoch, pending.decided(self.options.state_dir))

    def wait_healthy(self, loaded: Loaded, timeout: float) -> list[tuple[Key, Condition]]:
        """Look again until every resource is Ready; what is not after ``timeout`` seconds is returned."""
        import time

        deadline = time.monotonic() + timeout
        while True:
            live = self.observe(loaded.documents)
            plan = self.plan(loaded, live)
            states = self.reduce(loaded, live, plan, (), executed=False, by="apply")
            sick = [(k, c) for k, s in sorted(states.items()) if (c := s.condition("Ready")) and c.status != Truth.TRUE]
            if not sick or time.monotonic() > deadline:
                return sick
            time.sleep(0.5)


class _Token(msgspec.Struct, frozen=True):
    """Two observations with the same one have no guarded change between them. ``decided``: none is pending."""

    epoch: int
    decided: bool


def _unconfirmed(found: Pending | None) -> str:
    if found is None:
        return ""
    return f"a change of {found.what} waits until {found.until} for a confirmation"


def _ignore_rules(settings: Document | None) -> tuple[IgnoreFields, ...]:
    if settings is None:
        return ()
    return tuple(
        IgnoreFields(
            kind=rule.kind,
            names=rule.names or (),
            labels=rule.selector.match_labels if rule.selector else {},
            fields=rule.fields,
        )
        for rule in settings.spec.ignore
    )


def settings_of(loaded: Loaded) -> Document | None:
    """The Reconciler document that counts here, if there is one."""
    return next((doc for key, doc in loaded.documents.items() if key.kind == "Reconciler"), None)


def new_reconcile_id() -> str:
    """Eight hex digits that tie the log lines, events and history of one pass together."""
    return os.urandom(4).hex()


def plan_keys(plan: Plan) -> set[Key]:
    return {c.key for c in plan.changes} | set(plan.unknown)
