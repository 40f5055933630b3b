"""Guests that are shut down through their agent: one that heeds it, one that it fails, one whose agent never answers.

The guests boot side by side, once: that is most of what these tests take.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.kinds.virtual_machine.codec import consoles
from cell_reconciler.model.document import Document
from tests.guests import Guest, files
from tests.kinds.vm.make import carry_out, vm
from tests.live.run_host import within
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

# A mute agent holds its port open, so that libvirt takes it for connected, and answers nothing. A stuck one says that
# it is there, and waits for a shutdown of its guest that never ends.
EARLY = """
mkdir /sbin
printf '#!/bin/sh\\n! grep -qw stuck /proc/cmdline || sleep 3600\\nexec poweroff -f\\n' >/sbin/shutdown
chmod +x /sbin/shutdown
until name=$(grep -lx org.qemu.guest_agent.0 /sys/class/virtio-ports/*/name); do sleep 0.1; done
port=${name%/name}
/usr/sbin/qemu-ga -m virtio-serial -p "/dev/${port##*/}" -t /tmp &
until ls -l /proc/$!/fd | grep -q vport; do sleep 0.1; done
! grep -qw mute /proc/cmdline || kill -STOP $!
"""
WORDS = {"heeding": "deaf", "failing": "stuck", "lost": "deaf mute"}  # name of a guest → what its command line says
BARE: dict[str, Any] = {"memory": {"guest": "16MiB"}, "guestAgent": False, "rng": False, "graphics": {"type": "none"}}


class Guests:
    """The VMs of this module."""

    def __init__(self, site: Site, boot: dict[str, str]) -> None:  # noqa: F811
        self.site, self.boot = site, boot

    def doc(self, name: str, **spec: Any) -> Document:
        return vm(name, boot={**self.boot, "cmdline": f"{self.boot['cmdline']} {WORDS[name]}"}, **spec)

    def boots(self, name: str) -> None:
        """Wait until it says something, and libvirt sees that somebody is at the agent's port."""
        Guest(self.site.lab, lambda: self.site.doors.libvirt.domain(name)).sees(lambda report: True, 120)
        within(5, lambda: self.connected(name))

    def connected(self, name: str) -> bool:
        domain = self.site.doors.libvirt.domain(name)
        assert domain is not None
        assert domain.active
        target = xml.parse(domain.active).find(f"devices/channel/target[@name='{consoles.AGENT}']")
        return target is not None and target.get("state") == "connected"

    def stop(self, name: str, **spec: Any) -> tuple[str, float]:
        """Why it is off then, in libvirt's word, and seconds."""
        begin = time.monotonic()
        change = self.site.plan(self.doc(name, runStrategy="Halted", **spec))
        assert carry_out(change, self.site.doors)[-1] == "vm.stop"
        took = time.monotonic() - begin
        domain = self.site.doors.libvirt.domain(name)
        assert domain is not None
        assert domain.state == "shutoff"
        return domain.reason, took

    def describe(self, text: str) -> float:
        """Change the bystander; seconds."""
        begin = time.monotonic()
        carry_out(self.site.plan(vm("bystander", **BARE, description=text)), self.site.doors)
        took = time.monotonic() - begin
        assert self.site.lab.exec(["virsh", "-q", "desc", "bystander"], check=True).stdout.strip() == text
        return took


@pytest.fixture(scope="module")
def guests(site: Site) -> Iterator[Guests]:  # noqa: F811
    where = site.lab.share / "agent"
    where.mkdir()
    made = Guests(site, files(where, modules=["virtio_console"], programs=["/usr/sbin/qemu-ga"], early=EARLY))
    for name in WORDS:
        site.converge(made.doc(name))
    for name in WORDS:
        made.boots(name)
    yield made
    for name in (*WORDS, "bystander"):
        site.doors.libvirt.destroy(name)
        site.doors.libvirt.undefine(name)


def test_a_guest_that_ignores_its_power_button_is_shut_down_by_its_agent(guests: Guests) -> None:
    reason, took = guests.stop("heeding", shutdownTimeout="60s")
    assert reason == "shutdown"
    assert took < 30, "the agent's half of the time"


def test_a_guest_whose_agent_takes_the_order_in_vain_has_its_power_button_pressed_in_time(guests: Guests) -> None:
    """libvirt itself would wait a minute for the agent."""
    reason, took = guests.stop("failing", shutdownTimeout="8s", forceStop=True)
    assert reason == "shutdown", "the button had the other half of the time"
    assert 4 <= took < 8


def test_a_mute_agent_delays_neither_the_power_cut_nor_another_vm(guests: Guests) -> None:
    guests.describe("before")
    with ThreadPoolExecutor(1) as worker:
        stop = worker.submit(guests.stop, "lost", shutdownTimeout="2s", forceStop=True)
        meanwhile: list[float] = []
        while not stop.done():
            meanwhile.append(guests.describe(f"change {len(meanwhile)}"))
            time.sleep(0.1)
        reason, took = stop.result()
    print(f"\npowered off after {took:.1f} s; {len(meanwhile)} changes meanwhile, {max(meanwhile):.2f} s at most")
    assert reason == "destroyed"
    assert 2 <= took < 4.8, "libvirt alone waits 5 s for a mute agent"
    assert len(meanwhile) > 3
    assert max(meanwhile) < 1
