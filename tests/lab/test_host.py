"""What a lab's host is, and how commands run in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cell_reconciler.errors import CellError, Refused, UsageError
from cell_reconciler.lab import Lab
from tests.lab.traces import links

pytestmark = pytest.mark.live

TINY = """<domain type='qemu'><name>tiny</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
<os><type arch='x86_64'>hvm</type></os><devices/></domain>"""


def test_it_is_a_host_of_its_own(lab: Lab) -> None:
    before = links()
    assert lab.exec(["hostname"]).stdout.strip() == lab.name
    shown = lab.exec(["ip", "-brief", "link"]).stdout.splitlines()
    assert sorted(line.split()[0].split("@")[0] for line in shown) == sorted(["lo", *lab.nics])
    assert lab.exec(["cat", "/sys/class/net/lo/operstate"]).returncode == 0
    for empty in ("/var/lib/cell-reconciler", "/etc/cell-reconciler", "/var/lib/libvirt/images"):
        assert lab.exec(["ls", "-A", empty]).stdout == ""
    assert lab.uuid in lab.exec(["virsh", "-c", "qemu:///system", "capabilities"], timeout=60).stdout
    assert links() == before


def test_exec_carries_streams_exit_code_directory_and_environment(lab: Lab) -> None:
    done = lab.exec(["sh", "-c", "cat; echo oops >&2; exit 7"], input="hello")
    assert (done.stdout, done.stderr, done.returncode) == ("hello", "oops\n", 7)
    assert lab.exec(["cat"], input=b"\0\xff").stdout == b"\0\xff"
    assert lab.exec(["pwd"]).stdout.strip() == str(Path.cwd())
    assert lab.exec(["printenv", "FRUIT"], env={"FRUIT": "a 'b'\n$c"}).stdout == "a 'b'\n$c\n"
    assert lab.exec(["printf", "%s|", "a b", "", "$x"]).stdout == "a b||$x|"
    assert lab.exec(["no-such-command"]).returncode == 127
    with pytest.raises(subprocess.CalledProcessError):
        lab.exec(["false"], check=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals_reach_the_command(lab: Lab, number: signal.Signals) -> None:
    marker = f"{1000 + number}.25"
    process = lab.popen(["sleep", marker])
    while lab.exec(["pgrep", "-f", f"^sleep {marker}"]).returncode:
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(10) == -number
    time.sleep(0.1)
    assert lab.exec(["pgrep", "-f", f"^sleep {marker}"]).returncode == 1


def test_writes_stay_inside_and_the_share_is_shared(lab: Lab) -> None:
    lab.exec(["touch", "/etc/cell-lab-test", "/run/cell-lab-test", "/var/lib/libvirt/images/a"], check=True)
    assert not Path("/etc/cell-lab-test").exists()
    assert not Path("/run/cell-lab-test").exists()
    assert not Path("/var/lib/libvirt/images/a").exists()
    lab.exec(["rm", "/var/lib/libvirt/images/a"], check=True)
    (lab.share / "from-machine").write_text("1")
    lab.exec(["sh", "-c", f"cp {lab.share}/from-machine {lab.share}/from-host"], check=True)
    assert (lab.share / "from-host").read_text() == "1"


def test_a_vm_runs(lab: Lab) -> None:
    (lab.share / "tiny.xml").write_text(TINY)
    for command in (
        ["define", str(lab.share / "tiny.xml")],
        ["start", "tiny"],
        ["destroy", "tiny"],
        ["undefine", "tiny"],
    ):
        lab.exec(["virsh", "-c", "qemu:///system", *command], check=True, timeout=60)


def test_a_pulled_cable_is_a_lost_carrier(lab: Lab) -> None:
    def carrier() -> str:
        return str(lab.exec(["cat", "/sys/class/net/eno2/carrier"]).stdout.strip())

    lab.exec(["ip", "link", "set", "eno2", "up"], check=True)
    assert carrier() == "1"
    lab.cable("eno2", up=False)
    assert carrier() == "0"
    lab.cable("eno2", up=True)
    assert carrier() == "1"
    lab.exec(["ip", "link", "set", "eno2", "down"], check=True)
    with pytest.raises(UsageError, match="no NIC"):
        lab.cable("eth9", up=False)


def test_two_labs_side_by_side(lab: Lab) -> None:
    with Lab.up(f"two-{os.getpid()}", kernel="namespace", nics=("eno1",), bound=True) as other:
        assert other.exec(["hostname"]).stdout != lab.exec(["hostname"]).stdout
        assert other.uuid != lab.uuid
        assert {lab.name, other.name} <= {info.name for info in Lab.list() if info.status == "running"}
        with pytest.raises(Refused, match="is running"):
            Lab.up(other.name, kernel="namespace")
    assert lab.exec(["true"]).returncode == 0


def test_after_a_power_cut_the_disk_is_there_and_the_rest_is_gone(tmp_path: Path) -> None:
    with Lab.up(f"cut-{os.getpid()}", kernel="namespace", bound=True) as host:
        host.exec(["sh", "-c", "echo kept >/var/lib/cell-reconciler/x; echo lost >/run/x"], check=True)
        agent = host.popen(["sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
        assert agent.stdout is not None
        agent.stdout.readline()
        host.power_off()
        assert agent.wait(10) == -signal.SIGKILL
        assert host.info().status == "off"
        with pytest.raises(CellError, match="is off"):
            host.exec(["true"])
        host.power_on()
        assert host.exec(["cat", "/var/lib/cell-reconciler/x"]).stdout == "kept\n"
        assert host.exec(["cat", "/run/x"]).returncode == 1


def test_a_terminal_of_its_own(lab: Lab) -> None:
    argv = lab.shell_argv(["sh", "-c", "test -t 0 && stty size"], tty=True)
    code = (
        "import os, pty, sys, termios\n"
        "def read(fd):\n    return os.read(fd, 1024)\n"
        "sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:], read)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
    )
    assert done.returncode == 0, done
    assert b"0 0" in done.stdout
