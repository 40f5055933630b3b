"""Any valid VirtualMachine document: every field of the model, and every value of its enums, in any combination.

Fields that depend on each other are drawn together, so that hardly anything has to be thrown away: what is thrown away
is what nobody looks at. ``test_specs`` sees that nothing of the model is missing.
"""

from __future__ import annotations

from hypothesis import assume
from hypothesis import strategies as st

from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from tests.kinds.vm.make import VM, vm
from tests.kinds.vm.specs.board import BOARDS, boards, runs
from tests.kinds.vm.specs.cpu import cpus, memories
from tests.kinds.vm.specs.disks import cdroms, disks
from tests.kinds.vm.specs.nics import host_devices, interfaces
from tests.kinds.vm.specs.words import Fields, names
from tests.kinds.vm.surroundings import CLUSTER


@st.composite
def specs(draw: st.DrawFn) -> Document:
    """A VirtualMachine named ``any`` that passes ``check``, beside a Cluster."""
    machine = draw(st.sampled_from(BOARDS))
    pc = "q35" not in machine.get("type", "q35")
    memory, cells = draw(memories())
    threads = draw(st.integers(0, 3))
    spec = {
        "memory": memory,
        "cpu": draw(cpus(threads, cells)),
        **({"machine": machine} if machine else {}),
        **({"ioThreads": threads} if threads or draw(st.booleans()) else {}),
        **draw(boards(pc)),
        **draw(runs()),
        **draw(_devices(pc, threads)),
    }
    if spec.get("guestOS") == "win2k22" or spec.get("features", {}).get("hyperv", {}).get("stimer"):
        spec["clock"] = {**spec.get("clock", {}), "hypervClock": True}
    doc = vm("any", **spec)
    assume(not [p for p in VM.check(doc, {doc.key: doc, CLUSTER.key: CLUSTER}) if p.severity == Severity.ERROR])
    return doc


@st.composite
def _devices(draw: st.DrawFn, pc: bool, threads: int) -> Fields:
    """All named devices; what a guest can boot from has a place in the order, or none."""
    found = draw(st.lists(names, max_size=6, unique=True))
    cut = draw(st.integers(0, len(found)))
    lists: dict[str, list[Fields]] = {
        "disks": [draw(disks(name, pc, threads)) for name in found[:cut]],
        "cdroms": [draw(cdroms(f"cd-{i}", pc)) for i in range(draw(st.integers(0, 2)))],
        "interfaces": [draw(interfaces(name)) for name in found[cut:]],
        "hostDevices": [{"name": f"host-{i}", **draw(host_devices)} for i in range(draw(st.integers(0, 2)))],
    }
    bootable = [item for items in lists.values() for item in items if "mdev" not in item]
    orders = draw(st.lists(st.integers(1, 500), unique=True, max_size=len(bootable)))
    chosen = draw(st.permutations(bootable))
    for item, order in zip(chosen, orders, strict=False):
        item["bootOrder"] = order
    return lists
