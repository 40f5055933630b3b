"""What the other threads tell the loop. Hints only: a lost one costs time, never correctness (the resync comes).

They go through one ``queue.SimpleQueue``, whose ``put`` may be called from any thread and from a signal handler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from cell_reconciler.model.change import Outcome, Plan
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Source


class Files(msgspec.Struct, frozen=True):
    """Something may have changed below the spec directories. ``trouble``: why the watch had to fall back."""

    trouble: str = ""


class Domain(msgspec.Struct, frozen=True):
    """A libvirt domain changed."""

    name: str


class Befell(msgspec.Struct, frozen=True):
    """Something befell a guest that no state of it tells later: the reason of an event, and its text."""

    name: str
    reason: str
    text: str


class Link(msgspec.Struct, frozen=True):
    """A network interface, its ports or its addresses changed; or routes or rules, by ``netlink.events``' names.

    ``writer``: the process that asked the kernel for it, as far as it is known and still there.
    """

    name: str
    writer: str = ""


class Filter(msgspec.Struct, frozen=True):
    """The packet filter of a bridge changed."""

    bridge: str


class Lost(msgspec.Struct, frozen=True):
    """A source does not answer any more."""

    source: Source
    reason: str


class Back(msgspec.Struct, frozen=True):
    """A source answers (again), or events of it were lost: observe everything of it anew."""

    source: Source
    reason: str = ""


class PoolLost(msgspec.Struct, frozen=True):
    """A storage pool (by the name of its StoragePool) does not answer."""

    pool: str
    reason: str


class PoolBack(msgspec.Struct, frozen=True):
    """A storage pool answers again."""

    pool: str


class Sleep(msgspec.Struct, frozen=True):
    """The lock against sleep was taken or let go; ``reason``: why it cannot be had, though VMs run."""

    inhibited: bool
    reason: str = ""


class Reload(msgspec.Struct, frozen=True):
    """SIGHUP."""


class Stop(msgspec.Struct, frozen=True):
    """SIGTERM or SIGINT."""

    signal: str


class Died(msgspec.Struct, frozen=True):
    """A thread ended by an exception: the process must not live on as a zombie."""

    thread: str
    error: str


class Job(msgspec.Struct, eq=False):
    """A plan for a worker. Compared by identity."""

    reconcile_id: str
    plan: Plan

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys that it is at work on."""
        return tuple(change.key for change in self.plan.changes)


class Finished(msgspec.Struct, frozen=True):
    """A worker is through with its job. ``full``: or could not begin, since the state directory takes nothing."""

    job: Job
    outcomes: tuple[Outcome, ...]
    full: bool = False


Hint: TypeAlias = (
    Finished
    | PoolLost
    | PoolBack
    | Files
    | Domain
    | Befell
    | Link
    | Filter
    | Lost
    | Back
    | Sleep
    | Reload
    | Stop
    | Died
)
Tell: TypeAlias = Callable[[Hint], None]
