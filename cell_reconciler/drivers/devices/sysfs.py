"""Reading small files and links of sysfs. A device may go while it is looked at: what has gone reads as nothing."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

_GONE = (errno.ENOENT, errno.ENODEV, errno.ENOTDIR, errno.ENXIO)


_PCI = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_USB = re.compile(r"\d+-\d+(\.\d+)*")


class Place(NamedTuple):
    """Where something is in the tree of devices."""

    words: tuple[str, ...]  # the names of all directories on the way
    pci: tuple[str, ...]
    usb: str | None


def place(path: str) -> Place:
    """The way to a device from the root of the tree."""
    words = tuple(os.path.realpath(path).split("/"))
    usb = [word for word in words if _USB.fullmatch(word)]
    return Place(words, tuple(word for word in words if _PCI.fullmatch(word)), usb[-1] if usb else None)


def text(path: str) -> str:
    """The content without its line end; empty when it is not there. Raises OSError when it may not be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError as error:
        if error.errno in _GONE:
            return ""
        raise


def number(path: str) -> int:
    """The content as a whole number, 0 when it is none."""
    found = text(path)
    return int(found) if found.isdigit() else 0


def names(path: str) -> list[str]:
    """The entries of a directory, sorted; none when it is not there: the kernel has no such bus or class."""
    try:
        return sorted(os.listdir(path))
    except OSError as error:
        if error.errno in _GONE:
            return []
        raise


def target(path: str) -> str | None:
    """The last part of what a link points at; None when it is not there."""
    try:
        return os.path.basename(os.readlink(path))
    except OSError as error:
        if error.errno in (*_GONE, errno.EINVAL):
            return None
        raise


def pairs(content: str) -> Iterator[tuple[str, str]]:
    """The lines ``NAME=value`` of a uevent file or of udev's database."""
    for line in content.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            yield name, value
