"""One writer a host: an flock below the state directory, which the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cell_reconciler.errors import Refused


@contextmanager
def host_lock(state_dir: str | Path, who: str) -> Iterator[None]:
    """Hold the lock. Raises Refused, naming the holder, when another process has it."""
    path = Path(state_dir) / "lock"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            raise Refused(
                f"this host is being reconciled by {holder}",
                "a running `cellctl run` applies the specs by itself; stop it to apply by hand",
            ) from None
        with suppress(OSError):  # a full disk: who has the lock is a courtesy, that somebody has it is not
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{who} (pid {os.getpid()})\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def holder(state_dir: str | Path) -> str | None:
    """Who holds the lock now, None when nobody does."""
    try:
        descriptor = os.open(Path(state_dir) / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
    finally:
        os.close(descriptor)
    return None
