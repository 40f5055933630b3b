"""The thread that hears the kernel: link and address events become ``Link`` hints, an overrun becomes ``Back``."""

from __future__ import annotations

import os
import select
from pathlib import Path

from cell_reconciler.daemon.hints import Back, Link, Lost, Tell
from cell_reconciler.drivers.netlink.events import LinkEvents
from cell_reconciler.errors import Unreachable
from cell_reconciler.model.live import Source

REOPEN = 1.0  # seconds between attempts to get a socket again


def process(pid: int) -> str:
    """``NetworkManager (pid 812)``; empty when the process is gone, or when that port is not its own.

    In a container, processes have other numbers: the socket has to be among the files of the one that is named.
    """
    try:
        lines = [line.split() for line in Path("/proc/net/netlink").read_text().splitlines()]
        inodes = {line[9] for line in lines if line[1:3] == ["0", str(pid)]}  # of the protocol NETLINK_ROUTE
        files = [os.readlink(path) for path in Path("/proc", str(pid), "fd").iterdir()]
        if not any(f"socket:[{inode}]" in files for inode in inodes):
            return ""
        return f"{Path('/proc', str(pid), 'comm').read_text(errors='replace').strip()} (pid {pid})"
    except OSError:
        return ""


class NetlinkTrigger:
    """Subscribes when it is made, so that nothing falls between that and the first observation."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._events: LinkEvents | None = LinkEvents()
        self._stop_r, self._stop_w = os.pipe2(os.O_CLOEXEC)

    def stop(self) -> None:
        """Ends ``run``."""
        os.write(self._stop_w, b"!")

    def run(self) -> None:
        """The body of the thread."""
        while True:
            waiting = [self._stop_r] + ([self._events.fileno()] if self._events else [])
            ready, _, _ = select.select(waiting, [], [], None if self._events else REOPEN)
            if self._stop_r in ready:
                break
            if self._events:
                self._read(self._events)
            else:
                self._reopen()
        if self._events:
            self._events.close()

    def _read(self, events: LinkEvents) -> None:
        try:
            names = events.read()
        except Unreachable as error:
            self._events = None
            self._tell(Lost(Source.NETLINK, error.reason))
            return
        if names is None:
            self._tell(Back(Source.NETLINK, "events were lost"))
            return
        writers = {pid: process(pid) for pid in set(events.senders.values())}
        for name in sorted(names):
            self._tell(Link(name, writers.get(events.senders.get(name, 0), "")))

    def _reopen(self) -> None:
        try:
            self._events = LinkEvents()
        except Unreachable:
            return
        self._tell(Back(Source.NETLINK))
