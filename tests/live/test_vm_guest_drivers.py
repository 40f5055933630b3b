"""The drive with drivers of a Windows VM on a real libvirtd: pending while it runs, and another image at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cell_reconciler.kinds.virtual_machine import observe
from tests.kinds.vm.make import vm
from tests.kinds.vm.test_guest_drivers import cluster
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

NAME = "windows"
OFF = {"vpindex": False, "synic": False, "stimer": False, "tlbflush": False, "ipi": False}  # QEMU wants KVM for them
DOC = vm(
    NAME,
    guestOS="win2k22",
    features={"hyperv": OFF},
    interfaces=[{"name": "lan", "bridge": "br-VM"}],
    shutdownTimeout="1s",
    forceStop=True,
)


@pytest.fixture(autouse=True)
def removed(site: Site) -> Iterator[None]:  # noqa: F811
    yield
    site.remove(NAME)


def media(site: Site) -> tuple[list[str], list[str]]:  # noqa: F811
    """Of the definition and of the running instance."""
    domain = site.doors.libvirt.domain(NAME)
    assert domain is not None
    first, second = (
        [str(drive.media) for drive in observe.parsed(text or "").spec.cdroms]
        for text in (domain.inactive, domain.active)
    )
    return first, second


def test_it_comes_at_the_next_start_and_another_image_at_once(site: Site) -> None:  # noqa: F811
    old, new = (site.disks / name for name in ("virtio-win-1.iso", "virtio-win-2.iso"))
    for image in (old, new):
        image.write_bytes(bytes(2**20))
    site.converge(DOC)
    assert site.converge(DOC, cluster(str(old))) == ["vm.redefine"]
    assert media(site) == ([str(old)], [])
    site.doors.libvirt.destroy(NAME)
    assert site.converge(DOC, cluster(str(old))) == ["vm.start"]
    assert media(site) == ([str(old)], [str(old)])
    pid = site.qemu(NAME)
    assert site.converge(DOC, cluster(str(new))) == ["vm.redefine", "vm.media"]
    assert media(site) == ([str(new)], [str(new)])
    assert site.qemu(NAME) == pid
    assert site.converge(DOC) == ["vm.redefine"]
    assert media(site) == ([], [str(new)])
