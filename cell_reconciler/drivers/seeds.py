"""NoCloud images on the host: one directory of ours, one file for each VM and each content that it had.

``web-01.3.iso`` is the third image of VM web-01. Other content is another file, since QEMU has the old one open and is
given the new one as a new medium. The number is no digest of the content on purpose: a name can be read by anybody who
may list domains, and the digest of a short secret is as good as the secret. What an image holds is known by its label
(``nocloud``), inside the file that only root and QEMU can read.

A file is made under a name with a dot in front, and gets its own in one step; what a killed run left under such a name
counts as an image with the wrong content, and goes as that. Files whose name or label is not like ours are not ours.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress

from cell_reconciler.drivers import nocloud, secret_files
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.errors import CellError, StepFailed
from cell_reconciler.model.guest import META, NETWORK, USER, Seed, SeedTarget, Text

_NAME = re.compile(r"(?P<vm>[A-Za-z0-9_][A-Za-z0-9._-]*)\.(?P<number>[0-9]+)\.iso")
_BEGUN = re.compile(rf"\.{_NAME.pattern}\.new")
_ALL = (USER, META, NETWORK)
_Stamp = tuple[int, int, int, int]


class SeedDoor:
    """The directory of images. Every method raises StepFailed with the path when the host does not let it."""

    def __init__(self, directory: str, writes: Writes) -> None:
        self.directory = directory
        self.count = writes
        self._labels: dict[str, tuple[_Stamp, nocloud.Label | None]] = {}

    def observe(self, targets: Mapping[str, SeedTarget], names: Collection[str] | None = None) -> dict[str, Seed]:
        """Of every VM that has an image (of ``names``, or all) and every target. Never raises."""
        trouble = None
        try:
            found = self._images(names)
        except OSError as error:
            found, trouble = {}, StepFailed(f"{self.directory}: {error.strerror}", "run as root")
        wanted = sorted(targets.keys() | found.keys())
        return {vm: self._seed(targets.get(vm), found.get(vm, {}), trouble) for vm in wanted}

    def _seed(
        self, target: SeedTarget | None, images: Mapping[str, nocloud.Label | None], trouble: CellError | None
    ) -> Seed:
        if target is None:
            return Seed(directory=self.directory, images=dict.fromkeys(images, _ALL))
        try:
            if trouble is not None:
                raise trouble
            held = nocloud.digests(contents(target))
        except CellError as error:
            return Seed(
                directory=self.directory,
                images=dict.fromkeys(images, _ALL),
                declared=target.declared,
                error=error.message,
                advice=error.advice,
            )
        compared = {path: _different(label, held) for path, label in images.items()}
        return Seed(directory=self.directory, images=compared, declared=target.declared)

    def images(self, vm: str) -> tuple[str, ...]:
        """The paths of the images of one VM, also of those that a killed run began."""
        try:
            return tuple(self._images((vm,)).get(vm, ()))
        except OSError as error:
            raise StepFailed(f"{self.directory}: {error.strerror}", "run as root") from error

    def holds(self, path: str, target: SeedTarget) -> bool:
        """Is there an image at ``path`` with what the target says now?"""
        found = self._label(path, target.vm)
        return found is not None and not _different(found, nocloud.digests(contents(target)))

    def keep(self, path: str, target: SeedTarget) -> None:
        """Make the image, or make it again with what the target says now."""
        try:
            data = nocloud.image(_owner(target.vm), contents(target))
        except ImportError as error:
            advice = "install cell-reconciler[host], or the package python3-pycdlib"
            raise StepFailed(f"the Python module {error.name} is missing", advice) from error
        self.count.add("seeds.write")
        begun = os.path.join(self.directory, f".{os.path.basename(path)}.new")
        try:
            os.makedirs(self.directory, exist_ok=True)
            # QEMU has a user of its own: it passes through to an image that it may read. Nobody lists whose there are.
            os.chmod(self.directory, 0o711)  # noqa: S103 - to pass through, as above
            with suppress(FileNotFoundError):
                os.unlink(begun)
            descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.rename(begun, path)
            self._settle()
        except OSError as error:
            with suppress(OSError):
                os.unlink(begun)  # what could be written of it: the directory may be full
            raise StepFailed(f"{path}: {error.strerror}", "is the disk full, or the file system read-only?") from error

    def remove(self, vm: str, path: str) -> None:
        """Remove an image of this VM; nothing to do when it is gone or not ours."""
        if path not in self.images(vm):
            return
        self.count.add("seeds.remove")
        try:
            with suppress(FileNotFoundError):
                os.unlink(path)
            self._settle()
        except OSError as error:
            raise StepFailed(f"{path}: {error.strerror}", "remove it by hand") from error

    def _settle(self) -> None:
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _images(self, vms: Collection[str] | None) -> dict[str, dict[str, nocloud.Label | None]]:
        """VM (of these, or of all) → path → label; None for what a killed run began."""
        found: dict[str, dict[str, nocloud.Label | None]] = {}
        try:
            names = sorted(os.listdir(self.directory))
        except FileNotFoundError:
            return {}
        for name in names:
            path = os.path.join(self.directory, name)
            match = _NAME.fullmatch(name) or _BEGUN.fullmatch(name)
            if match is None or (vms is not None and match["vm"] not in vms):
                continue
            if name.startswith("."):
                found.setdefault(match["vm"], {})[path] = None
            elif (label := self._label(path, match["vm"])) is not None:
                found.setdefault(match["vm"], {})[path] = label
        return found

    def _label(self, path: str, vm: str) -> nocloud.Label | None:
        """The label of a file, remembered until its stat moves; None when it is no image of this VM."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP):  # gone meanwhile; a link, which we never make
                return None
            raise
        try:
            stat = os.fstat(descriptor)
            stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size)
            known = self._labels.get(path)
            if known is None or known[0] != stamp:
                known = (stamp, nocloud.label(os.pread(descriptor, nocloud.HEADER, 0)))
                self._labels[path] = known
        finally:
            os.close(descriptor)
        label = known[1]
        return label if label is not None and label.owner == _owner(vm) else None


def contents(target: SeedTarget) -> dict[str, str]:
    """The files of the image as they have to be now. Raises StepFailed for one that cannot be read."""
    return {name: _content(text) for name, text in target.files.items()}


def _content(text: Text) -> str:
    return secret_files.text(text.file) if text.file else text.text


def _different(label: nocloud.Label | None, held: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the files that an image does not have as they should be."""
    if label is None:
        return _ALL
    return tuple(name for name in _ALL if label.files.get(name) != held.get(name))


def _owner(vm: str) -> str:
    return f"VirtualMachine/{vm}"
