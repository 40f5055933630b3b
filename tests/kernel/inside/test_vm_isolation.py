"""What only a kernel with nft_meta_bridge, bonding and 8021q can show: no frame passes an internal bridge."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import spaces
from tests.isolation import DOCUMENT, HOST, Stage, condition, passing
from tests.network import ip, isolated, ops
from tests.spaces import Space

pytestmark = pytest.mark.kernel
OUTSIDE = "169.254.0.77"


@isolated
def test_guests_do_not_see_each_other() -> None:
    stage = Stage()
    assert condition(stage.host, DOCUMENT).reason == "Filtered"
    assert passing(stage.between) == set()
    assert passing(stage.wanted) == set(stage.wanted)
    assert passing(stage.unwanted) == set()
    stage.flush()
    assert passing(stage.between) == set(stage.between), "without our rules they do"
    assert ops(stage.host.converge(DOCUMENT)) == ["bridge.filter"]
    assert passing(stage.between) == set()


@isolated
@pytest.mark.parametrize("kind", ["vlan", "bond"])
def test_no_frame_comes_or_goes_by_an_uplink_that_somebody_plugged_in(kind: str) -> None:
    stage = Stage()
    outside = Space("eno2")
    if kind == "vlan":
        ip("link add link eno2 name out type vlan id 5")
        outside.run("link add link eth0 name eth0.5 type vlan id 5")
        outside.run("link set eth0.5 up")
    else:
        ip("link add out type bond mode active-backup")
        ip("link set eno2 down")
        ip("link set eno2 master out")
    outside.run(f"addr add {OUTSIDE}/16 dev {'eth0.5' if kind == 'vlan' else 'eth0'}")
    outside.serve()
    ip("link set out master cloud0 up")
    cases: dict[str, Callable[[], bool]] = {
        "outside → host": lambda: outside.answers(HOST),
        "host → outside": lambda: spaces.ask(OUTSIDE),
        "guest → outside": lambda: stage.guest.answers(OUTSIDE),
    }
    assert passing(cases) == set()
    assert condition(stage.host, DOCUMENT).reason == "ForeignUplink"
    stage.flush()
    assert passing(cases) == set(cases), "without our rules they do"
    stage.host.apply(DOCUMENT)
    assert passing(cases) == set()
    assert passing(stage.wanted) == set(stage.wanted)
    assert stage.host.link("out").master == "cloud0", "it is not ours to remove"
