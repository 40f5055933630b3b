"""Which running guests answer, and what jobs libvirt has under way on them: facts that no safe bulk call gives.

A QEMU that is stopped or hung shows nowhere in libvirt's lists. It shows in ``controlInfo``, which takes no job and
never waits: how long QEMU's monitor has been at work on a command. But somebody has to have sent one. So each guest is
asked one harmless question now and then (``ioThreadInfo``: every QEMU has the answer at hand), on a connection of its
own, and its own silence is what convicts it. Asking is cheap (four calls, under a millisecond), so that all are asked
periodically: one that was found only when a write hung would look healthy until somebody changes it.

Rule 1: one question at a time hangs in a guest, whoever asks. libvirt never gives up on a monitor, so a question that
is not answered holds a worker of libvirtd for good; a guest whose monitor is occupied already is not asked again.
Rule 2: a job that waits for something else (a device that the guest has to release, a migration) is no silence.
Rule 3: only ``HANGING`` questions hang at a time; while as many do, other guests are not asked, and count as answering.
Rule 4: who answered late is heard at once: the question that hung comes back.

Commands that look once ask nobody: what they write finds out (``LibvirtDoor._change``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cell_reconciler.drivers.libvirt import failures
from cell_reconciler.drivers.libvirt.line import Line
from cell_reconciler.errors import CellError, Unreachable
from cell_reconciler.model.live import Domain

ASK = 5.0  # seconds in which a guest has to answer
HANGING = 8  # libvirtd has twenty workers for everybody
_SAFE = 10.0  # seconds for calls that never wait for a guest

# virDomainJobOperation
_JOBS = (
    "unknown",
    "start",
    "save",
    "restore",
    "incoming migration",
    "migration",
    "snapshot",
    "snapshot revert",
    "dump",
    "backup",
    "snapshot deletion",
)


class Pulse:
    """What is known of the guests of one hypervisor. Safe to use from several threads."""

    def __init__(self, uri: str, reads: Line) -> None:
        self._line = Line(uri, "pulse", abandoned=HANGING)
        self._reads = reads
        self._lock = threading.Lock()
        self._silent: dict[str, str] = {}  # name → since when (RFC 3339)
        self._jobs: dict[str, str] = {}  # name → job
        self._copied: frozenset[str] = frozenset()  # who has snapshots, of which libvirt sends no event
        self.changed: Callable[[str], None] = lambda _name: None  # called with a name when something else is known

    def tell(self, domain: Domain) -> Domain:
        """The domain, if it runs, with what is known of it here."""
        if domain.active is None:
            return domain
        silent, job = self._silent.get(domain.name, ""), self._jobs.get(domain.name, "")
        return msgspec.structs.replace(domain, silent=silent, job=job) if silent or job else domain

    def silent(self, name: str) -> str:
        """Since when the guest does not answer (RFC 3339); empty when nothing of that kind is known."""
        return self._silent.get(name, "")

    def reach(self) -> None:
        """Return when libvirt answers. Raises Unreachable."""
        self._reads.call("list running domains", _listed, _SAFE, repeat=True)

    def round(self, stopping: Callable[[], bool] = lambda: False) -> None:
        """Ask all running guests, unless it is ``stopping``.

        Takes ``ASK`` seconds longer for each that fell silent since the last round. Raises Unreachable.
        """
        names, copied = self._reads.call("list running domains", _listed, _SAFE, repeat=True)
        before, self._copied = self._copied, copied
        for name in copied ^ before:
            self.changed(name)
        for name in (self._silent.keys() | self._jobs.keys()) - set(names):
            self._note(name, "", "")
        for name in names:
            if stopping():
                return
            if self._line.hanging < HANGING:
                self.ask(name)
            else:
                self.occupied(name)

    def ask(self, name: str) -> None:
        """Ask one guest, and remember what came of it."""
        try:
            self._line.call(f"ask domain {name}", lambda connection: self._question(connection, name), ASK)
        except Unreachable:
            self.occupied(name)

    def occupied(self, name: str) -> bool:
        """Has a command been waiting in the monitor for nearly ``ASK`` seconds? Waits for nobody."""
        try:
            since = self._reads.call(f"look at domain {name}", lambda c: _since(c.lookupByName(name)), _SAFE)
        except CellError:  # the domain is gone, or libvirt is: nothing can be said of the guest
            return False
        self._note(name, since and (self._silent.get(name) or since), "" if since else self._jobs.get(name, ""))
        return bool(since)

    def _question(self, connection: Any, name: str) -> None:
        """Runs on the line's thread; may come back long after nobody waits for it."""
        import libvirt

        job = ""
        try:
            handle = connection.lookupByName(name)
            if since := _since(handle):
                self._note(name, self._silent.get(name) or since, "")
                return
            if handle.controlInfo()[0] == libvirt.VIR_DOMAIN_CONTROL_OK:
                job = _job(handle)
                handle.ioThreadInfo()
            else:  # at work on something, not for long yet
                job = self._jobs.get(name, "")
        except libvirt.libvirtError as error:
            if failures.lost(error):
                raise
            if error.get_error_code() in (failures.OPERATION_TIMEOUT, failures.NO_SUPPORT):
                return  # it waited for somebody's job
        self._note(name, "", job)

    def _note(self, name: str, silent: str, job: str) -> None:
        with self._lock:
            before = (self._silent.pop(name, ""), self._jobs.pop(name, ""))
            if silent:
                self._silent[name] = silent
            if job:
                self._jobs[name] = job
        if before != (silent, job):
            self.changed(name)

    def close(self) -> None:
        """Close the connection."""
        self._line.close()


def _listed(connection: Any) -> tuple[list[str], frozenset[str]]:
    """The names of the running domains, and of those that have snapshots."""
    import libvirt

    flags = (libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE, libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)
    running, copied = ([handle.name() for handle in connection.listAllDomains(flag)] for flag in flags)
    return running, frozenset(copied)


def _since(handle: Any) -> str:
    """Since when a command waits in the monitor, if that is nearly ``ASK`` seconds; empty otherwise."""
    import libvirt

    state, _details, milliseconds = handle.controlInfo()
    if state != libvirt.VIR_DOMAIN_CONTROL_OCCUPIED or milliseconds < ASK * 900:
        return ""
    moment = datetime.now(UTC) - timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="seconds")


def _job(handle: Any) -> str:
    """The job of libvirt under way, in words; empty when there is none."""
    import libvirt

    try:
        stats = handle.jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() == failures.OPERATION_INVALID:  # only the source of a migration has numbers
            return _JOBS[libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN]
        if error.get_error_code() == failures.NO_SUPPORT:
            return ""
        raise
    if stats.get("type", 0) in (libvirt.VIR_DOMAIN_JOB_NONE, libvirt.VIR_DOMAIN_JOB_COMPLETED):
        return ""
    operation = int(stats.get("operation", 0))
    return _JOBS[operation] if operation < len(_JOBS) else _JOBS[0]
