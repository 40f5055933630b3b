"""VMs that others made, on a real libvirt: written down, taken over by a mark, changed field by field, given up again.

Of every domain: the export is valid and its plan nothing but the mark; taking it over writes our mark, and the names of
its devices, and nothing else; each changed field changes what is about it in the XML, and the rest stays as it was in
every byte that libvirt shows; giving it up leaves the XML that was there before.
"""

from __future__ import annotations

import copy
import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from cell_reconciler.cli.exported import Export, export
from cell_reconciler.kinds.compare import plain
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.kinds.world import build
from cell_reconciler.load import Specs, write
from cell_reconciler.model.change import Change, Verb
from cell_reconciler.model.document import Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live
from cell_reconciler.planning import Policy, make_plan
from tests.kinds.vm.make import VM, carry_out
from tests.live import domains
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture
from tests.livelinks import bridge

pytestmark = pytest.mark.live

HOST = b"apiVersion: cell/v1\nkind: Host\nmetadata: {name: h1}\nspec: {domainType: qemu}\n"
MARKED = r"metadata(/\{https://ablestack.io/cell/v1\}vm)?"
NAMED = r"devices/\w+(\[[^]]*\])?/alias"
CHANGES = 3  # fields that are changed in each domain
CORPUS = dict((*domains.made_by_virt_install(), *domains.made_by_hand()))


class Field(NamedTuple):
    """A field to change. ``values``: the first that differs is taken. ``where``: what is about it in the XML.

    ``kept``: set back, all is as before; else a device went and came, or what was there cannot be said in a document.
    """

    path: str
    values: tuple[Any, ...]
    where: str
    kept: bool = True


def _device(tag: str) -> str:
    """A device comes or goes, and with it maybe what it is plugged into."""
    return rf"devices/({tag}|controller)(\[[^]]*\])?(/.*)?"


FIELDS = (
    Field("description", ("by a test",), "description"),
    Field("memory.guest", ("512MiB", "640MiB"), f"memory|currentMemory|cpu/numa/cell|{_device('memory')}"),
    Field("cpu.features.disable", (["hle"], ["rtm"]), "cpu|cpu/feature"),
    Field("cpu.mode", ("host-model",), "cpu(/.*)?", kept=False),
    Field("cpu.shares", (2048, 1024), "cputune(/shares)?", kept=False),
    Field("memory.current", ("128MiB", "192MiB"), "currentMemory", kept=False),
    Field("graphics.listen", ("127.0.0.9", "127.0.0.8"), "devices/graphics(/listen)?", kept=False),
    Field("video", ("bochs", "vga"), _device("video"), kept=False),
    Field("watchdog.action", ("pause", "reset"), _device("watchdog"), kept=False),
    Field("guestAgent", (True, False), _device("channel"), kept=False),
    Field("rng", (True, False), _device("rng"), kept=False),
    Field("serialConsole", (True, False), _device("serial|console"), kept=False),
    Field("memory.balloon", (True, False), _device("memballoon"), kept=False),
    Field("clock.kvmClock", (True, False), "clock|clock/timer", kept=False),
    Field("clock.offset", ("localtime", "utc"), "clock"),
    Field("clock.hpet", (True, False), "clock|clock/timer", kept=False),
    Field("features.hyperv.relaxed", (True, False), "features(/hyperv(/relaxed)?)?", kept=False),
    Field("features.hyperv.vendorId", ("Somebody", "Nobody"), "features(/hyperv(/vendor_id)?)?", kept=False),
    Field("graphics.port", (5998, 5999), "devices/graphics(/listen)?", kept=False),
    Field("vsock.cid", (77, 78), _device("vsock"), kept=False),
    Field("hotplugPorts", (20, 21), "devices/controller(/.*)?", kept=False),
    Field("ioThreads", (4, 5), "iothreads|iothreadids(/.*)?", kept=False),
    Field("tpm.model", ("tpm-tis", "tpm-crb"), _device("tpm"), kept=False),
    Field("memory.hugepages.pageSize", ("1GiB", "2MiB"), "memoryBacking(/hugepages(/page)?)?", kept=False),
    Field("interfaces[].link", ("down", "up"), r"devices/interface\[[^]]*\]/link"),
    Field("interfaces[].bridge", ("br-VM.102",), r"devices/interface\[[^]]*\]/source"),
    Field("interfaces[].mtu", (1400, 9000), r"devices/interface\[[^]]*\]/mtu"),
    Field("interfaces[].model", ("e1000e", "virtio"), r"devices/interface\[[^]]*\]/model"),
    Field("interfaces[].queues", (2, 3), r"devices/interface\[[^]]*\]/(driver|model)"),
    Field(
        "interfaces[].bandwidth.inbound.average", (777, 778), r"devices/interface\[[^]]*\]/bandwidth(/.*)?", kept=False
    ),
    Field("interfaces[].filter.name", ("no-mac-spoofing",), r"devices/interface\[[^]]*\]/filterref(/.*)?", kept=False),
    Field("interfaces[].bootOrder", (7, 8), r"devices/interface\[[^]]*\]/boot|os/boot", kept=False),
    Field("disks[].cache", ("writethrough", "none"), r"devices/disk\[[^]]*\]/driver"),
    Field("disks[].detectZeroes", ("on", "off"), r"devices/disk\[[^]]*\]/driver"),
    Field("disks[].shareable", (True, False), r"devices/disk\[[^]]*\](/shareable)?", kept=False),
    Field("disks[].serial", ("S-1", "S-2"), r"devices/disk\[[^]]*\]/serial"),
    Field("disks[].iotune.totalIopsSec", (123, 124), r"devices/disk\[[^]]*\]/iotune(/\w+_sec(_max)?)?", kept=False),
    Field(
        "cdroms[].media",
        ("/iso/a.iso", "/iso/b.iso"),
        r"devices/disk\[[^]]*\]|devices/disk\[[^]]*\]/source(/.*)?",
        kept=False,
    ),
)


class Taken:
    """One domain of somebody else."""

    name = domains.NAME
    key = Key("VirtualMachine", name)

    def __init__(self, site: Site, text: str) -> None:  # noqa: F811
        import libvirt

        self.doors = site.doors
        self.connection = libvirt.open(self.doors.libvirt.uri)
        self.text = re.sub("<name>[^<]*</name>", f"<name>{self.name}</name>", text, count=1)
        self.connection.defineXML(self.text)
        self.connection.defineXML(self.xml())  # some of its own XML it reads otherwise than it meant it, once

    def xml(self) -> str:
        """With its passwords."""
        return self.doors.libvirt.dump(self.name)

    def active(self) -> str:
        """The running instance."""
        return str(self.connection.lookupByName(self.name).XMLDesc(0))

    def live(self) -> Live:
        """The host with this domain alone, and the bridges that it is on."""
        seen = self.doors.libvirt.observe({self.name})
        names = {"br-VM", "br-VM.102", *re.findall("bridge=[\"']([^\"']+)", self.text)}
        links = {name: bridge(name, foreign=True) for name in names}
        return Live(host="h1", links=links, **seen)

    def exported(self) -> Export:
        return export((self.key.kind,), self.live())

    def load(self, given: dict[str, Any], live: Live) -> Loaded:
        """The document's text as the loader takes it, with all rules."""
        return Specs((), "h1", fixed={"host.yaml": HOST, "vm.yaml": write.document(given, ()).encode()}).scan(live)

    def valid(self, given: dict[str, Any]) -> bool:
        return not [d for d in self.load(given, self.live()).diagnostics if d.severity == "error"]

    def plan(self, given: dict[str, Any]) -> Change:
        """As ``diff`` makes it: all kinds are asked."""
        live = self.live()
        loaded = self.load(given, live)
        assert not [d for d in loaded.diagnostics if d.severity == "error"], loaded.diagnostics
        plan = make_plan("h1", loaded, live, Policy())
        return next(change for change in plan.changes if change.key == self.key)

    def converge(self, given: dict[str, Any]) -> Change:
        """Carry the plan out; then there is nothing left to do."""
        change = self.plan(given)
        assert not change.refused, change.refused
        carry_out(change, self.doors)
        again = self.plan(given)
        assert again.quiet, [(f.path, f.have, f.want) for f in again.fields] + [s.text for s in again.steps]
        return change

    def give_up(self) -> None:
        around: World = build("h1", {}, self.live())
        carry_out(VM.plan(None, VM.observe(self.name, around), around), self.doors)

    def spec(self) -> Any:
        have = VM.observe(self.name, build("h1", {}, self.live()))
        assert have is not None
        return have.spec


@pytest.fixture
def brownfield(site: Site) -> Iterator[Site]:  # noqa: F811
    yield site
    site.doors.libvirt.undefine(Taken.name)


@pytest.mark.parametrize("which", CORPUS)
def test_taken_over_changed_and_given_up(brownfield: Site, which: str) -> None:
    taken = Taken(brownfield, CORPUS[which])
    before = taken.xml()
    found = taken.exported()
    given = found.documents[taken.key]
    change = taken.converge(given)
    assert (change.verb, change.fields, [s.op for s in change.steps]) == (Verb.ADOPT, (), ["vm.adopt"])
    adopted = taken.xml()
    assert strange(before, adopted, f"{MARKED}|{NAMED}") == []
    taken.give_up()
    assert taken.xml() == before

    taken.converge(given)
    assert taken.xml() == adopted
    for field, path in chosen(given, which):
        _change(taken, given, adopted, field, path)
    taken.give_up()
    assert taken.xml() == before


def _change(taken: Taken, given: dict[str, Any], adopted: str, field: Field, path: str) -> None:
    """Change one field, look, and set it back."""
    old = value_at(given["spec"], path)
    old = value_at(plain(taken.spec()), path) if old is None else old
    value = next((value for value in field.values if value != old), None)
    changed = given if value is None else with_value(given, path, value)
    if value is None or not taken.valid(changed):
        return  # queues of a card that has none, and the like
    taken.converge(changed)
    after = taken.xml()
    device = re.search(r"\[[^]]*\]", path)
    assert strange(adopted, after, f"{MARKED}|{field.where}") == [], path
    found = {entry.path for entry in different(adopted, after) if not re.fullmatch(MARKED, entry.path)}
    assert found, f"{path} is nowhere in the XML"
    if device and field.kept:
        assert len({re.sub(r"\].*", "]", text) for text in found}) == 1, "of one device"
    if field.kept and old is not None and taken.valid(with_value(given, path, old)):
        taken.converge(with_value(given, path, old))
        assert strange(adopted, taken.xml(), MARKED) == [], path
    taken.connection.defineXML(adopted)
    assert taken.xml() == adopted


def chosen(given: dict[str, Any], which: str) -> list[tuple[Field, str]]:
    """Some fields of the document, others for every domain, and of each list one item."""
    dice, found = random.Random(which), []
    for field in FIELDS:
        part, _, _ = field.path.partition("[")
        items = given["spec"].get(part) if "[" in field.path else None
        if items:
            found.append((field, field.path.replace("[]", f"[{dice.choice(items)['name']}]")))
        elif "[" not in field.path and given["spec"].get(part.partition(".")[0], {}) != {"type": "none"}:
            found.append((field, field.path))
    return dice.sample(found, min(CHANGES, len(found)))


def value_at(spec: Any, path: str) -> Any:
    """What a spec in plain values has at ``cpu.mode`` or ``interfaces[lan].link``; None: absent."""
    value = spec
    for word in re.split(r"\.|(?=\[)", path):
        if value is None:
            return None
        if word.startswith("["):
            value = next((item for item in value if item["name"] == word[1:-1]), None)
        else:
            value = value.get(word)
    return value


def with_value(given: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The document with another value there."""
    changed = copy.deepcopy(given)
    at: Any = changed["spec"]
    *words, last = re.split(r"\.|(?=\[)", path)
    for word in words:
        at = next(item for item in at if item["name"] == word[1:-1]) if word[0] == "[" else at.setdefault(word, {})
    at[last] = value
    return changed


class Entry(NamedTuple):
    """An element, a comment or a text of an XML, where it stands and what it says itself."""

    path: str
    said: str


def entries(text: str) -> list[Entry]:
    """Everything that the XML says, in its order. White space counts in metadata, where libvirt keeps it."""
    return list(_entries(xml.parse(text), ""))


def _entries(element: Any, path: str) -> Iterator[Entry]:
    for child in element:
        named = child.find("target") if child.tag == "disk" else child.find("mac")
        handle = "" if named is None else f"[{named.get('dev') or named.get('address') or ''}]"
        tag = child.tag if isinstance(child.tag, str) else "!"
        here = f"{path}/{tag}{handle}".lstrip("/")
        texts = (child.text or "", child.tail or "")
        kept = texts if path.startswith("metadata/") else tuple(text.strip() for text in texts)
        yield Entry(here, f"{sorted(child.attrib.items())} {kept}")
        if isinstance(child.tag, str):
            yield from _entries(child, here)


def different(before: str, after: str) -> list[Entry]:
    """What stands in one of the two only, or at another place."""
    one, two = entries(before), entries(after)
    gone, new = Counter(one) - Counter(two), Counter(two) - Counter(one)
    moving = {entry for entry in (*one, *two) if entry.path == "devices/controller"}  # libvirt itself sorts those
    stays = [[entry for entry in side if entry not in (gone | new) and entry not in moving] for side in (one, two)]
    assert stays[0] == stays[1], f"the order is another one: {[a for a, b in zip(*stays, strict=False) if a != b][:1]}"
    return [*gone.elements(), *new.elements()]


def strange(before: str, after: str, where: str) -> list[Entry]:
    """What differs elsewhere."""
    return [entry for entry in different(before, after) if not re.fullmatch(where, entry.path)]


# -- in a state of its own -----------------------------------------------------------------------------------------

BUSY = """<domain type='qemu'><name>taken-over</name><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/><target dev='vda'/></disk>
<interface type='bridge'><mac address='52:54:00:ab:cd:ef'/><source bridge='br-VM'/><model type='virtio'/></interface>
<graphics type='vnc' passwd='secret12'/></devices></domain>"""


@pytest.fixture
def busy(brownfield: Site) -> Iterator[Taken]:
    """A domain with a qcow2 disk, off."""
    disk = brownfield.disks / "busy.qcow2"
    brownfield.lab.exec(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "16M"], check=True)
    taken = Taken(brownfield, BUSY.format(disk=disk))
    yield taken
    brownfield.doors.libvirt.destroy(Taken.name)


def test_taken_over_and_given_up_while_it_runs(brownfield: Site, busy: Taken) -> None:
    before = busy.xml()
    brownfield.doors.libvirt.start(Taken.name)
    pid, active = brownfield.qemu(Taken.name), busy.active()
    given = busy.exported().documents[busy.key]
    assert [s.op for s in busy.converge(given).steps] == ["vm.adopt"]
    assert busy.active() == active, "nothing happens to what runs"
    moved = with_value(given, "interfaces[net0].bridge", "br-VM.102")
    assert [s.op for s in busy.converge(moved).steps] == ["vm.redefine", "vm.move-interface"]
    assert [s.op for s in busy.converge(given).steps] == ["vm.redefine", "vm.move-interface"]
    assert "secret12" in busy.xml()
    busy.give_up()
    assert (busy.xml(), brownfield.qemu(Taken.name)) == (before, pid)


def test_a_transient_domain_is_left_out_and_left_alone(busy: Taken) -> None:
    busy.doors.libvirt.undefine(Taken.name)
    busy.connection.createXML(busy.text)
    found = busy.exported()
    assert busy.key not in found.documents
    assert "transient" in found.left_out[busy.key]
    change = busy.plan(document(memory={"guest": "128MiB"}))
    assert ([r.reason for r in change.refused], change.steps) == (["Transient"], ())


@pytest.mark.parametrize("state", ["ManagedSave", "HasSnapshots"])
def test_a_domain_that_is_kept_somewhere_is_told_and_not_changed(busy: Taken, state: str) -> None:
    domain = busy.connection.lookupByName(Taken.name)
    if state == "ManagedSave":
        domain.create()
        domain.managedSave()
    else:
        domain.snapshotCreateXML("<domainsnapshot><name>one</name></domainsnapshot>")
    try:
        before = busy.xml()
        assert busy.exported().documents[busy.key]["spec"]["memory"] == {"guest": "64MiB"}
        change = busy.plan(document(memory={"guest": "128MiB"}))
        assert ([r.reason for r in change.refused], change.steps) == ([state], ())
        assert busy.xml() == before
    finally:
        domain.undefineFlags(libvirt_flags("MANAGED_SAVE", "SNAPSHOTS_METADATA"))


def document(**spec: Any) -> dict[str, Any]:
    metadata = {"name": Taken.name, "annotations": {"cell/adopt": "true"}}
    return {"apiVersion": "cell/v1", "kind": "VirtualMachine", "metadata": metadata, "spec": spec}


def libvirt_flags(*names: str) -> int:
    import libvirt

    return sum(int(getattr(libvirt, f"VIR_DOMAIN_UNDEFINE_{name}")) for name in names)
