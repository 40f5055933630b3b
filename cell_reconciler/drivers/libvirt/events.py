"""Events of domains: hints that wake the loop. They are never the truth: some changes send none at all
(autostart, a change of the configuration only), so that a periodic look at everything stays necessary.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeAlias

from cell_reconciler.drivers.libvirt.line import Line
from cell_reconciler.errors import CellError

_UNREGISTER = 5.0  # seconds
_EVENTS = (
    "LIFECYCLE",
    "REBOOT",
    "DEVICE_ADDED",
    "DEVICE_REMOVED",
    "DEVICE_REMOVAL_FAILED",
    "JOB_COMPLETED",
    "METADATA_CHANGE",
    "BLOCK_JOB_2",
)
# virDomainEventIOErrorAction, virDomainEventWatchdogAction
_AFTER_ERROR = ("the guest goes on", "the guest is paused", "the guest was told")
_AFTER_WATCHDOG = (
    "nothing is done",
    "the guest is paused",
    "the guest is reset",
    "the guest is powered off",
    "the guest is shut down",
    "nothing is done but a note",
    "an NMI is injected",
)


class Trouble(StrEnum):
    """What befell a guest, and no state tells afterwards."""

    IO_ERROR = "io-error"
    WATCHDOG = "watchdog"


OnTrouble: TypeAlias = Callable[[str, Trouble, str], None]  # name, what, and the sentence about it


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if number < len(words) else f"action {number}"


class Subscription:
    """All events of one connection of its own. It does not survive the connection: make another one then."""

    def __init__(
        self, uri: str, callback: Callable[[str], None], on_close: Callable[[], None], on_trouble: OnTrouble
    ) -> None:
        self._line = Line(uri, "events", in_flight=1)
        self._callback, self._on_close, self._on_trouble = callback, on_close, on_trouble
        self._closed = threading.Event()
        self._connection: Any = None
        self._ids: list[int] = []

    @property
    def alive(self) -> bool:
        return not self._closed.is_set()

    def open(self, timeout: float) -> None:
        """Register everything within ``timeout`` seconds. Raises Unreachable."""
        self._connection = self._line.call("subscribe to events", self._register, timeout)

    def _register(self, connection: Any) -> Any:
        import libvirt

        connection.registerCloseCallback(self._lost, None)
        for name in _EVENTS:
            event = getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{name}")
            self._ids.append(connection.domainEventRegisterAny(None, event, self._event, None))
        for event, told in (
            (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, self._io_error),
            (libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG, self._watchdog),
        ):
            self._ids.append(connection.domainEventRegisterAny(None, event, told, None))
        return connection

    def _event(self, _connection: Any, handle: Any, *_details: Any) -> None:
        if self.alive:
            self._callback(handle.name())

    def _io_error(
        self, _connection: Any, handle: Any, path: str, alias: str, action: int, reason: str, _opaque: Any
    ) -> None:
        cause = f" ({reason})" if reason else ""
        text = f"an I/O error of disk {alias or path}{cause}: {_word(_AFTER_ERROR, action)}"
        self._trouble(handle, Trouble.IO_ERROR, text)

    def _watchdog(self, _connection: Any, handle: Any, action: int, _opaque: Any) -> None:
        text = f"the watchdog of the guest ran out: {_word(_AFTER_WATCHDOG, action)}"
        self._trouble(handle, Trouble.WATCHDOG, text)

    def _trouble(self, handle: Any, trouble: Trouble, text: str) -> None:
        if self.alive:
            self._on_trouble(handle.name(), trouble, text)
            self._callback(handle.name())

    def _lost(self, _connection: Any, _reason: int, _opaque: Any) -> None:
        if self.alive:
            self._closed.set()
            self._on_close()

    def close(self) -> None:
        """Send nothing more, and close the connection."""
        self._closed.set()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(CellError):  # it may be lost already
                self._line.call("unsubscribe", lambda _: self._unregister(connection), _UNREGISTER)
        self._line.close()

    def _unregister(self, connection: Any) -> None:
        """What is registered holds the connection open."""
        for number in self._ids:
            connection.domainEventDeregisterAny(number)
        connection.unregisterCloseCallback()
