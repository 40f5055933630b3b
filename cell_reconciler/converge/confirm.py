"""The way back (promise 7): a change on the management path is undone by itself unless it is confirmed.

Before such a change the links, routes and rules as they are and a deadline are written to ``pending.json`` (fsync), and
a guard process of its own session is started. Only when it says that it watches are the steps made. When the probes
that passed before pass again, or an operator says ``commit``, the file is removed: that is the confirmation. When they
do not, or when this process is killed, ``revert`` brings back what the file says: by the guard at the deadline
(CLOCK_BOOTTIME), or by the next run first of all. See ``pending`` for who decides.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from cell_reconciler.converge import pending as state
from cell_reconciler.converge.pending import Confirms, Pending
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.probes import Probe, answering
from cell_reconciler.errors import CellError, Refused
from cell_reconciler.kinds import link_kinds
from cell_reconciler.kinds.links.graph import graph_of, host_addresses
from cell_reconciler.model.change import Plan, Risk, Step
from cell_reconciler.model.document import Document, document_digest
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live

if TYPE_CHECKING:
    import subprocess

LOADED, READY = b"loaded\n", b"watching\n"  # what the guard says when it has all that it needs, and when it watches
_MARKS = (".mark", ".adopt", ".give-up")  # steps that write a mark only
_STEERING = (".route.", ".rule.")
_START = 120.0  # seconds until a guard that has not started has failed: nothing is changed yet, so there is time


class Watch(msgspec.Struct):
    """A guard that watches over a pending change. ``is_set``: begin no further step, as ``threading.Event`` says it."""

    state_dir: Path
    pending: Pending
    guard: subprocess.Popen[bytes]

    def is_set(self) -> bool:
        """Its time is over, or somebody undoes it already."""
        return self.pending.over or not state.pending_path(self.state_dir).exists()


def guarded(plan: Plan, live: Live) -> frozenset[Key]:
    """Links that the plan changes and by which the host is reached, or will be."""
    graph = graph_of(live)

    def leads_to_host(name: str) -> bool:
        links = [live.links[name], *graph.above(name)] if name in live.links else []
        return any(host_addresses(link) for link in links)

    return frozenset(
        step.key
        for step in plan.steps
        if _changes_links(step) and (step.risk == Risk.CUTS_MANAGEMENT or steers(step) or leads_to_host(step.key.name))
    )


def steers(step: Step) -> bool:
    """A route or a policy rule may lead packets of the whole host another way, on whichever link it stands."""
    return any(word in step.op for word in _STEERING)


def linked(plan: Plan) -> frozenset[Key]:
    """All links that the plan changes."""
    return frozenset(step.key for step in plan.steps if _changes_links(step))


def _changes_links(step: Step) -> bool:
    return step.key.kind in link_kinds() and not step.op.endswith(_MARKS)


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
    """The names of the links that the steps of these keys name, and of the keys themselves."""
    fields = ("name", "master", "parent", "mac_of", "from_nic", "link")
    actions = [step.action for step in plan.steps if step.key in keys]
    names = (getattr(action, field, None) for action in actions for field in fields)
    return frozenset(name for name in names if isinstance(name, str) and name) | {key.name for key in keys}


def path_of(names: Collection[str], live: Live) -> frozenset[str]:
    """These links and all above and below them: what a packet that proves the change would go through."""
    graph = graph_of(live)
    found = set(names) | {upper.name for name in names for upper in graph.above(name)}
    todo = list(names)
    while todo:
        link = live.links.get(name := todo.pop())
        below = [port.name for port in graph.ports(name)]
        below += [link.parent] if link is not None and link.parent and link.kind != "veth" else []
        todo += [name for name in below if name not in found]
        found.update(below)
    return frozenset(found)


def begin(
    state_dir: str | Path,
    plan: Plan,
    keys: Collection[Key],
    doors: Doors,
    timeout: float,
    *,
    confirms: Confirms = Confirms.PROBES,
    documents: Mapping[Key, Document] | None = None,
    by: str = "the reconciler",
) -> Watch:
    """Write the way back and start its guard. Raises Refused when another change is still unconfirmed.

    The guard is started first, and the time counts from when it is ready: how long it takes to load is no matter.
    """
    path = state.pending_path(state_dir).absolute()
    for other in (path, state.reverting_path(state_dir)):
        if other.exists():
            advice = f"it is tried again by each run; when you have put it right by hand, remove {other}"
            raise Refused("an earlier change on the management path could not be undone", advice)
    path.parent.mkdir(parents=True, exist_ok=True)
    guard = start_guard(path.parent)
    try:
        documents, moment = documents or {}, datetime.now(UTC)
        pending = Pending(
            id=os.urandom(8).hex(),
            by=by,
            since=moment.isoformat(timespec="seconds"),
            until=(moment + timedelta(seconds=timeout)).isoformat(timespec="seconds"),
            boot=state.boot_id(),
            deadline=state.now() + timeout,
            confirms=confirms,
            keys=tuple(sorted(keys)),
            digests={str(key): document_digest(documents[key]) for key in keys if key in documents},
            touched=touched(plan, keys),
            live=state.network(doors, plan.host),
            routes=doors.netlink.routes(),
        )
        state.write(path, msgspec.json.encode(pending))
        watching(guard)
        return Watch(path.parent, pending, guard)
    except BaseException:
        path.unlink(missing_ok=True)  # nothing was changed yet
        guard.kill()
        guard.wait()
        raise


def start_guard(state_dir: Path) -> subprocess.Popen[bytes]:
    """A guard that has loaded all that it needs, and waits for ``watching``. Raises CellError when it does not."""
    import subprocess

    guard = subprocess.Popen(
        [sys.executable, "-P", "-m", "cell_reconciler.converge.guard", str(state_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # ours may be a terminal or a pipe that is gone when it speaks
        start_new_session=True,  # survives the death of this process and its terminal
        cwd="/",
    )
    _hear(guard, LOADED)
    return guard


def watching(guard: subprocess.Popen[bytes]) -> None:
    """Tell it that the file is there; returns when it watches. Raises CellError when it does not."""
    if guard.stdin is None or guard.stdout is None:
        raise AssertionError("pipes were asked for")
    guard.stdin.close()
    _hear(guard, READY)
    guard.stdout.close()


def _hear(guard: subprocess.Popen[bytes], wanted: bytes) -> None:
    if guard.stdout is None:
        raise AssertionError("a pipe was asked for")
    heard = guard.stdout.readline() if select.select([guard.stdout], [], [], _START)[0] else b""
    if heard != wanted:
        guard.kill()
        guard.wait()
        raise CellError("the guard of the management path did not start", "cellctl doctor")


def restart_guard(state_dir: str | Path) -> None:
    """For a pending change whose guard died. Raises CellError when there is none to be had."""
    watching(start_guard(Path(state_dir).absolute()))


def unprovable(probes: Sequence[Probe], passing: Sequence[Probe], names: Collection[str]) -> Refused:
    """Why a change that cuts the management path is not made while nothing could confirm it."""
    if passing:
        text = f"none of the probes that pass ({', '.join(p.name for p in passing)}) goes by {', '.join(sorted(names))}"
    else:
        asked = ", ".join(p.name for p in probes) or "none is configured and there is no default gateway"
        text = f"no probe passes before the change ({asked})"
    return Refused(
        f"{text}, so nothing could confirm it",
        "set `probes` in the Reconciler document to something that answers now, or confirm it yourself: "
        "cellctl apply --confirm-timeout TIME",
    )


def confirm(probes: Sequence[Probe], watch: Watch, doors: Doors) -> bool:
    """Probe until all pass at a time (True: confirmed) or the deadline is over (False: it is to be reverted)."""
    while not watch.is_set():
        if len(answering(probes, doors.netlink)) == len(probes):
            return state.confirm(watch.state_dir)
        time.sleep(0.2)
    return False
