"""VMs on a real libvirtd and QEMU (TCG) in a lab: made, changed, stopped, taken over, left alone.

The door is this process's own; only its socket lies in the lab (``/proc/PID/root`` leads there).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.drivers.observe import observe_guests
from cell_reconciler.errors import CellError, NotHealthy, StepFailed, Unreachable
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.world import guest_targets
from cell_reconciler.lab import Lab, needs
from cell_reconciler.model.change import Change, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Live
from tests.kinds.vm.make import VM, carry_out, planned, pool, vm, world
from tests.kinds.vm.specs import specs
from tests.kinds.vm.surroundings import on_host

pytestmark = pytest.mark.live

FOREIGN = (Path(__file__).parents[1] / "kinds" / "vm" / "data" / "old.inactive.xml").read_text()
STARTING = {"vm.start", "vm.port"}  # the latter is about the tap that comes with it


class Site:
    """A lab with bridges and a directory of disks, and the doors to it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.disks = lab.share / "disks"
        self.disks.mkdir()
        self.pool = pool("local", str(self.disks))
        for bridge in ("br-VM", "br-VM.101", "br-VM.102"):
            lab.exec(["ip", "link", "add", bridge, "type", "bridge"], check=True)
            lab.exec(["ip", "link", "set", bridge, "up"], check=True)
        socket = f"/proc/{lab.info().pid}/root/run/libvirt/libvirt-sock"
        self.seeds = lab.share / "seeds"
        self.doors = Doors(f"qemu+unix:///system?socket={socket}", seeds=str(self.seeds))

    def volume(self, name: str) -> str:
        with (self.disks / f"{name}.raw").open("wb") as file:
            file.truncate(64 * 2**20)
        return f"local/{name}"

    def live(self, *docs: Document) -> Live:
        guests = observe_guests(self.doors, guest_targets({doc.key: doc for doc in docs}))
        return Live(host="h1", at=datetime.now(UTC), **guests, node=self.doors.libvirt.node())

    def world(self, *docs: Document) -> World:
        return world(self.pool, *docs, live=self.live(*docs))

    def plan(self, doc: Document, *others: Document) -> Change:
        return planned(doc, self.world(doc, *others))

    def converge(self, doc: Document, *others: Document) -> list[str]:
        """Plan, carry out, and see that nothing is left and nothing is written then."""
        done = carry_out(self.plan(doc, *others), self.doors)
        before = self.doors.writes.total
        again = self.plan(doc, *others)
        assert again.steps == (), again
        assert carry_out(again, self.doors) == []
        assert self.doors.writes.total == before
        return done

    def remove(self, name: str) -> None:
        around = self.world()
        have = VM.observe(name, around)
        if have is not None and have.mark is not None:
            carry_out(VM.plan(None, have, around), self.doors)

    def state(self, name: str) -> str:
        domain = self.doors.libvirt.domain(name)
        return domain.state if domain else "absent"

    def qemu(self, name: str) -> str:
        """PID of a running VM, as the lab counts."""
        return str(self.lab.exec(["cat", f"/run/libvirt/qemu/{name}.pid"], check=True).stdout.strip())


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    try:
        needs.require("namespace")
    except CellError as error:
        pytest.skip(error.message)
    with Lab.up(name=f"test-vm-{os.getpid()}", kernel="namespace", bound=True) as lab:
        made = Site(lab)
        yield made
        made.doors.close()


@pytest.fixture
def web(site: Site) -> Iterator[dict[str, Any]]:
    """The spec of a VM; it is removed afterwards."""
    yield {
        "disks": [{"name": "root", "volume": site.volume("web-root"), "bootOrder": 1}],
        "interfaces": [{"name": "lan", "bridge": "br-VM", "vlan": 101}],
        "shutdownTimeout": "1s",
        "forceStop": True,
    }
    site.doors.libvirt.destroy("web")
    site.doors.libvirt.undefine("web")


def test_made_started_and_then_nothing_to_do(site: Site, web: dict[str, Any]) -> None:
    assert site.converge(vm("web", **web)) == ["vm.define", "vm.start"]
    assert site.state("web") == "running"
    ports = site.lab.exec(["ls", "/sys/class/net/br-VM.101/brif"], check=True).stdout
    assert "vnet" in ports
    assert site.plan(vm("web", **web)).quiet


def test_a_change_that_needs_a_restart_waits_for_it(site: Site, web: dict[str, Any]) -> None:
    site.converge(vm("web", **web))
    pid = site.qemu("web")
    more = [*web["disks"], {"name": "data", "volume": site.volume("web-data"), "bus": "sata"}]
    bigger = {**web, "memory": {"guest": "160MiB"}, "cpu": {"cores": 2}, "disks": more}
    assert site.converge(vm("web", **bigger)) == ["vm.redefine"]
    assert {f.path for f in site.plan(vm("web", **bigger)).pending} == {
        "spec.memory.guest",
        "spec.cpu.cores",
        "spec.disks[data]",
    }
    assert site.qemu("web") == pid
    allowed = {**bigger, "updatePolicy": {"restart": "Now"}}
    assert site.converge(vm("web", **allowed)) == ["vm.stop", "vm.start"]
    assert site.plan(vm("web", **bigger)).quiet
    assert site.qemu("web") != pid


def test_live_changes_reach_the_running_vm(site: Site, web: dict[str, Any]) -> None:
    site.converge(vm("web", **web))
    pid = site.qemu("web")
    nic = {**web["interfaces"][0], "vlan": 102}
    moved = vm("web", **{**web, "interfaces": [nic], "description": "new", "autostart": True})
    assert site.converge(moved) == ["vm.redefine", "vm.autostart", "vm.describe", "vm.move-interface"]
    assert site.plan(moved).quiet
    assert "vnet" in site.lab.exec(["ls", "/sys/class/net/br-VM.102/brif"], check=True).stdout
    assert site.qemu("web") == pid
    assert site.converge(vm("web", **web)) == ["vm.redefine", "vm.autostart", "vm.describe", "vm.move-interface"]


def test_every_field_can_be_changed_and_changed_back(site: Site, web: dict[str, Any]) -> None:
    board = {"machine": "Change"}
    plain = vm("web", **{**web, "runStrategy": "Manual", "updatePolicy": board})
    site.converge(plain)
    other = {
        **web,
        "runStrategy": "Manual",
        "description": "<b>&amp;",
        "cpu": {"sockets": 2, "threads": 2, "mode": "custom", "model": "EPYC"},
        "machine": {"type": "pc"},
        "updatePolicy": board,
        "boot": {"kernel": "/boot/vmlinuz", "cmdline": "a=b 'c'"},
        "disks": [{**web["disks"][0], "bus": "scsi", "cache": "writeback", "discard": "ignore", "bootOrder": 2}],
        "interfaces": [
            {"name": "lan", "bridge": "br-VM", "model": "e1000", "mac": "52:54:00:00:11:22", "bootOrder": 1}
        ],
        "serialConsole": False,
        "graphics": {"type": "none"},
        "guestAgent": False,
        "rng": False,
        "clock": {"kvmClock": False},
    }
    assert site.converge(vm("web", **other)) == ["vm.redefine"]
    assert site.plan(vm("web", **other)).quiet
    assert site.converge(plain) == ["vm.redefine"]
    assert site.converge(vm("web", **{**web, "runStrategy": "Always"})) == ["vm.start"]


def test_power_follows_the_run_strategy(site: Site, web: dict[str, Any]) -> None:
    site.converge(vm("web", **web))
    site.doors.libvirt.destroy("web")
    assert site.converge(vm("web", **web)) == ["vm.start"]
    assert site.converge(vm("web", **{**web, "runStrategy": "Halted"})) == ["vm.stop"]
    assert site.state("web") == "shutoff"
    rerun = vm("web", **{**web, "runStrategy": "RerunOnFailure"})
    assert site.converge(rerun) == []
    assert site.converge(vm("web", **web)) == ["vm.start"]
    site.lab.exec(["kill", "-9", site.qemu("web")], check=True)
    for _ in range(100):
        if site.state("web") == "shutoff":
            break
        time.sleep(0.1)
    assert site.converge(rerun) == ["vm.start"]


def test_once_is_once(site: Site, web: dict[str, Any]) -> None:
    once = vm("web", **{**web, "runStrategy": "Once"})
    change = site.plan(once)
    change.steps[0].action.do(site.doors)  # and here the reconciler is killed
    assert site.converge(once) == ["vm.start"]
    site.doors.libvirt.destroy("web")
    assert site.converge(once) == []
    assert site.state("web") == "shutoff"


def test_without_force_a_guest_that_does_not_listen_is_left_running(site: Site, web: dict[str, Any]) -> None:
    site.converge(vm("web", **web))
    halted = vm("web", **{**web, "runStrategy": "Halted", "forceStop": False})
    with pytest.raises(NotHealthy, match="did not shut down within 1 s") as error:
        carry_out(site.plan(halted), site.doors)
    assert "forceStop" in error.value.advice
    assert site.state("web") == "running"


def test_removed_as_its_document_said_with_its_disks_left(site: Site, web: dict[str, Any]) -> None:
    site.converge(vm("web", **web))
    begin = time.monotonic()
    site.remove("web")
    assert time.monotonic() - begin < 60  # shutdownTimeout 1s and forceStop, though the document is gone
    assert site.state("web") == "absent"
    assert (site.disks / "web-root.raw").exists()


def test_a_cpu_model_that_qemu_does_not_have_is_refused_and_fails_at_the_start(site: Site, web: dict[str, Any]) -> None:
    """libvirt itself accepts it; where the node's facts are not known, the start fails with libvirt's own text."""
    bad = vm("web", **{**web, "cpu": {"mode": "custom", "model": "no-such-cpu"}})
    assert [(r.reason, "no-such-cpu" in r.message) for r in site.plan(bad).refused] == [("CpuUnfit", True)]
    blind = world(site.pool, bad, live=Live(host="h1", **site.doors.libvirt.observe()))
    with pytest.raises(StepFailed, match="no-such-cpu"):
        carry_out(planned(bad, blind), site.doors)


def test_a_foreign_domain_is_never_touched(site: Site, web: dict[str, Any]) -> None:
    site.doors.libvirt.define(FOREIGN)
    try:
        before = site.doors.libvirt.dump("old")
        change = site.plan(vm("old"))
        assert [r.reason for r in change.refused] == ["Foreign"]
        assert carry_out(change, site.doors) == []
        site.converge(vm("web", **web))
        site.remove("web")
        site.remove("old")
        assert site.doors.libvirt.dump("old") == before
    finally:
        site.doors.libvirt.undefine("old")


def test_taken_over_with_everything_that_others_put_there(site: Site) -> None:
    site.doors.libvirt.define(FOREIGN.replace("autoport='yes'", "autoport='yes' passwd='secret12'"))
    doc = vm("old", {"cell/adopt": "true"}, memory={"guest": "300MiB"}, rng=True)
    try:
        before = site.doors.libvirt.dump("old")
        assert site.plan(doc).verb == Verb.ADOPT
        assert site.converge(doc) == ["vm.adopt"]
        after = site.doors.libvirt.dump("old")
        assert "passwd='secret12'" in after
        assert "passwd" not in site.doors.libvirt.observe()["domains"]["old"].inactive
        new = [line.strip().split(" ")[0] for line in after.splitlines() if line not in before.splitlines()]
        assert new == ["<cell:vm", "<memory", "<currentMemory", "<rng", "<backend", "<address", "</rng>"]
        assert site.plan(doc).quiet
        site.remove("old")  # an adopted one is given up, not deleted
        assert "cell:vm" not in site.doors.libvirt.dump("old")
    finally:
        site.doors.libvirt.undefine("old")


def test_taken_over_while_it_runs(site: Site) -> None:
    """Nothing happens to it; afterwards its devices can be told by name, live as well."""
    site.volume("old-root")
    site.volume("else")
    running = FOREIGN.replace("/var/lib/libvirt/images/local/web-root.raw", str(site.disks / "old-root.raw"))
    running = running.replace("/somewhere/else.img", str(site.disks / "else.raw"))
    site.doors.libvirt.define(running)
    site.doors.libvirt.start("old")
    try:
        pid = site.qemu("old")
        spec: dict[str, Any] = {
            "disks": [{"name": "root", "volume": "local/old-root"}],
            "interfaces": [{"name": "lan", "bridge": "br-VM"}],
        }
        adopt = {"cell/adopt": "true"}
        doc = vm("old", adopt, memory={"guest": "256MiB"}, **spec)
        assert site.converge(doc) == ["vm.adopt"]
        assert site.plan(doc).quiet
        moved = vm(
            "old", adopt, memory={"guest": "256MiB"}, **{**spec, "interfaces": [{"name": "lan", "bridge": "br-VM.102"}]}
        )
        assert site.converge(moved) == ["vm.redefine", "vm.move-interface"]
        assert site.plan(moved).quiet
        assert "vnet" in site.lab.exec(["ls", "/sys/class/net/br-VM.102/brif"], check=True).stdout
        assert site.qemu("old") == pid
    finally:
        site.doors.libvirt.destroy("old")
        site.doors.libvirt.undefine("old")


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A secret in a file, which is a credential of this process as well."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file = tmp_path / "secret"
    file.write_text("secret12")
    return file


@settings(
    max_examples=int(os.environ.get("CELL_EXAMPLES", "20")), suppress_health_check=list(HealthCheck), deadline=None
)
@given(doc=specs())
def test_whatever_is_declared_libvirt_holds_as_declared(site: Site, secret: Path, doc: Document) -> None:
    """Define reads back and compares itself; then another plan finds nothing to define.

    It is never started, so that it does not matter whether this host has the room or the CPU for it.
    """
    _forget(site)
    doc = vm("any", **json.loads(json.dumps(doc.given["spec"]).replace("/root/secret", str(secret))))
    change = planned(doc, on_host(doc, site.live(doc), site.pool))
    assert change.refused == ()
    for step in change.steps:
        if step.op not in STARTING:
            step.action.do(site.doors)
    try:
        assert {s.op for s in planned(doc, on_host(doc, site.live(doc), site.pool)).steps} <= STARTING
    finally:
        _forget(site)


def _forget(site: Site) -> None:
    site.doors.libvirt.undefine("any")
    for path in site.doors.seeds.images("any"):
        site.doors.seeds.remove("any", path)


def test_a_hung_guest_stops_neither_looking_nor_powering_it_off(site: Site, web: dict[str, Any]) -> None:
    site.converge(vm("web", **web))
    site.lab.exec(["kill", "-STOP", site.qemu("web")], check=True)
    begin = time.monotonic()
    assert site.state("web") == "running"
    assert site.doors.libvirt.observe()["domains"]["web"].active
    assert time.monotonic() - begin < 10
    site.doors.libvirt.destroy("web")
    assert site.state("web") == "shutoff"


def test_secrets_go_in_and_only_their_digest_comes_out(site: Site) -> None:
    uuid, value = "ae9e780a-38bc-5358-ba52-fe92ae8a8c19", b"AQD-not-a-real-key"
    site.doors.libvirt.keep_secret(uuid, "client.cell", "of the pool & more", value)
    seen = site.doors.libvirt.observe(())["secrets"]["client.cell"]
    assert (seen.uuid, seen.description) == (uuid, "of the pool & more")
    assert seen.digest == hashlib.sha256(value).hexdigest()
    site.doors.libvirt.delete_secret(uuid)
    site.doors.libvirt.delete_secret(uuid)
    assert site.doors.libvirt.observe(())["secrets"] == {}


def test_libvirtd_goes_and_comes_back(site: Site, web: dict[str, Any]) -> None:
    """Unreachable, never absent, meanwhile; the VM runs on, and the same door works again."""
    site.converge(vm("web", **web))
    pid = site.qemu("web")
    names: list[str] = []
    lost = threading.Event()
    site.doors.libvirt.events(names.append, lost.set)
    site.doors.libvirt.destroy("web")
    site.doors.libvirt.start("web")
    pid = site.qemu("web")
    for _ in range(100):
        if "web" in names:
            break
        time.sleep(0.05)
    assert "web" in names
    site.lab.exec(
        ["sh", "-c", "kill $(cat /run/libvirtd.pid) && while test -e /run/libvirtd.pid; do sleep 0.1; done"],
        check=True,
        timeout=30,
    )
    assert lost.wait(10)
    with pytest.raises(Unreachable):
        site.doors.libvirt.observe()
    with pytest.raises(Unreachable):
        site.doors.libvirt.domain("web")
    site.lab.exec(["libvirtd", "-d", "-f", "/etc/libvirt/libvirtd.conf"], check=True, timeout=30)
    assert site.plan(vm("web", **web)).quiet
    assert site.qemu("web") == pid
    heard: list[str] = []
    site.doors.libvirt.events(heard.append, lambda: None)
    site.doors.libvirt.destroy("web")
    for _ in range(100):
        if "web" in heard:
            break
        time.sleep(0.05)
    assert "web" in heard
