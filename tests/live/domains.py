"""Domains as others make them, for the tests of taking over what is there already.

``data/virt-install`` holds what ``virt-install --print-xml`` wrote for some seventy sets of options (the name of a
file says what it is about); ``data/parts.xml`` are pieces that other tools and people write by hand, each with where it
goes. All of it is defined on a real libvirt, so that the XML under test is what libvirt makes of it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from pathlib import Path

from lxml import etree

DATA = Path(__file__).parent / "data"
NAME = "taken-over"
BARE = """
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <!-- made by hand -->
  {top}
  <memory unit='MiB'>256</memory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type>{os}</os>
  <features><acpi/><apic/>{features}</features>
  {after}
  <devices>{devices}</devices>
  {last}
</domain>
"""
BOARDS = ("q35", "pc-q35-6.2", "pc", "pc-i440fx-5.2")
Q35_ONLY = {"iommu", "features of every kind"}
MIXED, OF = 24, 24  # domains of several parts, and how many


def made_by_virt_install() -> Iterator[tuple[str, str]]:
    """Names and XML, as the tool wrote it."""
    for path in sorted((DATA / "virt-install").glob("*.xml")):
        yield path.stem, path.read_text()


def made_by_hand() -> Iterator[tuple[str, str]]:
    """Each part alone, then several at random, always the same ones; of those that begin with one word, one."""
    parts = {str(part.get("name")): part for part in etree.parse(DATA / "parts.xml").getroot().iter("part")}
    for name, part in parts.items():
        yield name.replace(" ", "-"), _put_together([part])
    dice = random.Random(4)
    for index in range(MIXED):
        by_first = {name.split()[0]: name for name in dice.sample(sorted(parts), OF)}
        machine = dice.choice(BOARDS[:2] if Q35_ONLY & set(by_first.values()) else BOARDS)
        yield f"mixed-{index:02d}", _put_together([parts[name] for name in sorted(by_first.values())], machine)


def _put_together(parts: Collection[etree._Element], machine: str = "q35") -> str:
    places = dict.fromkeys(("top", "os", "features", "after", "devices", "last"), "")
    for part in parts:
        inside = (etree.tostring(child, encoding="unicode", with_tail=False) for child in part)
        places[str(part.get("place"))] += "".join(inside)
    return BARE.format(name=NAME, machine=machine, **places)
