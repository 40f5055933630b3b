"""Domains of others as documents: taken over by marks alone, and what the model does not know is told and stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from lxml import etree

from cell_reconciler.cli.exported import Export, export, notes
from cell_reconciler.kinds.virtual_machine import actions, codec, observe, patch, xml
from cell_reconciler.kinds.virtual_machine.actions import Redefine
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.load import Specs, write
from cell_reconciler.model.change import Plan, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain, Live, Pool
from cell_reconciler.planning import Policy, make_plan
from tests.kinds.vm import surroundings
from tests.kinds.vm.make import VM, pool, vm, world
from tests.kinds.vm.make import planned as plan_of
from tests.kinds.vm.schema import rendered
from tests.kinds.vm.specs import specs
from tests.livelinks import bridge

OLD = (Path(__file__).parent / "data" / "old.inactive.xml").read_text()


def live(name: str, inactive: str) -> Live:
    """A host with this domain, and with the bridges that it is on."""
    domain = Domain(uuid="u", name=name, state="shutoff", inactive=inactive, active=None)
    names = {source.get("bridge") or "" for source in xml.parse(inactive).findall("devices/interface/source")}
    return Live(host="h1", domains={name: domain}, links={link: bridge(link, foreign=True) for link in names})


def planned(found: Export, around: Live) -> Plan:
    """The plan for the exported documents, with a host document beside them."""
    host = "apiVersion: cell/v1\nkind: Host\nmetadata: {name: h1}\nspec: {domainType: qemu}\n"
    files = {str(key): found.text(key).encode() for key in found.documents}
    files |= {str(key): write.document(dict(doc.given), ()).encode() for key, doc in found.pools.items()}
    loaded = Specs((), "h1", fixed={"host.yaml": host.encode(), **files}).scan(around)
    assert not [d for d in loaded.diagnostics if d.severity == "error"], loaded.diagnostics
    return make_plan("h1", loaded, around, Policy())


def test_a_domain_made_by_hand_is_written_down_and_taken_over_by_a_mark() -> None:
    around = live("old", OLD.replace("</features>", "<vmport state='off'/></features>"))
    found = export(("VirtualMachine",), around)
    ((key, document),) = found.documents.items()
    assert document["metadata"]["annotations"] == {"cell/adopt": "true"}
    assert document["spec"] == {
        "uuid": "3d6c1d1e-0a55-4c0a-9a7e-0f9d4b1c2a33",
        "cpu": {"sockets": 2, "maxSockets": 2, "mode": "custom", "model": "qemu64"},
        "memory": {"guest": "256MiB"},
        "machine": {"type": "pc-i440fx-7.2"},
        "disks": [
            {
                "name": "vda",
                "source": {"file": {"path": "/var/lib/libvirt/images/local/web-root.raw"}},
                "cache": "writeback",
                "discard": "ignore",
                "serial": "abc",
            },
            {
                "name": "sdb",
                "source": {"file": {"path": "/somewhere/else.img"}},
                "bus": "sata",
                "cache": "default",
                "discard": "ignore",
            },
        ],
        "cdroms": [{"name": "sda", "bus": "sata"}],
        "interfaces": [
            {"name": "net0", "bridge": "br-VM", "model": "e1000", "mac": "52:54:00:aa:bb:01"},
            {"name": "net1", "bridge": "br-VM", "model": "rtl8139", "mac": "52:54:00:aa:bb:02"},
        ],
        "video": "cirrus",
        "watchdog": {},
        "guestAgent": False,
        "rng": False,
        "clock": {"hpet": True, "rtcTickPolicy": "delay", "pitTickPolicy": "catchup"},
        "features": {"hyperv": {"relaxed": True}},
    }
    said = "\n".join(notes(found))
    for word in ("vmport",):
        assert word in said
    (change,) = (c for c in planned(found, around).changes if c.key == key)
    assert (change.verb, change.fields, [s.op for s in change.steps]) == (Verb.ADOPT, (), ["vm.adopt"])


HANDED = """
<hostdev mode='subsystem' type='pci' managed='yes'><driver name='vfio'/><source>
  <address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source></hostdev>
<hostdev mode='subsystem' type='usb' managed='yes'><source>
  <vendor id='0x0529'/><product id='0x0001'/></source></hostdev>
<hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci'><source>
  <address uuid='4b20d080-1b54-4048-85b3-a6a62d165c01'/></source></hostdev>
<interface type='hostdev' managed='yes'><mac address='52:54:00:aa:bb:09'/>
  <source><address type='pci' domain='0x0000' bus='0x18' slot='0x02' function='0x0'/></source>
  <vlan><tag id='7'/></vlan></interface>
</devices>"""


def test_devices_of_the_host_are_written_down_and_taken_over_as_they_are() -> None:
    around = live("old", OLD.replace("</devices>", HANDED))
    found = export(("VirtualMachine",), around)
    ((key, document),) = found.documents.items()
    assert document["spec"]["hostDevices"] == [
        {"name": "host0", "pci": {"address": "0000:3b:00.1"}},
        {"name": "host1", "usb": {"id": "0529:0001"}},
        {"name": "host2", "mdev": {"uuid": "4b20d080-1b54-4048-85b3-a6a62d165c01"}},
    ]
    function = {"name": "net2", "sriov": {"address": "0000:18:02.0"}, "vlan": 7, "mac": "52:54:00:aa:bb:09"}
    assert document["spec"]["interfaces"][2] == function
    (change,) = (c for c in planned(found, around).changes if c.key == key)
    assert (change.verb, change.fields, [s.op for s in change.steps]) == (Verb.ADOPT, (), ["vm.adopt"])
    (adopt,) = change.steps
    root = xml.parse(OLD.replace("</devices>", HANDED))
    assert isinstance(adopt.action, actions.Redefine)
    names = observe.names_of(observe.parse(root), adopt.action.known)
    assert set(names.values()) >= {"host0", "host1", "host2", "net2"}


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("<memory", "<description>a&#x7f;b</description><memory", "U+007F"),
        ("</devices>", "<sound model='ich9'/></devices>", "sound"),
        ("</devices>", "<hostdev mode='subsystem' type='scsi'/></devices>", "a host device of type scsi"),
        ("</devices>", "<channel type='unix'><target type='virtio' name='org.x'/></channel></devices>", "org.x"),
        ("type='vnc'", "type='spice'", "spice"),
        ("<clock", "<cputune><period>9000</period></cputune><clock", "<period> in <cputune>"),
        ("type='bridge'", "type='user'", "user:"),
        ("device='cdrom'", "device='floppy'", "floppy"),
        ("<clock offset='utc'/>", "<clock offset='variable' adjustment='9' basis='utc'/>", "offset variable"),
        ("<clock offset='utc'/>", "<clock offset='utc'><timer name='tsc'/></clock>", "timer tsc"),
        ("</features>", "<hyperv mode='passthrough'/></features>", "Hyper-V in mode passthrough"),
    ],
)
def test_what_the_model_does_not_know_is_told(old: str, new: str, word: str) -> None:
    around = live("old", OLD.replace(old, new))
    found = export(("VirtualMachine",), around)
    assert word in "\n".join(notes(found))
    (change,) = (c for c in planned(found, around).changes if c.key.kind == VM.name)
    assert [s.op for s in change.steps] == ["vm.adopt"]


def test_the_system_that_virt_install_noted_is_its_guest_os() -> None:
    """And what that gives anyway is not written; what the domain lacks of it is."""
    uri = "http://libosinfo.org/xmlns/libvirt/domain/1.0"
    note = f'<os:libosinfo xmlns:os="{uri}"><os:os id="http://microsoft.com/win/2k22"/></os:libosinfo>'
    clock = "<clock offset='localtime'><timer name='hypervclock' present='yes'/></clock>"
    text = OLD.replace("<memory", f"<metadata>{note}</metadata><memory", 1).replace("<clock offset='utc'/>", clock)
    assert text.count(note) == text.count(clock) == 1
    around = live("old", text)
    ((_, document),) = export(("VirtualMachine",), around).documents.items()
    spec = document["spec"]
    assert spec["guestOS"] == "win2k22"
    assert spec["clock"] == {"hpet": True, "rtcTickPolicy": "delay", "pitTickPolicy": "catchup"}
    assert spec["features"]["hyperv"]["vpindex"] is False
    assert "relaxed" not in spec["features"]["hyperv"], "it has that, as the system gives it"


@given(specs())
def test_whatever_a_domain_has_its_export_needs_nothing_but_the_mark(doc: Document) -> None:
    root = rendered(VM.plan(doc, None, surroundings.around(doc)))
    codec.drop(root, "metadata")
    codec.drop(root, "devices/*/alias")
    around = live("any", xml.text(root))
    found = export(("VirtualMachine",), around)
    assert [key.name for key in found.documents] == ["any"], list(notes(found))
    (document,) = found.documents.values()
    assert len(document["spec"].get("disks", ())) == len(doc.spec.disks), list(notes(found))
    for change in planned(found, around).changes:
        if change.key.kind == VM.name:
            assert (change.fields, [s.op for s in change.steps]) == ((), ["vm.adopt"])
    assert not [text for text in notes(found) if "is not declared: it would be changed" in text]


DISKS = """
<disk type='block' device='lun' sgio='filtered'><driver name='qemu' type='raw'/>
  <source dev='/dev/disk/by-id/wwn-0x1'><reservations managed='yes'/></source><target dev='sdc' bus='scsi'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw' error_policy='stop'/>
  <source protocol='rbd' name='rbd/cc/ccvm'><host name='10.0.0.1'/><config file='/etc/ceph/h1.conf'/></source>
  <auth username='admin'><secret type='ceph' uuid='11111111-1111-1111-1111-111111111111'/></auth>
  <target dev='vdb' bus='virtio'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/>
  <source protocol='iscsi' name='iqn.2026-11.io.cell:p/1'><host name='fd00::1' port='3260'/></source>
  <target dev='vdc' bus='virtio'/></disk>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/a.qcow2'/>
  <target dev='vdd' bus='virtio'/></disk>
<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/sdq'/>
  <target dev='vde' bus='virtio'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/>
  <source protocol='nbd' name='x'><host name='10.0.0.1' port='10809'/></source><target dev='vdf' bus='virtio'/></disk>
<disk type='block' device='cdrom'><driver name='qemu' type='raw'/><source dev='/dev/sr0'/>
  <target dev='sdr' bus='sata'/><readonly/></disk>
"""


def test_disks_of_every_kind() -> None:
    """In a declared pool by volume, elsewhere by source; what is no RAW disk, or has no stable name, stays as it is."""
    before = OLD.replace("<controller type='usb'", f"{DISKS}<controller type='usb'", 1)
    images = pool("images", "/var/lib/libvirt/images/local")
    there = Pool(name="images", backend="directory", target="/var/lib/libvirt/images/local", exists=True)
    around = msgspec.structs.replace(live("old", before), pools={"images": there})
    found = export(("VirtualMachine",), around, pools={images.key: images})
    ((key, document),) = found.documents.items()
    login = {"user": "admin", "secret": {"uuid": "11111111-1111-1111-1111-111111111111"}}
    places = {d["name"]: d.get("volume") or d["source"] for d in document["spec"]["disks"]}
    assert places == {
        "vda": "images/web-root",
        "sdb": {"file": {"path": "/somewhere/else.img"}},
        "sdc": {"block": {"path": "/dev/disk/by-id/wwn-0x1"}},
        "vdb": {"rbd": {"monitors": ["10.0.0.1"], "pool": "rbd", "namespace": "cc", "image": "ccvm", **login}},
        "vdc": {"iscsi": {"portal": "[fd00::1]:3260", "target": "iqn.2026-11.io.cell:p", "lun": 1}},
    }
    (lun,) = (d for d in document["spec"]["disks"] if d["name"] == "sdc")
    assert (lun["device"], lun["reservations"]) == ("lun", True)
    assert [drive["name"] for drive in document["spec"]["cdroms"]] == ["sda"]
    said = "\n".join(notes(found))
    for words in (
        "disk vdd (/images/a.qcow2 (qcow2)) cannot be declared",
        "disk vdf (nbd:x) cannot be declared",
        "/dev/sdq may be another disk after the next boot",
        "drive sdr (block:/dev/sr0) cannot be declared",
        'sgio="filtered" of disk sdc cannot be declared',
        'error_policy="stop", <config> of disk vdb cannot be declared',
    ):
        assert words in said
    (change,) = (c for c in planned(found, around).changes if c.key == key)
    assert (change.fields, [s.op for s in change.steps]) == ((), ["vm.adopt"])


def test_one_changed_field_of_a_disk_changes_exactly_that() -> None:
    before = OLD.replace("<controller type='usb'", f"{DISKS}<controller type='usb'", 1)
    around = live("old", before)
    found = export(("VirtualMachine",), around)
    ((key, document),) = found.documents.items()
    (lun,) = (d for d in document["spec"]["disks"] if d["name"] == "sdc")
    lun["source"]["block"]["path"] = "/dev/disk/by-id/wwn-0x2"
    (change,) = (c for c in planned(found, around).changes if c.key == key)
    assert [f.path for f in change.fields] == ["spec.disks[sdc].source"]
    redefine = change.steps[0].action
    assert isinstance(redefine, Redefine)
    root = xml.parse(before)
    names = observe.names_of(observe.parse(root), observe.Known(redefine.spec, redefine.sources))
    patch.apply(root, redefine.spec, Context(redefine.sources, names), redefine.paths, redefine.mark)
    codec.drop(root, "metadata")
    codec.drop(root, "devices/*/alias")
    assert canonical(root) == canonical(xml.parse(before.replace("wwn-0x1", "wwn-0x2")))


def canonical(root: Any) -> str:
    """Without white space and our metadata."""
    codec.drop(root, "metadata")
    for element in root.iter():
        element.text, element.tail = (element.text or "").strip(), ""
    return str(etree.tostring(root, method="c14n").decode())


def test_a_disk_in_another_format_is_not_taken_for_a_raw_one() -> None:
    around = live("old", OLD.replace("type='raw' cache='writeback'", "type='qcow2'"))
    doc = vm("old", {"cell/adopt": "true"}, disks=[{"name": "vda", "volume": "images/web-root"}])
    images = pool("images", "/var/lib/libvirt/images/local")
    change = plan_of(doc, world(images, doc, live=around))
    assert [refusal.reason for refusal in change.refused] == ["Format"]
    assert "web-root.raw (qcow2)" in change.refused[0].message
    assert change.steps == ()
