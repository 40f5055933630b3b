"""What stands around the spec of every document: apiVersion, kind, metadata; and on which hosts it counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from cell_reconciler.model.document import ANNOTATIONS
from cell_reconciler.model.fields import Effect, Spec, doc

API_VERSION = "cell/v1"

# What libvirt takes as a name of a domain and a path, and Ceph as one of an image; links have 15 at most by their kind.
NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,62}$"


class Metadata(Spec, frozen=True):
    """What a resource is called, and how the reconciler is to treat it."""

    name: Annotated[
        str,
        doc(
            "Name of the object on the host; with `kind` it is the identity of the document. Up to 63 letters, digits "
            "and `_.:-`; links have at most 15 characters.",
            Effect.REPLACE,
            pattern=NAME_PATTERN,
            examples=["web-01"],
        ),
    ]
    labels: Annotated[
        dict[str, str], doc("Free words to select documents by.", Effect.POLICY, examples=[{"tier": "web"}])
    ] = {}
    annotations: Annotated[
        dict[str, str],
        doc(
            "How to treat the object. " + " ".join(f"`{name}`: {text}" for name, text in ANNOTATIONS.items()),
            Effect.POLICY,
            examples=[{"cell/protect": "true"}],
        ),
    ] = {}


class Envelope(Spec, frozen=True):
    """A document without the fields of its kind: what is converted first."""

    api_version: Annotated[Literal["cell/v1"], doc(f"Version of the format: {API_VERSION}.", Effect.POLICY)]
    kind: Annotated[str, doc("What kind of resource this is.", Effect.POLICY)]
    metadata: Annotated[Metadata, doc("Name, labels and annotations.", Effect.POLICY)]
    spec: Annotated[dict[str, Any], doc("What the resource is like.", Effect.POLICY)]


class Placement(msgspec.Struct, frozen=True):
    """Where a document counts; both None: everywhere."""

    hosts: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None

    def counts(self, host: str, labels: Mapping[str, str]) -> bool:
        """Does the document count on this host, whose Host document has these labels?"""
        if self.hosts is not None:
            return host in self.hosts
        if self.labels is not None:
            return all(labels.get(name) == value for name, value in self.labels.items())
        return True


def placement(value: Any) -> Placement:
    """``spec.hosts`` and ``spec.hostSelector`` of a document as it is; malformed ones count as absent."""
    spec = value.get("spec") if isinstance(value, dict) else None
    if not isinstance(spec, dict):
        return Placement()
    hosts, selector = spec.get("hosts"), spec.get("hostSelector")
    if isinstance(hosts, list):
        return Placement(hosts=tuple(str(host) for host in hosts))
    labels = selector.get("matchLabels") if isinstance(selector, dict) else None
    return Placement(labels=labels) if isinstance(labels, dict) else Placement()
