"""The network after an event: a few links are read one by one, and the rest is as it was seen before.

The kernel tells every change of a link, an address, a route or a rule, and loses none without saying so. So what it did
not speak of since the last observation is as that observation has it. Whatever is not certain is answered by reading
everything: many links at once, a link that has another name now, a bridge that begins to filter.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.managers import managers
from cell_reconciler.drivers.netlink.events import ROUTES, RULES
from cell_reconciler.drivers.observe import observe_network
from cell_reconciler.kinds.links.index import links_of
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Link, Live

MOST = 50  # links that are read one by one: two requests each, where a dump of a thousand costs as much as a hundred
_IPV6_MTU = 1280  # a link with less has no IPv6, and one with less than 68 no IPv4
_TAP = re.compile(r"<target dev=['\"]([^'\"]+)['\"]")


def refresh_network(
    doors: Doors, live: Live, documents: Mapping[Key, Document], keys: Collection[Key], heard: Collection[str] | None
) -> dict[str, Any]:
    """The parts of ``live`` that are other ones now; see ``refresh`` for ``heard``. Raises Unreachable."""
    if heard is None:
        return observe_network(doors)
    names = {name for name in heard if name not in (RULES, ROUTES)} | _of(keys, documents, live)
    found = doors.netlink.links(sorted(names)) if len(names) <= MOST else None
    if found is None or _renamed(found, live):
        return observe_network(doors)
    now = {name: link for name, link in found.items() if link is not None}
    links = {name: link for name, link in live.links.items() if found.get(name, link) is not None} | now
    now = {name: _with_vlans(doors, link, live.links.get(name), links) for name, link in now.items()}
    other = {name for name in names if now.get(name) != live.links.get(name)}
    if any(_filters(live.links.get(name)) != _filters(now.get(name)) for name in other):
        return observe_network(doors)
    parts: dict[str, Any] = {}
    if other:
        parts["links"] = links | now
        fresh = {name for name in other if _another(live.links.get(name), now.get(name))}
        kept = {name: manager for name, manager in live.managers.items() if name not in fresh}
        parts["managers"] = kept | managers({name: now[name] for name in fresh & now.keys()}) if fresh else kept
    if ROUTES in heard or any(_loses_routes(live.links.get(name), now.get(name)) for name in other):
        routes = doors.netlink.static_routes()
        parts |= {"routes": routes} if routes != live.routes else {}
    if RULES in heard:
        rules = doors.netlink.rules()
        parts |= {"rules": rules} if rules != live.rules else {}
    return parts


def differing(old: Live, new: Live) -> set[str]:
    """Names of the links that differ, or whose routes do; RULES when a policy rule does."""
    if old is new:
        return set()
    found: set[str] = set()
    if old.links is not new.links:
        found = {name for name, link in new.links.items() if old.links.get(name) is not link}
        found = {name for name in found if old.links.get(name) != new.links[name]}
        found.update(old.links.keys() - new.links.keys())
    if old.routes is not new.routes:
        found |= {route.link for route in {*old.routes} ^ {*new.routes} if route.link is not None}
    return found | ({RULES} if old.rules is not new.rules and old.rules != new.rules else set())


def _of(keys: Collection[Key], documents: Mapping[Key, Document], live: Live) -> set[str]:
    """The links that these documents speak of, and the taps of the VMs among them."""
    names: set[str] = set()
    for key in keys:
        if key.kind == "VirtualMachine":
            domain = live.domains.get(key.name)
            names.update(_TAP.findall(domain.active) if domain is not None and domain.active else ())
        elif key in documents:
            names.update(links_of(documents[key]))
    return names


def _renamed(found: Mapping[str, Link | None], live: Live) -> bool:
    """Is one of the links known under another name? Then others name it by its old one."""
    new = {
        link.index for name, link in found.items() if link is not None and _index(live.links.get(name)) != link.index
    }
    return bool(new) and any(link.index in new for name, link in live.links.items())


def _index(link: Link | None) -> int:
    return 0 if link is None else link.index


def _another(old: Link | None, new: Link | None) -> bool:
    return old is None or new is None or old.index != new.index


def _loses_routes(old: Link | None, new: Link | None) -> bool:
    """IPv4 routes go without a word with the address, the master or the link that they need."""
    if old is None or new is None or _another(old, new):
        return True
    had = {*old.addresses, *old.dynamic_addresses} - {*new.addresses, *new.dynamic_addresses}
    return bool(had) or (old.up and not new.up) or old.master != new.master or new.mtu < min(old.mtu, _IPV6_MTU)


def _filters(link: Link | None) -> bool:
    return link is not None and bool(link.data.get("br_vlan_filtering"))


def _with_vlans(doors: Doors, link: Link, before: Link | None, links: Mapping[str, Link]) -> Link:
    """They are read only where a bridge filters by them; elsewhere they are as they were."""
    if _filters(link) or _filters(links.get(link.master or "")):
        return msgspec.structs.replace(link, vlans=doors.netlink.vlans(link.name))
    same = before is not None and (before.index, before.master) == (link.index, link.master)
    return msgspec.structs.replace(link, vlans=before.vlans) if before is not None and same and before.vlans else link
