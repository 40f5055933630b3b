"""libvirt's event loop: registered once per process, before the first connection is opened, run by one thread.

Without it there is neither keepalive nor any event. It can neither be stopped nor be registered again, so the
thread is a daemon thread.
"""

from __future__ import annotations

import threading
from typing import Any

_lock = threading.Lock()
_started = False


def ensure() -> None:
    """Start the loop if this process has none yet. Idempotent; call it before ``libvirt.open``."""
    global _started  # noqa: PLW0603 - libvirt's loop is a global of the process too
    import libvirt

    with _lock:
        if _started:
            return
        libvirt.registerErrorHandler(_quiet, None)  # errors are raised; libvirt would print them to stderr as well
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_run, name="libvirt-events", daemon=True).start()
        _started = True


def _quiet(_context: Any, _error: Any) -> None:
    return None


def _run() -> None:
    import libvirt

    while True:
        libvirt.virEventRunDefaultImpl()
