"""Which keys a hint is about. Pure: names in, keys out, by what the specs declare and what was seen last.

Too many keys cost a cheap look; a missed one waits for the resync. So everything that may be concerned is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from cell_reconciler.drivers.netlink.events import RULES
from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.kinds.world import pool_targets
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live
from cell_reconciler.model.storage import PoolTarget


def of_domain(name: str, documents: Mapping[Key, Document]) -> set[Key]:
    """The VM of this name, if it is declared."""
    key = Key("VirtualMachine", name)
    return {key} if key in documents else set()


def links(documents: Mapping[Key, Document]) -> dict[str, frozenset[Key]]:
    """Link name → the documents of links that own or use it. Made once per change of the specs.

    The empty name stands for what belongs to no link: policy rules.
    """
    found: dict[str, set[Key]] = defaultdict(set)
    for key, document in documents.items():
        if isinstance(document.spec, Layer3):
            for name in (key.name, *_below(document), *([RULES] if document.spec.rules else [])):
                found[name].add(key)
    return {name: frozenset(keys) for name, keys in found.items()}


def _below(document: Document) -> list[str]:
    """The links that a document uses, and the VLAN device that an access bridge makes."""
    kind, spec = document.key.kind, document.spec
    if kind == "Bond":
        return list(spec.members)
    if kind == "Vlan":
        return [spec.parent]
    if kind == "Bridge" and spec.uplink is not UNSET:
        return [spec.uplink] if spec.vlan is UNSET else [spec.uplink, f"{spec.uplink}.{spec.vlan}"]
    return []


def of_link(name: str, users: Mapping[str, frozenset[Key]], documents: Mapping[Key, Document], live: Live) -> set[Key]:
    """Keys that a link event is about: owners and users of the link, of its last master, and the VM behind a tap."""
    found = set(users.get(name, ()))
    link = live.links.get(name)
    if link is not None and link.master:
        found |= users.get(link.master, frozenset())
    if name.startswith("vnet") or (link is not None and link.kind == "tun"):
        found |= _of_tap(name, documents, live)
    return found


def _of_tap(name: str, documents: Mapping[Key, Document], live: Live) -> set[Key]:
    """The VM whose running definition names this tap; a text search, since it is only a hint."""
    texts = (f"<target dev='{name}'/>", f'<target dev="{name}"/>')
    for domain in live.domains.values():
        if domain.active and any(text in domain.active for text in texts):
            return of_domain(domain.name, documents)
    return set()


def pools(documents: Mapping[Key, Document]) -> dict[str, PoolTarget]:
    """The declared storage pools by name."""
    return pool_targets(documents)
