"""Whether a VM should run: its run strategy against the state that libvirt reports. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TypeAlias

from cell_reconciler.kinds.virtual_machine.spec import RunStrategy
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import given_paths
from cell_reconciler.model.live import Domain
from cell_reconciler.model.mark import Mark

OFF = frozenset({"shutoff"})
ON = frozenset({"running", "blocked"})
FAILED = frozenset({"crashed", "failed", "daemon"})  # why a domain is off, when nobody meant it to be
RUNS_ONCE = frozenset({RunStrategy.ONCE, RunStrategy.RERUN_ON_FAILURE})


Why: TypeAlias = tuple[str, str, str]  # reason, message, advice
# Reasons of libvirt for a pause that a job of its own made: it ends with the job.
_PAUSING = frozenset({"migration", "save", "dump", "snapshot", "from-snapshot", "starting-up", "postcopy"})
_MIRROR = re.compile(r"<mirror [^>]*\bjob='([\w-]+)'")


class Power(StrEnum):
    """What to do about it."""

    LEAVE = "leave"
    START = "start"
    STOP = "stop"


def starts_when_created(strategy: RunStrategy) -> bool:
    return strategy not in (RunStrategy.MANUAL, RunStrategy.HALTED)


def strategy(doc: Document, mark: Mark | None) -> RunStrategy:
    """An adopted VM is left on or off as it is, unless its document says otherwise."""
    adopted = mark is None or mark.adopted
    if adopted and "/spec/runStrategy" not in set(given_paths(doc.given)):
        return RunStrategy.MANUAL
    found: RunStrategy = doc.spec.run_strategy
    return found


def decide(strategy: RunStrategy, domain: Domain, start_due: bool) -> Power:
    """What the strategy asks for. ``start_due``: made to run once, and not started yet."""
    if strategy == RunStrategy.HALTED:
        return Power.STOP if domain.state in ON else Power.LEAVE
    if strategy in RUNS_ONCE and start_due:
        return Power.START  # also when it runs: the note that it is due goes with the start
    if domain.state not in OFF:
        return Power.LEAVE
    failed = strategy == RunStrategy.RERUN_ON_FAILURE and domain.reason in FAILED
    return Power.START if strategy == RunStrategy.ALWAYS or failed else Power.LEAVE


def went_down(domain: Domain, act: Power) -> bool:
    """Is it started because it went down by itself? Then the daemon waits longer from time to time."""
    return act == Power.START and domain.state in OFF and domain.reason in FAILED


def unsettled(domain: Domain) -> Why | None:
    """Why a domain has to be left alone and is not as it should be; None when it may be touched."""
    name = domain.name
    if domain.silent:
        text = f"QEMU of domain {name} has not answered since {domain.silent}"
        advice = f"is its storage away, or was it stopped (kill -CONT)? If it is lost: virsh destroy {name}"
        return "Unresponsive", text, advice
    if domain.inactive is None:
        return "Transient", f"domain {name} is transient: it has no definition", "wait until it ends, or define it"
    if domain.managed_save:
        text = f"domain {name} has a saved state that its next start resumes"
        return "ManagedSave", text, f"start it, or drop the state: virsh managedsave-remove {name}"
    states = {
        "paused": _paused(domain),
        "pmsuspended": ("Suspended", "sleeps: its guest suspended itself", f"virsh dompmwakeup {name}"),
        "crashed": ("Crashed", "has crashed and is kept for a look", f"virsh destroy {name} when you have seen it"),
        "shutdown": ("ShuttingDown", "is shutting down", "wait until it is off"),
    }
    if domain.state in states:
        reason, text, advice = states[domain.state]
        return reason, f"domain {name} {text}", advice
    return None


def _paused(domain: Domain) -> Why:
    """Why a paused domain is paused, and what ends that."""
    name, resume = domain.name, f"virsh resume {domain.name}"
    if domain.reason in _PAUSING:
        return "JobActive", f"is paused by libvirt: {domain.reason}", f"wait; virsh domjobinfo {name} shows the job"
    reasons = {
        "io-error": ("IoError", "is paused: one of its disks failed, or is full", f"mend the storage, then {resume}"),
        "watchdog": ("WatchdogFired", "is paused: its watchdog ran out", f"look at its console, then {resume}"),
        "crashed": ("Crashed", "is paused: its guest crashed", f"virsh destroy {name} when you have seen it"),
    }
    return reasons.get(domain.reason, ("Paused", "is paused by an operator", resume))


def busy(domain: Domain) -> Why | None:
    """What is under way on a domain that may go on as it is, but must not be changed meanwhile.

    Jobs of libvirt as far as it was asked (``Domain.job``). Copies of disks and active commits show in the XML of the
    instance; other block jobs (pull, commit below the top) show nowhere without waiting for QEMU: libvirt itself
    refuses what they forbid. With snapshots the disks of the XML may be overlays: putting back the image that the
    document names would lose what was written since.
    """
    name = domain.name
    if domain.job:
        advice = f"wait, or end it: virsh domjobabort {name}"
        return "JobActive", f"domain {name} is busy: {domain.job}", advice
    mirror = _MIRROR.search(domain.active or "")
    if mirror:
        text = f"domain {name} has a block job under way: {mirror[1]}"
        return "BlockJob", text, f"wait, or end it: virsh blockjob {name} DISK --pivot or --abort"
    if domain.snapshots:
        text = f"domain {name} has snapshots of libvirt"
        return "HasSnapshots", text, f"merge or delete them: virsh snapshot-list {name}"
    return None
