"""When a running VM takes on what is pending: never, in a window, at its guest's next boot, now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import live_actions, update_policy, xml
from cell_reconciler.model.change import Change
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain, Live
from tests.kinds.vm.hosts import POOL, on
from tests.kinds.vm.make import VM, planned, vm, world
from tests.kinds.vm.schema import rendered

SATURDAY = datetime(2026, 11, 28, 2, 0, tzinfo=UTC)
NIGHT = {"days": ["Sat"], "start": "02:00", "duration": "2h"}


def _text(**spec: Any) -> str:
    doc = vm("web", **spec)
    return xml.text(rendered(planned(doc, on(None, doc))))


def _domain(booted: dict[str, Any], defined: dict[str, Any] | None = None, reboot: str = "restart") -> Domain:
    active = _text(**booted).replace("<on_reboot>restart", f"<on_reboot>{reboot}")
    inactive = _text(**(defined or booted))
    return Domain(uuid="", name="web", state="running", inactive=inactive, active=active)


def _world(doc: Document, domain: Domain, at: datetime | None = None) -> World:
    return world(POOL, doc, live=Live(host="h1", at=at, domains={"web": domain}))


def _plan(doc: Document, domain: Domain, at: datetime | None = None) -> Change:
    return planned(doc, _world(doc, domain, at))


def _ops(change: Change) -> list[str]:
    return [step.op for step in change.steps]


def _windowed(*windows: dict[str, Any], cores: int = 2) -> Document:
    return vm("web", cpu={"cores": cores}, updatePolicy={"restart": "Window", "windows": list(windows)})


@pytest.mark.parametrize(
    ("minutes", "open_"), [(-1, False), (0, True), (119, True), (120, False), (24 * 60, False), (7 * 24 * 60, True)]
)
def test_a_restart_begins_while_the_window_is_open(minutes: int, open_: bool) -> None:
    at = SATURDAY + timedelta(minutes=minutes)
    change = _plan(_windowed(NIGHT), _domain({}), at)
    assert _ops(change) == (["vm.redefine", "vm.stop", "vm.start"] if open_ else ["vm.redefine"])
    if not open_:
        assert change.again is not None
        assert at < change.again <= at + timedelta(days=7)
        assert change.again.astimezone(UTC).strftime("%a %H:%M") == "Sat 02:00"
        assert "in its window at 20" in change.notes[0]
        assert "a guest that does not shut down within 2m is left running" in change.notes[0]


def test_nothing_is_due_when_it_is_not_known_what_time_it_is() -> None:
    change = _plan(_windowed({"start": "00:00", "duration": "24h"}), _domain({}))
    assert (_ops(change), change.again) == (["vm.redefine"], None)


def test_nothing_pending_is_nothing_to_restart() -> None:
    assert _plan(_windowed(NIGHT), _domain({"cpu": {"cores": 2}}), SATURDAY).quiet


@pytest.mark.parametrize(
    ("zone", "at", "open_"),
    [
        ("Asia/Seoul", "2026-11-27T17:00:00+00:00", True),  # Saturday 02:00 there
        ("Asia/Seoul", "2026-11-28T02:00:00+00:00", False),
        ("Europe/Berlin", "2026-07-04T00:30:00+00:00", True),  # summer: two hours ahead
        ("Europe/Berlin", "2026-11-28T00:30:00+00:00", False),  # winter: one
        ("Europe/Berlin", "2026-11-28T01:30:00+00:00", True),
    ],
)
def test_a_window_goes_by_the_clock_of_its_zone(zone: str, at: str, open_: bool) -> None:
    doc = _windowed({**NIGHT, "timeZone": zone})
    assert update_policy.due(doc.spec, datetime.fromisoformat(at)) is open_


@pytest.mark.parametrize(("at", "open_"), [("2026-11-29T00:59", True), ("2026-11-29T01:00", False)])
def test_a_window_that_lasts_over_midnight_belongs_to_the_day_on_which_it_opens(at: str, open_: bool) -> None:
    doc = _windowed({"days": ["Sat"], "start": "23:00", "duration": "2h"})
    assert update_policy.due(doc.spec, datetime.fromisoformat(f"{at}:00+00:00")) is open_


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Seoul", "Australia/Lord_Howe"]),
    st.integers(0, 23),
    st.sets(st.sampled_from(["Mon", "Wed", "Sat"]), min_size=1),
)
def test_the_next_window_is_open_when_it_opens_and_not_just_before(
    at: datetime, zone: str, hour: int, days: set[str]
) -> None:
    window = {"days": sorted(days), "start": f"{hour:02}:30", "duration": "1h", "timeZone": zone}
    spec = _windowed(window).spec
    begin = update_policy.opens(spec, at)
    assert begin is not None
    assert at < begin <= at + timedelta(days=8)
    assert update_policy.due(spec, begin)
    assert not update_policy.due(spec, begin - timedelta(seconds=1))
    assert not update_policy.due(spec, begin + timedelta(hours=1))


def test_a_zone_that_the_host_does_not_know_never_opens_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where tzdata is not installed."""
    monkeypatch.setattr(update_policy, "_zone", lambda name: None)
    change = _plan(_windowed({**NIGHT, "timeZone": "Asia/Seoul"}), _domain({}), SATURDAY)
    assert (_ops(change), change.again) == (["vm.redefine"], None)
    assert "in its window, whose time zone this host does not know" in change.notes[0]


# -- the guest's next boot ---------------------------------------------------------------------------------------


NEXT: dict[str, Any] = {"updatePolicy": {"restart": "NextBoot"}}
TWO: dict[str, Any] = {"cpu": {"cores": 2}}


def test_while_something_is_pending_a_reboot_ends_the_instance() -> None:
    change = _plan(vm("web", **TWO, **NEXT), _domain({}))
    assert _ops(change) == ["vm.redefine", "vm.on-reboot"]
    assert change.steps[-1].action == live_actions.OnReboot("web", "destroy")
    assert [step.restart for step in change.steps] == [False, False]
    settled = _plan(vm("web", **TWO, **NEXT), _domain({}, TWO, "destroy"))
    assert (settled.steps, [f.path for f in settled.pending]) == ((), ["spec.cpu.cores"])
    assert "when its guest reboots or shuts down" in settled.notes[0]


def test_it_is_set_back_when_nothing_is_pending_or_the_policy_is_another() -> None:
    for doc in (vm("web", **NEXT), vm("web", **TWO)):
        change = _plan(doc, _domain({}, doc.given["spec"] if doc.spec.cpu.cores == 2 else None, "destroy"))
        assert change.steps[-1].action == live_actions.OnReboot("web", "restart")
    now = vm("web", **TWO, updatePolicy={"restart": "Now"})
    assert _ops(_plan(now, _domain({}, TWO, "destroy"))) == ["vm.stop", "vm.start"], "the instance goes anyway"


def test_what_somebody_set_on_an_adopted_vm_stays_unless_its_document_says_when_to_restart() -> None:
    domain = _domain({}, reboot="destroy")
    adopted = msgspec.structs.replace(
        domain, inactive=(domain.inactive or "").replace("</cell:vm>", ";adopted</cell:vm>")
    )
    assert _plan(vm("web", memory={"guest": "128MiB"}), adopted).quiet
    assert _ops(_plan(vm("web", **NEXT), adopted)) == ["vm.on-reboot"]


def test_with_a_strategy_that_would_not_start_it_again_nothing_is_set() -> None:
    domain = _domain({}, TWO)
    adopted = msgspec.structs.replace(
        domain, inactive=(domain.inactive or "").replace("</cell:vm>", ";adopted</cell:vm>")
    )
    change = _plan(vm("web", **TWO, **NEXT), adopted)
    assert change.steps == ()
    assert "nobody restarts it: with NextBoot its runStrategy has to be Always" in change.notes[0]


def test_what_waits_for_a_restart_does_not_hold_up_what_is_live() -> None:
    """Whatever the policy: the description is changed at once, in both copies, and the cores wait."""
    for policy in ("Never", "NextBoot"):
        spec: dict[str, Any] = {**TWO, "updatePolicy": {"restart": policy}}
        reboot = "destroy" if policy == "NextBoot" else "restart"
        change = _plan(vm("web", description="new", **spec), _domain({}, TWO, reboot))
        assert _ops(change) == ["vm.redefine", "vm.describe"]
        assert [f.path for f in change.pending] == ["spec.cpu.cores"]


def test_the_condition_says_when_and_what_comes_after_the_timeout() -> None:
    for spec, said in (
        ({}, "nobody restarts it: updatePolicy.restart is Never"),
        (NEXT, "when its guest reboots or shuts down"),
        (
            {"updatePolicy": {"restart": "Window", "windows": [NIGHT]}, "forceStop": True},
            "in its window at 2026-12-05T02:00+00:00; a guest that does not shut down within 2m is powered off",
        ),
        ({"updatePolicy": {"restart": "Now"}}, "at once; a guest that does not shut down within 2m is left running"),
    ):
        doc = vm("web", **TWO, **spec)
        around = _world(doc, _domain({}, TWO), SATURDAY + timedelta(hours=3))
        [condition] = VM.conditions(doc, VM.observe("web", around), around)
        assert condition.type == "RestartRequired"
        assert said in condition.message


# -- rules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "rule", "pointer"),
    [
        ({"updatePolicy": {"restart": "Window"}}, "vm-windows", "/spec/updatePolicy/restart"),
        ({"updatePolicy": {"windows": [NIGHT]}}, "vm-windows", "/spec/updatePolicy/windows"),
        (
            {"updatePolicy": {"restart": "Window", "windows": [{**NIGHT, "duration": "4m"}]}},
            "vm-window-duration",
            "/spec/updatePolicy/windows/0/duration",
        ),
        (
            {"updatePolicy": {"restart": "Window", "windows": [NIGHT, {**NIGHT, "timeZone": "Europe/Atlantis"}]}},
            "vm-window-zone",
            "/spec/updatePolicy/windows/1/timeZone",
        ),
        (
            {"updatePolicy": {"restart": "NextBoot"}, "runStrategy": "Once"},
            "vm-next-boot",
            "/spec/updatePolicy/restart",
        ),
        (
            {"updatePolicy": {"restart": "NextBoot"}, "annotations": {"cell/adopt": "true"}},
            "vm-next-boot",
            "/spec/updatePolicy/restart",
        ),
        ({"autostart": True, "startOrder": 1}, "vm-start-order-autostart", "/spec/startOrder"),
    ],
)
def test_a_broken_rule_is_named_with_its_place(spec: dict[str, Any], rule: str, pointer: str) -> None:
    doc = vm("web", **spec)
    found = [p for p in VM.check(doc, {doc.key: doc}) if p.severity == Severity.ERROR]
    assert [(p.rule, p.pointer) for p in found] == [(rule, pointer)]


@pytest.mark.parametrize("window", [{"start": "24:00"}, {"start": "2:00"}, {"days": ["Saturday"]}, {"days": []}])
def test_the_schema_knows_times_and_days(window: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        _windowed({**NIGHT, **window})
