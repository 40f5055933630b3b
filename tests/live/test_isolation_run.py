"""The daemon and the packet filter: who flushes the rules is answered by an event, not by the resync."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab
from tests.live.hosts import HOST_AND_POOL
from tests.live.run_host import RunHost, within

pytestmark = pytest.mark.live

SPECS = f"""{HOST_AND_POOL}apiVersion: cell/v1
kind: Bridge
metadata: {{name: cloud0}}
spec: {{mode: internal, addresses: [169.254.0.1/16]}}
"""


@pytest.fixture
def host() -> Iterator[RunHost]:
    with Lab.up(name="isolation", kernel="namespace", nics=("eth0",), bound=True) as lab:
        host = RunHost(lab)
        host.write("base.yaml", SPECS)
        host.start("--interval", "10m")  # so long that nothing here can be the work of the periodic resync
        host.settle("Bridge/cloud0")
        yield host
        host.stop()


def nft(host: RunHost, command: str) -> str:
    code = "import nftables, sys; print(nftables.Nftables().cmd(sys.argv[1])[1])"
    return host.sh(sys.executable, "-c", code, command)


def test_flushed_rules_are_back_in_seconds(host: RunHost) -> None:
    before = nft(host, "list ruleset")
    assert "cell-reconciler/cloud0" in before
    nft(host, "flush ruleset")
    within(3, lambda: "cell-reconciler/cloud0" in nft(host, "list ruleset"))
    assert nft(host, "list ruleset") == before
    host.settle("Bridge/cloud0")
