"""Where a lab keeps what belongs to it, and how a crashed one is recognised.

Everything lies in two directories: small things (``state.json``, keys, logs of the start) in
``/run/cell-lab/NAME``, big ones in ``/var/tmp/cell-lab/NAME``; with ``CELL_LAB_DIR`` set, both below that directory.
A process is named by PID *and* start time, so that a PID which the kernel gave to somebody else is never signalled.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from cell_reconciler.errors import CellError, Refused, UsageError

# A host name that is also a safe file name; the kernel's limit is 64 (utsname), ours leaves room for sockets,
# whose path may have 107 bytes (unix(7)).
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
VERSION = 1
PF_EXITING = 0x4  # include/linux/sched.h, in the flags that proc(5) calls field 9


class Process(msgspec.Struct, frozen=True):
    """A process of this machine: ``start`` is its start time in clock ticks since boot (proc(5), field 22)."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid: int) -> Process:
        """Name the running process ``pid``; raises ProcessLookupError."""
        fields = _stat(pid)
        if fields is None:
            raise ProcessLookupError(pid)
        return cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """True while that very process runs; one that is on its way out (PID 1 waits for all others) does not."""
        fields = _stat(self.pid)
        return fields is not None and int(fields[19]) == self.start and not int(fields[6]) & PF_EXITING

    def kill(self, timeout: float = 30.0) -> None:
        """SIGKILL it and wait (seconds) until it is gone; for PID 1 of a namespace: until all in it are."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            fields = _stat(self.pid)  # asked after the pidfd was opened: the PID cannot change hands any more
            if fields is None or int(fields[19]) != self.start:
                return
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            poll = select.poll()
            poll.register(handle, select.POLLIN)
            if not poll.poll(timeout * 1000):
                raise CellError(f"process {self.pid} is still there {timeout:.0f} s after SIGKILL")
        finally:
            os.close(handle)


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state) on, or None if there is no such process or it is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the command's name may contain spaces and parentheses
    return None if fields[0] in ("Z", "X") else fields


class State(msgspec.Struct, frozen=True):
    """What ``state.json`` of a lab holds; the processes decide whether it still runs."""

    name: str
    kernel: str  # "namespace" or "vm"
    nics: tuple[str, ...]
    uuid: str
    rack: Process | None = None  # PID 1 of the lab's outer namespaces: its end is the lab's end
    host: Process | None = None  # PID 1 of the host, or the QEMU it is: its end is a power cut
    ceph: bool = False
    ready: bool = False
    version: int = VERSION


@dataclass(frozen=True)
class Places:
    """The directories of the lab ``name``."""

    name: str
    run: Path
    work: Path

    @classmethod
    def of(cls, name: str) -> Places:
        """Raises UsageError for a name that is no host name."""
        if not NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no name for a lab", "use a-z, 0-9 and -, at most 32 characters")
        run, work = bases()
        return cls(name, run / name, work / name)

    @property
    def share(self) -> Path:
        """Read-write in the machine and in the host, at the same path."""
        return self.work / "share"

    def save(self, state: State) -> None:
        """Replace ``state.json`` in one step."""
        new = self.run / "state.json.new"
        new.write_bytes(msgspec.json.encode(state))
        new.rename(self.run / "state.json")

    def load(self) -> State | None:
        """The lab's state; None if there is none or it cannot be read (a crash while it was made)."""
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode((self.run / "state.json").read_bytes(), type=State)
        return None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lab for ourselves while it is made or taken away; raises Refused if another has it.

        The lock is on the directory itself, so there is no lock file to leave behind.
        """
        while True:
            self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.run, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                raise Refused(
                    f"another cellctl is starting or ending lab {self.name!r}", "wait until it is done"
                ) from None
            if os.fstat(handle).st_nlink:
                break
            os.close(handle)  # removed by `down` between our open and our lock: make it anew
        try:
            yield
        finally:
            os.close(handle)

    def clear(self) -> None:
        """Remove what an earlier lab left, but for the directory that is locked; raises CellError."""
        shutil.rmtree(self.work, ignore_errors=True)
        for entry in self.run.iterdir():
            entry.unlink()
        if self.work.exists():
            raise CellError(f"cannot remove {self.work}", f"look for what still uses it: fuser -vm {self.work}")

    def make(self) -> None:
        """Make the directory for big things; raises CellError if its parent is not ours (/var/tmp is anybody's)."""
        base = self.work.parent
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if base.is_symlink() or base.stat().st_uid != os.geteuid():
            raise CellError(f"{base} belongs to somebody else", "remove it, or set CELL_LAB_DIR")
        self.share.mkdir(parents=True)

    def remove(self) -> None:
        """Remove all files of the lab, and the bases if it was the last one; raises CellError."""
        self.clear()
        self.run.rmdir()
        for base in {self.run.parent, self.work.parent}:
            with contextlib.suppress(OSError):
                base.rmdir()


def bases() -> tuple[Path, Path]:
    """Directories that hold the labs: of small and of big things."""
    if root := os.environ.get("CELL_LAB_DIR"):
        return Path(root) / "run", Path(root) / "work"
    return Path("/run/cell-lab"), Path("/var/tmp/cell-lab")  # noqa: S108 - fixed path, made with mode 0700


def names() -> list[str]:
    """Names of all labs that left anything, running or not."""
    found: set[str] = set()
    for base in bases():
        with contextlib.suppress(FileNotFoundError):
            found |= {entry.name for entry in base.iterdir() if NAME.fullmatch(entry.name)}
    return sorted(found)
