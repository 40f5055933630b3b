"""When the threads that write count as hung: the service manager starts the service again then."""

from __future__ import annotations

import threading

import pytest

from cell_reconciler.daemon import workers as module
from cell_reconciler.daemon.hints import Job
from cell_reconciler.daemon.workers import WORKERS, Workers
from cell_reconciler.drivers.waiting import Waiting
from cell_reconciler.model.change import Plan


def test_what_says_how_far_it_is_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK", 0.2)
    let_go, begun = threading.Event(), threading.Semaphore(0)

    def apply(plan: Plan, say: object) -> list[object]:
        begun.release()
        let_go.wait(20)
        return []

    crew = Workers(apply, lambda hint: None)  # type: ignore[arg-type]
    threads = [threading.Thread(target=crew.run) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
        crew.submit(Job("r1", Plan(host="h1", changes=(), steps=(), edges=())))
        assert begun.acquire(timeout=10)
    threading.Event().wait(0.4)
    assert crew.hung
    crew.progress("volume demo: 1 of 2 MiB (50 %)")
    assert not crew.hung
    threading.Event().wait(0.4)
    assert crew.hung
    waiting = Waiting()
    crew.looked = lambda: waiting.looked
    assert not waiting.until(lambda: False, 0, "a guest that takes longer than any other job may")
    assert not crew.hung
    threading.Event().wait(0.4)
    assert crew.hung
    let_go.set()
    for _ in threads:
        crew.stop()
    for thread in threads:
        thread.join(10)
    assert not crew.hung
