"""How well a bond is: its members, its partner in LACP, its address."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.bond.modes import BondMode
from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.links.managers import also_managed
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Link

_NOBODY = "00:00:00:00:00:00"
_ON_OTHERS = frozenset({"bond", "bridge", "vlan", "macvlan", "macvtap"})  # they borrow addresses


def conditions(doc: Document, have: Observed | None, world: World) -> Iterator[Condition]:
    """``Degraded`` always, ``LacpNegotiated`` in mode 802.3ad, the others when there is something to say."""
    if have is None or have.detail.kind != "bond":
        return
    yield from also_managed((doc.key.name, *doc.spec.members), world)
    yield _degraded(doc, have.detail, world)
    if have.spec.mode == BondMode.LACP:
        yield _lacp(have, world)
    yield from _same_address(have, world)


def _degraded(doc: Document, bond: Link, world: World) -> Condition:
    """Members that are missing, down or without a carrier; the active member in its message."""
    faults = [fault for nic in doc.spec.members if (fault := _fault(nic, bond.name, world))]
    active = bond.data.get("bond_active_slave")
    said = [text for _, text in faults] + ([f"active member {active}"] if active else [])
    return Condition(
        type="Degraded",
        status=Truth.TRUE if faults else Truth.FALSE,
        reason=faults[0][0] if faults else "MembersUp",
        message="; ".join(said),
    )


def _fault(nic: str, bond: str, world: World) -> tuple[str, str] | None:
    link = world.live.links.get(nic)
    if link is None:
        return "MemberMissing", f"{nic} is not there"
    if link.master != bond:
        return "MemberMissing", f"{nic} is not in the bond"
    if not link.up:
        return "MemberDown", f"{nic} is down"
    if not link.carrier:
        return "MemberNoCarrier", f"{nic} has no carrier"
    if link.port.get("bond_slave_mii_status", "up") != "up":
        return "MemberDown", f"{nic} is {link.port['bond_slave_mii_status']} for the bond"
    return None


def _lacp(have: Observed, world: World) -> Condition:
    """A bond without a partner has a carrier all the same, so its state says nothing: the partner's address does.

    The address is known from the first frame of the partner on; frames are carried only when both ends agreed.
    Members without a carrier are ``Degraded``'s to tell.
    """
    info = have.detail.data.get("bond_ad_info") or {}
    partner, chosen = info.get("bond_ad_info_partner_mac", _NOBODY), info.get("bond_ad_info_aggregator")
    members = [x for nic in have.spec.members if (x := world.live.links[nic]).up and x.carrier]
    apart = sorted(x.name for x in members if x.port.get("bond_slave_ad_aggregator_id") != chosen)
    silent = sorted(x.name for x in members if not x.lacp_agreed)
    if partner == _NOBODY:
        text = "nobody answers by LACP: look at the switch's ports"
        return Condition(type="LacpNegotiated", status=Truth.FALSE, reason="NoPartner", message=text)
    if apart:
        text = f"{', '.join(apart)} found another partner than {partner}, or none: look at the cables and the switch"
        return Condition(type="LacpNegotiated", status=Truth.FALSE, reason="SeveralAggregators", message=text)
    if silent:
        text = f"{', '.join(silent)}: {partner} and this end have not agreed (yet), so nothing is sent there"
        return Condition(type="LacpNegotiated", status=Truth.FALSE, reason="NotInSync", message=text)
    return Condition(type="LacpNegotiated", status=Truth.TRUE, reason="PartnerFound", message=f"partner {partner}")


def _same_address(have: Observed, world: World) -> Iterator[Condition]:
    """The NIC whose address the bond took as its own has left it, and is on the network by itself."""
    bond: Link = have.detail
    for link in world.live.links.values():
        if link.mac == bond.mac and link.up and link.master != bond.name and link.kind not in _ON_OTHERS:
            text = f"{link.name} has the address {bond.mac} too: on one network, one of them is not reached"
            yield Condition(type="SameAddress", status=Truth.TRUE, reason="SameAddress", message=text)
            return
