"""The daemon with guests in trouble: hung, crashed, failing disks; and with guests that libvirt is at work on."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from cell_reconciler.daemon.passes import CRASH_FIRST
from cell_reconciler.daemon.triggers_libvirt import PULSE
from cell_reconciler.drivers.libvirt.pulse import ASK
from cell_reconciler.lab import Lab
from cell_reconciler.model.key import Key
from tests.live.run_host import BASE, RunHost, vm, within

pytestmark = pytest.mark.live

WEB = "VirtualMachine/web"
FOUND = PULSE + ASK + 10  # seconds until a round of questions is over on a busy machine
BACKUP = """<domainbackup mode='pull'><server transport='unix' socket='/run/backup.sock'/>
<disks><disk name='vda' backup='yes' type='file'><scratch file='/run/backup.scratch'/></disk></disks></domainbackup>"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(name="guests", kernel="namespace", nics=("eth0", "eth1"), bound=True) as lab:
        yield lab


@pytest.fixture
def host(lab: Lab) -> Iterator[RunHost]:
    """A daemon with two VMs that never resyncs."""
    host = RunHost(lab)
    host.write("base.yaml", BASE)
    host.write("web.yaml", vm("web"))
    host.write("other.yaml", vm("other"))
    host.start("--interval", "1h")
    host.settle(WEB, "VirtualMachine/other")
    yield host
    host.lab.exec(["virsh", "-q", "snapshot-delete", "web", "one", "--metadata"])  # libvirt keeps what has snapshots
    host.clean()


def reason(host: RunHost, key: str = WEB) -> str:
    found = host.ready(key)
    return found.reason if found else ""


def conditions(host: RunHost) -> dict[str, str]:
    status = host.status.get(Key.parse(WEB))
    return {c.type: c.message for c in status.conditions} if status else {}


def described(host: RunHost, name: str, text: str) -> None:
    host.write(f"{name}.yaml", vm(name).replace("  runStrategy:", f"  description: {text}\n  runStrategy:"))


def description(host: RunHost, name: str) -> str:
    return host.sh("virsh", "-q", "desc", name)


def kill(host: RunHost, number: str) -> None:
    host.sh("sh", "-c", f"kill -{number} $(cat /run/libvirt/qemu/web.pid)")


def test_a_hung_vm_is_unresponsive_until_it_answers_and_the_other_one_goes_on(host: RunHost) -> None:
    kill(host, "STOP")
    try:
        within(FOUND, lambda: reason(host) == "Unresponsive")
        assert "virsh destroy web" in conditions(host)["Unresponsive"]
        described(host, "web", "late")
        described(host, "other", "soon")
        within(5, lambda: description(host, "other") == "soon")
        host.settle("VirtualMachine/other")
        assert reason(host) == "Unresponsive"
    finally:
        kill(host, "CONT")
    within(5, lambda: description(host, "web") == "late")
    host.settle(WEB)
    assert "Unresponsive" not in conditions(host)


def test_one_that_crashes_runs_again_at_once_and_then_after_a_while(host: RunHost) -> None:
    kill(host, "KILL")
    within(10, lambda: len([x for x in host.lines() if x.get("op") == "vm.start"]) == 3)
    host.settle(WEB)
    kill(host, "KILL")
    within(5, lambda: "Failed" in conditions(host))
    begin = time.monotonic()
    time.sleep(2)
    assert host.domain_state("web") == "shut off"
    status = host.status.get(Key.parse(WEB))
    assert status is not None
    assert (reason(host), bool(status.next_retry)) == ("OutOfSync", True)
    within(CRASH_FIRST + 10, lambda: host.domain_state("web") == "running")
    assert time.monotonic() - begin > CRASH_FIRST * 0.8 - 3
    host.settle(WEB)
    assert "Failed" not in conditions(host)


def test_a_changed_spec_waits_for_no_crash(host: RunHost) -> None:
    for _ in range(2):
        host.settle(WEB)
        kill(host, "KILL")
    within(5, lambda: "Failed" in conditions(host))
    described(host, "web", "mended")
    within(5, lambda: host.domain_state("web") == "running")
    host.settle(WEB)


def test_a_backup_is_left_to_end(host: RunHost) -> None:
    (host.lab.share / "backup.xml").write_text(BACKUP)
    host.sh("virsh", "-q", "backup-begin", "web", str(host.lab.share / "backup.xml"))
    within(FOUND, lambda: "JobActive" in conditions(host))
    assert "backup" in conditions(host)["JobActive"]
    assert host.is_ready(WEB)  # nothing is to be done to it
    described(host, "web", "after")
    within(5, lambda: reason(host) == "JobActive")
    host.sh("virsh", "-q", "domjobabort", "web")
    within(FOUND, lambda: description(host, "web") == "after")
    host.settle(WEB)


def test_snapshots_and_the_merging_of_them_are_left_alone(host: RunHost) -> None:
    host.sh("virsh", "-q", "snapshot-create-as", "web", "one", "--disk-only", "--diskspec", "vda,file=/run/over.qcow2")
    within(FOUND, lambda: "HasSnapshots" in conditions(host))
    described(host, "web", "after")
    within(5, lambda: reason(host) == "HasSnapshots")
    assert "over.qcow2" in host.sh("virsh", "dumpxml", "--inactive", "web")
    host.sh("virsh", "-q", "blockcommit", "web", "vda", "--active", "--wait")
    within(FOUND, lambda: "active-commit" in conditions(host).get("BlockJob", ""))
    host.sh("virsh", "-q", "blockjob", "web", "vda", "--pivot")
    host.sh("virsh", "-q", "snapshot-delete", "web", "one", "--metadata")
    within(FOUND, lambda: description(host, "web") == "after")
    host.settle(WEB)
    assert "HasSnapshots" not in conditions(host)


def test_a_disk_that_fails_is_an_event_and_pauses_are_a_condition(host: RunHost) -> None:
    """The disk's server says EIO to the firmware's first read."""
    assert host.cellctl("suspend", WEB, "--reason", "test").returncode == 0
    time.sleep(1)
    host.sh("virsh", "-q", "destroy", "web")
    within(5, lambda: reason(host) == "Suspended")
    image = host.lab.share / "broken.img"
    image.write_bytes(b"data" * 2**18)  # holes are answered without reading
    broken = f"driver=blkdebug,image.driver=file,image.filename={image},inject-error.0.event=none"
    server = host.lab.popen(
        ["qemu-nbd", "-t", "-x", "disk", "-k", "/run/broken.sock", "--image-opts", f"{broken},inject-error.0.errno=5"]
    )
    try:
        xml = host.sh("virsh", "dumpxml", "--inactive", "web")
        start, end = xml.index("<source file="), xml.index("/>", xml.index("<source file=")) + 2
        # With a name: of a disk without one libvirt 9.0 sends no event.
        nbd = "<source protocol='nbd' name='disk'><host transport='unix' socket='/run/broken.sock'/></source>"
        xml = (xml[:start] + nbd + xml[end:]).replace("<disk type='file'", "<disk type='network'")
        xml = xml.replace("<driver name='qemu'", "<driver name='qemu' error_policy='stop' rerror_policy='stop'")
        (host.lab.share / "broken.xml").write_text(xml)
        host.sh("virsh", "-q", "define", str(host.lab.share / "broken.xml"))
        host.sh("virsh", "-q", "start", "web")
        within(30, lambda: host.domain_state("web") == "paused")
        within(5, lambda: "IoError" in conditions(host))
        assert "virsh resume web" in conditions(host)["IoError"]
        within(5, lambda: any("the guest is paused" in event.message for event in host.status.events(Key.parse(WEB))))
    finally:
        server.kill()
        server.wait(10)


def test_while_libvirtd_hangs_the_network_goes_on(host: RunHost) -> None:
    host.sh("sh", "-c", "kill -STOP $(pidof libvirtd)")
    try:
        described(host, "web", "late")  # a look at a VM, which gets no answer
        time.sleep(1)
        host.sh("ip", "link", "set", "eth1", "nomaster")
        took = within(15, lambda: host.link("eth1").get("master") == "br-VM")
        print(f"\nrepaired after {took:.1f} s")
    finally:
        host.sh("sh", "-c", "kill -CONT $(pidof libvirtd)")
    within(30, lambda: description(host, "web") == "late")
    host.settle(WEB)
