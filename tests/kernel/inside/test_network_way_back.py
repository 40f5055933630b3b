"""Undoing a change of the management path where it is made of bonds, VLANs and bridges."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cell_reconciler.converge.confirm import begin, guarded
from cell_reconciler.converge.pending import current, pending_path
from cell_reconciler.converge.restore import restore
from cell_reconciler.converge.revert import revert
from cell_reconciler.kinds import link_kinds
from cell_reconciler.model.document import Document
from tests.kernel.inside.cabled import AFTER, Cabled
from tests.network import NetworkHost, document, ip, isolated

pytestmark = pytest.mark.kernel

DEADLINE = 3  # seconds until an unconfirmed change is undone
MOVING = ("bond_active_slave", "bond_primary_reselect")
MGMT = document("Bridge/br-MGMT", {"uplink": "bond0", "vlan": 20, "addresses": ["10.10.0.11/24", "fd00::11/64"]})
BOND = document("Bond/bond0", {"members": ["eno1", "eno2"]})
CHANGES: dict[str, list[Document]] = {
    "another VLAN": [BOND, document("Bridge/br-MGMT", {**MGMT.given["spec"], "vlan": 30})],
    "no VLAN": [BOND, document("Bridge/br-MGMT", {"uplink": "bond0", "addresses": ["10.11.0.11/24"], "mtu": 1400})],
    "another bond": [
        document("Bond/bond0", {"members": ["eno2"], "mode": "balance-rr", "miimon": 50}),
        MGMT,
        document("Bond/bond1", {"members": ["eno1"]}),
    ],
    "nothing": [document("Bridge/br-X")],
}
WAYS = ("kinds", "facts")  # both stages, or the second alone: as where a kind objects


def facts(host: NetworkHost) -> dict[str, Any]:
    """All links without what is another number or another moment after they were made anew."""
    found = {}
    for name, link in host.live().links.items():
        data = {key: value for key, value in link.data.items() if key not in MOVING}
        found[name] = msgspec.structs.replace(link, index=0, carrier=True, data=data, port={})
    return found


def ways() -> list[str]:
    """Routes of all tables and rules, as ip(8) tells them, but for what the kernel makes by itself."""
    said = ip("route show table all") + ip("-6 route show table all") + ip("rule") + ip("-6 rule")
    return sorted(line for line in said.split("\n") if "proto kernel" not in line and "table local" not in line)


def there_and_back(host: NetworkHost, state: Path, way: str, *after: Document) -> None:
    """Make the change under a guard that has time, then undo it."""
    before, was = facts(host), ways()
    plan = host.plan(*after, prune=True)
    keys = guarded(plan, host.live())
    assert keys
    keys |= {step.key for step in plan.steps if step.key.kind in link_kinds()}
    watch = begin(state, plan, keys, host.doors, timeout=3000)
    for step in plan.steps:
        if not step.action.done(host.doors):
            step.action.do(host.doors)
    assert (facts(host), ways()) != (before, was)
    if way == "facts":
        pending = current(state)
        assert pending is not None
        assert restore(pending, host.doors) == []
    assert revert(state, host.doors) == []
    now = facts(host)
    assert now.keys() == before.keys()
    assert [(now[name], before[name]) for name in before if now[name] != before[name]] == []
    assert ways() == was
    assert not pending_path(state).exists()
    assert revert(state, host.doors) is None
    assert watch.guard.wait(60) == 0


def nics() -> None:
    for name in ("eno1", "eno2"):
        ip(f"link add {name} type dummy")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("after", CHANGES.values(), ids=CHANGES)
def test_a_bond_with_a_vlan(tmp_path: Path, after: list[Document], way: str) -> None:
    @isolated
    def test() -> None:
        nics()
        host = NetworkHost()
        host.converge(MGMT, BOND)
        ip("link add vnet0 type dummy")  # of somebody else, as a VM's tap is
        ip("link set vnet0 master br-MGMT up")
        ip("route add default via 10.10.0.1 metric 100")
        ip("-6 route add default via fd00::1 metric 100")
        if after == CHANGES["nothing"]:
            ip("link set vnet0 nomaster")  # else the bridge would not be deleted
        there_and_back(host, tmp_path, way, *after)

    test()


@isolated
def _from_a_nic(state: Path, way: str) -> None:
    nics()
    ip("link set eno1 up")
    ip("address add 10.10.0.11/24 dev eno1")
    ip("route add default via 10.10.0.1")
    after = document("Bridge/br-MGMT", {"uplink": "eno1", "addresses": ["10.10.0.11/24"]})
    there_and_back(NetworkHost(), state, way, after)


@pytest.mark.parametrize("way", WAYS)
def test_a_first_bridge_on_a_nic_with_the_address(tmp_path: Path, way: str) -> None:
    _from_a_nic(tmp_path, way)


@isolated
def _to_a_bond(state: Path, way: str) -> None:
    """The kinds cannot plan this one backwards (bridge and bond wait for each other): the facts have to do it."""
    nics()
    host = NetworkHost()
    spec = {"uplink": "eno1", "addresses": ["10.10.0.11/24"]}
    host.converge(document("Bridge/br-MGMT", spec))
    there_and_back(host, state, way, BOND, document("Bridge/br-MGMT", {**spec, "uplink": "bond0"}))


@pytest.mark.parametrize("way", WAYS)
def test_from_a_nic_to_a_bond_of_it(tmp_path: Path, way: str) -> None:
    _to_a_bond(tmp_path, way)


@isolated
def _adopted(state: Path) -> None:
    nics()
    ip("link add br-MGMT type bridge")
    ip("link set eno1 master br-MGMT up")
    ip("link set br-MGMT up")
    ip("address add 10.10.0.11/24 dev br-MGMT")
    spec = {"uplink": "eno2", "mtu": 1400, "addresses": ["10.10.0.11/24", "10.12.0.11/24"]}
    there_and_back(NetworkHost(), state, "kinds", document("Bridge/br-MGMT", spec, adopt=True))


def test_an_adopted_bridge_is_not_ours_afterwards(tmp_path: Path) -> None:
    _adopted(tmp_path)


@isolated
def _routes_and_rules(state: Path, way: str) -> None:
    """Ours are replaced, those of others are moved; all are back."""
    nics()
    host = NetworkHost()
    spec = {
        "uplink": "eno1",
        "addresses": ["10.10.0.11/24", "fd00::11/64"],
        "routes": [
            {"to": "default", "via": "10.10.0.1", "metric": 100},
            {"to": "10.30.0.0/16", "via": "10.10.0.9", "table": 100},
            {"to": "fd01::/64", "via": "fd00::1"},
        ],
        "rules": [{"from": "10.10.0.11", "table": 100, "priority": 1000}],
    }
    host.converge(document("Bridge/br-MGMT", spec))
    ip("route add 10.40.0.0/16 via 10.10.0.7")  # of somebody else
    ip("rule add from 10.50.0.0/16 lookup 100 priority 2000")
    after = {
        **spec,
        "uplink": "eno2",
        "addresses": ["10.10.0.12/24"],
        "routes": [
            {"to": "default", "via": "10.10.0.2", "metric": 100},
            {"to": "10.60.0.0/16", "via": "10.10.0.9", "table": 200},
        ],
        "rules": [{"from": "10.10.0.12", "table": 200, "priority": 1000}],
    }
    there_and_back(host, state, way, document("Bridge/br-MGMT", after))


@pytest.mark.parametrize("way", WAYS)
def test_routes_and_rules(tmp_path: Path, way: str) -> None:
    _routes_and_rules(tmp_path, way)


@isolated
def _filtering(state: Path, way: str) -> None:
    nics()
    host = NetworkHost()
    spec = {
        "uplink": "eno1",
        "addresses": ["10.10.0.11/24"],
        "vlanFiltering": True,
        "ports": [{"name": "eno1", "vlans": {"native": 5, "trunk": ["10-20", 30]}}],
    }
    host.converge(document("Bridge/br-MGMT", spec))
    assert host.link("eno1").vlans
    there_and_back(host, state, way, document("Bridge/br-MGMT", {**spec, "uplink": "eno2", "ports": []}))


@pytest.mark.parametrize("way", WAYS)
def test_vlans_of_a_port(tmp_path: Path, way: str) -> None:
    _filtering(tmp_path, way)


@isolated
def _vlan_link(state: Path, way: str) -> None:
    """A VLAN that becomes another one under the same name."""
    nics()
    host = NetworkHost()
    spec = {"parent": "bond0", "id": 20, "addresses": ["10.10.0.11/24"]}
    host.converge(BOND, document("Vlan/mgmt", spec))
    ip("route add default via 10.10.0.1")
    there_and_back(host, state, way, BOND, document("Vlan/mgmt", {**spec, "id": 30, "addresses": ["10.11.0.11/24"]}))


@pytest.mark.parametrize("way", WAYS)
def test_a_vlan_of_another_number(tmp_path: Path, way: str) -> None:
    _vlan_link(tmp_path, way)


@isolated
def _every_step(directory: Path) -> None:
    host = Cabled(directory)
    for number in range(count := host.calls()):
        host.declare(AFTER)
        what = f"call {number} of {count} fails"
        done = host.faulty("fail", number, "--confirm-timeout", "60s")
        assert done.returncode in (1, 7), f"{what}: {done.stdout}{done.stderr}"
        assert "injected" in done.stderr, what
        host.back(1, what)
    host.nothing_to_do()


def test_scenario_18_a_failure_at_every_step_leaves_what_was_before(tmp_path: Path) -> None:
    """Undone at once, not at the deadline; links that the change does not name are the same byte by byte."""
    _every_step(tmp_path)


@isolated
def _unconfirmed(directory: Path) -> None:
    host = Cabled(directory)
    host.declare(AFTER)
    done = host.cellctl("apply", "--yes", "--confirm-timeout", f"{DEADLINE + 5}s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not host.reached(), "the gateway is in another VLAN: nothing could confirm this but a person"
    second = host.cellctl("apply", "--yes")
    assert second.returncode == 6
    assert "'cellctl commit' keeps it, 'cellctl rollback' undoes it now" in second.stderr
    host.back(DEADLINE + 15, "nobody confirmed it")
    host.nothing_to_do()


def test_scenario_19_an_unconfirmed_change_is_undone_and_a_second_apply_is_a_conflict(tmp_path: Path) -> None:
    _unconfirmed(tmp_path)


@isolated
def _killed(directory: Path) -> None:
    host = Cabled(directory)
    for number in range(count := host.calls()):
        host.declare(AFTER, timeout=DEADLINE)
        what = f"killed before call {number} of {count}"
        done = host.faulty("kill", number, "--confirm-timeout", f"{DEADLINE}s")
        assert done.returncode == -signal.SIGKILL, f"{what}: {done.stdout}{done.stderr}"
        host.back(DEADLINE + 15, what)
    host.nothing_to_do()


def test_scenario_19_also_when_the_reconciler_was_killed_at_any_step(tmp_path: Path) -> None:
    _killed(tmp_path)
