"""The fields of a VM's console."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.secret import SecretRef
from cell_reconciler.kinds.virtual_machine.codec import consoles
from cell_reconciler.kinds.virtual_machine.codec.elsewhere import Elsewhere
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc


class GraphicsType(StrEnum):
    VNC = "vnc"
    NONE = "none"


class VideoModel(StrEnum):
    """The card that shows the console."""

    VGA = "vga"
    VIRTIO = "virtio"
    BOCHS = "bochs"  # for guests with UEFI; no VGA
    CIRRUS = "cirrus"
    QXL = "qxl"
    NONE = "none"


class Graphics(Spec, frozen=True, kw_only=True):
    """The graphical console."""

    type: Annotated[GraphicsType, doc("`vnc`, or `none`.", Effect.RESTART, xml=consoles.GraphicsType())] = (
        GraphicsType.VNC
    )
    listen: Annotated[
        str,
        doc(
            "Address that the console listens on. It is not encrypted, and open to all who reach it unless it has a "
            "`password`: keep it local.",
            Effect.RESTART,
            pattern=r"^[0-9a-fA-F.:]+$",
            xml=consoles.GraphicsListen(),
        ),
    ] = "127.0.0.1"
    port: (
        Annotated[
            int,
            doc(
                "TCP port of the console. Absent: the first free one from 5900, chosen at each start.",
                Effect.RESTART,
                ge=5900,
                le=65535,
                xml=consoles.GraphicsPort(),
            ),
        ]
        | UnsetType
    ) = UNSET
    password: (
        Annotated[
            SecretRef,
            doc(
                "Password of the console, 1 to 8 characters. Another one counts at once; a first one, and none any "
                "more, from the next start.",
                Effect.LIVE,
                xml=Elsewhere(),
            ),
        ]
        | UnsetType
    ) = UNSET
