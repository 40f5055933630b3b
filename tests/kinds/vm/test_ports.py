"""Spare ports: counted, filled up as devices come, taken away only where they are free, and never somebody else's."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.kinds.virtual_machine import metadata, observe, patch, resolve, sources, xml
from cell_reconciler.kinds.virtual_machine.codec import add, ports
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.model.key import Key
from cell_reconciler.model.mark import Mark
from tests.kinds.vm.make import VM, pool, vm, world
from tests.kinds.vm.schema import rendered

POOL = pool("local", "/p")
MARK = Mark(Key("VirtualMachine", "web"), "0")


def tree(**spec: Any) -> Any:
    doc = vm("web", **spec)
    return rendered(VM.plan(doc, None, world(POOL, doc)))


def patched(root: Any, *changed: str, mark: Mark = MARK, **spec: Any) -> Any:
    doc = vm("web", **spec)
    context = Context(sources.wanted(doc.spec, world(POOL, doc)))
    patch.apply(root, resolve.effective(doc), context, changed, mark)
    return root


def count(root: Any) -> int:
    return len(root.findall("devices/controller[@model='pcie-root-port']"))


def disks(*names: str) -> dict[str, Any]:
    return {"disks": [{"name": name, "volume": f"local/{name}"} for name in names]}


@pytest.mark.parametrize("spare", [0, 1, 4, 9])
def test_a_new_vm_has_as_many_as_it_says(spare: int) -> None:
    root = tree(**disks("a", "b"), hotplugPorts=spare)
    assert ports.spare(root) == ports.HotplugPorts().read(root) == spare
    assert count(root) - count(tree(hotplugPorts=spare)) == 2, "and one for each disk"


def test_the_board_pc_has_none() -> None:
    root = tree(machine={"type": "pc"})
    assert (count(root), ports.HotplugPorts().read(root)) == (0, None)
    assert ports.spare(patched(root, "spec.machine.type", "spec.hotplugPorts")) == 4, "until it is a q35"


def test_one_comes_and_goes_with_each_device() -> None:
    root = tree(**disks("a"))
    before = count(root)
    more = patched(root, "spec.disks[b]", **disks("a", "b"))
    assert (count(more), ports.spare(more)) == (before + 1, 4)
    less = patched(more, "spec.disks[b]", **disks("a"))
    assert (count(less), ports.spare(less)) == (before, 4)


def test_a_port_that_is_taken_stays() -> None:
    root = tree()
    top = count(root)
    disk = root.find("devices/controller[@type='usb']")
    add(disk, "address", type="pci", domain="0x0000", bus=hex(top), slot="0x00", function="0x0")
    patched(root, "spec.hotplugPorts", hotplugPorts=1)
    assert count(root) == top
    assert ports.HotplugPorts().read(root) == 1, "there are as many as asked for, and no less"


def test_what_runs_has_what_it_was_started_with() -> None:
    root = tree(hotplugPorts=2)
    root.set("id", "7")
    add(root.find("devices"), "interface", type="bridge")
    assert ports.spare(root) == 1
    assert ports.HotplugPorts().read(root) == 2
    del root.attrib["id"]
    assert ports.HotplugPorts().read(root) == 1, "a definition that lost one differs"


def test_one_of_ours_from_before_the_note_has_the_default_and_one_of_others_what_is_there() -> None:
    root = tree(hotplugPorts=2)
    note = metadata.read(root)
    metadata.write(root, note._replace(ports=None))
    assert ports.HotplugPorts().read(root) == ports.DEFAULT
    metadata.erase(root)
    assert ports.HotplugPorts().read(root) == 2


def test_an_adopted_domain_keeps_its_ports() -> None:
    root = tree(hotplugPorts=4)
    adopted = Mark(MARK.owner, MARK.digest, adopted=True)
    metadata.write(root, metadata.Note(mark=adopted))
    before = count(root)
    patched(root, "spec.disks[a]", mark=adopted, **disks("a"))
    assert count(root) == before
    assert metadata.read(root).ports is None


def test_a_number_that_is_not_said_any_more_stays_as_it_was() -> None:
    """A document that owns only what it names, or ignores the field: no other change touches the number."""
    root = tree(hotplugPorts=8)
    patched(root, "spec.disks[a]", **disks("a"))
    assert ports.spare(root) == ports.HotplugPorts().read(root) == 8


def test_reading_is_part_of_the_observation() -> None:
    assert observe.parse(xml.parse(xml.text(tree(hotplugPorts=3)))).spec.hotplug_ports == 3
