"""The threads beside the loop. One that ends before it was told to ends the process: no zombie that looks alive."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable

from cell_reconciler.daemon.hints import Died, Tell


class Crew:
    """Starts threads, stops them in reverse order, and tells the loop when one dies."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._members: list[tuple[threading.Thread, Callable[[], None]]] = []
        self._leaving = threading.Event()

    def start(self, name: str, body: Callable[[], None], stop: Callable[[], None]) -> None:
        """Runs ``body`` in a thread until ``stop`` makes it return."""
        thread = threading.Thread(target=self._run, args=(name, body), name=name, daemon=True)
        self._members.append((thread, stop))
        thread.start()

    def watch_strangers(self) -> None:
        """Threads that libraries started count too: their last exception comes to the loop."""
        threading.excepthook = lambda args: self._tell(
            Died(
                args.thread.name if args.thread else "a thread",
                "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback)),
            )
        )

    def stop(self, timeout: float = 5.0) -> None:
        """Stops all; one that does not end in ``timeout`` seconds is left behind (threads are daemons)."""
        self._leaving.set()
        for _, stop in reversed(self._members):
            stop()
        for thread, _ in reversed(self._members):
            thread.join(timeout)

    def _run(self, name: str, body: Callable[[], None]) -> None:
        try:
            body()
        except BaseException:  # noqa: BLE001  whatever it is, the loop must know and end
            self._tell(Died(name, traceback.format_exc()))
            return
        if not self._leaving.is_set():
            self._tell(Died(name, "it returned without being told to"))
