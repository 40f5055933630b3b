"""The fields that disks, CD-ROM drives and interfaces have in common."""

from __future__ import annotations

from typing import Annotated, Any

from cell_reconciler.kinds.virtual_machine.codec import device
from cell_reconciler.model.fields import Effect, doc

DEVICE = r"^[A-Za-z0-9_][A-Za-z0-9_-]*$"  # what libvirt allows in a user alias, after its prefix "ua-"

BootOrder = Annotated[
    int,
    doc(
        "Place in the boot order, over disks, drives and interfaces. Absent: not booted from.",
        Effect.RESTART,
        ge=1,
        le=2**31 - 1,  # QEMU's
        xml=device.BootOrder(),
    ),
]


def device_name(what: str) -> Any:
    """The declaration of the name of a ``what``."""
    text = f"Name of the {what} in this VM; its identity (libvirt's alias is `ua-<name>`)."
    return doc(text, Effect.RESTART, min_length=1, max_length=32, pattern=DEVICE)
