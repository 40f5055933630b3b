"""Promise 5: SIGKILL before every writing call of a plan of 30 steps and more; the next run always converges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cell_reconciler.lab import Lab
from tests.live.hosts import HOST_AND_POOL, SpecHost, text

pytestmark = [pytest.mark.live, pytest.mark.timeout(1500)]

SPECS = (
    HOST_AND_POOL
    + """apiVersion: cell/v1
kind: Bridge
metadata: {name: br-VM}
spec: {uplink: ens1f0, mtu: 1400}
"""
    + "".join(
        f"""---
apiVersion: cell/v1
kind: Bridge
metadata: {{name: br-{i}}}
spec: {{addresses: [10.{i}.0.1/24], stp: {"true" if i % 2 else "false"}}}
---
apiVersion: cell/v1
kind: Volume
metadata: {{name: disk-{i}}}
spec: {{pool: local, size: {i + 1}MiB}}
"""
        for i in range(5)
    )
    + "".join(
        f"""---
apiVersion: cell/v1
kind: VirtualMachine
metadata: {{name: vm-{i}}}
spec:
  memory: {{guest: 32MiB}}
  autostart: true
  disks: [{{name: root, volume: disk-{i}}}]
  interfaces: [{{name: eth0, bridge: br-VM}}, {{name: eth1, bridge: br-{i}}}]
"""
        for i in range(4)
    )
)


@pytest.fixture(scope="module")
def host() -> Iterator[SpecHost]:
    with Lab.up(name="crash", kernel="namespace", bound=True) as lab:
        yield SpecHost(lab)


def essence(world: dict[str, Any]) -> dict[str, Any]:
    """The state that must be the same each time: all but what the hypervisor picks at random."""
    return {**world, "links": [{k: v for k, v in link.items() if k != "index"} for link in world["links"]]}


def test_killed_anywhere_the_next_run_converges(host: SpecHost) -> None:
    host.write("all.yaml", SPECS)
    planned = json.loads(text(host.cellctl("plan", "--format", "json").stdout))
    assert len(planned["steps"]) >= 30, "the plan must be a long one"
    done = host.cellctl("apply", "--yes")
    assert done.returncode == 0, text(done.stdout) + text(done.stderr)
    wanted = essence(host.world())
    host.wipe()

    number, killed = 0, 0
    while True:
        host.write("all.yaml", SPECS)
        code = host.killed_before_write(number, "apply", "--yes")
        again = host.cellctl("apply", "--yes")
        assert again.returncode == 0, f"after a kill before write {number}: {text(again.stdout)}{text(again.stderr)}"
        assert essence(host.world()) == wanted, f"after a kill before write {number}"
        second = host.cellctl("diff", "--exit-code")
        assert second.returncode == 0, f"after a kill before write {number}: {text(second.stdout)}"
        host.wipe()
        if code == 0:
            break  # it had fewer writing calls than that: every one was killed before
        assert code in (-9, 137), f"write {number}: ended with {code} instead of being killed"
        killed += 1
        number += 1
    assert killed >= 30
