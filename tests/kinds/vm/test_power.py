"""What keeps a VM from being touched: silence, a pause, a job, a copy of its disk, snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import power
from cell_reconciler.model.change import Cause, Change
from cell_reconciler.model.live import Domain, Live
from tests.kinds.vm.make import VM, planned, pool, vm, world

DATA = Path(__file__).parent / "data"
WEB: dict[str, Any] = {
    "uuid": "0b6ff4f0-7d3e-4c7f-9a52-6c1f0a3d9e01",
    "description": "front end",
    "disks": [
        {"name": "root", "volume": "local/web-root", "bootOrder": 1},
        {"name": "data", "volume": "local/web-data", "bus": "scsi"},
    ],
    "interfaces": [{"name": "lan", "bridge": "br-VM", "vlan": 101}],
}


def web(**more: Any) -> Domain:
    inactive, active = ((DATA / f"web.{which}.xml").read_text() for which in ("inactive", "active"))
    domain = Domain(uuid=WEB["uuid"], name="web", state="running", inactive=inactive, active=active)
    return msgspec.structs.replace(domain, **more)


def copying() -> Domain:
    """As libvirt shows a copy of a disk under way."""
    mirror = "<mirror type='file' file='/other.raw' format='raw' job='copy'><source file='/other.raw'/></mirror></disk>"
    return web(active=str(web().active).replace("</disk>", mirror, 1))


def around(domain: Domain, **spec: Any) -> World:
    return world(
        pool("local", "/var/lib/libvirt/images/local"),
        vm("web", **{**WEB, **spec}),
        live=Live(host="h1", domains={"web": domain}),
    )


def plan(domain: Domain, **spec: Any) -> Change:
    return planned(vm("web", **{**WEB, **spec}), around(domain, **spec))


def conditions(domain: Domain) -> dict[str, str]:
    here = around(domain)
    return {c.type: c.message for c in VM.conditions(vm("web", **WEB), VM.observe("web", here), here)}


@pytest.mark.parametrize(
    ("fact", "reason", "remedy"),
    [
        ({"silent": "2026-01-02T03:04:05+00:00"}, "Unresponsive", "virsh destroy web"),
        ({"state": "paused", "reason": "io-error"}, "IoError", "mend the storage, then virsh resume web"),
        ({"state": "paused", "reason": "watchdog"}, "WatchdogFired", "virsh resume web"),
        ({"state": "paused", "reason": "crashed"}, "Crashed", "virsh destroy web"),
        ({"state": "paused", "reason": "migration"}, "JobActive", "virsh domjobinfo web"),
        ({"state": "paused", "reason": "user"}, "Paused", "virsh resume web"),
    ],
)
def test_one_that_is_not_as_it_should_be_is_left_alone(fact: dict[str, str], reason: str, remedy: str) -> None:
    domain = web(**fact)
    for change in (plan(domain), plan(domain, description="other")):
        assert (change.steps, [r.reason for r in change.refused]) == ((), [reason])
        assert all(r.waiting for r in change.refused)
    assert remedy in conditions(domain)[reason]


@pytest.mark.parametrize(
    ("domain", "reason", "remedy"),
    [
        (web(job="migration"), "JobActive", "virsh domjobabort web"),
        (copying(), "BlockJob", "virsh blockjob web"),
        (web(snapshots=True), "HasSnapshots", "virsh snapshot-list web"),
    ],
)
def test_one_that_is_busy_goes_on_as_it_is_and_is_not_changed(domain: Domain, reason: str, remedy: str) -> None:
    assert plan(domain).quiet
    change = plan(domain, description="other")
    assert (change.steps, [r.reason for r in change.refused]) == ((), [reason])
    assert remedy in conditions(domain)[reason]
    here = around(domain)
    have = VM.observe("web", here)
    assert [r.reason for r in VM.plan(None, have, here).refused] == [reason]


def test_snapshots_keep_no_vm_from_being_started() -> None:
    off = web(state="shutoff", reason="failed", active=None, snapshots=True)
    assert [step.op for step in plan(off).steps] == ["vm.start"]
    changed = plan(off, memory={"guest": "256MiB"})
    assert [step.op for step in changed.steps] == ["vm.start"], "as it is defined"
    assert [refusal.reason for refusal in changed.refused] == ["HasSnapshots"]


def test_what_a_copy_of_a_disk_is_called() -> None:
    assert power.busy(web()) is None
    assert power.busy(copying()) == (
        "BlockJob",
        "domain web has a block job under way: copy",
        "wait, or end it: virsh blockjob web DISK --pivot or --abort",
    )


@pytest.mark.parametrize(("reason", "cause"), [("failed", Cause.CRASH), ("crashed", Cause.CRASH), ("destroyed", "any")])
def test_a_start_after_a_crash_is_told_from_others(reason: str, cause: str) -> None:
    off = web(state="shutoff", reason=reason, active=None)
    change = plan(off)
    assert [step.op for step in change.steps] == ["vm.start"]
    assert (change.cause == Cause.CRASH) == (cause == Cause.CRASH)
