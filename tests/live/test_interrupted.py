"""Who ends a process does not wait for a guest: SIGINT and SIGTERM while a VM is asked to shut down and does not."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab
from tests.live.hosts import CELLCTL
from tests.live.run_host import BASE, RunHost, vm, within

pytestmark = pytest.mark.live

HALTED = vm("web").replace("Always", "Halted\n  shutdownTimeout: 10000d")
ASKED = "VM web, which was asked to shut down"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(name="interrupted", kernel="namespace", nics=("eth0", "eth1"), bound=True) as lab:
        yield lab


@pytest.fixture
def host(lab: Lab) -> Iterator[RunHost]:
    """A VM without an operating system runs: nothing in it listens to anybody."""
    host = RunHost(lab)
    host.write("base.yaml", BASE)
    host.write("vm.yaml", vm("web"))
    done = host.cellctl("apply", "-f", str(host.specs))
    assert done.returncode == 0, done.stderr
    yield host
    host.clean()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_apply_gives_up_to_wait_and_leaves_the_vm_as_it_is(host: RunHost, number: int, code: int) -> None:
    host.write("vm.yaml", HALTED)
    argv = [*CELLCTL, "--host", "h1", "--state-dir", str(host.state), "apply", "--allow", "cuts-vm"]
    apply = host.lab.popen([*argv, "-f", str(host.specs)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal = host.state / "journal.jsonl"
    within(30, lambda: journal.exists() and "shut down VM web" in journal.read_text())
    time.sleep(1)
    begun = time.monotonic()
    apply.send_signal(number)
    out, err = apply.communicate(timeout=20)
    assert time.monotonic() - begun < 5, "writing down what became of it included"
    assert apply.returncode == code, err
    assert f"stopping after the steps that are running\n    not waiting any longer for {ASKED}\n" in err
    assert f"interrupted; it waited for {ASKED}" in err
    assert "1 failed" in out
    assert host.domain_state("web") == "running"
    assert journal.read_bytes() == b"", "nobody died"


def test_run_ends_at_once(host: RunHost) -> None:
    host.write("base.yaml", BASE + RECONCILER)
    host.start("--interval", "1h")
    host.settle("VirtualMachine/web")
    host.write("vm.yaml", HALTED)
    within(20, lambda: "shut down VM web" in (host.state / "journal.jsonl").read_text())
    time.sleep(1)
    begun = time.monotonic()
    assert host.stop(signal.SIGTERM) == 0
    assert time.monotonic() - begun < 5
    assert f"not waiting any longer for {ASKED}" in [line["event"] for line in host.lines()]
    assert host.domain_state("web") == "running"


RECONCILER = """---
apiVersion: cell/v1
kind: Reconciler
metadata: {name: default}
spec: {allow: cuts-vm}
"""
