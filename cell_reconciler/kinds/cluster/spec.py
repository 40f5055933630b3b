"""The fields of Cluster."""

from __future__ import annotations

from typing import Annotated

import msgspec

from cell_reconciler.kinds.placement import Placed
from cell_reconciler.model.fields import PATH, UNSET, Effect, Spec, UnsetType, doc

_Feature = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9_.-]{1,40}$(?!\n)")]


class BaselineFeatures(Spec, frozen=True, kw_only=True):
    """What differs from the model."""

    require: Annotated[
        tuple[_Feature, ...], doc("Features that all hosts have beside those of the model.", Effect.POLICY)
    ] = ()
    disable: Annotated[
        tuple[_Feature, ...], doc("Features of the model that some host does not have.", Effect.POLICY)
    ] = ()


class CpuBaseline(Spec, frozen=True, kw_only=True):
    """A CPU that every host of the cluster can run."""

    model: Annotated[
        str,
        doc(
            "A CPU model that libvirt knows on every host.",
            Effect.POLICY,
            pattern=r"^[A-Za-z0-9_.-]+$",
            examples=["Haswell-noTSX"],
        ),
    ]
    vendor: (
        Annotated[
            str,
            doc(
                "Guests run only on CPUs of this vendor, as libvirt names it. Absent: on any that have the features.",
                Effect.POLICY,
                pattern=r"^[A-Za-z]+$",
                examples=["Intel", "AMD"],
            ),
        ]
        | UnsetType
    ) = UNSET
    features: Annotated[BaselineFeatures, doc("What differs from the model.", Effect.POLICY)] = BaselineFeatures()


class DriverImages(Spec, frozen=True, kw_only=True):
    """Images with drivers for guests that bring none for virtio, by the family of the guest."""

    windows: (
        Annotated[
            str,
            doc(
                "Path of the image of virtio-win, the same on every host. A VM with a `guestOS` from Windows Vista or "
                "Server 2008 on, and with a disk or an interface on virtio, gets a CD-ROM drive `guest-drivers` with "
                "it. Absent: it gets none.",
                Effect.POLICY,
                pattern=PATH,
                examples=["/usr/share/virtio-win/virtio-win.iso"],
            ),
        ]
        | UnsetType
    ) = UNSET


class ClusterSpec(Placed, frozen=True, kw_only=True):
    """What the hosts of a cluster have in common. At most one such document may count on a host."""

    cpu_baseline: (
        Annotated[
            CpuBaseline,
            doc(
                "The CPU of VMs with `cpu.mode: cluster-baseline`. `cellctl cpu-baseline` computes it and prints this "
                "document; it is never computed behind your back. A change waits until each VM is restarted.",
                Effect.POLICY,
            ),
        ]
        | UnsetType
    ) = UNSET
    driver_images: Annotated[
        DriverImages, doc("Images that guests get their drivers for virtio from.", Effect.POLICY)
    ] = DriverImages()
