"""The drive with drivers that a Windows VM gets by the Cluster document: who gets it, who does not, what it takes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cell_reconciler.kinds.virtual_machine import guest_drivers, xml
from cell_reconciler.model.change import Cause
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain
from tests.kinds.vm.hosts import on
from tests.kinds.vm.make import VM, document, planned, vm
from tests.kinds.vm.schema import domain_schema, rendered

ISO = "/usr/share/virtio-win/virtio-win.iso"
NIC = {"name": "eth0", "bridge": "br-x", "model": "virtio"}
WINDOWS: dict[str, Any] = {"guestOS": "win2k22", "interfaces": [NIC]}


def cluster(path: str | None = ISO) -> Document:
    spec = {} if path is None else {"driverImages": {"windows": path}}
    return document({"apiVersion": "cell/v1", "kind": "Cluster", "metadata": {"name": "c"}, "spec": spec})


def drives(doc: Document, *others: Document) -> list[tuple[str, str]]:
    """Alias and medium of every drive that a new VM gets."""
    root = rendered(planned(doc, on(None, doc, *others)))
    domain_schema().assertValid(root)
    found = root.findall("devices/disk[@device='cdrom']")
    return [(d.find("alias").get("name"), s.get("file") if (s := d.find("source")) is not None else "") for d in found]


def test_windows_on_virtio_gets_a_drive_and_the_plan_says_so() -> None:
    doc = vm("web", **WINDOWS)
    assert drives(doc) == drives(doc, cluster(None)) == []
    assert drives(doc, cluster()) == [("ua-guest-drivers", ISO)]
    note = f"of guestOS win2k22: drive guest-drivers with {ISO}, as the Cluster document says"
    assert note in planned(doc, on(None, doc, cluster())).notes
    assert note in VM.defaults(doc, {d.key: d for d in (doc, cluster())})


IDE = [{"name": f"cd{index}"} for index in range(4)]


@pytest.mark.parametrize(
    "spec",
    [
        {"guestOS": "debian12"},
        {"guestOS": "winxp"},
        {"interfaces": [{**NIC, "model": "e1000e"}]},
        {"cdroms": [{"name": "guest-drivers"}]},
        {"cdroms": [{"name": "mine", "media": ISO}]},
        {"machine": {"type": "pc"}, "hotplugPorts": None, "cdroms": IDE},
        {"annotations": {"cell/adopt": "true"}},
    ],
)
def test_who_gets_none(spec: dict[str, Any]) -> None:
    given = {name: value for name, value in {**WINDOWS, **spec}.items() if value is not None}
    doc = vm("web", **given)
    assert guest_drivers.offered(doc, {d.key: d for d in (doc, cluster())}) is None


def test_the_board_pc_has_room_for_four_with_that_of_cloud_init() -> None:
    pc = {**WINDOWS, "machine": {"type": "pc"}}
    assert len(drives(vm("web", **pc, cdroms=IDE[:3]), cluster())) == 4
    seeded = vm("web", **pc, cdroms=IDE[:3], cloudInit={"userData": "#cloud-config\n"})
    assert guest_drivers.offered(seeded, {d.key: d for d in (seeded, cluster())}) is None


def _there(doc: Document, *others: Document, **facts: Any) -> Domain:
    text = xml.text(rendered(planned(doc, on(None, doc, *others))))
    return msgspec.structs.replace(Domain(uuid="", name="web", state="running", inactive=text, active=text), **facts)


def test_it_waits_for_a_restart_and_its_medium_does_not() -> None:
    doc = vm("web", **WINDOWS)
    before = _there(doc)
    assert planned(doc, on(None, doc, domains=(before,))).quiet
    change = planned(doc, on(None, doc, cluster(), domains=(before,)))
    assert [(f.path, f.pending) for f in change.fields] == [("spec.cdroms[guest-drivers]", True)]
    assert [step.op for step in change.steps] == ["vm.redefine"]
    assert change.cause == Cause.SPEC, "a document said so; nobody meddled"
    assert any("as the Cluster document says" in note for note in change.notes)

    after = _there(doc, cluster())
    assert planned(doc, on(None, doc, cluster(), domains=(after,))).quiet
    change = planned(doc, on(None, doc, cluster("/iso/newer.iso"), domains=(after,)))
    assert [(f.path, f.pending) for f in change.fields] == [("spec.cdroms[guest-drivers].media", False)]
    assert change.cause == Cause.SPEC
    text = (after.inactive or "").replace(ISO, "/iso/by-hand.iso")
    by_hand = msgspec.structs.replace(after, inactive=text, active=text)
    assert planned(doc, on(None, doc, cluster(), domains=(by_hand,))).cause == Cause.DRIFT


def test_an_adopted_vm_gets_none() -> None:
    doc = vm("web", **WINDOWS)
    text = (_there(doc).inactive or "").replace("</cell:vm>", ";adopted</cell:vm>")
    assert ";adopted<" in text
    adopted = _there(doc, inactive=text, active=text)
    assert planned(doc, on(None, doc, cluster(), domains=(adopted,))).quiet
