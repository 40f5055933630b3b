"""What the steps about images for cloud-init do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from cell_reconciler.kinds.virtual_machine import observe
from cell_reconciler.model.guest import SeedTarget


class MakeImage(msgspec.Struct, frozen=True):
    """Make the image, of the files as they are now."""

    path: str
    target: SeedTarget

    def done(self, doors: Any) -> bool:
        return bool(doors.seeds.holds(self.path, self.target))

    def do(self, doors: Any) -> None:
        doors.seeds.keep(self.path, self.target)


class RemoveImages(msgspec.Struct, frozen=True):
    """Remove the images of a VM that no domain of the host has in a drive. ``last``: the VM itself goes next."""

    vm: str
    last: bool = False

    def done(self, doors: Any) -> bool:
        return not any(self._unused(doors))

    def do(self, doors: Any) -> None:
        for path in self._unused(doors):
            doors.seeds.remove(self.vm, path)

    def _unused(self, doors: Any) -> Iterator[str]:
        images = doors.seeds.images(self.vm)
        if not images:
            return
        domains = doors.libvirt.observe()["domains"]
        used = observe.others_media(domains, self.vm)
        if self.vm in domains and not self.last:
            used |= observe.media(domains[self.vm])
        yield from (path for path in images if path not in used)
