"""A LUN of the kernel (scsi_debug) in a VM, with reservations: only a kernel with SCSI generic has one to give."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.drivers.doors import Doors
from cell_reconciler.kinds.contract import World
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Live
from tests.kinds.vm.make import carry_out, planned, vm, world

pytestmark = pytest.mark.kernel
NAMES = Path("/dev/cell-luns")


@pytest.fixture
def doors() -> Iterator[Doors]:
    """With the LUN and the disk that this machine keeps its state on, both by names that stay."""
    before = set(Path("/sys/block").glob("sd*"))
    subprocess.run(["modprobe", "scsi_debug", "dev_size_mb=16"], check=True)
    end = time.monotonic() + 60
    while not (found := set(Path("/sys/block").glob("sd*")) - before):  # the kernel looks for it in its own time
        assert time.monotonic() < end
        time.sleep(0.1)
    (lun,) = found
    NAMES.mkdir()
    (NAMES / "lun").symlink_to(f"/dev/{lun.name}")
    (NAMES / "own").symlink_to("/dev/vda")
    made = Doors()
    yield made
    made.libvirt.destroy("luns")
    made.libvirt.undefine("luns")
    made.close()


def around(doors: Doors, *docs: Document) -> World:
    return world(*docs, live=Live(host="h1", **doors.libvirt.observe(), **doors.devices.observe()))


def lun(name: str) -> dict[str, Any]:
    source = {"block": {"path": str(NAMES / name)}}
    return {"name": name, "bus": "scsi", "device": "lun", "reservations": True, "source": source}


def test_a_lun_with_reservations_is_started_and_the_disk_of_the_host_is_not_given_away(doors: Doors) -> None:
    doc = vm("luns", memory={"guest": "32MiB"}, disks=[lun("lun")], graphics={"type": "none"})
    assert carry_out(planned(doc, around(doors, doc)), doors) == ["vm.define", "vm.start"]
    assert planned(doc, around(doors, doc)).quiet
    commands = [path.read_bytes().split(b"\0")[0] for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert [command for command in commands if command.endswith(b"/qemu-pr-helper")], "makes the reservations"

    greedy = vm("luns", memory={"guest": "32MiB"}, disks=[lun("lun"), lun("own")], graphics={"type": "none"})
    change = planned(greedy, around(doors, greedy))
    assert [refusal.reason for refusal in change.refused] == ["HostDiskInUse"]
    assert change.steps == ()

    thief = vm("thief", memory={"guest": "32MiB"}, disks=[lun("lun")])
    assert [refusal.reason for refusal in planned(thief, around(doors, thief)).refused] == ["Conflict"]
