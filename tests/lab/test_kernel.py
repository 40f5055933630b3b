"""The same host on a kernel of its own; one boot for all of it."""

from __future__ import annotations

import signal
import time

import pytest

from cell_reconciler.lab import Lab
from cell_reconciler.lab.guest import NIC_SLOT
from tests.lab.traces import links

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(900)]


def test_it_has_the_nics_that_were_asked_for_and_no_other(kernel_lab: Lab) -> None:
    before = links()
    shown = kernel_lab.exec(["ip", "-brief", "link"], check=True).stdout.splitlines()
    given = f"enp0s{int(NIC_SLOT, 16)}"  # what a VM may get, once somebody has loaded its driver
    names = {line.split()[0].split("@")[0] for line in shown} - {given}
    assert sorted(names) == sorted(["lo", *kernel_lab.nics])
    assert kernel_lab.exec(["stat", "-c", "%a", "/tmp"]).stdout == "1777\n"
    assert kernel_lab.exec(["hostname"]).stdout.strip() == kernel_lab.name
    assert links() == before


def test_exec_carries_streams_exit_code_and_environment(kernel_lab: Lab) -> None:
    done = kernel_lab.exec(["sh", "-c", "cat; echo oops >&2; exit 7"], input="hello")
    assert (done.stdout, done.stderr, done.returncode) == ("hello", "oops\n", 7)
    assert kernel_lab.exec(["printenv", "FRUIT"], env={"FRUIT": "a 'b'\\n\n$c"}).stdout == "a 'b'\\n\n$c\n"
    assert kernel_lab.exec(["printf", "%s|", "a b", "", "$x"]).stdout == "a b||$x|"
    assert kernel_lab.exec(["no-such-command"]).returncode == 127


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_command(kernel_lab: Lab, number: signal.Signals) -> None:
    marker = f"{1000 + number}.25"
    process = kernel_lab.popen(["sleep", marker])
    while kernel_lab.exec(["pgrep", "-f", f"^sleep {marker}"]).returncode:
        time.sleep(0.2)
    process.send_signal(number)
    assert process.wait(60) == (-signal.SIGKILL if number == signal.SIGKILL else 128 + number)
    deadline = time.monotonic() + 60
    while kernel_lab.exec(["pgrep", "-f", f"^sleep {marker}"]).returncode == 0:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_bond_and_vlan_see_the_cable(kernel_lab: Lab) -> None:
    script = """set -e
    ip link add bond9 type bond mode active-backup miimon 100
    ip link set ens1f0 master bond9
    ip link set ens1f1 master bond9
    ip link set bond9 up
    ip link add link bond9 name bond9.101 type vlan id 101
    """
    kernel_lab.exec(["sh", "-c", script], check=True, timeout=60)
    try:
        assert kernel_lab.exec(["test", "-e", "/sys/class/net/bond0"]).returncode == 1
        active = _active(kernel_lab)
        kernel_lab.cable(active, up=False)
        deadline = time.monotonic() + 30
        while _active(kernel_lab) in ("", active):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        kernel_lab.cable(active, up=True)
    finally:
        kernel_lab.exec(["ip", "link", "del", "bond9"], check=True)


def _active(lab: Lab) -> str:
    return str(lab.exec(["cat", "/sys/class/net/bond9/bonding/active_slave"], check=True).stdout.strip())


def test_the_share_is_shared(kernel_lab: Lab) -> None:
    (kernel_lab.share / "a").write_text("1")
    kernel_lab.exec(["cp", str(kernel_lab.share / "a"), str(kernel_lab.share / "b")], check=True)
    assert (kernel_lab.share / "b").read_text() == "1"


def test_libvirt_answers(kernel_lab: Lab) -> None:
    assert kernel_lab.exec(["virsh", "-c", "qemu:///system", "list"], check=True, timeout=120).returncode == 0
