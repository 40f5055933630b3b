"""A state directory without room: it is said where and what to do, nothing is begun, and it goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab
from cell_reconciler.status.store import StatusStore
from tests.live.run_host import BASE, RunHost, vm, within

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(name="full", kernel="namespace", nics=("eth0", "eth1"), bound=True) as lab:
        yield lab


@pytest.fixture
def host(lab: Lab) -> Iterator[RunHost]:
    """The state directory is a small file system of its own. One VM runs, and no daemon."""
    host = RunHost(lab)
    host.sh("mkdir", "-p", str(host.state))
    host.sh("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(host.state))
    host.status = StatusStore(f"/proc/{lab.info().pid}/root{host.state}")
    host.write("base.yaml", BASE)
    host.write("vm.yaml", vm("web"))
    done = host.cellctl("apply", "-f", str(host.specs))
    assert done.returncode == 0, done.stderr
    yield host
    host.lab.exec(["umount", "-l", str(host.state)])
    host.clean()


def fill(host: RunHost) -> None:
    host.lab.exec(["dd", "if=/dev/zero", f"of={host.state}/filler", "bs=1k"])
    assert "100%" in host.sh("df", str(host.state))


def room(host: RunHost) -> None:
    host.sh("rm", f"{host.state}/filler")


def said(host: RunHost) -> list[str]:
    """Why passes failed, as the log has it."""
    return [f"{line['error']}; {line['advice']}" for line in host.lines() if line["event"] == "apply failed"]


def why(host: RunHost) -> str:
    journal = f"{host.state}/journal.jsonl"
    return f"{journal}: No space left on device; make room on the file system that has it: df -h {journal}"


def test_run_says_it_at_each_try_and_starts_the_vm_when_there_is_room(host: RunHost) -> None:
    host.start("--interval", "1h")
    host.settle("VirtualMachine/web")
    fill(host)
    host.sh("virsh", "destroy", "web")
    within(20, lambda: len(said(host)) >= 3)
    assert set(said(host)) == {why(host)}
    assert "Traceback" not in host.log.read_text()
    assert host.domain_state("web") == "shut off"
    room(host)
    within(20, lambda: host.domain_state("web") == "running")
    host.settle("VirtualMachine/web")


def test_run_begins_on_a_full_disk_too(host: RunHost) -> None:
    fill(host)
    host.sh("virsh", "destroy", "web")
    host.start("--interval", "1h")
    within(20, lambda: len(said(host)) >= 1)
    room(host)
    within(20, lambda: host.domain_state("web") == "running")


def test_apply_says_it_and_begins_nothing(host: RunHost) -> None:
    fill(host)
    host.sh("virsh", "destroy", "web")
    done = host.cellctl("apply", "-f", str(host.specs))
    assert done.returncode == 1
    assert "0 done" in done.stdout
    assert why(host).replace("; ", "\n  ") in done.stderr
    assert host.domain_state("web") == "shut off"
    room(host)
    assert host.cellctl("apply", "-f", str(host.specs)).returncode == 0
    assert host.domain_state("web") == "running"
