"""When to give up, and when to try again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.daemon.fighting import REPAIRS, REST, WINDOW, Fighting
from cell_reconciler.model.key import Key

A, B = Key("Bridge", "a"), Key("Bridge", "b")


def stopped_at(times: list[float]) -> Fighting:
    fighting = Fighting()
    for at in times:
        fighting.repaired(A, "digest", at)
    return fighting


def test_the_third_repair_in_ten_minutes_is_one_too_many() -> None:
    fighting = Fighting()
    assert [fighting.repaired(A, "x", at) for at in (0.0, 100.0, 599.0)] == [False, False, True]
    assert fighting.stopped(A, "x", 600.0)
    assert not fighting.stopped(B, "x", 600.0)
    assert fighting.keys == {A}


def test_repairs_that_are_far_apart_do_not_count() -> None:
    fighting = Fighting()
    assert not any(fighting.repaired(A, "x", at) for at in (0.0, 301.0, 602.0, 1203.0))
    assert not fighting.stopped(A, "x", 1203.0)


def test_another_spec_ends_it() -> None:
    fighting = stopped_at([0.0, 1.0, 2.0])
    assert not fighting.stopped(A, "other", 3.0)
    assert not fighting.stopped(A, "digest", 3.0)


def test_repairs_of_another_spec_do_not_add_up() -> None:
    fighting = Fighting()
    assert not any(fighting.repaired(A, str(number), float(number)) for number in range(10))


def test_resume_and_an_hour_end_it() -> None:
    fighting = stopped_at([0.0, 1.0, 2.0])
    assert fighting.stopped(A, "digest", 2.0 + REST - 1)
    assert not fighting.stopped(A, "digest", 2.0 + REST)
    fighting = stopped_at([0.0, 1.0, 2.0])
    fighting.resume(A)
    assert not fighting.stopped(A, "digest", 3.0)
    assert not fighting.repaired(A, "digest", 4.0)


@given(st.lists(st.floats(0, 5000), min_size=1, max_size=40).map(sorted))
def test_stops_exactly_when_some_window_holds_three(times: list[float]) -> None:
    fighting = Fighting()
    stopped = [fighting.repaired(A, "x", at) for at in times]
    crowded = [
        index for index, at in enumerate(times) if sum(at - other < WINDOW for other in times[: index + 1]) >= REPAIRS
    ]
    assert stopped.count(True) == (1 if crowded else 0)
    if crowded:
        assert stopped.index(True) == crowded[0]
