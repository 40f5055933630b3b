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


def opened(target: PoolTarget, volume: str, live: Live) -> tuple[str, str] | None:
    """The running domain that has the volume itself open, and its name there (``vda``); None when none has."""
    source = disk_source(target, volume)
    place = source.image or source.path
    for name, domain in sorted(live.domains.items()):
        if domain.active is None or volume not in domain.active:
            continue
        for disk in ET.fromstring(domain.active).findall("devices/disk"):
            own, device = disk.find("source"), disk.find("target")
            if own is not None and device is not None and place in (own.get("file"), own.get("dev"), own.get("name")):
                return name, device.get("dev", "")
    return None


def _places(xml: str) -> set[str]:
    """Everything that a ``<source>`` of the XML opens, on whatever level."""
    sources = ET.fromstring(xml).iter("source")
    return {source.get(name, "") for source in sources for name in ("file", "dev", "name")}
