"""The port of a running VM's interface is as its document says, whatever tap it has at the moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab
from tests.live.run_host import BASE, RunHost, kill_libvirtd, start_libvirtd, vm, within

pytestmark = [pytest.mark.live]

RESYNC = "10m"  # so long that nothing here can be the work of the periodic resync
ISOLATED = vm("web").replace("bridge: br-VM}", "bridge: br-VM, isolated: true}")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.up(name="ports", kernel="namespace", nics=("eth0", "eth1"), bound=True) as lab:
        yield lab


@pytest.fixture
def host(lab: Lab) -> Iterator[RunHost]:
    """A host with a daemon that has converged a VM with an isolated port."""
    host = RunHost(lab)
    host.write("base.yaml", BASE)
    host.write("vm.yaml", ISOLATED)
    host.start("--interval", RESYNC)
    host.settle("VirtualMachine/web", "Bridge/br-VM")
    yield host
    host.clean()


def tap(host: RunHost) -> str:
    return host.sh("sh", "-c", "virsh -q domiflist web | awk '{print $1}'")


def isolated(host: RunHost) -> bool:
    link = host.link(tap(host))
    port = link.get("linkinfo", {}).get("info_slave_data", {})
    return link.get("master") == "br-VM" and port.get("isolated") is True


def plan(host: RunHost) -> str:
    return host.cellctl("diff", "-f", str(host.specs), "--exit-code").stdout


def test_isolated_from_the_start_on_and_after_each_loss(host: RunHost) -> None:
    assert isolated(host), plan(host)
    for command in ("set {} nomaster", "set {} type bridge_slave isolated off"):
        host.sh("ip", "link", *command.format(tap(host)).split())
        within(2, lambda: isolated(host))
    host.sh("ip", "link", "del", "br-VM")
    within(3, lambda: isolated(host))
    host.settle("VirtualMachine/web", "Bridge/br-VM")
    assert host.cellctl("diff", "-f", str(host.specs), "--exit-code").returncode == 0, plan(host)


def test_a_new_tap_is_isolated_too(host: RunHost) -> None:
    before = host.sh("virsh", "domid", "web")
    host.sh("virsh", "destroy", "web")
    within(10, lambda: host.domain_state("web") == "running" and host.sh("virsh", "domid", "web") != before)
    within(2, lambda: isolated(host))


def test_what_libvirt_plugs_in_again_when_it_is_restarted_is_isolated(host: RunHost) -> None:
    name = tap(host)
    kill_libvirtd(host)
    host.sh("ip", "link", "set", name, "nomaster")
    start_libvirtd(host)
    within(10, lambda: isolated(host))
    host.settle("VirtualMachine/web")


def test_no_more_when_the_document_does_not_say_so(host: RunHost) -> None:
    host.write("vm.yaml", vm("web"))
    within(5, lambda: bool(host.link(tap(host))) and not isolated(host))
    host.settle("VirtualMachine/web")
    assert host.cellctl("diff", "-f", str(host.specs), "--exit-code").returncode == 0, plan(host)
