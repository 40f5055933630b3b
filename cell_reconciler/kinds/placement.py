"""The fields that every kind has: on which hosts a document counts. ``load`` resolves them; nothing else reads them."""

from __future__ import annotations

from typing import Annotated, Any

from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc


class HostSelector(Spec, frozen=True, kw_only=True):
    """Selects hosts by the labels of their Host documents."""

    match_labels: Annotated[
        dict[str, str], doc("Every label must be there with this value.", Effect.POLICY, min_length=1)
    ]


class Placed(Spec, frozen=True, kw_only=True):
    """Base of the spec of every kind."""

    hosts: (
        Annotated[
            tuple[str, ...],
            doc(
                "Names of the hosts on which this document counts. Absent: on every host.",
                Effect.POLICY,
                min_length=1,
            ),
        ]
        | UnsetType
    ) = UNSET
    host_selector: Annotated[
        HostSelector | UnsetType, doc("Selects the hosts by label instead of by name.", Effect.POLICY)
    ] = UNSET
    per_host: Annotated[
        dict[str, dict[str, Any]] | UnsetType,
        doc(
            "Merge patch (RFC 7386) of `spec` for each host by name: addresses, NIC names. "
            "The merged document is what is validated and applied there.",
            Effect.POLICY,
            examples=[{"cell-01": {"addresses": ["10.0.0.11/24"]}}],
        ),
    ] = UNSET


IfName = Annotated[
    str,
    doc("A network interface.", min_length=1, max_length=15, pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:@+-]*$"),
]
