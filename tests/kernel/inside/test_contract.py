"""The contract of the netlink door (see ``tests/contract/test_netlink.py``) on a kernel that has bonds and VLANs."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.contract.netlink_calls import LINKS
from tests.contract.netlink_routes import ROUTES
from tests.contract.netlink_stacks import BONDS, FILTERS, VLANS, full_calls
from tests.fakes.play import Call, agree, call
from tests.network import isolated, own_network

pytestmark = pytest.mark.kernel
SCRIPTS = LINKS | ROUTES | BONDS | VLANS | FILTERS


@isolated
def test_the_fake_and_the_kernel_agree() -> None:
    """All in one test: most of the time of a test in emulation is its start."""
    failures = []
    for name, calls in SCRIPTS.items():
        own_network()
        try:
            agree(calls)
        except AssertionError as error:
            failures.append(f"{name}: {error}")
    assert not failures, "\n".join(failures)


@isolated
def test_they_agree_on_calls_that_nobody_thought_of() -> None:
    @settings(max_examples=25, phases=[Phase.generate])  # to shrink one takes minutes here
    @given(st.lists(full_calls(), min_size=10, max_size=40))
    def run(calls: list[Call]) -> None:
        own_network()
        agree([call("create_link", "br0", "bridge"), call("create_link", "bond0", "bond"), *calls])

    run()
