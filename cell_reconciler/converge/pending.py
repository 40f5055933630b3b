"""A change on the management path that nobody confirmed yet: ``pending.json``, and who may say what becomes of it.

The file is there from before the first step until the change is confirmed or undone. Whoever renames it away decides:
to ``pending.confirmed`` (the change stays), or to ``reverting.json`` (it is undone, and tried again until it is).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.netlink.routes import SavedRoute
from cell_reconciler.drivers.observe import observe
from cell_reconciler.errors import CellError, Unreachable, about
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")  # another one after each boot (random(4))


class Confirms(StrEnum):
    """Who confirms the change."""

    PROBES = "probes"  # the process that made it, when its probes pass; nobody when that process is gone
    OPERATOR = "operator"  # a person, by ``cellctl commit``


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What a change may be undone to. ``touched`` are the names of all links that its steps name; ``live`` is the
    network before it, ``routes`` also what we have no words for."""

    touched: frozenset[str]
    live: Live
    routes: tuple[SavedRoute, ...]


class Pending(Before, frozen=True, kw_only=True):
    """``deadline`` in seconds of CLOCK_BOOTTIME, which begins anew with each boot: it counts in ``boot`` only.

    ``digests`` of the documents that asked for it. ``made``: all of its steps are made. ``kept`` becomes the last
    confirmed network when an operator confirms it.
    """

    id: str
    by: str
    since: str  # RFC 3339, as is the deadline by the clock on the wall
    until: str
    boot: str
    deadline: float
    confirms: Confirms
    keys: tuple[Key, ...]
    digests: dict[str, str]  # by key as text
    made: bool = False
    kept: dict[str, Any] = {}  # confirmed.File

    @property
    def over(self) -> bool:
        """Is its time over, or the boot in which it was made?"""
        return self.boot != boot_id() or now() >= self.deadline

    @property
    def seconds(self) -> float:
        """Until the deadline; 0 when it is over."""
        return 0.0 if self.over else self.deadline - now()

    @property
    def what(self) -> str:
        """``Bridge/br-MGMT, Bond/bond-MGMT``."""
        return ", ".join(str(key) for key in self.keys)

    @property
    def waits(self) -> bool:
        """May an operator still confirm it?"""
        return self.confirms == Confirms.OPERATOR and self.made and not self.over


def network(doors: Doors, host: str) -> Live:
    """The network as it is now, and nothing else of the host. Raises Unreachable."""
    live = observe(doors, host, {}, (Source.NETLINK, Source.NFTABLES), optional=(Source.NFTABLES,))
    if (gap := live.gap(Source.NETLINK)) is not None:
        raise Unreachable(gap.source, gap.reason)
    return live


def now() -> float:
    """Seconds of the clock of deadlines, which goes on while the host sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def boot_id() -> str:
    return BOOT_ID.read_text(encoding="ascii").strip()


def pending_path(state_dir: str | Path) -> Path:
    return Path(state_dir) / "pending.json"


def reverting_path(state_dir: str | Path) -> Path:
    return Path(state_dir) / "reverting.json"


def read(path: Path) -> Pending | None:
    """None when there is none. Raises CellError for a file that cannot be read: somebody has to look."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pending)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        advice = "its guard undoes it; without one the next apply or run brings back the last confirmed network"
        raise CellError(f"{path} cannot be read: {error}", advice) from error


def current(state_dir: str | Path) -> Pending | None:
    """The change that waits for confirmation, whoever gives it."""
    return read(pending_path(state_dir))


def decided(state_dir: str | Path) -> bool:
    """Nothing is pending, nor being undone."""
    return not (pending_path(state_dir).exists() or reverting_path(state_dir).exists())


def confirm(state_dir: str | Path) -> bool:
    """The change stays; False when another process has undone it before."""
    path = pending_path(state_dir)
    try:
        os.rename(path, path.with_suffix(".confirmed"))
    except FileNotFoundError:
        return False
    sync_directory(path.parent)
    path.with_suffix(".confirmed").unlink(missing_ok=True)
    return True


def update(state_dir: str | Path, pending: Pending) -> bool:
    """Replace the file; False when it is not there any more (and then it stays away)."""
    path = pending_path(state_dir)
    with one_at_a_time(state_dir):
        if not path.exists():
            return False
        write(path, msgspec.json.encode(pending))
        return True


@contextlib.contextmanager
def one_at_a_time(state_dir: str | Path) -> Iterator[None]:
    """Held by whoever undoes a change or writes the file; the kernel drops it when that process dies."""
    with _flock(Path(state_dir) / "revert.lock", fcntl.LOCK_EX):
        yield


@contextlib.contextmanager
def guarding(state_dir: str | Path) -> Iterator[None]:
    """Held by a guard for its life. Waits for an earlier one, whose change was decided: it is about to end."""
    with _flock(Path(state_dir) / "guard.lock", fcntl.LOCK_EX):
        yield


def guard_lives(state_dir: str | Path) -> bool:
    try:
        with _flock(Path(state_dir) / "guard.lock", fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


@contextlib.contextmanager
def _flock(path: Path, how: int) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes) -> None:
    """Replace the file; after a power cut it is the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with about(path), temporary.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
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
