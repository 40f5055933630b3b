"""Block devices: what each is made of, what it hangs on, and every name that it has in /dev."""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping

from cell_reconciler.drivers.devices import sysfs
from cell_reconciler.model.host_devices import BlockDevice

BLOCK = "/sys/class/block"
_NVME = re.compile(r"nvme\d+")
_SECTOR = 512  # the unit of ``size``, whatever the disk's own
_OTHERS = frozenset({"shm", "pts", "mqueue", "hugepages", "char", "fd"})  # in /dev, and hold no names of disks


def numbers() -> dict[str, str]:
    """Device number (``8:2``) → name, for every block device. Raises OSError without sysfs."""
    return {number: name for name in sorted(os.listdir(BLOCK)) if (number := sysfs.text(f"{BLOCK}/{name}/dev"))}


def blocks(known: Mapping[str, str]) -> dict[str, BlockDevice]:
    """Every block device by name."""
    names = defaultdict(list)
    for path, name in _paths(known):
        names[name].append(path)
    return {name: _block(name, tuple(sorted(names[name])), known) for name in known.values()}


def named(path: str, known: Mapping[str, str]) -> str | None:
    """The block device that a path leads to; None when it is none, or not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return known.get(number(found.st_rdev)) if stat.S_ISBLK(found.st_mode) else None


def number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _paths(known: Mapping[str, str], directory: str = "/dev") -> Iterator[tuple[str, str]]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in _OTHERS and os.access(entry.path, os.R_OK | os.X_OK):
                    yield from _paths(known, entry.path)
            elif (name := named(entry.path, known)) is not None:
                yield entry.path, name


def _block(name: str, paths: tuple[str, ...], known: Mapping[str, str]) -> BlockDevice:
    here = f"{BLOCK}/{name}"
    words, pci, usb = sysfs.place(here)
    part = os.path.exists(f"{here}/partition")
    if "nvme-subsystem" in words:  # the kernel's own multipath: the disk is a child of the subsystem, not of its ways
        pci = _controllers("/".join(words[: words.index("nvme-subsystem") + 2]))
    loop = named(sysfs.text(f"{here}/loop/backing_file"), known)  # of a loop device over another one
    return BlockDevice(
        name=name,
        label=sysfs.text(f"{here}/dm/name") or name,
        size=sysfs.number(f"{here}/size") * _SECTOR,
        names=paths,
        disk=words[-2] if part else None,
        slaves=(*sysfs.names(f"{here}/slaves"), *([loop] if loop else [])),
        pci=pci,
        usb=usb,
    )


def _controllers(subsystem: str) -> tuple[str, ...]:
    """The PCI functions of all controllers of an NVMe subsystem."""
    names = (name for name in sysfs.names(subsystem) if _NVME.fullmatch(name))
    return tuple(dict.fromkeys(address for name in names for address in sysfs.place(f"{subsystem}/{name}").pci))
