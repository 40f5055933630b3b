"""What the steps about images for cloud-init do."""

from __future__ import annotations

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
    """Remove the images of a VM that it has in no drive, but for those that another domain has (``kept``).

    ``last``: the VM itself goes next, so that its own drives do not count.
    """

    vm: str
    kept: tuple[str, ...] = ()
    last: bool = False

    def done(self, doors: Any) -> bool:
        return not self._unused(doors)

    def do(self, doors: Any) -> None:
        for path in self._unused(doors):
            doors.seeds.remove(self.vm, path)

    def _unused(self, doors: Any) -> list[str]:
        domain = None if self.last else doors.libvirt.domain(self.vm)
        used = {*self.kept, *(() if domain is None else observe.media(domain))}
        return [path for path in doors.seeds.images(self.vm) if path not in used]
