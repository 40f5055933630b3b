"""What single devices have in domain XML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, child, drop

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


class BootOrder(Codec):
    """``boot/@order`` of a device."""

    def read(self, scope: Element) -> int | None:
        boot = scope.find("boot")
        return None if boot is None else int(boot.get("order") or 0) or None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            drop(scope, "boot")
        else:
            child(scope, "boot").set("order", str(value))
