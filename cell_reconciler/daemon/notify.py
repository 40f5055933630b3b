"""Tells systemd how it goes: sd_notify(3) is one datagram to the socket named in ``NOTIFY_SOCKET``.

Without that variable (started by hand) everything here does nothing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping


class Notify:
    """The service manager's ear. All methods are safe to call whether or not anybody listens."""

    def __init__(self, environ: Mapping[str, str] = os.environ, pid: int | None = None) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        mine = environ.get("WATCHDOG_PID", "") in ("", str(os.getpid() if pid is None else pid))
        usec = environ.get("WATCHDOG_USEC", "0")
        self.watchdog_seconds: float | None = int(usec) / 1e6 if mine and usec.isdigit() and usec != "0" else None

    def send(self, *lines: str) -> None:
        """One datagram; a manager that went away is not our failure."""
        if not self._address:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door,
        ):
            door.settimeout(1.0)
            door.sendto("\n".join(lines).encode(), self._address)

    def ready(self, status: str) -> None:
        self.send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """``Type=notify-reload`` needs both lines in one datagram (sd_notify(3)), or ``systemctl reload`` fails."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, text: str) -> None:
        self.send(f"STATUS={text}")

    def alive(self) -> None:
        """Feeds the watchdog. Call it after work that was done, never from a timer."""
        self.send("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        self.send("STOPPING=1", f"STATUS={status}")

    def extend(self, seconds: float) -> None:
        """Asks for more time to start or stop."""
        self.send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1e6)}")
