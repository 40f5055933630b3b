"""Snapshots by schedule, settings and the trash, the pure part: when what is done, and what is never done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cell_reconciler.cli.render import summary
from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.volume import notes, schedule
from cell_reconciler.kinds.volume.actions import Create, DeleteSnapshots, SetMark, Settings, TakeSnapshot
from cell_reconciler.kinds.volume.schedule import Keep, Schedule
from cell_reconciler.model.change import Change, Outcome, Plan, Result, Verb
from cell_reconciler.model.document import Document, Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Image, Live, Pool, Snapshot, Trashed
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.quantities import Duration
from cell_reconciler.model.storage import snapshot_name, snapshot_time
from cell_reconciler.planning.planner import live_digest, make_plan
from cell_reconciler.planning.policy import Policy
from cell_reconciler.status.reduce import reduce
from tests.kinds.storage import GLUE, LOCAL, document, image, volume, world

KIND = kind("Volume")
HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 28, 11, 20, tzinfo=UTC)
DUE = snapshot_name(datetime(2026, 11, 28, 11, tzinfo=UTC))
SNAPSHOTS = {"every": "1h", "keep": {"last": 2}}


def scheduled(snapshots: dict[str, Any] | None = None, **more: Any) -> Document:
    return document("Volume/demo", {"pool": "glue", "size": "1GiB", "snapshots": snapshots or SNAPSHOTS, **more})


def named(*hours: int) -> tuple[Snapshot, ...]:
    return tuple(Snapshot(name=snapshot_name(datetime(2026, 11, 28, hour, tzinfo=UTC))) for hour in hours)


def noted(doc: Document, snapshots: tuple[Snapshot, ...] | None, settings: dict[str, str] | None = None) -> Image:
    """The image of a document that was applied."""
    detail = notes.of(doc.spec, "h1", doc.spec.settings)
    return msgspec.structs.replace(image(pool="glue"), detail=detail, snapshots=snapshots, settings=settings or {})


def plan(doc: Document, *images: Image, at: datetime | None = NOW) -> Change:
    where = world(doc, images=images, at=at)
    return KIND.plan(doc, KIND.observe("demo", where), where)


def acts(change: Change) -> list[type]:
    return [type(step.action) for step in change.steps]


# when


def test_a_snapshot_is_due_once_in_each_slot() -> None:
    want = scheduled()
    change = plan(want, noted(want, named(9, 10)))
    assert acts(change) == [TakeSnapshot, DeleteSnapshots]
    take, delete = (step.action for step in change.steps)
    assert isinstance(take, TakeSnapshot)
    assert isinstance(delete, DeleteSnapshots)
    assert (take.snapshot, delete.snapshots) == (DUE, (named(9)[0].name,))
    assert plan(want, noted(want, named(10, 11))).quiet
    assert plan(want, noted(want, named(10, 11)), at=None).quiet, "without a clock nothing is due"


def test_after_a_day_without_anybody_there_is_one() -> None:
    want = scheduled({"every": "1h", "keep": {"hourly": 24, "daily": 7}})
    assert acts(plan(want, noted(want, named(1)), at=NOW + timedelta(days=1))) == [TakeSnapshot]


def test_a_new_volume_gets_its_first_one_when_it_is_made() -> None:
    """So that a second apply has nothing to do."""
    assert acts(plan(scheduled())) == [Create, TakeSnapshot]


def test_a_schedule_that_is_new_is_noted_first_and_deletes_nothing_unseen() -> None:
    change = plan(scheduled(), image(pool="glue"))
    assert acts(change) == [SetMark, TakeSnapshot]
    assert [field.path for field in change.fields] == ["spec.snapshots"]
    assert change.verb == Verb.UPDATE


def test_without_a_schedule_any_more_they_stay() -> None:
    change = plan(volume(pool="glue"), noted(scheduled(), named(1, 2, 3)))
    assert acts(change) == [SetMark]
    mark = change.steps[0].action
    assert isinstance(mark, SetMark)
    assert mark.notes == {"reclaimPolicy": "Retain", "host": "h1"}


def test_an_ignored_schedule_stays_as_it_is_noted() -> None:
    want = document("Volume/demo", {"pool": "glue", "size": "1GiB"}, ignore="/spec/snapshots")
    change = plan(want, noted(scheduled(), named(11)))
    assert (change.steps, [field.ignored for field in change.fields]) == ((), [True])


def test_what_cannot_be_read_is_left_alone() -> None:
    want = scheduled()
    where = world(want, images=(noted(want, None),), at=NOW)
    have = KIND.observe("demo", where)
    assert KIND.plan(want, have, where).quiet
    (condition,) = KIND.conditions(want, have, where)
    assert (condition.status, condition.reason) == ("Unknown", "Unreadable")


def test_a_clock_that_was_wrong_once_stops_nothing() -> None:
    future = Snapshot(name=snapshot_name(NOW + timedelta(days=400)))
    want = scheduled({"every": "1h", "keep": {"last": 1}})
    change = plan(want, noted(want, (*named(10), future)))
    assert acts(change) == [TakeSnapshot, DeleteSnapshots]
    assert plan(want, noted(want, (*named(11), future))).quiet


# what is never touched


@given(
    st.sets(st.integers(0, 10)), st.lists(st.sampled_from(["by-hand", "cell-", "cell-x", "cell-20261399T000000Z"])),
    st.sets(st.integers(0, 10)),
)  # fmt: skip
def test_never_one_of_others_nor_one_that_is_held(hours: set[int], others: list[str], held: set[int]) -> None:
    found = [
        msgspec.structs.replace(s, held=h in held) for h, s in zip(sorted(hours), named(*sorted(hours)), strict=True)
    ]
    by_others = [Snapshot(name=name) for name in dict.fromkeys(others)]
    want = scheduled()
    change = plan(want, noted(want, tuple(found + by_others)))
    gone = {name for step in change.steps if isinstance(step.action, DeleteSnapshots) for name in step.action.snapshots}
    assert gone <= {snapshot.name for snapshot in found if not snapshot.held}


TIMES = st.integers(0, 3 * 10**6).map(lambda minutes: NOW - timedelta(minutes=minutes))
COUNTS = st.integers(0, 6)
KEEPS = st.builds(Keep, last=COUNTS, hourly=COUNTS, daily=COUNTS, weekly=COUNTS, monthly=COUNTS)


@given(st.sets(TIMES, max_size=60), KEEPS)
@example({NOW, NOW - HOUR}, Keep())
def test_what_a_retention_keeps(times: set[datetime], keep: Keep) -> None:
    rule = Schedule(every=Duration.parse("1h"), keep=keep)
    gone = schedule.expired(times, NOW, rule)
    kept = times - set(gone)
    assert gone == sorted(set(gone))
    assert set(gone) <= times
    if times:
        assert max(times) in kept, "the newest always"
    newest = sorted(times, reverse=True)
    assert set(newest[: keep.last]) <= kept
    periods: tuple[tuple[Any, int], ...] = (
        (lambda t: t.strftime("%Y%m%d%H"), keep.hourly),
        (lambda t: t.date(), keep.daily),
        (lambda t: t.strftime("%G-%V"), keep.weekly),
        (lambda t: (t.year, t.month), keep.monthly),
    )
    for period, count in periods:
        found = list(dict.fromkeys(period(time) for time in newest))[:count]
        assert set(found) <= {period(time) for time in kept}, "each of the last periods has one"
    assert len(kept) <= max(1, keep.last + keep.hourly + keep.daily + keep.weekly + keep.monthly)
    assert schedule.expired(kept, NOW, rule) == [], "and once more changes nothing"
    assert schedule.expired(sorted(times), NOW, rule) == gone, "in whatever order"


@given(st.lists(st.integers(1, 200), min_size=1, max_size=80), KEEPS)
def test_a_schedule_lived_through(gaps: list[int], keep: Keep) -> None:
    """Taken and deleted step by step, with gaps: never two of a slot, and each of the last hours keeps its newest."""
    rule = Schedule(every=Duration.parse("1h"), keep=keep)
    at, there, taken = NOW, set[datetime](), list[datetime]()
    for minutes in gaps:
        at += timedelta(minutes=minutes)
        if schedule.due(there, at, rule.every):
            new = schedule.slot(at, rule.every)
            assert new not in taken
            taken.append(new)
            there.add(new)
        there -= set(schedule.expired(there, at, rule))
        assert not schedule.due(there, at, rule.every)
        assert timedelta(0) <= at - max(there) < HOUR
        assert set(taken[-max(keep.last, keep.hourly, 1) :]) <= there


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)), st.sampled_from(["5m", "90m", "1h", "1d", "7d"]))
def test_names_come_back_as_times(moment: datetime, every: str) -> None:
    begin = schedule.slot(moment.replace(tzinfo=UTC), Duration.parse(every))
    assert snapshot_time(snapshot_name(begin)) == begin
    assert begin <= moment.replace(tzinfo=UTC) < begin + timedelta(seconds=Duration.parse(every))


# upkeep is no difference


def test_a_snapshot_that_is_due_is_no_difference() -> None:
    want = scheduled()
    documents = {GLUE.key: GLUE, want.key: want}
    where = world(want, images=(noted(want, named(10)),), at=NOW)
    made = make_plan("h1", Loaded(documents=documents), where.live, Policy(), [want.key])
    only = msgspec.structs.replace(made, changes=tuple(c for c in made.changes if c.key == want.key))
    assert [step.op for step in only.steps if step.key == want.key] == ["volume.snapshot"]
    assert only.empty
    assert summary.verdict(only, differences=True) == 0
    assert summary.summarize(only).in_sync == 1


def test_suspended_it_is_left_undone_without_ado() -> None:
    want = scheduled()
    where = world(want, images=(noted(want, named(10)),), at=NOW)
    loaded = Loaded(documents={GLUE.key: GLUE, want.key: want})
    made = make_plan("h1", loaded, where.live, Policy(suspended={want.key: "INC-1"}), [want.key])
    (change,) = (change for change in made.changes if change.key == want.key)
    assert (change.quiet, change.notes) == (True, ("suspended: INC-1",))


def test_nobody_waits_for_a_snapshot_but_for_what_else_is_done() -> None:
    """A VM in the same plan is started although the snapshot of its disk may hang; not before the disk has grown."""
    from cell_reconciler.planning.order import order

    want = scheduled(size="2GiB")
    vm = Key("VirtualMachine", "web")
    change = plan(want, noted(want, named(10)))
    assert acts(change) == [SetMark, type(change.steps[1].action), TakeSnapshot]
    start = Change(key=vm, verb=Verb.UPDATE, steps=(msgspec.structs.replace(change.steps[0], key=vm),))
    for waited, what in ((change, 1), (plan(scheduled(), noted(scheduled(), named(10))), None)):
        steps, edges, _ = order([waited, start], {vm: [want.key]}, {})
        (index,) = (i for i, step in enumerate(steps) if step.key == vm)
        needs = [steps[before].op for before in edges[index]]
        assert needs == ([] if what is None else [waited.steps[what].op])


def test_one_that_fails_is_a_condition_and_the_volume_stays_ready() -> None:
    want = scheduled()
    change = plan(want, noted(want, named(10)))
    loaded = Loaded(documents={want.key: want})
    edges = ((),) * len(change.steps)
    made = Plan(host="h1", changes=(change,), steps=change.steps, edges=edges)
    failed = Outcome(step=0, key=want.key, op="volume.snapshot", result=Result.FAILED, error="no answer")
    states = reduce({}, loaded, made, [failed], {}, "t1", executed=True)
    assert {c.type: (c.status, c.message) for c in states[want.key].conditions} == {
        "Ready": ("True", ""),
        "SnapshotFailed": ("True", "no answer"),
    }
    again = reduce(states, loaded, made, (), {}, "t2", executed=False)
    assert again[want.key].condition("SnapshotFailed") is not None, "until it is done"
    assert again[want.key].ready == "True"
    done = reduce(again, loaded, made, (), {}, "t3", executed=True)
    assert done[want.key].condition("SnapshotFailed") is None


def test_what_was_done_by_schedule_does_not_fill_the_history() -> None:
    from cell_reconciler.converge.report import noteworthy

    change = plan(scheduled(size="2GiB"), noted(scheduled(), named(10)))
    made = Plan(host="h1", changes=(change,), steps=change.steps, edges=((),) * len(change.steps))
    for result, told in ((Result.DONE, 2), (Result.FAILED, 3)):
        outcomes = [Outcome(step=n, key=change.key, op=s.op, result=result) for n, s in enumerate(change.steps)]
        assert len(noteworthy(made, outcomes)) == told


def test_a_saved_plan_does_not_go_stale_by_a_snapshot() -> None:
    want = scheduled()
    one, two = (world(want, images=(noted(want, named(*hours)),)).live for hours in ((10,), (10, 11)))
    assert live_digest(one) == live_digest(two)


@pytest.mark.parametrize(
    ("found", "reason", "status"),
    [
        ((), "NoneTaken", "True"), (named(11), "UpToDate", "False"), (named(10), "UpToDate", "False"),
        (named(9), "TooOld", "True"),
    ],
)  # fmt: skip
def test_status_says_of_when_the_last_one_is(found: tuple[Snapshot, ...], reason: str, status: str) -> None:
    want = scheduled()
    where = world(want, images=(noted(want, (*found, Snapshot(name="by-hand"))),), at=NOW)
    (condition,) = KIND.conditions(want, KIND.observe("demo", where), where)
    assert (condition.type, condition.reason, condition.status) == ("SnapshotsOverdue", reason, status)
    assert condition.message.endswith(f"{len(found)} by schedule, 1 of others")


# settings


def with_settings(**settings: Any) -> Document:
    return document("Volume/demo", {"pool": "glue", "size": "1GiB", "settings": settings})


def test_settings_are_set_and_what_was_ours_is_unset() -> None:
    before = with_settings(rbd_cache=False, rbd_qos_iops_limit=1000)
    have = noted(before, (), {"rbd_cache": "false", "rbd_qos_iops_limit": "1000", "rbd_cache_size": "1"})
    assert plan(before, have).quiet, "as librbd writes them"
    change = plan(with_settings(rbd_qos_iops_limit=2000), have)
    assert acts(change) == [SetMark, Settings, SetMark]
    first, act, last = (step.action for step in change.steps)
    assert isinstance(first, SetMark)
    assert isinstance(act, Settings)
    assert isinstance(last, SetMark)
    assert (act.values, act.unset) == ({"rbd_qos_iops_limit": "2000"}, ("rbd_cache",))
    assert first.notes["settings"] == "rbd_cache,rbd_qos_iops_limit", "ours before they are changed, until they are"
    assert last.notes["settings"] == "rbd_qos_iops_limit"


def test_settings_of_others_are_left_alone_and_one_that_goes_is_set_again() -> None:
    want = with_settings(rbd_cache=True)
    assert plan(volume(pool="glue"), noted(volume(pool="glue"), (), {"rbd_cache": "false"})).quiet
    change = plan(want, noted(want, (), {"rbd_cache_size": "1"}))
    assert [step.action.values for step in change.steps if isinstance(step.action, Settings)] == [{"rbd_cache": "true"}]
    assert acts(plan(want)) == [Create, Settings]


def test_killed_after_the_settings_the_note_is_put_right() -> None:
    want = with_settings(rbd_cache=True)
    left = noted(with_settings(rbd_cache=True, rbd_qos_iops_limit=1), (), {"rbd_cache": "true"})
    change = plan(want, left)
    assert (acts(change), change.fields, change.verb) == ([SetMark], (), Verb.UPDATE)


def test_ignored_settings_are_shown_and_left_alone() -> None:
    want = document(
        "Volume/demo", {"pool": "glue", "size": "1GiB", "settings": {"rbd_cache": True}}, ignore="/spec/settings"
    )
    change = plan(want, noted(with_settings(rbd_cache=False), (), {"rbd_cache": "false"}))
    assert (change.steps, [field.ignored for field in change.fields]) == ((), [True])


# rules


@pytest.mark.parametrize(
    ("spec", "rules"),
    [
        ({"pool": "glue", "snapshots": SNAPSHOTS, "settings": {"rbd_cache": True}}, []),
        ({"pool": "local", "snapshots": SNAPSHOTS}, ["needs-rbd"]),
        ({"pool": "local", "settings": {"rbd_cache": True}}, ["needs-rbd"]),
        ({"pool": "glue", "snapshots": {"every": "4m", "keep": {"last": 1}}}, ["snapshots-every"]),
        ({"pool": "glue", "snapshots": {"every": "300500ms", "keep": {"last": 1}}}, ["snapshots-every"]),
        ({"pool": "glue", "snapshots": {"every": "0s", "keep": {"last": 1}}}, ["snapshots-every"]),
        ({"pool": "glue", "snapshots": {"every": "1h", "keep": {}}}, ["snapshots-keep"]),
        ({"pool": "glue", "snapshots": {"every": "1h", "keep": {"last": 300, "daily": 101}}}, ["snapshots-keep"]),
        ({"pool": "glue", "settings": {"rbd_cache": ""}}, ["volume-settings"]),
        ({"pool": "glue", "settings": {"rbd_cache": "a\nb"}}, ["volume-settings"]),
    ],
)
def test_rules(spec: dict[str, Any], rules: list[str]) -> None:
    documents = {doc.key: doc for doc in (LOCAL, GLUE)}
    found = list(KIND.check(document("Volume/demo", {"size": "1GiB", **spec}), documents))
    assert [problem.rule for problem in found] == rules
    assert all(problem.advice for problem in found)


@pytest.mark.parametrize("name", ["cache", "rbd_", "rbd_A", "rbd_a b", "conf_rbd_cache", "rbd_a\n"])
def test_settings_that_the_schema_does_not_take(name: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        with_settings(**{name: "1"})


# trash


def trashed(until: datetime = NOW + HOUR, owner: str = "Volume/demo", name: str = "demo") -> Live:
    entry = Trashed(
        id="101",
        name=name,
        at=NOW.isoformat(),
        until=until.isoformat(),
        mark=Mark(Key.parse(owner), "0" * 16).to_text(),
    )
    pool = Pool(name="glue", backend="rbd", target="vms", exists=True, trash=(entry,))
    return Live(host="h1", at=NOW, pools={"glue": pool})


def planned(live: Live, doc: Document) -> Change:
    where: World = msgspec.structs.replace(world(doc), live=live)
    return KIND.plan(doc, None, where)


def test_no_empty_volume_hides_one_in_the_trash() -> None:
    change = planned(trashed(), volume(pool="glue"))
    assert ([refusal.reason for refusal in change.refused], change.steps) == (["InTrash"], ())
    assert "cellctl trash restore demo --id 101" in change.refused[0].advice
    assert "--as demo-old" in change.refused[0].advice


@pytest.mark.parametrize(
    "live", [trashed(until=NOW - HOUR), trashed(owner="Volume/other"), trashed(name="other")], ids=str
)
def test_what_is_past_its_time_or_another_ones_stops_nobody(live: Live) -> None:
    assert [type(step.action) for step in planned(live, volume(pool="glue")).steps] == [Create]


def test_it_is_kept_in_the_trash_as_the_document_said() -> None:
    from cell_reconciler.kinds.volume.actions import Trash

    for spec, seconds in (({}, 7 * 86400), ({"trashFor": "1d"}, 86400)):
        want = document("Volume/demo", {"pool": "glue", "size": "1GiB", "reclaimPolicy": "Trash", **spec})
        where = world(images=(noted(want, None),))
        action = KIND.plan(None, KIND.observe("demo", where), where).steps[0].action
        assert isinstance(action, Trash)
        assert action.seconds == seconds


def test_what_comes_back_is_not_thrown_away_again() -> None:
    back = notes.restored({"reclaimPolicy": "Trash", "host": "h1", "trashFor": "1d"})
    where = world(images=(msgspec.structs.replace(image(pool="glue"), detail=back),))
    assert list(KIND.owned(where.live)) == []
