"""The daemon with guests that stop to feed their watchdog: an event of each, and a condition where one is paused.

The guests are real: a program of theirs opens the device and feeds it once an hour, of the two seconds that it has.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab
from cell_reconciler.model.key import Key
from tests.guests import files
from tests.live.hosts import HOST_AND_POOL
from tests.live.run_host import RunHost, within

pytestmark = pytest.mark.live

PAUSED, NOTED = "VirtualMachine/paused", "VirtualMachine/noted"
BOOT = 120  # seconds that an emulated guest may take on a busy machine
SOON = 30  # seconds that the daemon may take there
VM = """
apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: %(name)s}
spec:
  description: %(text)s
  memory: {guest: 128MiB}
  boot: {kernel: %(kernel)s, initrd: %(initrd)s, cmdline: %(cmdline)s}
  watchdog: {action: %(action)s}
"""


class Guests:
    """A daemon, and the documents of its guests."""

    def __init__(self, host: RunHost) -> None:
        self.host = host
        where = host.lab.share / "guest"
        where.mkdir()
        early = "watchdog -T 2 -t 3600 /dev/watchdog\n"
        self.boot = files(where, modules=["i6300esb"], early=early)

    def write(self, name: str, action: str, text: str = "first") -> None:
        self.host.write(f"{name}.yaml", VM % {"name": name, "action": action, "text": text, **self.boot})

    def conditions(self, key: str) -> dict[str, str]:
        status = self.host.status.get(Key.parse(key))
        return {c.type: c.message for c in status.conditions} if status else {}

    def told(self, key: str, text: str) -> bool:
        """Is there an event that says so?"""
        return any(
            event.reason == "WatchdogFired" and text in event.message
            for event in self.host.status.events(Key.parse(key))
        )


@pytest.fixture
def guests() -> Iterator[Guests]:
    with Lab.up(name="watchdog", kernel="namespace", bound=True) as lab:
        host = RunHost(lab)
        made = Guests(host)
        host.write("base.yaml", HOST_AND_POOL)
        made.write("paused", "pause")
        made.write("noted", "none")
        host.start("--interval", "1h")
        yield made
        host.clean()


def test_a_guest_whose_watchdog_ran_out_is_told_of_and_goes_on_when_it_is_resumed(guests: Guests) -> None:
    host = guests.host
    within(60, lambda: host.is_ready(NOTED))
    # Not its state: a domain that starts is paused for a moment as well.
    within(BOOT, lambda: "WatchdogFired" in guests.conditions(PAUSED))
    assert host.domain_state("paused") == "paused"
    assert "virsh resume paused" in guests.conditions(PAUSED)["WatchdogFired"]
    within(SOON, lambda: guests.told(PAUSED, "ran out: the guest is paused"))
    guests.write("paused", "pause", "second")
    within(SOON, lambda: (ready := host.ready(PAUSED)) is not None and ready.reason == "WatchdogFired")
    assert host.sh("virsh", "-q", "desc", "paused") == "first"

    within(BOOT, lambda: guests.told(NOTED, "ran out: nothing is done"))
    assert host.domain_state("noted") == "running"
    assert host.is_ready(NOTED)
    assert "WatchdogFired" not in guests.conditions(NOTED)

    host.sh("virsh", "-q", "resume", "paused")
    within(SOON, lambda: host.sh("virsh", "-q", "desc", "paused") == "second")
    host.settle(PAUSED)
    assert "WatchdogFired" not in guests.conditions(PAUSED)
