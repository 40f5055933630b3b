"""What the guard relies on breaks: its file, its disk, the guard itself. The host answers again all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.live.hosts import CELLCTL, text
from tests.live.managed import Managed, same, until
from tests.live.test_way_back_faults import processes, stopped

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

# EXT4_IOC_SHUTDOWN without a flush of the journal: from then on the file system fails, as when its disk is unplugged.
SHUT_DOWN = """
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))
"""
CUT = ("apply", "--yes", "--allow", "cuts-management")


def damage(host: Managed) -> None:
    (host.state / "pending.json").write_bytes(b'{"id": "0')


def cut_short(host: Managed, timeout: str) -> Any:
    """Killed in the middle of a change; the links before it."""
    before = host.links()
    host.declare(uplink="eno2", timeout=timeout)
    host.killed_before_write(3, *CUT)
    assert host.links() != before
    return before


def test_a_damaged_file_is_undone_from_what_the_guard_read_before(host: Managed) -> None:
    before = cut_short(host, "6s")
    damage(host)
    host.declare()
    assert "cannot be read" in host.apply(code=1), "not while a guard knows better"
    done = host.lab.exec([*CELLCTL, "--state-dir", str(host.state), "doctor"], timeout=60)
    assert "pending.json cannot be read" in text(done.stdout)
    until(lambda: not host.guards(), 20)
    same(host, before)
    assert not host.pending
    host.apply(code=0)
    same(host, before)


def test_a_damaged_file_without_a_guard_brings_back_the_last_confirmed_network(host: Managed) -> None:
    cut_short(host, "60s")
    damage(host)
    for guard in host.guards():
        host.end(guard)
    host.declare()
    said = host.apply(code=0)
    assert "pending.json cannot be read" in said
    assert "the last confirmed network is back" in said
    assert "pending.damaged" in said
    assert host.answers()
    assert not host.pending
    assert "br-MGMT" in host.sh("ip", "link", "show", "eno1")


@pytest.fixture
def small(host: Managed) -> Iterator[Callable[[str], Any]]:
    """The state directory is a file system of its own, of 2 MiB; does something hold in it, by test(1)?"""
    host.sh("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(host.state))
    host.apply(code=0)
    try:
        yield lambda test: host.lab.exec(["sh", "-c", f"cd {host.state} && {test}"]).returncode == 0
    finally:
        host.lab.exec(["umount", "-l", str(host.state)])


def fill(host: Managed) -> None:
    host.lab.exec(["dd", "if=/dev/zero", f"of={host.state}/filler", "bs=4k"])
    assert "100%" in host.sh("df", str(host.state))


def test_a_full_disk_begins_nothing(host: Managed, small: Callable[[str], Any]) -> None:
    before = host.links()
    fill(host)
    host.declare(address="10.10.0.2/24")
    assert "No space left" in host.cut(1)
    assert host.links() == before
    assert small("! test -e pending.json")
    until(lambda: not host.guards(), 10)


def test_a_disk_that_fills_up_meanwhile_undoes_it_at_once(host: Managed, small: Callable[[str], Any]) -> None:
    before = host.links()
    host.declare(address="10.10.0.2/24", timeout="60s")
    argv = [sys.executable, "-m", "tests.live.fault_driver", "stop", "0", *host.argv(*CUT)]
    apply = host.lab.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: bool(waiting(host)), 20)
    assert host.links() != before
    fill(host)
    for pid in waiting(host):
        os.kill(pid, signal.SIGCONT)
    out, err = apply.communicate(timeout=30)
    assert apply.returncode == 7, out + err
    assert "its state cannot be written" in err
    same(host, before)
    assert small("! test -e pending.json && ! test -e reverting.json")


def waiting(host: Managed) -> list[int]:
    """Drivers that wait for SIGCONT."""
    return [pid for pid in processes("tests.live.fault_driver", str(host.state)) if stopped(pid)]


def test_a_disk_that_is_gone_keeps_the_guard_from_nothing(host: Managed) -> None:
    image = host.lab.share / "disk.img"
    host.sh("truncate", "-s", "16M", str(image))
    host.sh("mkfs.ext4", "-q", str(image))
    host.sh("mount", "-o", "loop", str(image), str(host.state))
    try:
        host.apply(code=0)
        before = cut_short(host, "6s")
        host.sh("python3", "-c", SHUT_DOWN, str(host.state))
        assert "Input/output error" in host.lab.exec(["touch", f"{host.state}/file"]).stderr
        until(lambda: not host.guards(), 20)
        same(host, before)
        assert host.answers()
    finally:
        host.lab.exec(["umount", "-l", str(host.state)])


def test_the_guard_dies_and_the_probes_fail(host: Managed) -> None:
    """Whoever makes the change does not need the guard to undo it."""
    before = host.links()
    host.declare(uplink="eno2", timeout="5s")
    apply = host.lab.popen([*CELLCTL, *host.argv(*CUT)])
    until(lambda: "master br-MGMT" in host.sh("ip", "link", "show", "eno2"), 20)
    for guard in host.guards():
        host.end(guard)
    assert apply.wait(60) == 7
    same(host, before)
    assert not host.pending
