"""The LACP probe on a real bond, whose partner is a bond in another network namespace."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.drivers.probes import Lacp, answering
from tests.network import ip, isolated

pytestmark = pytest.mark.kernel

PROBE = Lacp(name="partner", bond="bond0")


def passes() -> bool:
    return answering([PROBE], Doors().netlink) == (PROBE,)


@isolated
def test_a_bond_has_a_partner_only_when_the_switch_speaks_lacp() -> None:
    """Without one it is up and has a carrier all the same: that is why it is asked."""
    switch = subprocess.Popen(["unshare", "-n", "sleep", "600"])

    def there(command: str) -> None:
        subprocess.run(["nsenter", "-t", str(switch.pid), "-n", "ip", *command.split()], check=True)

    try:
        while Path(f"/proc/{switch.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            time.sleep(0.05)
        ip(f"link add eno1 type veth peer name eno1 netns {switch.pid}")
        ip("link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast")
        ip("link set eno1 master bond0")
        ip("link set bond0 up")
        there("link set eno1 up")
        time.sleep(3)
        assert not passes()
        there("link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast")
        there("link set eno1 down")
        there("link set eno1 master bond0")
        there("link set bond0 up")
        end = time.monotonic() + 60
        while not passes():
            assert time.monotonic() < end
            time.sleep(0.5)
        ip("link set bond0 down")
        ip("link del bond0")
        assert not passes()
        lenient = Lacp(name="partner", bond="bond0", needed=False)
        assert answering([lenient], Doors().netlink) == (lenient,), "the change may have wanted it gone"
    finally:
        switch.kill()
        switch.wait()
