"""The fields of a VM's virtio socket."""

from __future__ import annotations

from typing import Annotated

from cell_reconciler.kinds.virtual_machine.codec import vsock
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc


class Vsock(Spec, frozen=True, kw_only=True):
    """A virtio socket, by which guest and host talk without a network."""

    cid: (
        Annotated[
            int,
            doc(
                "Address of the guest, one of a kind on the host. Default: one that is free when the VM starts.",
                Effect.RESTART,
                ge=3,
                le=2**32 - 2,
                xml=vsock.Cid(),
            ),
        ]
        | UnsetType
    ) = UNSET
