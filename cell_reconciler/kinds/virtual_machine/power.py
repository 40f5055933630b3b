"""Whether a VM should run: its run strategy against the state that libvirt reports. Pure."""

from __future__ import annotations

from enum import StrEnum

from cell_reconciler.kinds.virtual_machine.spec import RunStrategy
from cell_reconciler.model.live import Domain

OFF = frozenset({"shutoff"})
ON = frozenset({"running", "blocked"})
FAILED = frozenset({"crashed", "failed", "daemon"})  # why a domain is off, when nobody meant it to be
RUNS_ONCE = frozenset({RunStrategy.ONCE, RunStrategy.RERUN_ON_FAILURE})


class Power(StrEnum):
    """What to do about it."""

    LEAVE = "leave"
    START = "start"
    STOP = "stop"


def starts_when_created(strategy: RunStrategy) -> bool:
    return strategy not in (RunStrategy.MANUAL, RunStrategy.HALTED)


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


def unsettled(domain: Domain) -> tuple[str, str, str] | None:
    """Why a domain has to be left alone: reason, message, advice; None when it may be touched."""
    name = domain.name
    if domain.inactive is None:
        return "Transient", f"domain {name} is transient: it has no definition", "wait until it ends, or define it"
    if domain.managed_save:
        text = f"domain {name} has a saved state that its next start resumes"
        return "ManagedSave", text, f"start it, or drop the state: virsh managedsave-remove {name}"
    states = {
        "paused": ("Paused", "is paused: an operator, a job or an I/O error holds it", f"virsh resume {name}"),
        "pmsuspended": ("Suspended", "sleeps: its guest suspended itself", f"virsh dompmwakeup {name}"),
        "crashed": ("Crashed", "has crashed and is kept for a look", f"virsh destroy {name} when you have seen it"),
        "shutdown": ("ShuttingDown", "is shutting down", "wait until it is off"),
    }
    if domain.state in states:
        reason, text, advice = states[domain.state]
        return reason, f"domain {name} {text}", advice
    return None
