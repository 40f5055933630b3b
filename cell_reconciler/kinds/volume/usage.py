"""Which domains use a volume: in their persistent or their running definition, backing chains included."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from cell_reconciler.model.live import Live
from cell_reconciler.model.storage import PoolTarget, disk_source


def users(target: PoolTarget, volume: str, live: Live) -> tuple[str, ...]:
    """Names of the domains, sorted. Another cluster's image of the same path counts too: rather too many."""
    source = disk_source(target, volume)
    place = source.image or source.path
    found = []
    for domain in live.domains.values():
        texts = (text for text in (domain.inactive, domain.active) if text and volume in text)
        if any(place in _places(text) for text in texts):
            found.append(domain.name)
    return tuple(sorted(found))


def _places(xml: str) -> set[str]:
    """Everything that a ``<source>`` of the XML opens, on whatever level."""
    sources = ET.fromstring(xml).iter("source")
    return {source.get(name, "") for source in sources for name in ("file", "dev", "name")}
