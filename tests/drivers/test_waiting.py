"""Waiting for a guest: it ends when it is so, when the time is over, and at once when told to stop."""

from __future__ import annotations

import threading
import time

import pytest

from cell_reconciler.drivers.waiting import Waiting
from cell_reconciler.errors import Interrupted


def test_it_waits_until_it_is_so_and_no_longer() -> None:
    waiting, so = Waiting(), iter([False, True])
    assert waiting.until(lambda: next(so), 60, "a guest")
    assert not waiting.until(lambda: False, 0, "a guest")
    waiting.stop.set()
    assert waiting.until(lambda: True, 60, "a guest"), "what is so already was not waited for"


def test_it_is_given_up_at_once_and_says_for_what() -> None:
    waiting, caught = Waiting(), list[BaseException]()

    def wait() -> None:
        try:
            waiting.until(lambda: False, 10_000 * 86400.0, "VM web")
        except Interrupted as error:
            caught.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    end = time.monotonic() + 10
    while not waiting.now() and time.monotonic() < end:
        time.sleep(0.01)
    assert waiting.now() == ("VM web",)
    waiting.stop.set()
    thread.join(1)
    assert [str(error) for error in caught] == ["interrupted; it waited for VM web"]
    assert waiting.now() == ()
    with pytest.raises(Interrupted):
        waiting.until(lambda: False, 60, "another")
