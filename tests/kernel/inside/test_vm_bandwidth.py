"""What only a kernel with sch_htb, sch_sfq and act_police can show: limits of an interface, as tc sees them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.model.live import Live
from tests.kinds.vm.make import carry_out, planned, vm, world
from tests.network import ip

pytestmark = pytest.mark.kernel

MODULES = ("sch_htb", "sch_sfq", "sch_ingress", "cls_u32", "cls_fw", "act_police")
BRIDGE = "br-limits"


class Limited:
    """A VM with one interface on the host's real libvirt."""

    def __init__(self) -> None:
        self.doors = Doors("qemu:///system")

    def converge(self, **fields: Any) -> list[str]:
        doc = vm("limits", memory={"guest": "64MiB"}, interfaces=[{"name": "lan", "bridge": BRIDGE, **fields}])
        ops = carry_out(planned(doc, self._world(doc)), self.doors)
        assert planned(doc, self._world(doc)).quiet
        return ops

    def _world(self, doc: Any) -> Any:
        return world(doc, live=Live(host="h1", **self.doors.libvirt.observe()))

    def received(self) -> list[str]:
        """The limits of what the guest receives."""
        return re.findall(r"rate \S+ ceil \S+ burst \S+", tc("class", "show", "dev", self.tap()))

    def sent(self) -> list[str]:
        """The limits of what it sends."""
        return re.findall(r"police \S+ rate (\S+)", tc("filter", "show", "dev", self.tap(), "ingress"))

    def tap(self) -> str:
        return str(json.loads(ip(f"-j link show master {BRIDGE}"))[0]["ifname"])


def tc(*command: str) -> str:
    return subprocess.run(["tc", *command], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def limited() -> Iterator[Limited]:
    subprocess.run(["modprobe", "--all", *MODULES], check=True)
    ip(f"link add {BRIDGE} type bridge")
    ip(f"link set {BRIDGE} up")
    made = Limited()
    yield made
    made.doors.libvirt.destroy("limits")
    made.doors.libvirt.undefine("limits")
    made.doors.close()
    ip(f"link del {BRIDGE}")


def test_limits_come_change_and_go_while_the_vm_runs(limited: Limited) -> None:
    assert limited.converge() == ["vm.define", "vm.start"]
    assert (limited.received(), limited.sent()) == ([], [])
    tap = limited.tap()
    assert limited.converge(bandwidth={"inbound": {"average": 1000, "peak": 2000, "burst": 512}}) == [
        "vm.redefine",
        "vm.bandwidth",
    ]
    assert limited.received() == ["rate 8Mbit ceil 16Mbit burst 512Kb"]
    assert limited.sent() == []
    limited.converge(bandwidth={"inbound": {"average": 3000}, "outbound": {"average": 500}})
    assert [found.split(" burst")[0] for found in limited.received()] == ["rate 24Mbit ceil 24Mbit"]
    assert limited.sent() == ["4Mbit"]
    limited.converge()
    assert (limited.received(), limited.sent()) == ([], [])
    assert limited.tap() == tap, "the tap is the same all the time"
