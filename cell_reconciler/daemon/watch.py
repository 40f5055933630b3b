"""Wakes the loop when specs may have changed. A hint, no more: what changed is found by the rescan.

Any event → 50 ms of quiet (500 ms at most) → ``wake``. inotify misses things (overflow, a root that is replaced
above the directories watched, network file systems), so the loop rescans from time to time as well.

Rule 1: opening and reading is not asked for: our own scan must not wake us.
Rule 2: when the path leads to another inode, the watches are made anew, and the loop is woken after that.
Rule 3: no watches left (ENOSPC, EMFILE): poll, say so, and try again every minute.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from cell_reconciler.daemon.debounce import Debounce
from cell_reconciler.daemon.places import Place, identity, ignored, places

CHECK = 5.0  # seconds between looks at the inodes of the roots: a rename far above them gives no event
POLL = 2.0  # seconds between scans while there are no watches
RETRY = 60.0  # seconds between attempts to get watches
EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


class Watch:
    """Watches spec files and directories. ``wake`` gets why the watch fell back to polling, "" while it works."""

    def __init__(self, paths: Iterable[Path], wake: Callable[[str], None]) -> None:
        self._paths: Sequence[Path] = tuple(paths)
        self._wake = wake
        self._stopping = threading.Event()
        self._hint = threading.Event()
        self._lock = threading.Lock()
        self._debounce = Debounce()
        self._observer: Any = None
        self._identity: tuple[tuple[str, int, int], ...] = ()
        self._places: tuple[Place, ...] = ()
        self.trouble = ""

    def stop(self) -> None:
        """Ends ``run``."""
        self._stopping.set()
        self._hint.set()

    def run(self) -> None:
        """The body of the watching thread."""
        self._arm()
        self._hit()  # whatever happened before there were watches
        armed = time.monotonic()
        try:
            while not self._stopping.is_set():
                self._wait()
                now = time.monotonic()
                due = self._due(now)
                if due or self.trouble:
                    self._wake(self.trouble)
                if self._stale(due) or (self.trouble and now - armed >= RETRY):
                    self._arm()
                    armed = now
                    self._wake(self.trouble)
        finally:
            self._disarm()

    def _wait(self) -> None:
        """Until it is time to act, or to look at the inodes."""
        due = self._debounce.due
        if due is None and self._hint.wait(POLL if self.trouble else CHECK):
            due = self._debounce.due
        while due is not None and not self._stopping.is_set():
            left = due - time.monotonic()
            if left <= 0:
                break
            self._stopping.wait(left)
            due = self._debounce.due
        self._hint.clear()

    def _due(self, now: float) -> bool:
        with self._lock:
            return self._debounce.take(now)

    def _stale(self, changed: bool) -> bool:
        """Do the watches watch something else than the paths name, or does nobody listen to them any more?"""
        alive = self._observer is None or all(t.is_alive() for t in (self._observer, *self._observer.emitters))
        moved = identity(self._paths) != self._identity
        return moved or not alive or (changed and places(self._paths) != self._places)

    def _arm(self) -> None:
        self._disarm()
        self._identity = identity(self._paths)  # before the watches: a swap in between is found at the next look
        self._places = places(self._paths)
        self.trouble = ""
        observer: Any = None
        try:
            observer = Observer(timeout=3600.0)  # it is woken by events; its default polls every second
            observer.start()
            for place in self._places:
                handler = _Handler(place, self._hit)
                try:
                    observer.schedule(handler, place.directory, recursive=place.names is None, event_filter=EVENTS)
                except FileNotFoundError:
                    self._identity = ()  # it went between looking and watching: look again at once
                    self._hit()
        except OSError as error:
            self.trouble = f"no file events ({error.strerror}): specs are scanned every {POLL:.0f} s"
        self._observer = observer
        if self.trouble:
            self._disarm()

    def _disarm(self) -> None:
        observer, self._observer = self._observer, None
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join()

    def _hit(self) -> None:
        with self._lock:
            self._debounce.hit(time.monotonic())
        self._hint.set()


class _Handler(FileSystemEventHandler):
    """Passes on what concerns one place."""

    def __init__(self, place: Place, hit: Callable[[], None]) -> None:
        self._place = place
        self._hit = hit

    def dispatch(self, event: FileSystemEvent) -> None:
        paths = [os.fsdecode(p) for p in (event.src_path, event.dest_path) if p]
        if self._place.names is None:
            concerns = not all(ignored(path) for path in paths)
        else:
            concerns = any(os.path.basename(path) in self._place.names for path in paths)
        if concerns:
            self._hit()
