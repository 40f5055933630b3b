"""What is planned for domains as libvirt 9.0 really reports them (``data/`` was recorded from it)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lxml import etree

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import actions, live_actions, observe, resolve
from cell_reconciler.model.change import Cause, Change, Risk, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Live
from tests.kinds.vm.make import VM, planned, pool, vm, world
from tests.livelinks import link

DATA = Path(__file__).parent / "data"
POOL = pool("local", "/var/lib/libvirt/images/local")
WEB: dict[str, Any] = {
    "uuid": "0b6ff4f0-7d3e-4c7f-9a52-6c1f0a3d9e01",
    "description": "front end",
    "disks": [
        {"name": "root", "volume": "local/web-root", "bootOrder": 1},
        {"name": "data", "volume": "local/web-data", "bus": "scsi"},
    ],
    "interfaces": [{"name": "lan", "bridge": "br-VM", "vlan": 101}],
}
WORDS = ("cell:vm", 'cache="none"', "ua-root")  # our mark, the changed field, and the disk's name
BOARD = {"updatePolicy": {"machine": "Change"}}
OLD = (DATA / "old.inactive.xml").read_text()


def _web(state: str = "running", **more: Any) -> Domain:
    """The domain ``web`` as recorded."""
    active = (DATA / "web.active.xml").read_text() if state not in ("shutoff", "crashed") else None
    uuid, inactive = WEB["uuid"], (DATA / "web.inactive.xml").read_text()
    domain = Domain(uuid=uuid, name="web", state=state, inactive=inactive, active=active)
    return msgspec.structs.replace(domain, **more)


def _old(**more: Any) -> Domain:
    """A domain that somebody made by hand."""
    uuid = "3d6c1d1e-0a55-4c0a-9a7e-0f9d4b1c2a33"
    domain = Domain(uuid=uuid, name="old", state="shutoff", reason="unknown", inactive=OLD, active=None)
    return msgspec.structs.replace(domain, **more)


def _world(*docs: Document, domains: tuple[Domain, ...]) -> World:
    return world(POOL, *docs, live=Live(host="h1", domains={d.name: d for d in domains}))


def _plan(domain: Domain | None = None, **spec: Any) -> Change:
    doc = vm("web", **{**WEB, **spec})
    return planned(doc, _world(doc, domains=(domain or _web(),)))


def _ops(change: Change) -> list[str]:
    return [step.op for step in change.steps]


def _paths(change: Change) -> list[str]:
    return [f.path for f in change.fields]


# -- in sync, create, delete -----------------------------------------------------------------------------------


def test_the_recorded_domain_is_what_its_document_says() -> None:
    change = _plan()
    assert change.quiet
    assert change.verb == Verb.NONE


def test_an_absent_vm_is_defined_and_started() -> None:
    doc = vm("web", autostart=True, **WEB)
    change = planned(doc, _world(doc, domains=()))
    assert (change.verb, _ops(change)) == (Verb.CREATE, ["vm.define", "vm.autostart", "vm.start"])
    assert _paths(change) == [
        f"spec.{name}" for name in ("uuid", "description", "memory", "disks", "interfaces", "autostart")
    ]
    assert change.risk == Risk.NONE


@pytest.mark.parametrize(
    ("strategy", "started"), [("Manual", False), ("Halted", False), ("Once", True), ("RerunOnFailure", True)]
)
def test_a_new_vm_starts_if_its_strategy_says_so(strategy: str, started: bool) -> None:
    doc = vm("web", runStrategy=strategy, **WEB)
    assert ("vm.start" in _ops(planned(doc, _world(doc, domains=())))) is started


def test_a_volume_that_nobody_can_place_is_refused() -> None:
    doc = vm("web", disks=[{"name": "root", "volume": "nowhere"}])
    change = planned(doc, _world(doc, domains=()))
    assert [r.reason for r in change.refused] == ["UnknownVolume"]
    assert change.steps == ()


def test_an_undeclared_vm_of_ours_is_shut_down_and_undefined() -> None:
    around = _world(domains=(_web(),))
    change = VM.plan(None, VM.observe("web", around), around)
    assert (change.verb, change.cause, change.risk) == (Verb.DELETE, Cause.PRUNE, Risk.CUTS_VM)
    assert _ops(change) == ["vm.stop", "vm.undefine"]
    assert [step.deletes for step in change.steps] == [False, True]
    around = _world(domains=(_web("shutoff"),))
    change = VM.plan(None, VM.observe("web", around), around)
    assert (_ops(change), change.risk) == (["vm.undefine"], Risk.NONE)


def test_an_undeclared_vm_that_was_adopted_is_given_up_not_deleted() -> None:
    adopted = (DATA / "web.inactive.xml").read_text().replace("</cell:vm>", ";adopted</cell:vm>")
    around = _world(domains=(_web(inactive=adopted),))
    assert _ops(VM.plan(None, VM.observe("web", around), around)) == ["vm.release"]


@pytest.mark.parametrize(("state", "ops"), [("running", []), ("shutoff", ["vm.start"])])
@pytest.mark.parametrize("machine", ["pc", "pc-q35-7.1"])
def test_another_board_needs_permission(state: str, ops: list[str], machine: str) -> None:
    """It starts as it is defined: a document that goes too far keeps no VM down."""
    change = _plan(_web(state), machine={"type": machine})
    assert ([r.reason for r in change.refused], _ops(change)) == (["OtherMachine"], ops)
    assert f"would be {machine}" in change.refused[0].message
    assert change.pending == ()
    assert change.cause == Cause.SPEC


def test_what_is_live_goes_on_beside_another_board_and_the_rest_waits_with_it() -> None:
    spec: dict[str, Any] = {"machine": {"type": "pc"}, "cpu": {"cores": 2, "shares": 512}, "description": "x"}
    change = _plan(_web("running"), **spec)
    assert _ops(change) == ["vm.redefine", "vm.describe", "vm.scheduler"]
    action: Any = change.steps[0].action
    assert action.paths == {"spec.description", "spec.cpu.shares"}
    assert action.mark.digest == VM.observe("web", _world(domains=(_web("running"),))).mark.digest  # type: ignore[union-attr]
    assert "so spec.cpu.cores, spec.hotplugPorts stay as they are" in change.refused[0].message
    immutable = _plan(_web("running"), **spec, uuid="11111111-1111-1111-1111-111111111111")
    assert ([r.reason for r in immutable.refused], _ops(immutable)) == (["Immutable", "OtherMachine"], [])


def test_back_to_the_board_that_it_runs_on_needs_none() -> None:
    inactive = (DATA / "web.inactive.xml").read_text().replace("pc-q35-7.2", "pc-q35-7.1")
    assert _ops(_plan(_web(inactive=inactive), machine={"type": "pc-q35-7.2"})) == ["vm.redefine"]


def test_a_disk_that_a_snapshot_by_hand_made_an_overlay_stays() -> None:
    """Its newest data are there: neither is the stale base taken for it, nor is it let go."""
    text = (DATA / "web.inactive.xml").read_text().replace("type='raw'", "type='qcow2'", 1)
    for spec in ({}, {"disks": []}):
        change = _plan(_web("shutoff", inactive=text), **spec)
        assert [r.reason for r in change.refused] == ["Format"], spec
        assert "virsh blockcommit" in change.refused[0].advice
        assert change.steps == ()


def test_a_disk_by_another_name_is_the_same_disk_until_the_next_start() -> None:
    disks = [{**WEB["disks"][0], "name": "system"}, *WEB["disks"][1:]]
    change = _plan(_web("running"), disks=disks)
    assert _ops(change) == ["vm.redefine"]
    assert {field.path for field in change.pending} == {"spec.disks[root]", "spec.disks[system]"}


# -- changes of a running VM -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"memory": {"guest": "256MiB"}}, "spec.memory.guest"),
        ({"cpu": {"cores": 2}}, "spec.cpu.cores"),
        ({"cpu": {"mode": "custom", "model": "EPYC"}}, "spec.cpu.mode"),  # host-model was expanded to EPYC here
        ({"machine": {"type": "pc"}, **BOARD}, "spec.machine.type"),
        ({"machine": {"type": "pc-q35-7.1"}, **BOARD}, "spec.machine.type"),
        ({"serialConsole": False}, "spec.serialConsole"),
        ({"graphics": {"type": "none"}}, "spec.graphics.type"),
        ({"graphics": {"listen": "0.0.0.0"}}, "spec.graphics.listen"),
        ({"clock": {"kvmClock": False}}, "spec.clock.kvmClock"),
        ({"boot": {"kernel": "/boot/vmlinuz"}}, "spec.boot"),
        ({"cpu": {"maxSockets": 4}}, "spec.cpu.maxSockets"),
        ({"cpu": {"sockets": 2}}, "spec.cpu.sockets"),  # more than the running VM may ever have
        ({"cpu": {"features": {"require": ["pcid"]}}}, "spec.cpu.features.require"),
        ({"memory": {"guest": "128MiB", "balloon": False}}, "spec.memory.balloon"),
        ({"memory": {"guest": "128MiB", "hugepages": {}}}, "spec.memory.hugepages"),
        ({"video": "virtio"}, "spec.video"),
        ({"watchdog": {}}, "spec.watchdog"),
        ({"cdroms": [{"name": "cd"}]}, "spec.cdroms[cd]"),
        ({"disks": [*WEB["disks"], {"name": "slow", "volume": "local/s", "bus": "sata"}]}, "spec.disks[slow]"),
        ({"disks": [WEB["disks"][0], {**WEB["disks"][1], "io": "threads"}]}, "spec.disks[data].io"),
        ({"disks": [WEB["disks"][0], {**WEB["disks"][1], "serial": "a1"}]}, "spec.disks[data].serial"),
        ({"disks": [WEB["disks"][0], {**WEB["disks"][1], "readOnly": True}]}, "spec.disks[data].readOnly"),
        ({"disks": [WEB["disks"][0], {**WEB["disks"][1], "detectZeroes": "on"}]}, "spec.disks[data].detectZeroes"),
        ({"interfaces": [{**WEB["interfaces"][0], "queues": 2}]}, "spec.interfaces[lan].queues"),
        ({"interfaces": [{**WEB["interfaces"][0], "mtu": 9000}]}, "spec.interfaces[lan].mtu"),
        ({"disks": [{**WEB["disks"][0], "cache": "writeback"}, WEB["disks"][1]]}, "spec.disks[root].cache"),
        ({"interfaces": [{**WEB["interfaces"][0], "model": "e1000"}]}, "spec.interfaces[lan].model"),
    ],
)
def test_what_needs_a_restart_is_defined_and_pending(spec: dict[str, Any], path: str) -> None:
    change = _plan(**spec)
    assert path in _paths(change)
    assert all(f.pending for f in change.fields)
    assert _ops(change) == ["vm.redefine"]
    assert (change.verb, change.risk) == (Verb.UPDATE, Risk.NONE)
    assert path in change.notes[0]
    off = _plan(_web("shutoff", reason="shutdown"), runStrategy="Manual", **spec)
    assert not off.pending
    assert _ops(off) == ["vm.redefine"]


def test_with_permission_the_vm_is_restarted_for_it() -> None:
    change = _plan(memory={"guest": "256MiB"}, updatePolicy={"restart": "Now"})
    assert _ops(change) == ["vm.redefine", "vm.stop", "vm.start"]
    assert [s.restart for s in change.steps] == [False, True, True]
    assert change.risk == Risk.CUTS_VM
    assert not change.pending


def test_what_is_defined_already_stays_pending_until_the_restart() -> None:
    inactive = (DATA / "web.inactive.xml").read_text().replace(">131072<", ">262144<")
    change = _plan(_web(inactive=inactive), memory={"guest": "256MiB"})
    assert [(f.path, f.have, f.want, f.pending) for f in change.fields] == [
        ("spec.memory.guest", "128MiB", "256MiB", True)
    ]
    assert change.steps == ()
    doc = vm("web", **{**WEB, "memory": {"guest": "256MiB"}})
    around = _world(doc, domains=(_web(inactive=inactive),))
    (condition,) = VM.conditions(doc, VM.observe("web", around), around)
    assert condition.type == "RestartRequired"
    assert "spec.memory.guest" in condition.message


def test_live_fields_are_changed_in_both_copies() -> None:
    nic = {**WEB["interfaces"][0], "vlan": 102}
    change = _plan(interfaces=[nic], description="new", autostart=True)
    assert _ops(change) == ["vm.redefine", "vm.autostart", "vm.describe", "vm.move-interface"]
    assert change.risk == Risk.BLIP
    assert not change.pending
    (move,) = [s.action for s in change.steps if isinstance(s.action, live_actions.ChangeInterface)]
    assert (move.nic.vlan, move.fields) == (102, {"bridge"})


DATA_DISK: dict[str, Any] = WEB["disks"][1]
LAN: dict[str, Any] = WEB["interfaces"][0]


@pytest.mark.parametrize(
    ("spec", "ops", "risk"),
    [
        ({"disks": [*WEB["disks"], {"name": "new", "volume": "local/n"}]}, ["vm.plug"], Risk.NONE),
        ({"disks": WEB["disks"][:1]}, ["vm.unplug"], Risk.CUTS_VM),
        ({"interfaces": [LAN, {"name": "new", "bridge": "br-VM"}]}, ["vm.plug"], Risk.NONE),
        ({"interfaces": []}, ["vm.unplug"], Risk.CUTS_VM),
        ({"interfaces": [{**LAN, "link": "down"}]}, ["vm.link"], Risk.CUTS_VM),
        ({"disks": [WEB["disks"][0], {**DATA_DISK, "iotune": {"totalIopsSec": 100}}]}, ["vm.iotune"], Risk.NONE),
        ({"rng": False}, ["vm.unplug"], Risk.NONE),
        ({"guestAgent": False}, ["vm.unplug"], Risk.NONE),
        ({"vsock": {}}, ["vm.plug"], Risk.NONE),
        ({"ioThreads": 1}, ["vm.iothreads"], Risk.NONE),
        (
            {"ioThreads": 1, "disks": [*WEB["disks"], {"name": "new", "volume": "local/n", "ioThread": 1}]},
            ["vm.iothreads", "vm.plug"],
            Risk.NONE,
        ),
    ],
)
def test_what_libvirt_changes_in_place_is_not_pending(spec: dict[str, Any], ops: list[str], risk: Risk) -> None:
    change = _plan(**spec)
    assert _ops(change) == ["vm.redefine", *ops]
    assert change.risk == risk
    assert not change.pending
    assert all(step.why for step in change.steps if step.risk)


def test_sockets_are_plugged_up_to_the_most_that_the_instance_has() -> None:
    def with_room(text: str) -> str:
        return text.replace(">1</vcpu>", " current='1'>4</vcpu>").replace(
            "topology sockets='1'", "topology sockets='4'"
        )

    inactive, active = ((DATA / f"web.{side}.xml").read_text() for side in ("inactive", "active"))
    domain = _web(inactive=with_room(inactive), active=with_room(active))
    change = _plan(domain, cpu={"sockets": 3, "maxSockets": 4})
    assert _ops(change) == ["vm.redefine", "vm.vcpus"]
    assert change.steps[1].action.count == 3
    fewer = with_room(active).replace("current='1'", "current='3'")
    change = _plan(msgspec.structs.replace(domain, active=fewer), cpu={"sockets": 2, "maxSockets": 4})
    assert (_ops(change), [f.path for f in change.pending]) == (["vm.redefine"], ["spec.cpu.sockets"])


def _edited(*changes: tuple[str, str]) -> Domain:
    """``web`` with other words in both copies."""
    texts = {}
    for side in ("inactive", "active"):
        text = (DATA / f"web.{side}.xml").read_text()
        for old, new in changes:
            text = re.sub(old, new, text, flags=re.DOTALL)
        texts[side] = text
    return _web(**texts)


def test_the_channel_of_the_agent_needs_a_bus_in_the_running_instance() -> None:
    channel, bus = ("<channel .*</channel>", ""), ("<controller type='virtio-serial'.*?</controller>", "")
    assert _ops(_plan(_edited(channel))) == ["vm.redefine", "vm.plug"]
    change = _plan(_edited(channel, bus))
    assert (_ops(change), [f.path for f in change.pending]) == (["vm.redefine"], ["spec.guestAgent"])


THREADS = ("<vcpu", "<iothreads>2</iothreads><vcpu")
ON_TWO = (r"(unmap')(/>\s*<source file='[^']*/web-root.raw')", r"\1 iothread='2'\2")


@pytest.mark.parametrize(
    ("numbers", "count", "pending"),
    [
        ("", 3, []),
        ("", 1, ["spec.ioThreads"]),
        ("", 0, ["spec.disks[root].ioThread", "spec.ioThreads"]),
        ("<iothreadids><iothread id='2'/></iothreadids>", 1, []),
    ],
)
def test_io_threads_go_unless_they_serve_a_disk(numbers: str, count: int, pending: list[str]) -> None:
    """The disk is on thread 2; which of them go depends on their numbers."""
    threads = (THREADS[0], THREADS[1].replace("</iothreads>", f"</iothreads>{numbers}"))
    root = {**WEB["disks"][0], **({"ioThread": 2} if count else {})}
    change = _plan(_edited(threads, ON_TWO), ioThreads=count, disks=[root, DATA_DISK])
    assert sorted(f.path for f in change.pending) == pending
    assert _ops(change) == ["vm.redefine"] + ["vm.iothreads"] * (not pending)


def test_an_io_thread_goes_after_the_disk_that_it_serves() -> None:
    change = _plan(_edited(THREADS, ON_TWO), ioThreads=1, disks=[DATA_DISK])
    assert (_ops(change), change.pending) == (["vm.redefine", "vm.unplug", "vm.iothreads"], ())


def test_drift_of_the_running_instance_alone_is_repaired_there() -> None:
    active = (DATA / "web.active.xml").read_text().replace("br-VM.101", "br-evil")
    change = _plan(_web(active=active))
    assert _ops(change) == ["vm.move-interface"]
    assert change.cause == Cause.DRIFT


def test_drift_of_the_definition_alone_is_repaired_there_without_a_restart() -> None:
    inactive = (DATA / "web.inactive.xml").read_text().replace(">131072<", ">262144<")
    change = _plan(_web(inactive=inactive), updatePolicy={"restart": "Now"})
    assert [(f.path, f.have, f.pending) for f in change.fields] == [("spec.memory.guest", "256MiB", False)]
    assert _ops(change) == ["vm.redefine"]
    assert change.cause == Cause.DRIFT


def test_an_identity_cannot_change() -> None:
    change = _plan(uuid="0b6ff4f0-7d3e-4c7f-9a52-6c1f0a3d9e02", memory={"guest": "1GiB"})
    assert [r.reason for r in change.refused] == ["Immutable"]
    assert change.steps == ()


def test_an_ignored_field_is_shown_and_left_alone() -> None:
    doc = vm("web", {"cell/ignore": "/spec/memory/guest"}, **{**WEB, "memory": {"guest": "1GiB"}})
    change = planned(doc, _world(doc, domains=(_web(),)))
    assert [(f.path, f.ignored) for f in change.fields] == [("spec.memory.guest", True)]
    assert change.steps == ()


def test_another_way_to_the_same_image_is_a_difference() -> None:
    doc = vm("web", **WEB)
    elsewhere = world(pool("local", "/srv/moved"), doc, live=Live(host="h1", domains={"web": _web()}))
    assert "spec.disks[root].volume" in _paths(planned(doc, elsewhere))


# -- power -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "state", "reason", "ops"),
    [
        ("Always", "shutoff", "shutdown", ["vm.start"]),
        ("Always", "shutoff", "destroyed", ["vm.start"]),
        ("Always", "running", "", []),
        ("RerunOnFailure", "shutoff", "crashed", ["vm.start"]),
        ("RerunOnFailure", "shutoff", "failed", ["vm.start"]),
        ("RerunOnFailure", "shutoff", "shutdown", []),
        ("RerunOnFailure", "shutoff", "unknown", []),
        ("Once", "shutoff", "crashed", []),
        ("Manual", "shutoff", "crashed", []),
        ("Manual", "running", "", []),
        ("Halted", "running", "", ["vm.stop"]),
        ("Halted", "shutoff", "shutdown", []),
    ],
)
def test_power_follows_the_run_strategy(strategy: str, state: str, reason: str, ops: list[str]) -> None:
    change = _plan(_web(state, reason=reason), runStrategy=strategy)
    assert _ops(change) == ops
    assert change.quiet is not bool(ops)


@pytest.mark.parametrize("state", ["shutoff", "running"])
def test_a_first_start_that_is_due_is_made_good(state: str) -> None:
    """A crash between define and start, or between start and taking the note away."""
    due = (DATA / "web.inactive.xml").read_text().replace('cpu="host-model"', 'cpu="host-model" start="due"')
    assert 'start="due"' in due
    for strategy in ("Once", "RerunOnFailure"):
        assert _ops(_plan(_web(state, inactive=due), runStrategy=strategy)) == ["vm.start"]
    assert _ops(_plan(_web(state, inactive=due), runStrategy="Manual")) == []


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        (_web("paused"), "Paused"),
        (_web("pmsuspended"), "Suspended"),
        (_web("shutdown"), "ShuttingDown"),
        (_web("shutoff", managed_save=True), "ManagedSave"),
        (_web(inactive=None), "Transient"),
    ],
)
def test_unsettled_domains_are_left_alone(domain: Domain, reason: str) -> None:
    change = _plan(domain, memory={"guest": "1GiB"})
    assert [(r.reason, r.waiting) for r in change.refused] == [(reason, True)]
    assert change.steps == ()
    doc = vm("web", **WEB)
    around = _world(doc, domains=(domain,))
    assert reason in [c.type for c in VM.conditions(doc, VM.observe("web", around), around)]


# -- foreign and adopted ---------------------------------------------------------------------------------------


def test_a_foreign_domain_of_the_same_name_is_refused() -> None:
    doc = vm("old")
    change = planned(doc, _world(doc, domains=(_old(),)))
    assert [r.reason for r in change.refused] == ["Foreign"]
    assert "cell/adopt" in change.refused[0].advice
    assert change.steps == ()


def test_a_copy_of_our_mark_on_another_domain_is_not_ours() -> None:
    clone = _web("shutoff", name="clone", inactive=(DATA / "web.inactive.xml").read_text().replace(">web<", ">clone<"))
    live = Live(host="h1", domains={"web": _web(), "clone": clone})
    assert [name for name, _ in VM.owned(live)] == ["web"]
    assert list(VM.foreign(live)) == ["clone"]


def test_adopting_changes_only_what_the_document_names() -> None:
    spec = {
        "disks": [{"name": "root", "volume": "local/web-root", "cache": "none"}],
        "interfaces": [{"name": "lan", "bridge": "br-VM", "model": "virtio", "mac": "52:54:00:aa:bb:02"}],
    }
    doc = vm("old", {"cell/adopt": "true"}, memory={"guest": "256MiB"}, **spec)
    change = planned(doc, _world(doc, domains=(_old(),)))
    assert change.verb == Verb.ADOPT
    assert _paths(change) == ["spec.disks[root].cache", "spec.interfaces[lan].model"]
    assert _ops(change) == ["vm.adopt"]  # and it stays off: runStrategy is not named
    (step,) = change.steps
    assert isinstance(step.action, actions.Redefine)
    assert step.action.mark.adopted


def test_an_adopted_device_keeps_its_name_when_all_else_of_it_changes() -> None:
    """Taking over gives it our alias; the instance that runs meanwhile has none yet."""
    inactive = OLD.replace("<source bridge='br-VM'/>", "<source bridge='br-VM'/><alias name='ua-lan'/>", 1)
    inactive = inactive.replace("</metadata>", f"{_mark('old')}</metadata>")
    active = OLD.replace("<domain ", "<domain id='1' ")
    doc = vm("old", memory={"guest": "256MiB"}, interfaces=[{"name": "lan", "bridge": "br-NEW"}])
    change = planned(doc, _world(doc, domains=(_old(state="running", inactive=inactive, active=active),)))
    assert [(f.path, f.pending) for f in change.fields] == [("spec.interfaces[lan].bridge", False)]
    assert _ops(change) == ["vm.redefine", "vm.move-interface"]
    move = change.steps[1].action
    assert isinstance(move, live_actions.ChangeInterface)
    assert move.mac == "52:54:00:aa:bb:01"


def _mark(name: str) -> str:
    text = f"cell/v1;VirtualMachine/{name};0;adopted"
    return f'<cell:vm xmlns:cell="https://ablestack.io/cell/v1">{text}</cell:vm>'


def test_identities_of_other_domains_are_not_taken() -> None:
    doc = vm("web", **{**WEB, "interfaces": [{**WEB["interfaces"][0], "mac": "52:54:00:AA:BB:01"}]})
    change = planned(doc, _world(doc, domains=(_old(),)))
    assert [r.reason for r in change.refused] == ["Conflict"]
    assert "old has the MAC 52:54:00:aa:bb:01, the volume local/web-root already" in change.refused[0].message
    assert change.steps == ()


def test_the_address_of_a_link_of_the_host_is_not_taken() -> None:
    doc = vm("web", **{**WEB, "disks": [], "interfaces": [{**WEB["interfaces"][0], "mac": "52:54:00:AA:BB:07"}]})
    nic = link("ens1f0", mac="52:54:00:aa:bb:07")
    around = world(doc, live=Live(host="h1", links={"ens1f0": nic}))
    assert [r.message for r in planned(doc, around).refused] == [
        "link ens1f0 of the host has the MAC 52:54:00:aa:bb:07 already"
    ]


def test_observed_refs_are_what_the_domain_needs() -> None:
    around = _world(domains=(_web(),))
    have = VM.observe("web", around)
    assert have is not None
    assert have.refs == {Key("Bridge", "br-VM.101"), Key("Volume", "web-root"), Key("Volume", "web-data")}
    assert have.mark is not None
    assert have.mark.digest == resolve.digest(vm("web", **WEB).spec)


def test_the_digest_is_of_what_is_said_and_no_default() -> None:
    said = resolve.digest(vm("web", **WEB).spec)
    assert resolve.digest(vm("web", **WEB, clock={"hpet": False}, rng=True, runStrategy="Once").spec) == said
    assert resolve.digest(vm("web", **WEB, guestOS="win2k22").spec) != said
    assert resolve.digest(vm("web", **WEB, clock={"hpet": True}).spec) != said


def test_patching_moves_nothing_else() -> None:
    """Every line of the recorded XML that the change does not concern is still there, byte for byte."""
    spec = {"memory": {"guest": "256MiB"}, "disks": [{"name": "root", "volume": "local/web-root", "cache": "none"}]}
    doc = vm("old", {"cell/adopt": "true"}, **spec)
    (step,) = planned(doc, _world(doc, domains=(_old(),))).steps
    action = step.action
    assert isinstance(action, actions.Redefine)
    from cell_reconciler.kinds.virtual_machine import patch, tree, xml

    root = xml.parse(OLD)
    names = observe.names_of(observe.parse(root), observe.Known(action.spec, action.sources))
    patch.apply(root, action.spec, tree.Context(action.sources, names), action.paths, action.mark)
    before, after = OLD.splitlines(), xml.text(root).splitlines()
    quoted = [line.replace("'", '"').strip() for line in before]
    new = [line for line in after if line not in before and line.replace("'", '"').strip() not in quoted]
    canonical = etree.canonicalize(xml.text(root))
    assert '<app:x xmlns:app="http://example.org/app">keep <app:y z="1"></app:y></app:x>' in canonical
    assert len(new) == len(WORDS), new
    assert all(word in line for word, line in zip(WORDS, new, strict=True)), new
