"""What ``FakeNetlink`` and ``NetlinkDoor`` have in common: the same calls leave the same network, or fail alike.

Here it runs on the kernel of this machine, with what it has (bridges, NICs, taps), each time in a network namespace of
its own. ``tests/kernel/inside/test_contract.py`` runs it on a booted kernel, which has bonds and VLANs too.
"""

from __future__ import annotations

import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cell_reconciler.drivers.netlink import NetlinkDoor
from tests.contract.netlink_calls import LINKS, link_calls
from tests.contract.netlink_routes import ROUTES
from tests.fakes import FakeNetlink
from tests.fakes.play import Call, agree, call
from tests.network import isolated, own_network


@pytest.mark.live
@pytest.mark.parametrize("calls", (LINKS | ROUTES).values(), ids=LINKS | ROUTES)
def test_the_fake_and_the_kernel_agree(calls: list[Call]) -> None:
    isolated(agree)(calls)


def test_the_fake_has_every_method_of_the_door() -> None:
    def methods(of: type) -> dict[str, list[tuple[object, ...]]]:
        found = {name: inspect.signature(m) for name, m in inspect.getmembers(of, inspect.isfunction) if name[0] != "_"}
        return {n: [(str(p.kind), p.name, p.default) for p in s.parameters.values()] for n, s in found.items()}

    assert methods(FakeNetlink) == methods(NetlinkDoor)


@pytest.mark.live
@isolated
def test_they_agree_on_calls_that_nobody_thought_of() -> None:
    @settings(max_examples=60)
    @given(st.lists(link_calls(), min_size=5, max_size=25))
    def run(calls: list[Call]) -> None:
        own_network()
        agree([call("create_link", "br0", "bridge"), *calls])

    run()
