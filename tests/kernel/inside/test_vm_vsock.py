"""What only a kernel with vhost_vsock can show: a VM's socket is plugged in while it runs, with its CID and address."""

from __future__ import annotations

import subprocess

import pytest

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.model.live import Live
from tests.kinds.vm.make import carry_out, planned, vm, world

pytestmark = pytest.mark.kernel
PLAIN = {"graphics": {"type": "none"}, "rng": False, "guestAgent": False, "memory": {"guest": "32MiB"}}


def test_a_socket_is_plugged_in_and_the_same_in_both_copies() -> None:
    subprocess.run(["modprobe", "vhost_vsock"], check=True)
    doors = Doors("qemu:///system")
    try:

        def converge(**more: object) -> list[str]:
            doc = vm("talks", **PLAIN, **more)
            done = carry_out(planned(doc, world(doc, live=Live(host="h1", **doors.libvirt.observe()))), doors)
            again = planned(doc, world(doc, live=Live(host="h1", **doors.libvirt.observe())))
            assert again.steps == ()
            assert {field.path for field in again.pending} == ({"spec.vsock.cid"} if more.get("vsock") == {} else set())
            return done

        assert converge() == ["vm.define", "vm.start"]
        assert converge(vsock={"cid": 77}) == ["vm.redefine", "vm.plug"]
        domain = doors.libvirt.domain("talks")
        assert domain is not None
        copies = [xml.parse(text or "").find("devices/vsock") for text in (domain.inactive, domain.active)]
        assert [(e.find("cid").get("address"), e.find("address").attrib) for e in copies[:1]] == [
            (e.find("cid").get("address"), e.find("address").attrib) for e in copies[1:]
        ]
        assert copies[0].find("cid").get("address") == "77"
        assert converge(vsock={}) == ["vm.redefine"], "another CID waits: the socket would have to be plugged anew"
    finally:
        doors.libvirt.destroy("talks")
        doors.libvirt.undefine("talks")
        doors.close()
