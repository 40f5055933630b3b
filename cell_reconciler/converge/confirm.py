"""The way back (promise 7): a change on the management path is undone by itself unless probes confirm it.

Before such a change the links and routes as they are and a deadline are written to ``pending.json`` (fsync), and a
guard process of its own session is started. Only when it says that it watches are the steps made. When the probes that
passed before pass again, the file is removed: that is the confirmation. When they do not, or when this process is
killed, ``revert`` brings back what the file says: by the guard at the deadline (CLOCK_BOOTTIME), or by the next run
first of all. Whoever renames the file away decides: confirmed or reverted, never both.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.netlink.routes import Route
from cell_reconciler.drivers.probes import ProbeTarget, passes
from cell_reconciler.errors import CellError, Refused
from cell_reconciler.kinds.links.graph import graph_of, host_addresses
from cell_reconciler.model.change import Plan, Risk
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live

LINK_KINDS = ("Bond", "Bridge")
READY = b"watching\n"  # what the guard says when it does
_MARKS = (".mark", ".adopt", ".give-up")  # steps that write a mark only
_START = 120.0  # seconds until a guard that has not started has failed: nothing is changed yet, so there is time


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """A change that nobody confirmed yet. ``deadline`` in seconds of CLOCK_BOOTTIME.

    ``touched`` are the names of all links that its steps name; ``links`` and ``routes`` are the host's before it.
    """

    host: str
    keys: tuple[Key, ...]
    touched: frozenset[str]
    links: dict[str, Link]
    routes: tuple[Route, ...]
    deadline: float


class Watch(msgspec.Struct):
    """A guard that watches over a pending change until ``deadline`` (seconds of CLOCK_BOOTTIME)."""

    deadline: float
    guard: subprocess.Popen[bytes]

    @property
    def over(self) -> bool:
        return now() >= self.deadline


def now() -> float:
    """Seconds of the clock of deadlines, which goes on while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pending_path(state_dir: str | Path) -> Path:
    return Path(state_dir) / "pending.json"


def reverting_path(state_dir: str | Path) -> Path:
    return Path(state_dir) / "reverting.json"


def guarded(plan: Plan, live: Live) -> frozenset[Key]:
    """Bonds and bridges that the plan changes and by which the host is reached, or will be."""
    graph = graph_of(live)

    def leads_to_host(name: str) -> bool:
        links = [live.links[name], *graph.above(name)] if name in live.links else []
        return any(host_addresses(link) for link in links)

    return frozenset(
        step.key
        for step in plan.steps
        if step.key.kind in LINK_KINDS
        and not step.op.endswith(_MARKS)
        and (step.risk == Risk.CUTS_MANAGEMENT or leads_to_host(step.key.name))
    )


def parts(plan: Plan, keys: Collection[Key]) -> tuple[set[int], set[int], set[int]]:
    """The steps that are made before, under the guard, and after the confirmation.

    Whatever can be done without the guarded change comes first, and what needs it last: a VM that takes minutes to
    shut down must not use up the time in which the change has to prove itself.
    """
    path = {index for index, step in enumerate(plan.steps) if step.key in keys}
    after: set[int] = set()
    for index, edges in enumerate(plan.edges):
        if any(before in path or before in after for before in edges):
            after.add(index)
    needed: set[int] = set()
    for index in reversed(range(len(plan.steps))):
        if index in path or index in needed:
            needed.update(plan.edges[index])
    under = path | (after & needed)
    first = set(range(len(plan.steps))) - under - after
    return first, under, after - under


def touched(plan: Plan, keys: Collection[Key]) -> frozenset[str]:
    """The names of the links that the steps of these keys name."""
    fields = ("name", "master", "parent", "mac_of")
    actions = [step.action for step in plan.steps if step.key in keys]
    names = (getattr(action, field, None) for action in actions for field in fields)
    return frozenset(name for name in names if name)


def begin(state_dir: str | Path, plan: Plan, keys: Collection[Key], doors: Doors, timeout: float) -> Watch:
    """Write the way back and start its guard. Raises Refused when another change is still unconfirmed."""
    path = pending_path(state_dir).absolute()
    for other in (path, reverting_path(state_dir)):
        if other.exists():
            advice = f"it is tried again by each run; when you have put it right by hand, remove {other}"
            raise Refused("an earlier change on the management path could not be undone", advice)
    pending = Pending(
        host=plan.host,
        keys=tuple(sorted(keys)),
        touched=touched(plan, keys),
        links=doors.netlink.observe()["links"],
        routes=doors.netlink.routes(),
        deadline=now() + timeout,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, msgspec.json.encode(pending))
    try:
        return Watch(pending.deadline, _start_guard(path.parent))
    except BaseException:
        path.unlink(missing_ok=True)  # nothing was changed yet
        raise


def _start_guard(state_dir: Path) -> subprocess.Popen[bytes]:
    """Raises CellError when it does not say that it watches."""
    guard = subprocess.Popen(
        [sys.executable, "-P", "-m", "cell_reconciler.converge.guard", str(state_dir)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # ours may be a terminal or a pipe that is gone when it speaks
        start_new_session=True,  # survives the death of this process and its terminal
        cwd="/",
    )
    if guard.stdout is None:
        raise AssertionError("a pipe was asked for")
    with guard.stdout as said:
        heard = said.readline() if select.select([said], [], [], _START)[0] else b""
    if heard != READY:
        guard.kill()
        guard.wait()
        raise CellError("the guard of the management path did not start", "cellctl doctor")
    return guard


def passing(probes: Sequence[ProbeTarget]) -> tuple[ProbeTarget, ...]:
    """Those that pass now."""
    return tuple(probe for probe in probes if passes(probe))


def unprovable(probes: Sequence[ProbeTarget]) -> Refused:
    """Why a change that cuts the management path is not made while no probe passes."""
    names = ", ".join(p.name for p in probes) or "none is configured and there is no default gateway"
    return Refused(
        f"no probe passes before the change ({names}), so nothing could confirm it",
        "set `probes` in the Reconciler document to something that answers now",
    )


def confirm(state_dir: str | Path, probes: Sequence[ProbeTarget], watch: Watch) -> bool:
    """Probe until all pass (True: confirmed) or the deadline is over (False: it is to be reverted)."""
    while not watch.over:
        if all(passes(probe) for probe in probes):
            return _claim(state_dir)
        time.sleep(0.2)
    return False


def _claim(state_dir: str | Path) -> bool:
    """Confirm, unless the guard was first."""
    path = pending_path(state_dir)
    try:
        os.rename(path, path.with_suffix(".confirmed"))
    except FileNotFoundError:
        return False
    sync_directory(path.parent)
    path.with_suffix(".confirmed").unlink(missing_ok=True)
    return True


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """What was renamed in it is so after a power cut too."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
