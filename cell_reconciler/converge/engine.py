"""The whole way of the data behind one façade: what ``diff``, ``apply`` and ``run`` have in common.

The engine holds the only state that lasts between two passes of a process: the open doors, the last observation (so
that a pass about one VM does not read a thousand), and the specs with their parse cache.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType

import msgspec

from cell_reconciler.converge import confirm, report
from cell_reconciler.converge.executor import OnOutcome, Stop, execute
from cell_reconciler.converge.journal import Journal
from cell_reconciler.converge.lock import host_lock
from cell_reconciler.converge.refresh import refresh
from cell_reconciler.converge.revert import revert
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.observe import observe
from cell_reconciler.drivers.probes import ProbeTarget, default_gateways
from cell_reconciler.errors import NotHealthy
from cell_reconciler.kinds import kind
from cell_reconciler.kinds.reconciler.spec import ReconcilerSpec
from cell_reconciler.kinds.world import build, pool_targets
from cell_reconciler.load import Specs
from cell_reconciler.model.change import Outcome, Plan, Risk
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document, Loaded, document_digest
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


class Engine:
    """Context manager; closes the doors at the end. Not for use by several threads at a time, but for ``stop``."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.doors = Doors(options.connect)
        self.specs = Specs(options.paths, options.host)
        self.status = StatusStore(options.state_dir)
        self.journal = Journal(options.state_dir)
        self.stop = threading.Event()
        self.fighting: dict[Key, str] = {}
        self.down: dict[tuple[Source, str], str] = {}  # (source, pool or "") → why it is not asked: a gap at once
        self.live: Live | None = None
        self._told: Counter[str] = Counter()  # the writing calls that are in the history
        self._path = threading.Lock()  # one change of the management path at a time
        self._undone_digests: dict[Key, str] = {}  # of the documents whose change was rolled back
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
        self.live = observe(self.doors, self.options.host, pool_targets(documents), down=self.down)
        return self.live

    def refresh(self, loaded: Loaded, keys: Collection[Key] | None) -> Live:
        """Read again what these keys need (None: everything); the rest stays as last seen."""
        known = {(gap.source, gap.scope) for gap in self.live.gaps} if self.live is not None else set()
        if keys is None or self.live is None or known != self.down.keys():
            return self.observe(loaded.documents)
        self.live = refresh(self.doors, self.live, loaded.documents, keys)
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
        ignore: tuple[IgnoreFields, ...] = ()
        if settings is not None:
            spec = settings.spec
            allow = Risk.parse(spec.allow.value) if allow is None else allow
            prune = spec.prune if prune is None else prune
            ignore = tuple(
                IgnoreFields(
                    kind=rule.kind,
                    names=rule.names or (),
                    labels=rule.selector.match_labels if rule.selector else {},
                    fields=rule.fields,
                )
                for rule in spec.ignore
            )
        return Policy(
            allow=Risk.BLIP if allow is None else allow,
            prune=bool(prune),
            suspended=suspended,
            fighting=self.fighting,
            rolled_back=self._rolled_back(loaded),
            ignore=ignore,
        )

    def _rolled_back(self, loaded: Loaded) -> frozenset[Key]:
        """Keys whose change was rolled back and whose document did not change since."""
        known = ((key, loaded.documents.get(key), digest) for key, digest in self._undone_digests.items())
        return frozenset(key for key, doc, digest in known if doc is not None and document_digest(doc) == digest)

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
        keys = confirm.guarded(plan, live)
        if not keys:
            with self.journal.open(plan) as journal:
                return execute(plan, self.doors, journal, on_outcome, self.stop)
        with self._path:
            return self._apply_guarded(plan, keys, on_outcome)

    def _apply_guarded(self, plan: Plan, keys: Collection[Key], on_outcome: OnOutcome | None) -> list[Outcome]:
        """A change on the management path: it is undone unless the probes that pass now pass again in time.

        Raises Refused when none passes now and the path would be cut, NotHealthy when it was undone.
        """
        settings = settings_of(self.loaded or self.load())
        timeout = float(settings.spec.confirm_timeout) if settings else float(ReconcilerSpec().confirm_timeout)
        probes = confirm.passing(_probes(settings))
        first, under, last = confirm.parts(plan, keys)
        with self.journal.open(plan) as journal:

            def make(steps: Collection[int], done: Sequence[Outcome] = (), stop: Stop = self.stop) -> list[Outcome]:
                return execute(plan, self.doors, journal, on_outcome, stop, steps, done)

            if not probes:
                if any(step.risk == Risk.CUTS_MANAGEMENT for step in plan.steps):
                    raise confirm.unprovable(_probes(settings))
                return make(range(len(plan.steps)))  # nobody can tell, and it is a blip at most
            outcomes = make(first)
            watch = confirm.begin(self.options.state_dir, plan, keys, self.doors, timeout)
            outcomes = make(under, outcomes, _Either(self.stop, watch))
            if confirm.confirm(self.options.state_dir, probes, watch):
                watch.guard.wait()
                return make(last, outcomes)
            raise self._undone(keys, probes)

    def _undone(self, keys: Collection[Key], probes: Sequence[ProbeTarget]) -> NotHealthy:
        """Undo the change, unless the guard was faster, and remember not to make it again."""
        errors = revert(self.options.state_dir, self.doors)
        documents = self.loaded.documents if self.loaded else {}
        self._undone_digests |= {key: document_digest(documents[key]) for key in keys if key in documents}
        self.live = None
        names = ", ".join(probe.name for probe in probes)
        what = f"it could not be undone entirely: {'; '.join(errors)}" if errors else "it was rolled back"
        return NotHealthy(
            f"after the change {names} did not answer any more; {what}", "cellctl describe, then the specs"
        )

    def recover(self) -> list[str]:
        """First of all: undo a change that nobody confirmed, and tell what a dead process was doing."""
        texts = [f"the last pass was interrupted during: {text}" for text in self.journal.interrupted()]
        errors = revert(self.options.state_dir, self.doors)  # we hold the host's lock: nobody is left to confirm it
        if errors:
            texts.append(f"a change on the management path could not be undone: {'; '.join(errors)}")
        elif errors is not None:
            texts.append("an unconfirmed change on the management path was rolled back")
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
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
        self.status.add_events(report.events(before, after, outcomes, plan, now, reconcile_id))
        if outcomes:
            writes = dict(Counter(self.writes) - self._told)
            self._told = Counter(self.writes)
            specs = plan.specs_digest or loaded.digest
            self.status.add_history(report.history(plan, outcomes, now, by, reconcile_id, specs, writes))
        return after

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


class _Either(msgspec.Struct, frozen=True):
    """Begin no further step when told to stop, nor when the guard is about to undo what was done."""

    told: threading.Event
    watch: confirm.Watch

    def is_set(self) -> bool:
        return self.told.is_set() or self.watch.over


def settings_of(loaded: Loaded) -> Document | None:
    """The Reconciler document that counts here, if there is one."""
    return next((doc for key, doc in loaded.documents.items() if key.kind == "Reconciler"), None)


def _probes(settings: Document | None) -> tuple[ProbeTarget, ...]:
    """The configured probes, or the default gateways."""
    if settings is None or not settings.spec.probes:
        return default_gateways()
    return tuple(
        ProbeTarget(name=p.name, address=p.ping.address)
        if p.ping
        else ProbeTarget(name=p.name, address=p.tcp.address, port=p.tcp.port)
        for p in settings.spec.probes
    )


def new_reconcile_id() -> str:
    """Eight hex digits that tie the log lines, events and history of one pass together."""
    return secrets.token_hex(4)


def plan_keys(plan: Plan) -> set[Key]:
    return {c.key for c in plan.changes} | set(plan.unknown)
