"""Calls that may never come back: a dead NFS server, a client library that hangs.

Each runs in a daemon thread of its own, so that neither the caller nor the end of the process waits for it. While
one hangs, further calls are answered at once: hung threads do not pile up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from cell_reconciler.errors import Unreachable

T = TypeVar("T")


class Deadline:
    """Runs calls to one ``source`` (as people know it) with a deadline; safe to use from several threads."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lock = threading.Lock()
        self._hung: list[tuple[threading.Thread, float]] = []

    def call(self, work: Callable[[], T], seconds: float, sign: Callable[[], float] | None = None) -> T:
        """The result of ``work``, or what it raised. Raises Unreachable after ``seconds``, or while one hangs.

        ``sign`` says when (``time.monotonic``) the work last gave a sign of life: the seconds count from then.
        """
        self._refuse_while_hung()
        answer: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                answer.put((work(), None))
            except BaseException as error:  # noqa: BLE001 - raised again in the thread of the caller
                answer.put((None, error))

        thread = threading.Thread(target=run, name=f"deadline {self.source}", daemon=True)
        since = time.monotonic()
        thread.start()
        while True:
            try:
                result, error = answer.get(timeout=max(since + seconds - time.monotonic(), 0))
                break
            except Empty:
                if sign is not None and sign() > since:
                    since = sign()
                    continue
                with self._lock:
                    self._hung.append((thread, time.monotonic()))
                raise Unreachable(self.source, f"no answer within {seconds:g} s") from None
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]  # put there by run() above

    def _refuse_while_hung(self) -> None:
        with self._lock:
            self._hung = [(thread, since) for thread, since in self._hung if thread.is_alive()]
            if self._hung:
                age = time.monotonic() - self._hung[0][1]
                raise Unreachable(self.source, f"a call made {age:.0f} s ago has not come back")
