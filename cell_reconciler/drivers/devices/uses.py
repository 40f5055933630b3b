"""What the host does with its block devices: mounts, swap, fstab, and users that the kernel does not name as holders.

Holders (LVM, md, dm-crypt, multipath, bcache) are no uses of their own: they are block devices above, and stand in the
topology. ZFS says nowhere which devices a pool has, but udev says which devices carry a pool, and the kernel whether
any pool is there.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping

from cell_reconciler.drivers.devices import block, sysfs
from cell_reconciler.model.host_devices import BlockDevice, BlockUse

_MOUNTS = ("/proc/self/mountinfo", "/proc/1/mountinfo")  # the second: a service may have a mount namespace of its own
_MOST = 8  # mount points of one device that are told: a host of containers has hundreds
_MORE_DEVICES = ("logdev", "rtdev", "journal_path")  # options of xfs and ext4 that name another device
_TAGS = {"UUID": "uuid", "LABEL": "label", "PARTUUID": "partuuid", "PARTLABEL": "partlabel"}
_OSDS = ("/var/lib/ceph/osd/*/block*", "/var/lib/ceph/*/osd.*/block*")
_OCTAL = re.compile(r"\\([0-7]{3})")


def uses(blocks: Mapping[str, BlockDevice], known: Mapping[str, str]) -> tuple[BlockUse, ...]:
    """Everything that is found, sorted. Raises OSError when mounts or swap cannot be read."""
    found = {
        *_mounts(blocks, known),
        *_swaps(known),
        *_fstab(known),
        *_zfs(known),
        *_osds(known),
    }
    return tuple(sorted(BlockUse(block=name, what=what) for name, what in found))


def _mounts(blocks: Mapping[str, BlockDevice], known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    points: dict[str, set[str]] = {}
    for path in _MOUNTS:
        for line in _lines(path, needed=path == _MOUNTS[0]):
            before, _, after = line.partition(" - ")
            words, (kind, source, options) = before.split(), after.split(" ", 2)
            for name in _of_mount(words[2], kind, _plain(source), options, blocks, known):
                points.setdefault(name, set()).add(_plain(words[4]))
    for name, found in points.items():
        for point in sorted(found, key=lambda p: (p.count("/"), p))[:_MOST]:
            yield name, point


def _of_mount(
    number: str, kind: str, source: str, options: str, blocks: Mapping[str, BlockDevice], known: Mapping[str, str]
) -> Iterator[str]:
    """The block devices of one mount: btrfs and bcachefs have a number of no device, and may have several."""
    if number in known:
        yield known[number]
    else:
        for path in source.split(":") if source.startswith("/dev/") else ():
            if (name := block.named(path, known)) is not None:
                yield name
                yield from _btrfs(name, blocks) if kind == "btrfs" else ()
    for option in options.split(","):
        word, _, path = option.partition("=")
        if word in _MORE_DEVICES and (name := block.named(_plain(path), known)) is not None:
            yield name


def _btrfs(member: str, blocks: Mapping[str, BlockDevice]) -> Iterator[str]:
    """All devices of the mounted file system that this one is a part of."""
    for place in glob.glob("/sys/fs/btrfs/*/devices"):
        names = sysfs.names(place)
        if member in names:
            yield from (name for name in names if name in blocks)


def _swaps(known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for line in _lines("/proc/swaps", needed=True)[1:]:
        name = block.named(_plain(line.split()[0]), known)
        if name is not None:
            yield name, "swap"


def _fstab(known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What the host mounts at its next start, or when it is asked to: an ESP is often not mounted."""
    for line in _lines("/etc/fstab"):
        words = line.split()
        if len(words) < 2 or words[0].startswith("#"):
            continue
        tag, equals, value = words[0].partition("=")
        path = f"/dev/disk/by-{_TAGS[tag]}/{value.strip(chr(34))}" if equals and tag in _TAGS else _plain(words[0])
        if (name := block.named(path, known)) is not None:
            yield name, "swap in fstab" if words[1] == "none" else f"{_plain(words[1])} in fstab"


def _zfs(known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    pools = [name for name in sysfs.names("/proc/spl/kstat/zfs") if os.path.isdir(f"/proc/spl/kstat/zfs/{name}")]
    for number, name in known.items() if pools else ():
        lines = (line.removeprefix("E:") for line in sysfs.text(f"/run/udev/data/b{number}").splitlines())
        said = dict(sysfs.pairs("\n".join(lines)))
        if said.get("ID_FS_TYPE") == "zfs_member":
            yield name, f"ZFS pool {said.get('ID_FS_LABEL', '')}".strip()


def _osds(known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for pattern in _OSDS:
        for path in glob.glob(pattern):
            if (name := block.named(path, known)) is not None:
                number = re.split(r"[-.]", os.path.basename(os.path.dirname(path)))[-1]
                yield name, f"Ceph osd.{number}"


def _lines(path: str, *, needed: bool = False) -> list[str]:
    """The lines of a file; none when it is not there or not for us, unless nothing can be said without it."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().splitlines()
    except OSError:
        if needed:
            raise
        return []


def _plain(text: str) -> str:
    r"""What the kernel writes as ``\040`` is a space; a name that is no text stays readable."""
    plain = _OCTAL.sub(lambda match: chr(int(match[1], 8)), text)
    return plain.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
