"""Backoff by values and properties."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.daemon.backoff import CAP, SOON, Backoff
from cell_reconciler.model.key import Key

A, B = Key("Bridge", "a"), Key("Bridge", "b")


def test_doubles_up_to_five_minutes() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    assert [backoff.failed(A, 0.0) for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_reset_starts_again_and_keys_do_not_mix() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    for _ in range(5):
        backoff.failed(A, 0.0)
    assert backoff.not_before(B) == 0.0
    backoff.reset(A)
    assert backoff.not_before(A) == 0.0
    assert backoff.failures(A) == 0
    assert backoff.failed(A, 100.0) == 101.0


def test_what_waits_for_room_on_a_disk_is_tried_soon_whatever_failed_before() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    assert [backoff.failed(A, 0.0, soon=True) for _ in range(6)] == [1, 2, 4, 8, SOON, SOON]
    assert backoff.not_before(A) == SOON
    assert backoff.failed(A, 0.0) == 64


def test_hopeless_is_tried_as_rarely_as_possible() -> None:
    assert Backoff(jitter=lambda: 1.0).failed(A, 0.0, hopeless=True) == CAP


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=60))
def test_never_hot_and_never_longer_than_the_cap(numbers: list[float]) -> None:
    source = iter(numbers)
    backoff = Backoff(jitter=lambda: next(source))
    now = 0.0
    for count in range(len(numbers)):
        until = backoff.failed(A, now)
        assert 0.8 * min(CAP, 2.0**count) - 1e-6 <= until - now <= CAP + 1e-6
        assert backoff.not_before(A) == until
        now = until


def test_thousands_of_failures_do_not_overflow() -> None:
    backoff = Backoff(jitter=lambda: 0.5)
    for _ in range(5000):
        assert backoff.failed(A, 0.0) <= CAP
