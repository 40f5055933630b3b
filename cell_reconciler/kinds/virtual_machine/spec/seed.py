"""The fields of a VM's data for cloud-init."""

from __future__ import annotations

from typing import Annotated, Any

from cell_reconciler.kinds.secret import SecretRef
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc

DRIVE = "cloud-init"  # the name of the drive among the VM's devices
LONGEST = 256 * 1024  # characters that stand in a document: it has 1 MiB at most


class CloudInit(Spec, frozen=True, kw_only=True):
    """Data for cloud-init in the guest, on a CD-ROM drive of its own (NoCloud, label `cidata`).

    Other data is another medium, put into the drive while the VM runs; the guest reads it at its next boot.
    """

    user_data: (
        Annotated[
            str,
            doc(
                "What cloud-init does: `#cloud-config`, a script, or any other of its formats. Nothing secret.",
                Effect.LIVE,
                max_length=LONGEST,
                embeds="cloud-config",
                examples=["#cloud-config\npackages: [qemu-guest-agent]\n"],
            ),
        ]
        | UnsetType
    ) = UNSET
    user_data_from: (
        Annotated[SecretRef, doc("The same, from a file of the host: for what is secret.", Effect.LIVE)] | UnsetType
    ) = UNSET
    network_data: (
        Annotated[
            str,
            doc(
                "The guest's network, in cloud-init's network config (version 1 or 2). Absent: DHCP.",
                Effect.LIVE,
                max_length=LONGEST,
                embeds="yaml",
                examples=["version: 2\nethernets:\n  all: {match: {name: 'en*'}, dhcp4: true}\n"],
            ),
        ]
        | UnsetType
    ) = UNSET
    network_data_from: (
        Annotated[SecretRef, doc("The same, from a file of the host: for what is secret.", Effect.LIVE)] | UnsetType
    ) = UNSET
    instance_id: (
        Annotated[
            str,
            doc(
                "Who the guest is for cloud-init. Another one makes it a new machine at its next boot: users, keys of "
                "its SSH server and scripts are made and run again. Default: the VM's UUID, which never changes.",
                Effect.LIVE,
                max_length=128,
                pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:-]*$",
            ),
        ]
        | UnsetType
    ) = UNSET
    meta_data: Annotated[
        dict[str, Any],
        doc(
            "More meta-data, such as `public-keys`; `local-hostname` is the VM's name unless it says another.",
            Effect.LIVE,
            examples=[{"local-hostname": "www"}],
        ),
    ] = {}
