"""A real guest sees what is plugged, unplugged, limited and pulled while it runs; and listens to its power button."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.guests import Guest, files
from tests.kinds.vm.make import vm
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

LAN = {"name": "lan", "bridge": "br-VM", "mac": "52:54:00:00:00:01"}
SECTORS = 64 * 2**20 // 512


@pytest.fixture(scope="module")
def spec(site: Site) -> Iterator[dict[str, Any]]:  # noqa: F811
    where = site.lab.share / "guest"
    where.mkdir()
    disks = [{"name": "root", "volume": site.volume("guest-root")}]
    yield {
        "memory": {"guest": "256MiB"},
        "boot": files(where),
        "cpu": {"maxSockets": 2},
        "disks": disks,
        "interfaces": [LAN],
        "shutdownTimeout": "60s",
    }
    site.doors.libvirt.destroy("guest")
    site.doors.libvirt.undefine("guest")


def test_a_guest_sees_what_comes_and_goes(site: Site, spec: dict[str, Any]) -> None:  # noqa: F811
    guest = Guest(site.lab, lambda: site.doors.libvirt.domain("guest"))
    site.converge(vm("guest", **spec))
    first = guest.sees(lambda report: report["nics"] == {LAN["mac"]: 1}, 120)
    assert (first["cpus"], first["disks"], first["nics"]) == (1, {"vda": SECTORS}, {LAN["mac"]: 1})
    pid = site.qemu("guest")

    more = [
        *spec["disks"],
        {"name": "fast", "volume": site.volume("guest-fast")},
        {"name": "slow", "volume": site.volume("guest-slow"), "bus": "scsi"},
    ]
    nics = [LAN, {"name": "new", "bridge": "br-VM", "mac": "52:54:00:00:00:02"}]
    grown = {**spec, "disks": more, "interfaces": nics, "cpu": {"sockets": 2, "maxSockets": 2}}
    assert site.converge(vm("guest", **grown)) == ["vm.redefine", "vm.plug", "vm.plug", "vm.plug", "vm.vcpus"]
    guest.sees(lambda report: report["disks"] == {"vda": SECTORS, "vdb": SECTORS, "sda": SECTORS})
    guest.sees(lambda report: len(report["nics"]) == 2)
    guest.sees(lambda report: report["cpus"] == 2)

    site.doors.libvirt.block_resize("guest", "sda", 2 * 64 * 2**20)
    guest.sees(lambda report: report["disks"]["sda"] == 2 * SECTORS)

    pulled = {**grown, "interfaces": [{**LAN, "link": "down"}, nics[1]]}
    assert site.converge(vm("guest", **pulled)) == ["vm.redefine", "vm.link"]
    guest.sees(lambda report: report["nics"][LAN["mac"]] == 0)

    shrunk = {**grown, "disks": spec["disks"], "interfaces": [LAN]}
    ops = site.converge(vm("guest", **shrunk))
    assert sorted(ops) == ["vm.link", "vm.redefine", "vm.unplug", "vm.unplug", "vm.unplug"]
    guest.sees(lambda report: report["disks"] == {"vda": SECTORS} and report["nics"] == {LAN["mac"]: 1})
    assert site.qemu("guest") == pid

    assert site.converge(vm("guest", **{**shrunk, "runStrategy": "Halted"})) == ["vm.stop"]
    domain = site.doors.libvirt.domain("guest")
    assert domain is not None
    assert (domain.state, domain.reason) == ("shutoff", "shutdown"), "by its power button, not by force"


def test_a_guest_sees_its_random_number_generator_come_and_go(site: Site, spec: dict[str, Any]) -> None:  # noqa: F811
    guest, bare = Guest(site.lab, lambda: site.doors.libvirt.domain("guest")), {**spec, "rng": False}
    site.converge(vm("guest", **bare))
    guest.sees(lambda report: report["nics"] == {LAN["mac"]: 1} and report["rngs"] == 0, 120)
    pid = site.qemu("guest")
    assert site.converge(vm("guest", **spec)) == ["vm.redefine", "vm.plug"]
    guest.sees(lambda report: report["rngs"] == 1)
    assert site.converge(vm("guest", **{**bare, "guestAgent": False})) == ["vm.redefine", "vm.unplug", "vm.unplug"]
    guest.sees(lambda report: report["rngs"] == 0)
    assert site.qemu("guest") == pid
