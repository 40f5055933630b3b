"""The fields of a VM's console."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.virtual_machine.codec import consoles
from cell_reconciler.model.fields import Effect, Spec, doc


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
            "Address that the console listens on. It has no password: keep it local.",
            Effect.RESTART,
            pattern=r"^[0-9a-fA-F.:]+$",
            xml=consoles.GraphicsListen(),
        ),
    ] = "127.0.0.1"
