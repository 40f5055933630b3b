"""Snapshots by schedule: when one is due, and which are kept. Pure; the times are those of the names.

Time is cut into slots of ``every``, counted from 1970 in UTC: those of an hour begin on the hour. Each slot has one
snapshot, named by its begin. So hosts that share a pool do not take two, and after a day without anybody there is one,
of the slot that it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.model.fields import Effect, Spec, doc
from cell_reconciler.model.quantities import Duration

SHORTEST = 300.0  # seconds; `run` looks at everything every two minutes
MOST = 400  # snapshots of an image: their ids go with every write to it, and librbd takes about 500


class Keep(Spec, frozen=True, kw_only=True):
    """Which snapshots stay. One that any of the rules keeps is kept; the newest always is. Periods are those of UTC."""

    last: Annotated[int, doc("The newest of all: this many.", Effect.POLICY, ge=0, le=MOST)] = 0
    hourly: Annotated[
        int, doc("The newest of each hour that has one, for this many hours.", Effect.POLICY, ge=0, le=MOST)
    ] = 0
    daily: Annotated[int, doc("The newest of each day, for this many days.", Effect.POLICY, ge=0, le=MOST)] = 0
    weekly: Annotated[int, doc("The newest of each week (from Monday on).", Effect.POLICY, ge=0, le=MOST)] = 0
    monthly: Annotated[int, doc("The newest of each month.", Effect.POLICY, ge=0, le=MOST)] = 0


class Schedule(Spec, frozen=True, kw_only=True):
    """Snapshots that are taken and deleted by themselves."""

    every: Annotated[
        Duration,
        doc(
            "How often one is taken, at least 5m apart: `1h` on the hour, `1d` at midnight UTC. What was missed is not "
            "made up for: there is one then.",
            Effect.POLICY,
            examples=["1h"],
        ),
    ]
    keep: Annotated[
        Keep,
        doc(
            "Which of them stay; the others are deleted when the next one was taken. Of snapshots that others made, "
            "that are protected or cloned, none is deleted.",
            Effect.POLICY,
            examples=[{"hourly": 24, "daily": 7, "weekly": 4}],
        ),
    ]


def check(schedule: Schedule) -> Iterable[Problem]:
    """Rules beyond the schema."""
    if schedule.every < SHORTEST or schedule.every % 1:
        yield Problem(
            pointer="/spec/snapshots/every",
            rule="snapshots-every",
            message=f"{schedule.every.to_text()} is not a whole number of seconds from {SHORTEST / 60:.0f}m on",
            advice="a host looks at its volumes every two minutes",
        )
    counts = [count for _, count in _rules(schedule.keep)]
    if not any(counts) or sum(counts) > MOST:
        yield Problem(
            pointer="/spec/snapshots/keep",
            rule="snapshots-keep",
            message="it keeps none" if not any(counts) else f"it keeps up to {sum(counts)} snapshots, more than {MOST}",
            advice="for example keep: {hourly: 24, daily: 7, weekly: 4}",
        )


def slot(at: datetime, every: Duration) -> datetime:
    """The begin of the slot that ``at`` is in."""
    return datetime.fromtimestamp(at.timestamp() // every * every, UTC)


def due(times: Iterable[datetime], at: datetime, every: Duration) -> bool:
    """Has the slot of ``at`` no snapshot? One from the far future (a clock was wrong) is not believed."""
    begin = slot(at, every)
    return not any(begin <= time <= _latest(at, every) for time in times)


def expired(times: Iterable[datetime], at: datetime, schedule: Schedule) -> list[datetime]:
    """Those that no rule keeps, oldest first. What is from the far future is no part of it, and stays."""
    newest_first = sorted({time for time in times if time <= _latest(at, schedule.every)}, reverse=True)
    kept = set(newest_first[:1])
    for period, count in _rules(schedule.keep):
        newest: dict[object, datetime] = {}
        for time in newest_first:
            newest.setdefault(period(time), time)
        kept.update(list(newest.values())[:count])
    return [time for time in reversed(newest_first) if time not in kept]


def _latest(at: datetime, every: Duration) -> datetime:
    """Clocks of hosts differ, and a schedule may have been coarser before: so much is believed."""
    return at + timedelta(seconds=every)


def _rules(keep: Keep) -> tuple[tuple[Callable[[datetime], object], int], ...]:
    return (
        (lambda time: time, keep.last),
        (lambda time: (time.date(), time.hour), keep.hourly),
        (lambda time: time.date(), keep.daily),
        (lambda time: time.isocalendar()[:2], keep.weekly),
        (lambda time: (time.year, time.month), keep.monthly),
    )
