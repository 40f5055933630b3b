"""What a bond in mode 802.3ad says of its partner, asked of a real one: bonds in another namespace, cable by cable."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cell_reconciler.model.condition import Truth
from cell_reconciler.model.document import Document
from tests.kernel.inside.watchers import no_loss, soon, switch
from tests.network import ExecutedHost, conditions, document, isolated
from tests.spaces import Space

pytestmark = pytest.mark.kernel
MEMBERS = ["eno1", "eno2"]
FAST = {"mode": "802.3ad", "lacpRate": "fast"}


def bond(**spec: Any) -> Document:
    return document("Bond/bond0", {"members": MEMBERS, **FAST, "addresses": ["10.0.0.1/24"], **spec})


def partner(far: Space, name: str, *nics: str) -> None:
    """The ends of these cables become a bond, which is a port of the switch."""
    far.run(f"link add {name} type bond mode 802.3ad miimon 100 lacp_rate fast")
    for nic in nics:
        far.run(f"link set p-{nic} down nomaster")
        far.run(f"link set p-{nic} master {name}")
    far.run(f"link set {name} master switch up")


def lacp(host: ExecutedHost, doc: Document) -> str:
    """The reason; it is true when there is a partner on all members that both ends use, and never else."""
    found = conditions(host, doc)["LacpNegotiated"]
    assert (found.status == Truth.TRUE) == (found.reason == "PartnerFound")
    return found.reason


def degraded(host: ExecutedHost, doc: Document) -> tuple[Truth, str]:
    found = conditions(host, doc)["Degraded"]
    return found.status, found.reason


@isolated
def test_a_partner_that_comes_and_goes_and_a_cable_that_is_pulled() -> None:
    host, far = ExecutedHost(), switch(*MEMBERS)
    host.converge(bond())
    soon(lambda: lacp(host, bond()) == "NoPartner")
    assert host.link("bond0").carrier, "that is why the carrier says nothing"
    soon(lambda: degraded(host, bond()) == (Truth.FALSE, "MembersUp"))

    partner(far, "partner", *MEMBERS)
    soon(lambda: lacp(host, bond()) == "PartnerFound", 60)
    mac = far.inside(lambda: ExecutedHost().link("partner").mac)
    assert mac in conditions(host, bond())["LacpNegotiated"].message
    assert host.plan(bond()).empty
    first = host.live().links
    time.sleep(2)
    assert host.live().links == first, "a bond at rest is observed the same twice"

    with no_loss(far, "10.0.0.1"):
        host.converge(bond(xmitHashPolicy="layer3+4"))
    far.run("link set p-eno2 down")
    soon(lambda: degraded(host, bond()) == (Truth.TRUE, "MemberNoCarrier"))
    soon(lambda: lacp(host, bond()) == "PartnerFound")
    assert "eno2 has no carrier" in conditions(host, bond())["Degraded"].message
    far.run("link set p-eno2 up")
    soon(lambda: degraded(host, bond()) == (Truth.FALSE, "MembersUp"))
    soon(lambda: lacp(host, bond()) == "PartnerFound", 60)

    far.run("link set p-eno1 nomaster")
    far.run("link set p-eno2 nomaster")
    for nic in MEMBERS:
        far.run(f"link set p-{nic} up")
    soon(lambda: lacp(host, bond()) == "NoPartner", 60)
    soon(lambda: degraded(host, bond()) == (Truth.FALSE, "MembersUp"))  # all cables are plugged in


@isolated
def test_cables_in_two_switches_are_two_aggregators() -> None:
    host, far = ExecutedHost(), switch(*MEMBERS)
    host.converge(bond())
    partner(far, "one", "eno1")
    partner(far, "two", "eno2")
    soon(lambda: lacp(host, bond()) == "SeveralAggregators", 60)
    time.sleep(1)
    assert lacp(host, bond()) == "SeveralAggregators"
    for nic in MEMBERS:
        far.run(f"link set p-{nic} nomaster")
    far.run("link del one")
    far.run("link del two")
    partner(far, "both", *MEMBERS)
    soon(lambda: lacp(host, bond()) == "PartnerFound", 60)


@isolated
def test_a_cable_in_a_switch_that_speaks_no_lacp_is_named() -> None:
    host, far = ExecutedHost(), switch(*MEMBERS)
    host.converge(bond())
    partner(far, "partner", "eno1")
    soon(lambda: lacp(host, bond()) == "SeveralAggregators", 60)
    assert "eno2 found another partner" in conditions(host, bond())["LacpNegotiated"].message
