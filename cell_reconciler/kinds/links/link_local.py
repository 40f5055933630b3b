"""169.254.0.0/16 belongs to one link of a host: a second one would be a second route to the same network."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key


def link_local_taken(doc: Document, documents: Mapping[Key, Document]) -> Iterator[Problem]:
    """IPv4 link-local addresses of a document where another bridge, internal or reserved, has that network."""
    taken = [
        key
        for key, other in documents.items()
        if key != doc.key
        and key.kind == "Bridge"
        and (
            other.spec.mode == "reserved" or (other.spec.mode == "internal" and any(map(is_ipv4, other.spec.addresses)))
        )
    ]
    for index, text in enumerate(doc.spec.addresses):
        if taken and is_ipv4(text):
            message = f"{text} is in 169.254.0.0/16, the network of {taken[0]}: a host has one route to it"
            yield Problem(pointer=f"/spec/addresses/{index}", rule="link-local-taken", message=message)


def is_ipv4(cidr: str) -> bool:
    """An IPv4 link-local address (RFC 3927); what is no address at all is not."""
    try:
        ip = ipaddress.ip_interface(cidr).ip
    except ValueError:
        return False
    return ip.version == 4 and ip.is_link_local
