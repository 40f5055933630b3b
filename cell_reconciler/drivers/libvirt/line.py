"""One connection, a few calls in flight, and a deadline for each: what libvirt itself does not have.

A call runs in a thread of its own. If it is not back in time, the caller goes on with an error and the connection
is given up together with the thread that waits on it; the next call opens a new one. A connection that broke is
opened again too. Writing calls are never repeated here: the caller reads back what came of them.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from cell_reconciler.drivers.libvirt import failures, loop
from cell_reconciler.errors import CellError, Transient, Unreachable

T = TypeVar("T")
# Where the system's libvirtd listens, or its successor. Without them the binding, which takes long to load, is not even
# loaded: at boot the network comes before libvirtd.
_SYSTEM = "qemu:///system"
_SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")
_ABANDONED = 16  # calls that hang at the same time before nothing more is tried
_LONG = 5.0  # seconds after which it is asked, again and again, whether waiting makes sense
_KEEPALIVE = (5, 6)  # seconds between probes, probes without an answer


class _Call(Generic[T]):
    """A call under way: its outcome, and whether anybody still waits for it."""

    def __init__(self) -> None:
        self.finished = threading.Event()
        self.value: T | None = None
        self.error: BaseException | None = None
        self.abandoned = False


class Line:
    """See the module. ``uri`` as libvirt has it; ``in_flight`` calls at most run at the same time.

    ``abandoned``: calls that may hang at the same time before nothing more is tried.
    """

    def __init__(self, uri: str, name: str, in_flight: int = 4, abandoned: int = _ABANDONED) -> None:
        self.uri, self.name = uri, name
        self._slots = threading.BoundedSemaphore(in_flight)
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._connection: Any = None
        self._abandoned = abandoned
        self.hanging = 0  # calls that nobody waits for any more, and that are not back

    def call(
        self,
        what: str,
        function: Callable[[Any], T],
        timeout: float,
        *,
        repeat: bool = False,
        vain: Callable[[], CellError | None] = lambda: None,
    ) -> T:
        """``function(connection)`` within ``timeout`` seconds; ``repeat`` once if the connection broke (reads).

        ``vain`` is asked every few seconds: an error from it ends the waiting, and is raised.
        Raises Unreachable (no connection, no answer), Transient (busy), StepFailed (libvirt's own objection).
        """
        try:
            return self._call(what, function, timeout, vain)
        except Unreachable as error:
            if not repeat or isinstance(error, _Late):
                raise
        return self._call(what, function, timeout, vain)

    def _call(self, what: str, function: Callable[[Any], T], timeout: float, vain: Callable[[], CellError | None]) -> T:
        if self.uri == _SYSTEM and not any(os.path.exists(path) for path in _SOCKETS):
            raise Unreachable("libvirt", f"there is no {_SOCKETS[0]}", failures.START)
        if self.hanging >= self._abandoned:
            raise Unreachable("libvirt", f"{self.hanging} calls hang", "look for a hung guest or libvirtd")
        if not self._slots.acquire(timeout=timeout):
            raise Transient(f"{what}: other calls to libvirt took more than {timeout:g} s")
        call: _Call[T] = _Call()
        threading.Thread(
            target=self._run, args=(what, function, call), name=f"libvirt-{self.name}", daemon=True
        ).start()
        try:
            error = _wait(call, what, timeout, vain)
            if error is not None and self._abandon(call):
                raise error
        finally:
            self._slots.release()
        if call.error is not None:
            raise call.error
        return call.value  # type: ignore[return-value] # finished without an error: it is a T

    def _run(self, what: str, function: Callable[[Any], T], call: _Call[T]) -> None:
        import libvirt

        connection = None
        try:
            connection = self._open()
            call.value = function(connection)
        except libvirt.libvirtError as error:
            if failures.lost(error):
                self._give_up(connection)
            call.error = failures.translate(error, what)
            call.error.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - handed over to the thread that waits, which raises it
            call.error = error
        with self._lock:
            call.finished.set()
            if call.abandoned:
                self.hanging -= 1

    def _abandon(self, call: _Call[T]) -> bool:
        """Nobody waits for the call any more; False if it finished at the last moment."""
        with self._lock:
            if call.finished.is_set():
                return False
            call.abandoned = True
            self.hanging += 1
            self._connection = None
            return True

    def _open(self) -> Any:
        import libvirt

        with self._opening:
            connection = self._connection
            if connection is not None and _alive(connection):
                return connection
            loop.ensure()
            connection = libvirt.open(self.uri)
            try:
                connection.setKeepAlive(*_KEEPALIVE)
            except libvirt.libvirtError as error:
                if error.get_error_code() != failures.NO_SUPPORT:  # in-process drivers have no wire
                    raise
            with self._lock:
                self._connection = connection
            return connection

    def _give_up(self, connection: Any) -> None:
        with self._lock:
            if self._connection is connection:
                self._connection = None

    def close(self) -> None:
        """Forget the connection; it closes when the last call on it returns."""
        with self._lock:
            self._connection = None


def _alive(connection: Any) -> bool:
    import libvirt

    try:
        return bool(connection.isAlive())
    except libvirt.libvirtError:  # closed on our side
        return False


def _wait(call: _Call[Any], what: str, timeout: float, vain: Callable[[], CellError | None]) -> CellError | None:
    """Why there is no sense in waiting for the call any longer; None when it is back."""
    end = time.monotonic() + timeout
    while not call.finished.wait(min(_LONG, max(0.0, end - time.monotonic()))):
        if (error := vain()) is not None:
            return error
        if time.monotonic() >= end:
            return _Late("libvirt", f"no answer within {timeout:g} s to: {what}", "a guest or libvirtd may hang")
    return None


class _Late(Unreachable):
    """The call was not back in time (repeating it would only wait again)."""
