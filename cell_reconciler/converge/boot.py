"""Brings back the last confirmed network, with netlink only: no specs, no libvirt, no storage, no probes.

For the moment after the kernel has started and before anything needs the network. What carries addresses of the host
comes first. NICs may still be on their way (udev names them), so that it waits a while for those that are missed; what
does not need them is not kept waiting, and one resource that fails keeps back none but those that stand on it. Nothing
is deleted. Where the host has an address already (of the initramfs, say) and its way to a bridge fails in the middle,
the address goes back to where it was: the host is never left with less than it had.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from cell_reconciler.converge import confirm, confirmed, pending
from cell_reconciler.converge.executor import execute
from cell_reconciler.converge.journal import NoJournal
from cell_reconciler.converge.pending import Before, Confirms
from cell_reconciler.converge.restore import restore
from cell_reconciler.converge.undone import Undone
from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.netlink.routes import SavedRoute
from cell_reconciler.errors import CellError
from cell_reconciler.kinds.links.graph import host_addresses
from cell_reconciler.model.change import Plan, Result, Risk
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live
from cell_reconciler.planning import Policy, make_plan
from cell_reconciler.status.records import Event
from cell_reconciler.status.store import StatusStore

PAUSE = 0.25  # seconds between two looks for a NIC
TRIES = 3  # how often a step that fails is made
_ABSENT = ("NicMissing", "NicMismatch", "DependencyNotReady")  # what may come by itself


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one resource. ``result`` is restored, unchanged, refused or failed; ``steps`` were made."""

    key: Key
    result: str
    steps: int = 0
    message: str = ""


Say = Callable[[str], None]


def boot(state_dir: str | Path, doors: Doors, wait: float = 0.0, say: Say = lambda _: None) -> list[Restored]:
    """Restore it, waiting up to ``wait`` seconds for NICs. One entry a resource, by key; empty when there is none.

    Raises Unreachable when the kernel does not answer, CellError when the file cannot be read.
    """
    found = confirmed.load(state_dir)
    if found is None:
        return []
    documents, results = _documents(found, str(confirmed.network_path(state_dir)))
    restoring = _Restoring(found.host, documents, doors)
    before, routes = pending.network(doors, found.host), doors.netlink.routes()
    end = time.monotonic() + wait
    while restoring.round():
        if time.monotonic() >= end:
            break
        if text := restoring.missing():
            say(text)
        time.sleep(PAUSE)
    restoring.keep_reachable(before, routes)
    return sorted([*results, *restoring.results()], key=lambda one: one.key)


def _documents(found: confirmed.File, file: str) -> tuple[dict[Key, Document], list[Restored]]:
    """What this version understands, and what it does not."""
    documents: dict[Key, Document] = {}
    odd = []
    for entry in found.documents:
        try:
            documents[entry.key] = entry.document(file)
        except (msgspec.ValidationError, KeyError, ValueError) as error:
            message = f"this version does not understand it: {error}"
            odd.append(Restored(key=entry.key, result="failed", message=message))
    return documents, odd


class _Trouble(msgspec.Struct, frozen=True):
    """Why a resource is not as it should be; ``reason`` is that of a refusal, empty when something failed."""

    message: str
    reason: str = ""

    @property
    def result(self) -> str:
        return "refused" if self.reason else "failed"

    @property
    def said(self) -> str:
        return f"{self.reason}: {self.message}" if self.reason else self.message


class _Restoring:
    """Rounds of looking, planning and doing, until nothing is missed any more."""

    def __init__(self, host: str, documents: Mapping[Key, Document], doors: Doors) -> None:
        self._host = host
        self._loaded = Loaded(documents=dict(documents))
        self._doors = doors
        self._steps = dict.fromkeys(documents, 0)
        self._failures = dict.fromkeys(documents, 0)
        self._troubles: dict[Key, _Trouble] = {}
        self._touched: dict[Key, frozenset[str]] = {}
        self._said = ""

    def round(self) -> bool:
        """One round: first what carries addresses, with what it stands on; then everything. True: look again."""
        self._troubles.clear()
        documents = self._loaded.documents
        first = [key for key, doc in documents.items() if getattr(doc.spec, "addresses", ())]
        for keys in (first, [key for key in documents if key not in first]):
            for plan in self._plans(keys):
                self._do(plan)
        for key, trouble in self._troubles.items():
            self._failures[key] += trouble.result == "failed"
        return any(self._may_come(key) for key in self._troubles)

    def missing(self) -> str:
        """What it waits for, in words; empty when that was said before."""
        texts = [trouble.message for trouble in self._troubles.values() if trouble.reason.startswith("Nic")]
        text = "; ".join(dict.fromkeys(texts))
        said, self._said = self._said, text
        return f"waiting: {text}" if text and text != said else ""

    def keep_reachable(self, before: Live, routes: tuple[SavedRoute, ...]) -> None:
        """Undo what failed if it took an address or a route that the host had."""
        failed = [key for key, trouble in self._troubles.items() if trouble.result == "failed"]
        touched = frozenset[str]().union(*(self._touched.get(key, ()) for key in failed))
        now = pending.network(self._doors, self._host)
        if _ways(before, touched) <= _ways(now, now.links):
            return
        errors = restore(Before(touched=touched, live=before, routes=routes), self._doors)
        text = f"not all of it could be undone: {'; '.join(errors)}" if errors else "it was undone: the host needs it"
        for key in failed:
            trouble = self._troubles[key]
            self._troubles[key] = msgspec.structs.replace(trouble, message=f"{trouble.message}; {text}")

    def results(self) -> list[Restored]:
        return [
            Restored(key=key, result=trouble.result, steps=self._steps[key], message=trouble.said)
            if (trouble := self._troubles.get(key))
            else Restored(key=key, result="restored" if self._steps[key] else "unchanged", steps=self._steps[key])
            for key in self._loaded.documents
        ]

    def _may_come(self, key: Key) -> bool:
        reason = self._troubles[key].reason
        return reason in _ABSENT if reason else self._failures[key] < TRIES

    def _plans(self, keys: Sequence[Key]) -> list[Plan]:
        """One plan. When planning fails, one for each key, so that one bad document keeps nobody else back."""
        live = pending.network(self._doors, self._host)
        policy = Policy(allow=Risk.CUTS_MANAGEMENT)  # nobody is connected yet; a VM that runs is not to be cut

        def plan(only: Collection[Key]) -> Plan:
            return make_plan(self._host, self._loaded, live, policy, only)

        try:
            return [plan(keys)] if keys else []
        except Exception:  # noqa: BLE001  a bug in one kind, or a circle in the documents
            plans = []
        for key in keys:
            try:
                plans.append(plan([key]))
            except Exception as error:  # noqa: BLE001
                self._troubles.setdefault(key, _Trouble(f"it cannot be planned: {error}"))
        return plans

    def _do(self, plan: Plan) -> None:
        for change in plan.changes:
            for refusal in change.refused:
                self._troubles.setdefault(change.key, _Trouble(refusal.message, refusal.reason))
            touched = confirm.touched(plan, [change.key])
            self._touched[change.key] = self._touched.get(change.key, frozenset()) | touched
        for outcome in execute(plan, self._doors, NoJournal()):
            if outcome.result == Result.DONE:
                self._steps[outcome.key] += 1
            elif outcome.result in (Result.FAILED, Result.BLOCKED):
                text = f"{plan.steps[outcome.step].text}: {outcome.error}"
                self._troubles.setdefault(outcome.key, _Trouble(text))


def _ways(live: Live, links: Collection[str]) -> set[tuple[str, int]]:
    """Addresses by which the host is reached through these links, and what it reaches through them (with the table).

    What a port of a bridge or bond still has does not work any more.
    """
    there = (live.links[name] for name in links if name in live.links)
    free = {link.name: link for link in there if link.up and link.master is None}
    found = {(address, 0) for link in free.values() for address in host_addresses(link)}
    return found | {(route.to, route.table) for route in live.routes if route.link in free}


def discard(state_dir: str | Path) -> str:
    """Forget a change of an earlier boot, which went with the power; what was said about it, empty when there is none.

    For when the last confirmed network is back, and not before: a crash in between must not lead around it. What an
    operator was asked about is not made again by the watch loop; a file that cannot be read is set aside.
    """
    try:
        found = pending.current(state_dir) or pending.read(pending.reverting_path(state_dir))
    except CellError as error:
        return set_aside(state_dir, f"{error.message}: the last confirmed network is back")
    if found is None or found.boot == pending.boot_id():
        return ""
    if found.confirms == Confirms.OPERATOR and found.made:
        Undone(state_dir).remember(found.digests)
    for path in (pending.pending_path(state_dir), pending.reverting_path(state_dir)):
        path.unlink(missing_ok=True)
    text = f"the host was restarted before the change of {found.what} was confirmed: the last confirmed network is back"
    note(state_dir, "Warning", "RolledBack", text)
    return text


def set_aside(state_dir: str | Path, text: str) -> str:
    """Keep what cannot be read for whoever looks into it, where it stops nobody; ``text`` with where it is now."""
    for path in (pending.pending_path(state_dir), pending.reverting_path(state_dir)):
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, aside := path.with_suffix(".damaged"))
            text += f"; the file is {aside} now"
    note(state_dir, "Warning", "RolledBack", text)
    return text


def note(state_dir: str | Path, type_: str, reason: str, text: str) -> None:
    """An event; a disk that cannot be written must not keep the network away."""
    with contextlib.suppress(OSError, CellError):
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        StatusStore(state_dir).add_events([Event(time=when, type=type_, reason=reason, message=text)])
