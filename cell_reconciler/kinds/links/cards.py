"""Is the interface of this name the card that its Nic document means?"""

from __future__ import annotations

from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.live import Link
from cell_reconciler.model.quantities import Mac


def mismatch(name: str, world: World) -> Refusal | None:
    """Why nothing may be done with the interface of this name: it is another card than ``match`` of its Nic says."""
    doc, link = world.declared("Nic", name), world.live.links.get(name)
    if doc is None or link is None or doc.spec.match is UNSET:
        return None
    match = doc.spec.match
    mac = None if match.permanent_mac is UNSET else match.permanent_mac
    pci = None if match.pci is UNSET else match.pci
    if _is(link, mac, pci):
        return None
    found = f"has {permanent_mac(link)}" if mac is not None and permanent_mac(link) != mac else f"is at {link.pci}"
    wanted = " and ".join(str(text) for text in (mac, pci) if text is not None)
    cards = (x for x in world.live.links.values() if x.kind not in ("bond", "bridge", "vlan"))  # those borrow addresses
    other = next((x.name for x in cards if _is(x, mac, pci)), None)
    advice = f"{other} is the one with {wanted}: name the interfaces by a .link file, or correct the document"
    return Refusal(
        reason="NicMismatch",
        message=f"{name} {found}, and {doc.key} means the card with {wanted}",
        advice=advice if other else f"no interface has {wanted}: correct the document, or look for the card",
    )


def declared_down(name: str, world: World) -> Refusal | None:
    """Why nothing can stand on this link: a NIC that it is a VLAN of is declared down."""
    link = world.live.links.get(name)
    while link is not None:
        doc = world.declared("Nic", link.name)
        if doc is not None and doc.spec.admin_state == "down":
            text = f"{link.name}, on which {name} stands," if link.name != name else name
            message = f"{text} is declared down"
            return Refusal(reason="Conflict", message=message, advice=f"declare {doc.key} up")
        link = world.live.links.get(link.parent or "") if link.kind == "vlan" else None
    return None


def permanent_mac(link: Link) -> Mac:
    """The address of the card, also while a bond lends it another; of a virtual one that it has now."""
    return Mac(link.permanent_mac or link.mac)


def _is(link: Link, mac: Mac | None, pci: str | None) -> bool:
    return (mac is None or (bool(link.mac) and permanent_mac(link) == mac)) and pci in (None, link.pci)
