"""Which keys a hint is about. Pure: names in, keys out, by what the specs declare and what was seen last.

Too many keys cost a cheap look; a missed one waits for the resync. So everything that may be concerned is named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from cell_reconciler.converge.refresh_network import differing
from cell_reconciler.drivers.netlink.events import RULES
from cell_reconciler.kinds.links.index import links_of
from cell_reconciler.kinds.links.spec import Layer3
from cell_reconciler.kinds.world import pool_targets
from cell_reconciler.model.document import Document
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
        for name in links_of(document):
            found[name].add(key)
        if isinstance(document.spec, Layer3) and document.spec.rules:
            found[RULES].add(key)
    return {name: frozenset(keys) for name, keys in found.items()}


def matters(name: str, users: Mapping[str, frozenset[Key]], live: Live) -> bool:
    """Has this link (or ``RULES``, ``ROUTES``) to be looked at because of what was heard of it?

    One that nobody knows may be a new name of a link, or a route anywhere may stand in the place of one of ours.
    """
    link = live.links.get(name)
    return link is None or link.kind == "tun" or name in users or (link.master or "") in users


def concerned(old: Live, new: Live, users: Mapping[str, frozenset[Key]], documents: Mapping[Key, Document]) -> set[Key]:
    """Keys that the difference of two observations of the network is about."""
    names = differing(old, new)
    return {key for name in names for live in (old, new) for key in of_link(name, users, documents, live)}


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
