"""The daemon on a real host: what was broken by hand is repaired by events, within the times that are promised.

How long libvirt itself takes to start a VM (0.3 s on an idle machine, seconds on a busy one) is taken from the step's
own record and allowed on top.
"""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_reconciler.lab import Lab
from tests.live.hosts import CELLCTL
from tests.live.run_host import BASE, RunHost, kill_libvirtd, start_libvirtd, vm, within

pytestmark = [pytest.mark.live]

START = 0.3  # seconds that a start takes on an idle machine
RESYNC = "10m"  # so long that nothing here can be the work of the periodic resync
names = (f"vm-{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(name="run", kernel="namespace", nics=("eth0", "eth1"), bound=True) as lab:
        yield lab


@pytest.fixture
def host(lab: Lab) -> Iterator[RunHost]:
    """A host with a daemon that has converged the base and one VM."""
    host = RunHost(lab)
    host.write("base.yaml", BASE)
    host.write("vm.yaml", vm("web"))
    host.start("--interval", RESYNC)
    host.settle("VirtualMachine/web", "Bridge/br-VM")
    yield host
    host.clean()


def test_a_dropped_spec_runs_within_two_seconds(host: RunHost) -> None:
    name = next(names)
    host.write(f"{name}.yaml", vm(name))
    took = within(10, lambda: host.domain_state(name) == "running")
    within(2, lambda: host.is_ready(f"VirtualMachine/{name}", f"Volume/root-{name}"))
    assert took - host.seconds("vm.start") < 2 - START


def test_a_bridge_deleted_by_hand_is_back_within_a_second_with_its_ports(host: RunHost) -> None:
    host.sh("ip", "link", "del", "br-VM")
    within(1, lambda: host.link("eth1").get("master") == "br-VM")
    tap = host.sh("sh", "-c", "virsh -q domiflist web | awk '{print $1}'")
    within(1, lambda: host.link(tap).get("master") == "br-VM")
    host.settle("Bridge/br-VM", "VirtualMachine/web")


def test_a_running_vm_taken_off_its_bridge_is_back_within_a_second(host: RunHost) -> None:
    tap = host.sh("sh", "-c", "virsh -q domiflist web | awk '{print $1}'")
    host.sh("ip", "link", "set", tap, "nomaster")
    within(1, lambda: host.link(tap).get("master") == "br-VM")


def test_a_vm_destroyed_by_hand_runs_again_within_a_second(host: RunHost) -> None:
    before = host.sh("virsh", "domid", "web")
    host.sh("virsh", "destroy", "web")
    took = within(10, lambda: host.domain_state("web") == "running")
    host.settle("VirtualMachine/web")
    assert took - host.seconds("vm.start") < 1 - START
    assert host.sh("virsh", "domid", "web") != before


def test_a_port_taken_off_is_back_within_a_second(host: RunHost) -> None:
    host.sh("ip", "link", "set", "eth1", "nomaster")
    within(1, lambda: host.link("eth1").get("master") == "br-VM")


def test_a_malformed_file_is_reported_with_its_place_and_nothing_else_changes(host: RunHost) -> None:
    usual = host.status.diagnostics()  # a lab's host allows more than Cell supports, which is a warning
    steps = [line for line in host.lines() if str(line["event"]).startswith("done:")]
    host.write("bad.yaml", "apiVersion: cell/v1\nkind: Bridge\nmetadata:\n  name: [br-X\n")
    place = f"{host.specs}/bad.yaml:"
    within(2, lambda: any(place in str(line["event"]) for line in host.lines()))
    within(2, lambda: any(place in str(d) for d in host.status.diagnostics()))
    within(2, lambda: any(place in event.message for event in host.status.events()))
    assert "bad.yaml:" in host.cellctl("get").stdout
    assert host.is_ready("VirtualMachine/web", "Bridge/br-VM")
    host.write("vm.yaml", vm("web").replace("32MiB", "[broken"))
    within(2, lambda: any("vm.yaml:" in str(d) for d in host.status.diagnostics()))
    time.sleep(0.5)
    assert host.domain_state("web") == "running", "the last good version stays in force"
    assert [line for line in host.lines() if str(line["event"]).startswith("done:")] == steps
    (host.specs / "bad.yaml").unlink()
    host.write("vm.yaml", vm("web"))
    within(2, lambda: host.status.diagnostics() == usual)


def test_our_own_events_lead_to_one_more_look_and_then_to_silence(host: RunHost) -> None:
    host.sh("virsh", "destroy", "web")
    within(10, lambda: host.domain_state("web") == "running")
    host.settle("VirtualMachine/web")
    time.sleep(2.5)  # the new tap gets its link-local address: that is the kernel's event, not ours
    mark = len(host.lines())
    time.sleep(2)
    assert host.lines()[mark:] == []
    jobs = [line for line in host.lines() if line["event"] == "reconciling"]
    started = host.lines().index(jobs[-1])
    looks = [line for line in host.lines()[started:] if line["event"] == "looked"]
    assert 1 <= len(looks) <= 10, looks  # the job's own, its check, and those of the new tap's events


def test_fighting_stops_after_three_repairs_and_resume_ends_it(host: RunHost) -> None:
    for _ in range(3):
        host.sh("ip", "link", "set", "eth1", "nomaster")
        within(1, lambda: host.link("eth1").get("master") == "br-VM")
        host.settle("Bridge/br-VM")
    host.sh("ip", "link", "set", "eth1", "nomaster")
    within(2, lambda: (c := host.ready("Bridge/br-VM")) is not None and c.reason == "Fighting")
    time.sleep(1)
    assert host.link("eth1").get("master") is None
    assert host.cellctl("resume", "bridge/br-VM").returncode == 0
    within(3, lambda: host.link("eth1").get("master") == "br-VM")
    host.settle("Bridge/br-VM")


def test_libvirtd_killed_and_restarted(host: RunHost) -> None:
    before = host.sh("virsh", "domid", "web")
    kill_libvirtd(host)
    within(3, lambda: (c := host.ready("VirtualMachine/web")) is not None and c.reason == "SourceUnreachable")
    condition = host.ready("VirtualMachine/web")
    assert condition is not None
    assert condition.status == "Unknown"
    host.sh("ip", "link", "set", "eth1", "nomaster")  # what does not need libvirt is repaired meanwhile
    within(1, lambda: host.link("eth1").get("master") == "br-VM")
    start_libvirtd(host)
    within(8, lambda: host.is_ready("VirtualMachine/web", "Bridge/br-VM", "Volume/root-web"))
    assert host.sh("virsh", "domid", "web") == before, "the VM was not touched"
    host.sh("virsh", "destroy", "web")  # events work on the new connection
    within(10, lambda: host.domain_state("web") == "running")


def test_suspend_is_heard_at_once(host: RunHost) -> None:
    assert host.cellctl("suspend", "vm/web", "--reason", "INC-1").returncode == 0
    time.sleep(0.5)
    host.sh("virsh", "destroy", "web")
    time.sleep(1.5)
    assert host.domain_state("web") == "shut off"
    assert host.cellctl("resume", "vm/web").returncode == 0
    within(10, lambda: host.domain_state("web") == "running")


def test_observe_reports_and_never_writes(host: RunHost) -> None:
    assert host.stop() == 0
    host.start("--mode", "observe", "--interval", RESYNC)
    host.sh("ip", "link", "set", "eth1", "nomaster")
    within(2, lambda: (c := host.ready("Bridge/br-VM")) is not None and c.reason == "OutOfSync")
    time.sleep(1)
    assert host.link("eth1").get("master") is None
    assert host.stop() == 0
    done = host.cellctl("run", "--once", "-f", str(host.specs))
    assert done.returncode == 0, done.stderr
    assert host.link("eth1").get("master") == "br-VM"


def test_one_instance_and_its_signals(host: RunHost) -> None:
    second = host.cellctl("run", "-f", str(host.specs), "--once")
    assert second.returncode == 6
    assert "cellctl run (pid" in second.stderr
    assert host.daemon is not None
    mark = len(host.lines())
    host.daemon.send_signal(signal.SIGHUP)
    within(2, lambda: any(line.get("about") == "everything" for line in host.lines()[mark:]))
    assert host.stop(signal.SIGTERM) == 0
    assert host.lines()[-1]["event"] == "stopped"
    assert host.cellctl("run", "-f", str(host.specs), "--once").returncode == 0


def test_sigterm_finishes_the_running_step(host: RunHost) -> None:
    mark = len(host.lines())
    host.sh("virsh", "destroy", "web")
    within(2, lambda: any(line["event"] == "reconciling" for line in host.lines()[mark:]))
    assert host.stop(signal.SIGTERM) == 0
    events = [str(line["event"]) for line in host.lines()[mark:]]
    assert "done: start VM web" in events
    assert events[-1] == "stopped"
    assert host.domain_state("web") == "running"


def test_ten_events_in_a_row_are_few_looks(host: RunHost) -> None:
    mark = len(host.lines())
    host.sh("sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do ip link set br-VM down; ip link set br-VM up; done")
    time.sleep(1.5)
    looks = [line for line in host.lines()[mark:] if line["event"] == "looked"]
    assert len(looks) <= 12, "20 changes and their echoes"
    host.settle("Bridge/br-VM")


def test_it_works_with_the_rights_that_the_unit_leaves(host: RunHost) -> None:
    """The capabilities of the systemd unit are enough to make everything anew, and to repair it."""
    unit = (Path(__file__).resolve().parents[2] / "examples/systemd/cell-reconciler.service").read_text()
    line = next(line for line in unit.splitlines() if line.startswith("CapabilityBoundingSet="))
    rights = ",".join("+" + name.removeprefix("CAP_").lower() for name in line.partition("=")[2].split())
    assert host.stop() == 0
    for argv in (["virsh", "destroy", "web"], ["virsh", "undefine", "web"], ["ip", "link", "del", "br-VM"]):
        host.sh(*argv)
    host.write("new.yaml", vm("rights"))
    setpriv = ["setpriv", "--bounding-set", f"-all,{rights}", "--inh-caps", "-all", "--no-new-privs"]
    argv = [*setpriv, *CELLCTL, "--host", "h1", "--state-dir", str(host.state), "run", "--once", "-f", str(host.specs)]
    done = host.lab.exec(argv, timeout=60)
    assert done.returncode == 0, done.stderr
    assert host.domain_state("web") == host.domain_state("rights") == "running"
    assert host.link("eth1").get("master") == "br-VM"


def test_a_removed_file_is_pruned_when_the_settings_say_so_and_only_then(host: RunHost) -> None:
    host.write("spare.yaml", "apiVersion: cell/v1\nkind: Bridge\nmetadata: {name: br-spare}\nspec: {}\n")
    within(2, lambda: host.is_ready("Bridge/br-spare"))
    (host.specs / "spare.yaml").unlink()
    within(2, lambda: host.ready("Bridge/br-spare") is None)
    time.sleep(1)
    assert host.link("br-spare"), "prune is off by default"
    host.write(
        "settings.yaml", "apiVersion: cell/v1\nkind: Reconciler\nmetadata: {name: default}\nspec: {prune: true}\n"
    )
    within(5, lambda: not host.link("br-spare"))
    assert host.is_ready("Bridge/br-VM", "VirtualMachine/web")


def test_lost_netlink_events_lead_to_a_full_look(host: RunHost) -> None:
    """ENOBUFS for real: the daemon sleeps while the kernel has more to say than its buffer holds."""
    assert host.daemon is not None
    host.sh("ip", "link", "add", "noise", "up", "type", "bridge")
    pid = host.sh("cat", str(host.state / "lock")).partition("pid ")[2].rstrip(")")
    host.sh("kill", "-STOP", pid)
    mark = len(host.lines())
    try:
        (host.lab.share / "batch").write_text("".join(f"link set noise alias {n}\n" for n in range(40_000)))
        host.sh("ip", "-batch", str(host.lab.share / "batch"))
        host.sh("ip", "link", "set", "eth1", "nomaster")  # nobody hears of this one
    finally:
        host.sh("kill", "-CONT", pid)
    within(3, lambda: host.link("eth1").get("master") == "br-VM")
    assert any(line.get("reason") == "events were lost" for line in host.lines()[mark:])
    host.sh("ip", "link", "del", "noise")
    host.settle("Bridge/br-VM")
