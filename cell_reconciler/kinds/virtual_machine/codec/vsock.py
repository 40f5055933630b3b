"""The virtio socket in domain XML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, child, unset

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


class Cid(Codec):
    """``vsock/cid``. None: libvirt chooses when the VM starts, and shows in the running instance what it chose."""

    def read(self, scope: Element) -> int | None:
        cid = scope.find("devices/vsock/cid")
        return None if cid is None or cid.get("auto") == "yes" else int(cid.get("address") or 0) or None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        child(scope, "devices/vsock").set("model", "virtio")
        cid = child(scope, "devices/vsock/cid")
        cid.set("auto", "yes" if absent(value) else "no")
        unset(cid, "address")
        if not absent(value):
            cid.set("address", str(value))
