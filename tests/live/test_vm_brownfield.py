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
CHANGES = 4  # fields that are changed in each domain
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
    Field("memory.guest", ("512MiB", "640MiB"), "memory|currentMemory"),
    Field("cpu.features.disable", (["hle"], ["rtm"]), "cpu|cpu/feature"),
    Field("cpu.mode", ("host-model",), "cpu(/.*)?", kept=False),
    Field("graphics.listen", ("127.0.0.9", "127.0.0.8"), "devices/graphics(/listen)?", kept=False),
    Field("video", ("bochs", "vga"), _device("video"), kept=False),
    Field("watchdog.action", ("pause", "reset"), _device("watchdog"), kept=False),
    Field("guestAgent", (True, False), _device("channel"), kept=False),
    Field("rng", (True, False), _device("rng"), kept=False),
    Field("serialConsole", (True, False), _device("serial|console"), kept=False),
    Field("memory.balloon", (True, False), _device("memballoon"), kept=False),
    Field("clock.kvmClock", (True, False), "clock|clock/timer", kept=False),
    Field("ioThreads", (4, 5), "iothreads|iothreadids(/.*)?", kept=False),
    Field("tpm.model", ("tpm-tis", "tpm-crb"), _device("tpm"), kept=False),
    Field("memory.hugepages.pageSize", ("1GiB", "2MiB"), "memoryBacking(/hugepages(/page)?)?", kept=False),
    Field("interfaces[].link", ("down", "up"), r"devices/interface\[[^]]*\]/link"),
    Field("interfaces[].mtu", (1400, 9000), r"devices/interface\[[^]]*\]/mtu"),
    Field("interfaces[].model", ("e1000e", "virtio"), r"devices/interface\[[^]]*\]/model"),
    Field("interfaces[].queues", (2, 3), r"devices/interface\[[^]]*\]/(driver|model)"),
    Field(
        "interfaces[].bandwidth.inbound.average", (777, 778), r"devices/interface\[[^]]*\]/bandwidth(/.*)?", kept=False
    ),
    Field("interfaces[].filter.name", ("no-mac-spoofing",), r"devices/interface\[[^]]*\]/filterref(/.*)?", kept=False),
    Field("interfaces[].bootOrder", (7, 8), r"devices/interface\[[^]]*\]/boot|os/boot", kept=False),
    Field("disks[].cache", ("writethrough", "none"), r"devices/disk\[[^]]*\]/driver"),
    Field("disks[].serial", ("S-1", "S-2"), r"devices/disk\[[^]]*\]/serial"),
    Field("disks[].iotune.totalIopsSec", (123, 124), r"devices/disk\[[^]]*\]/iotune(/.*)?", kept=False),
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
        self.connection.defineXML(re.sub("<name>[^<]*</name>", f"<name>{self.name}</name>", text, count=1))
        self.connection.defineXML(self.xml())  # some of its own XML it reads otherwise than it meant it, once

    def xml(self) -> str:
        """With its passwords."""
        return self.doors.libvirt.dump(self.name)

    def live(self) -> Live:
        """The host with this domain alone, and the bridges that it is on."""
        seen = self.doors.libvirt.observe({self.name})
        sources = xml.parse(seen["domains"][self.name].inactive).findall("devices/interface/source[@bridge]")
        links = {str(source.get("bridge")): bridge(str(source.get("bridge")), foreign=True) for source in sources}
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
        assert self.plan(given).quiet, self.plan(given)
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
    old = value_at(taken.spec(), path)
    value = next((value for value in field.values if value != old), None)
    changed = given if value is None else with_value(given, path, value)
    if value is None or not taken.valid(changed):
        return  # queues of a card that has none, and the like
    if path == "memory.guest" and "<numa>" in adopted:
        return  # the cells make up the memory
    taken.converge(changed)
    after = taken.xml()
    device = re.search(r"\[[^]]*\]", path)
    assert strange(adopted, after, f"{MARKED}|{field.where}") == [], path
    found = {entry.path for entry in different(adopted, after) if not re.fullmatch(MARKED, entry.path)}
    assert found, f"{path} is nowhere in the XML"
    if device and field.kept:
        assert len({re.sub(r"\].*", "]", text) for text in found}) == 1, "of one device"
    if field.kept and old is not None:
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
    """What an observed spec has at ``cpu.mode`` or ``interfaces[lan].link``, as a document says it; None: absent."""
    value: Any = plain(spec)
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
