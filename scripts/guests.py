"""Writes what cell-reconciler knows of guest operating systems, from the osinfo-db and the tzdata of this machine.

`scripts/guests.py` writes cell_reconciler/kinds/virtual_machine/guests.tsv and zones.txt, `--check` tells whether they
are what it would write. Facts only, and no more of them than the rules and defaults of VirtualMachine use.

The tables only grow, and an id keeps its family: the defaults of a VM come from the family, and a newer osinfo-db must
not change those of a VM that is there. What the database now says otherwise is told, and not written.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

OSINFO = Path("/usr/share/osinfo/os")
ZONES = Path("/usr/share/zoneinfo/tzdata.zi")
HERE = Path(__file__).resolve().parents[1] / "cell_reconciler/kinds/virtual_machine"
HEADER = "# id\tfamily\tMiB of memory at least\tdevices\tlong id\tname; written by scripts/guests.py\n"

# What the rules ask for, by PCI id (the old and the new one of virtio) or libosinfo's name of the chipset.
DEVICES = {
    "1af4/1001": "virtio-blk",
    "1af4/1042": "virtio-blk",
    "1af4/1004": "virtio-scsi",
    "1af4/1048": "virtio-scsi",
    "1af4/1000": "virtio-net",
    "1af4/1041": "virtio-net",
    "x86/q35": "q35",
}
# Systems that are younger than Debian 12's osinfo-db, under the ids that libosinfo gave them since: long id, name, and
# the system whose facts they have. An id that the database has goes before.
YOUNGER = {
    "debian12": ("http://debian.org/debian/12", "Debian 12", "debian11"),
    "debian13": ("http://debian.org/debian/13", "Debian 13", "debian11"),
    "ubuntu23.04": ("http://ubuntu.com/ubuntu/23.04", "Ubuntu 23.04", "ubuntu22.04"),
    "ubuntu23.10": ("http://ubuntu.com/ubuntu/23.10", "Ubuntu 23.10", "ubuntu22.04"),
    "ubuntu24.04": ("http://ubuntu.com/ubuntu/24.04", "Ubuntu 24.04 LTS", "ubuntu22.04"),
    "ubuntu24.10": ("http://ubuntu.com/ubuntu/24.10", "Ubuntu 24.10", "ubuntu22.04"),
    "ubuntu25.04": ("http://ubuntu.com/ubuntu/25.04", "Ubuntu 25.04", "ubuntu22.04"),
    **{f"fedora{n}": (f"http://fedoraproject.org/fedora/{n}", f"Fedora Linux {n}", "fedora37") for n in range(38, 43)},
    **{
        f"rhel9.{n}": (f"http://redhat.com/rhel/9.{n}", f"Red Hat Enterprise Linux 9.{n}", "rhel9.1")
        for n in range(2, 7)
    },
    "rhel10.0": ("http://redhat.com/rhel/10.0", "Red Hat Enterprise Linux 10.0", "rhel9.1"),
    "centos-stream10": ("http://centos.org/centos-stream/10", "CentOS Stream 10", "centos-stream9"),
    "almalinux10": ("http://almalinux.org/almalinux/10", "AlmaLinux 10", "almalinux9"),
    "rocky10": ("http://rockylinux.org/rocky/10", "Rocky Linux 10", "rocky9"),
    "win2k25": ("http://microsoft.com/win/2k25", "Microsoft Windows Server 2025", "win2k22"),
}


class Row(NamedTuple):
    """A line of the table."""

    id: str
    family: str
    memory: int  # MiB; 0: unknown
    devices: tuple[str, ...]
    long_id: str
    name: str

    def line(self) -> str:
        return "\t".join([self.id, self.family, str(self.memory), " ".join(self.devices), self.long_id, self.name])


class Database:
    """osinfo-db: what an OS has itself, and what it has from those that it derives from or clones."""

    def __init__(self, folder: Path) -> None:
        self.parts: dict[str, list[ElementTree.Element]] = {}
        for path in sorted(folder.rglob("*.xml")):
            for part in ElementTree.parse(path).getroot().findall("os"):  # the drivers of an OS are in files beside it
                self.parts.setdefault(part.get("id") or "", []).append(part)

    def rows(self) -> Iterator[Row]:
        for long_id in self.parts:
            family, name = self._text(long_id, "family"), self._text(long_id, "name")
            numbers = [int(word) for word in self._text(long_id, "version").split(".") if word.isdigit()]
            if family in ("win9x", "win16", "msdos") or (family == "winnt" and numbers < [6]):
                family = "windows-old"  # and DOS: the RTC has local time too, but of Hyper-V it knows nothing
            elif family == "winnt":
                family = "windows"
            for short_id in {part.text or "" for part in self._all(long_id, "short-id")}:
                yield Row(short_id, family or "other", self._memory(long_id), self._devices(long_id), long_id, name)

    def _all(self, long_id: str, path: str) -> list[ElementTree.Element]:
        return [found for part in self.parts.get(long_id, ()) for found in part.findall(path)]

    def _text(self, long_id: str, tag: str) -> str:
        return next((found.text or "" for found in self._all(long_id, tag)), "")

    def _parents(self, long_id: str) -> Iterator[str]:
        for relation in ("derives-from", "clones"):
            yield from (found.get("id") or "" for found in self._all(long_id, relation))

    def _devices(self, long_id: str) -> tuple[str, ...]:
        """Those with a driver of the OS's own or of the image that libosinfo knows, and ``no-bios``."""
        found = {word for long, word in DEVICES.items() if self._supports(long_id, long)}
        firmware = self._all(long_id, "firmware")
        if any((f.get("arch"), f.get("type"), f.get("supported")) == ("x86_64", "bios", "false") for f in firmware):
            found.add("no-bios")
        return tuple(sorted(found))

    def _supports(self, long_id: str, device: str) -> bool:
        own = [d for d in self._all(long_id, "devices/device") if (d.get("id") or "").endswith(f"/{device}")]
        if own:
            return own[-1].get("supported") != "false"
        return any(self._supports(parent, device) for parent in self._parents(long_id))

    def _memory(self, long_id: str) -> int:
        for resources in self._all(long_id, "resources"):
            if resources.get("arch") not in ("x86_64", "all"):
                continue
            if resources.get("inherit") == "true":
                return max((self._memory(parent) for parent in self._parents(long_id)), default=0)
            return int(resources.findtext("minimum/ram") or 0) // 2**20
        return 0


def guests(rows: Iterable[Row], before: str) -> tuple[str, list[str]]:
    """The table, and what the database says otherwise than the table before."""
    found = {row.id: row for row in rows}
    for short_id, (long_id, name, like) in YOUNGER.items():
        if like in found:
            found.setdefault(short_id, found[like]._replace(id=short_id, long_id=long_id, name=name))
    told = []
    for line in before.splitlines()[1:]:
        short_id, family, memory, devices, long_id, name = line.split("\t")
        row = found.setdefault(short_id, Row(short_id, family, int(memory), tuple(devices.split()), long_id, name))
        if row.family != family:
            told.append(f"{short_id} stays {family}, though it is {row.family} now: its VMs would change")
            found[short_id] = row._replace(family=family)
    return HEADER + "".join(f"{found[short_id].line()}\n" for short_id in sorted(found)), told


def zones(text: str, before: str) -> str:
    """Every name of a time zone with a place in it, as libvirt's host knows them."""
    names = {words[1] for line in text.splitlines() if (words := line.split())[0] == "Z"}
    names |= {words[2] for line in text.splitlines() if (words := line.split())[0] == "L"}
    return "\n".join(sorted({name for name in names if "/" in name} | set(before.split()))) + "\n"


def main(argv: list[str]) -> int:
    old = [path.read_text() if path.exists() else "" for path in (HERE / "guests.tsv", HERE / "zones.txt")]
    table, told = guests(Database(OSINFO).rows(), old[0])
    new = [table, zones(ZONES.read_text(), old[1])]
    sys.stderr.writelines(f"{line}\n" for line in told)
    if argv == ["--check"]:
        if new != old:
            sys.stderr.write("guests.tsv or zones.txt is not what osinfo-db and tzdata say: make guests\n")
        return int(new != old)
    for name, text in zip(("guests.tsv", "zones.txt"), new, strict=True):
        (HERE / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
