"""Makes the changes of links by which the host is reached, with a way back: see ``confirm``.

A change is made as a whole or undone: when a step under the guard fails, what was made of it is undone at once, for a
host that answers its gateway may still have lost the route to everybody else.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from cell_reconciler.converge import confirm, pending
from cell_reconciler.converge.confirm import Watch
from cell_reconciler.converge.executor import Stop
from cell_reconciler.converge.lock import holder
from cell_reconciler.converge.pending import Confirms
from cell_reconciler.converge.revert import revert_known, undo_again
from cell_reconciler.converge.undone import Undone
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.probes import Arp, Lacp, Ping, Probe, Tcp, answering, gateway_probes
from cell_reconciler.errors import NotHealthy
from cell_reconciler.kinds.reconciler import spec as settings
from cell_reconciler.kinds.reconciler.spec import ReconcilerSpec
from cell_reconciler.model.change import Outcome, Plan, Result, Risk
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live

TRIES = 2  # rounds in which a probe may pass before the change
# make(steps, outcomes so far, when to begin no further one) → all outcomes
Make = Callable[[Collection[int], Sequence[Outcome], Stop | None], list[Outcome]]


class Guarded:
    """One change of the management path at a time. ``epoch`` moves when one begins.

    ``confirm_timeout`` (seconds; of the command line): every change of a link is guarded, and an operator confirms.
    """

    def __init__(self, state_dir: str | Path, doors: Doors, confirm_timeout: float | None = None) -> None:
        self.undone = Undone(state_dir)
        self.epoch = 0
        self.silent: tuple[str, ...] = ()  # probes that passed before and did not after, while an operator decides
        self.confirm_timeout = confirm_timeout
        self._state_dir = state_dir
        self._doors = doors
        self._lock = threading.Lock()

    def keys(self, plan: Plan, live: Live) -> frozenset[Key]:
        """The keys of a plan that need a way back."""
        return confirm.guarded(plan, live) if self.confirm_timeout is None else confirm.linked(plan)

    def apply(
        self,
        plan: Plan,
        live: Live,
        documents: Mapping[Key, Document],
        make: Make,
        stop: Stop,
    ) -> list[Outcome]:
        """Make the plan; what is not under guard is made before or, when it needs the change, after it is confirmed.

        Raises Refused when nothing could confirm a change that cuts the path, NotHealthy when it was undone.
        """
        with self._lock:
            keys = self.keys(plan, live)
            spec = _settings(documents)
            probes = confirmable(spec, confirm.touched(plan, keys), live)
            passing = answering(probes, self._doors.netlink, TRIES)
            if self.confirm_timeout is None and not self._provable(plan, keys, live, probes, passing):
                return make(range(len(plan.steps)), (), stop)  # nobody can tell, and it is a blip at most
            first, under, last = confirm.parts(plan, keys)
            outcomes = make(first, (), stop)
            if stop.is_set():
                return outcomes
            watch = self._begin(plan, keys, spec, documents)
            try:
                outcomes = make(under, outcomes, watch)
                if not (problem := _unmade(plan, under, outcomes)):
                    made = msgspec.structs.replace(watch.pending, made=True)
                    in_time = pending.update(self._state_dir, made)
                    problem = "" if in_time else "the time was over when the change was made"
            except OSError as error:  # a disk that is full or gone; the guard would do it too, but later
                problem = f"its state cannot be written: {error}"
            if problem:
                raise self._undo(watch, problem, blame=False)
            if self.confirm_timeout is not None:
                now = answering(passing, self._doors.netlink, TRIES)
                self.silent = tuple(probe.name for probe in passing if probe not in now)
                return outcomes  # the guard goes on watching; the rest is for the apply after `commit`
            if not confirm.confirm(passing, watch, self._doors):
                names = ", ".join(probe.name for probe in passing)
                raise self._undo(watch, f"after the change {names} did not answer any more", blame=True)
            watch.guard.wait()
            self.undone.forget(keys)
            return make(last, outcomes, stop)

    def _begin(
        self, plan: Plan, keys: Collection[Key], spec: ReconcilerSpec, documents: Mapping[Key, Document]
    ) -> Watch:
        self.epoch += 1
        return confirm.begin(
            self._state_dir,
            plan,
            keys,
            self._doors,
            float(spec.confirm_timeout) if self.confirm_timeout is None else self.confirm_timeout,
            confirms=Confirms.PROBES if self.confirm_timeout is None else Confirms.OPERATOR,
            documents=documents,
            by=holder(self._state_dir) or f"pid {os.getpid()}",
        )

    def _provable(
        self, plan: Plan, keys: Collection[Key], live: Live, probes: Sequence[Probe], passing: Sequence[Probe]
    ) -> bool:
        """Could what passes now tell that the host was cut off? Raises Refused when not and the path would be cut.

        A gateway that is reached another way answers whatever becomes of the management path: it proves nothing.
        """
        names = confirm.path_of(confirm.touched(plan, keys), live)
        steps = [step for step in plan.steps if step.key in keys]
        if any(probe.link(self._doors.netlink) in names for probe in passing):
            return True
        if passing and any(confirm.steers(step) for step in steps):
            return True
        if any(step.risk == Risk.CUTS_MANAGEMENT for step in steps):
            raise confirm.unprovable(probes, passing, {key.name for key in keys})
        return False

    def _undo(self, watch: Watch, why: str, *, blame: bool) -> NotHealthy:
        """Undo the change, once more if the guard was faster: a step may have been under way meanwhile."""
        errors = revert_known(self._state_dir, watch.pending, self._doors, blame=blame)
        if errors is None:
            errors = undo_again(self._state_dir, watch.pending, self._doors)
        if blame:
            self.undone.remember(watch.pending.digests)
        what = f"it could not be undone entirely: {'; '.join(errors)}" if errors else "it was rolled back"
        return NotHealthy(f"{why}; {what}", "cellctl describe, then the specs")


def _unmade(plan: Plan, under: set[int], outcomes: Sequence[Outcome]) -> str:
    """Why the steps under guard are not all made; empty when they are."""
    came = {outcome.step: outcome for outcome in outcomes}
    for result in (Result.FAILED, Result.BLOCKED):
        for index in sorted(under & came.keys()):
            if came[index].result == result:
                return f"{plan.steps[index].text}: {came[index].error}"
    missing = sorted(under - came.keys())
    return f"there was no time left to {plan.steps[missing[0]].text}" if missing else ""


def _settings(documents: Mapping[Key, Document]) -> ReconcilerSpec:
    document = next((doc for key, doc in documents.items() if key.kind == "Reconciler"), None)
    return document.spec if document is not None else ReconcilerSpec()


def confirmable(spec: ReconcilerSpec, touched: Collection[str], live: Live) -> tuple[Probe, ...]:
    """Everything that may be asked: the default gateways, the LACP partners on the path, and what is configured."""
    return (*gateway_probes(), *_partners(touched, live), *configured(spec))


def _partners(touched: Collection[str], live: Live) -> tuple[Probe, ...]:
    bonds = (live.links[name] for name in sorted(confirm.path_of(touched, live)) if name in live.links)
    return tuple(
        Lacp(name=f"LACP partner of {link.name}", bond=link.name, needed=False)
        for link in bonds
        if link.kind == "bond" and link.data.get("bond_mode") == "802.3ad"
    )


def configured(spec: ReconcilerSpec) -> tuple[Probe, ...]:
    """The probes of the settings document."""
    return tuple(_probe(probe) for probe in spec.probes)


def _probe(probe: settings.Probe) -> Probe:
    """Exactly one of the four is there: ``validate`` saw to it."""
    if probe.ping is not UNSET:
        return Ping(name=probe.name, address=probe.ping.address)
    if probe.tcp is not UNSET:
        return Tcp(name=probe.name, address=probe.tcp.address, port=probe.tcp.port)
    if probe.arp is not UNSET:
        interface = None if probe.arp.interface is UNSET else probe.arp.interface
        return Arp(name=probe.name, address=probe.arp.address, interface=interface)
    if probe.lacp is not UNSET:
        return Lacp(name=probe.name, bond=probe.lacp.bond)
    raise ValueError(f"probe {probe.name} asks nothing")
