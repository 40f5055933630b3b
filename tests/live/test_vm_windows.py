"""A VM with a guest OS and spare ports on a real libvirtd and QEMU: what is given is there, and ports last."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cell_reconciler.errors import CellError
from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.kinds.virtual_machine.codec import ports
from tests.kinds.vm.make import carry_out, vm
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

COPIES = ("inactive", "active")
# Without KVM QEMU does not start a VM with vpindex, and nothing else may need it then.
EMULATED = {"vpindex": False, "synic": False, "stimer": False, "tlbflush": False, "ipi": False}


@pytest.fixture
def server(site: Site) -> Iterator[dict[str, Any]]:  # noqa: F811
    yield {
        "guestOS": "win2k22",
        "features": {"hyperv": EMULATED},
        "disks": [{"name": "root", "volume": site.volume("server-root")}],
        "hotplugPorts": 1,
        "shutdownTimeout": "1s",
        "forceStop": True,
    }
    site.doors.libvirt.destroy("server")
    site.doors.libvirt.undefine("server")


def root(site: Site, copy: str) -> Any:  # noqa: F811
    return xml.parse(getattr(site.doors.libvirt.domain("server"), copy))


def test_windows_starts_with_what_its_guest_os_gives(site: Site, server: dict[str, Any]) -> None:  # noqa: F811
    assert site.converge(vm("server", **server)) == ["vm.define", "vm.start"]
    for copy in COPIES:
        domain = root(site, copy)
        assert domain.find("clock").get("offset") == "localtime"
        on = {e.tag for e in domain.findall("features/hyperv/*")}
        assert on == {"relaxed", "vapic", "spinlocks", "runtime", "frequencies"}
    argv = site.lab.exec(["cat", f"/proc/{site.qemu('server')}/cmdline"], check=True).stdout
    for word in ("hv-relaxed=on", "hv-vapic=on", "hv-spinlocks=0x1fff", "hv-frequencies=on", "hv-time=on"):
        assert word in argv.replace("_", "-")
    assert "base=localtime" in argv


def test_without_kvm_vpindex_is_what_qemu_refuses(site: Site, server: dict[str, Any]) -> None:  # noqa: F811
    change = site.plan(vm("server", **{**server, "features": {}}))
    with pytest.raises(CellError, match="VP_INDEX"):
        carry_out(change, site.doors)


def test_a_system_that_becomes_another_waits_for_a_restart(site: Site, server: dict[str, Any]) -> None:  # noqa: F811
    site.converge(vm("server", **server))
    linux = {**server, "guestOS": "debian12", "features": {}}
    assert site.converge(vm("server", **linux)) == ["vm.redefine"]
    pending = {field.path for field in site.plan(vm("server", **linux)).pending}
    assert {"spec.clock.offset", "spec.clock.hypervClock", "spec.features.hyperv.relaxed"} <= pending
    assert root(site, "inactive").find("features/hyperv") is None
    assert site.converge(vm("server", **server)) == ["vm.redefine"]
    assert site.plan(vm("server", **server)).quiet


def test_what_is_plugged_in_takes_a_spare_port_and_the_next_start_has_another(
    site: Site,  # noqa: F811
    server: dict[str, Any],
) -> None:
    site.converge(vm("server", **server))
    before = len(root(site, "active").findall("devices/controller[@model='pcie-root-port']"))
    more = [*server["disks"], {"name": "more", "volume": site.volume("server-more")}]
    assert site.converge(vm("server", **{**server, "disks": more})) == ["vm.redefine", "vm.plug"]
    assert site.plan(vm("server", **{**server, "disks": more})).quiet, "the port that is used up is not missing"
    counts = {copy: len(root(site, copy).findall("devices/controller[@model='pcie-root-port']")) for copy in COPIES}
    assert counts == {"inactive": before + 1, "active": before}
    assert ports.spare(root(site, "inactive")) == 1
