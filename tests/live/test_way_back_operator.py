"""A change that a person confirms: ``apply --confirm-timeout``, ``commit``, ``rollback``, and who acts meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.live.hosts import CELLCTL, text
from tests.live.managed import Managed, same, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

OTHER = """
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-X}
spec: {}
"""
POOL = """
apiVersion: cell/v1
kind: StoragePool
metadata: {name: local}
spec: {directory: {path: /var/lib/libvirt/images/cell}}
"""


def change(host: Managed, timeout: str = "60s", *more: str) -> str:
    """Another address for br-MGMT: no probe could confirm that, a person can."""
    host.declare(address="10.10.0.2/24")
    return host.apply("--allow", "cuts-management", "--confirm-timeout", timeout, *more, code=0)


def moved(host: Managed) -> bool:
    return "10.10.0.2/24" in host.sh("ip", "address", "show", "br-MGMT")


def say(host: Managed, *words: str) -> subprocess.CompletedProcess[Any]:
    return host.lab.exec([*CELLCTL, "--host", "h1", "--state-dir", str(host.state), *words], timeout=60)


def kept(host: Managed) -> Any:
    """The last confirmed addresses of br-MGMT."""
    (entry,) = [
        x for x in json.loads((host.state / "network.json").read_text())["documents"] if "MGMT" in str(x["key"])
    ]
    return entry["spec"]["addresses"]


def test_commit_keeps_it(host: Managed) -> None:
    said = change(host, "4s")
    assert "'cellctl commit' keeps it" in said
    assert moved(host)
    assert host.pending
    assert kept(host) == ["10.9.0.2/24"], "not confirmed yet"
    assert say(host, "commit").returncode == 0
    assert not host.pending
    time.sleep(5)  # beyond the deadline
    assert moved(host)
    assert kept(host) == ["10.10.0.2/24"]
    until(lambda: not host.guards(), 5)
    assert host.cellctl("diff", "--exit-code").returncode == 0
    assert "Confirmed" in host.cellctl_status("events")


def test_nobody_says_anything(host: Managed) -> None:
    before = host.links()
    change(host, "3s")
    until(lambda: not host.pending, 15)
    same(host, before)
    assert host.answers()
    assert kept(host) == ["10.9.0.2/24"]
    assert say(host, "commit").returncode == 6


def test_rollback_undoes_it_at_once(host: Managed) -> None:
    before = host.links()
    change(host)
    done = say(host, "rollback")
    assert done.returncode == 0, done.stderr
    assert "the change of Bridge/br-MGMT is undone" in done.stdout
    assert "as before: br-MGMT" in done.stdout
    same(host, before)
    assert not host.pending
    until(lambda: not host.guards(), 5)


@pytest.mark.parametrize("word", ["commit", "rollback"])
def test_nothing_is_pending(host: Managed, word: str) -> None:
    done = say(host, word)
    assert done.returncode == 6
    assert "no change waits for a confirmation" in done.stderr


def test_a_second_apply_is_a_conflict(host: Managed) -> None:
    change(host)
    host.write("other.yaml", OTHER)
    said = host.apply(code=6)
    assert "a change of Bridge/br-MGMT waits for a confirmation until" in said
    assert "'cellctl commit' keeps it, 'cellctl rollback' undoes it now" in said
    say(host, "rollback")
    host.declare()
    host.apply(code=0)


def test_it_is_shown_everywhere(host: Managed) -> None:
    report = json.loads(change(host, "60s", "--format", "json"))
    assert report["pending"]["keys"] == ["Bridge/br-MGMT"]
    assert report["pending"]["confirmedBy"] == "operator"
    assert 0 < report["pending"]["seconds"] <= 60
    assert "gateway 10.9.0.1" in report["silentProbes"]
    assert json.loads(host.cellctl_status("get", "-o", "json"))["pending"]["made"] is True
    assert "waits for a confirmation" in host.cellctl_status("get")
    assert "Unconfirmed:" in host.cellctl_status("describe", "Bridge/br-MGMT")
    checks = json.loads(text(say(host, "doctor", "--format", "json").stdout))["checks"]
    assert [c["result"] for c in checks if c["name"] == "network change"] == ["warn"]
    (guard,) = host.guards()
    os.kill(guard, signal.SIGKILL)
    checks = json.loads(text(say(host, "doctor", "--format", "json").stdout))["checks"]
    assert [c["result"] for c in checks if c["name"] == "network change"] == ["fail"]
    say(host, "rollback")


def test_also_where_no_probe_exists_and_nothing_is_risky(host: Managed) -> None:
    host.write("other.yaml", OTHER)
    said = host.apply("--confirm-timeout", "60s", code=0)
    assert "a change of Bridge/br-X waits" in said
    assert say(host, "rollback").returncode == 0
    assert "br-X" not in host.sh("ip", "link")


def test_without_a_change_of_the_network_nothing_waits(host: Managed) -> None:
    said = host.apply("--confirm-timeout", "60s", code=0)
    assert "cellctl commit" not in said
    assert not host.pending


def test_a_killed_apply_cannot_be_committed(host: Managed) -> None:
    before = host.links()
    host.declare(address="10.10.0.2/24")
    host.killed_before_write(1, "apply", "--yes", "--allow", "cuts-management", "--confirm-timeout", "60s")
    done = say(host, "commit")
    assert (done.returncode, "was cut short" in done.stderr) == (6, True)
    assert say(host, "rollback").returncode == 0
    same(host, before)


def another_boot(host: Managed) -> None:
    """As after a reboot: the deadline is of a clock that began anew since, and the guard is gone."""
    path = host.state / "pending.json"
    pending = json.loads(path.read_text())
    for guard in host.guards():
        os.kill(guard, signal.SIGKILL)
    path.write_text(json.dumps({**pending, "boot": "another", "deadline": 1e9}))


def test_a_deadline_of_an_earlier_boot_is_over(host: Managed) -> None:
    before = host.links()
    change(host)
    another_boot(host)
    assert say(host, "commit").returncode == 6
    host.declare()
    assert "restarted before the change of Bridge/br-MGMT was confirmed" in host.apply(code=0)
    same(host, before)
    assert not host.pending


# beside ``cellctl run``


@pytest.fixture
def daemon(host: Managed) -> Iterator[list[subprocess.Popen[Any]]]:
    running: list[subprocess.Popen[Any]] = []
    yield running
    for process in running:
        process.terminate()
        process.wait(30)


def run(host: Managed, daemon: list[subprocess.Popen[Any]]) -> Path:
    """Starts it; returns its log."""
    log = host.state.parent / "run.log"
    with log.open("wb") as file:
        daemon.append(host.lab.popen([*CELLCTL, *host.argv("run", "-v")], stdout=file, stderr=file))
    until(lambda: "watching" in log.read_text(), 20)
    return log


def reason(host: Managed, key: str) -> str:
    path = host.state / "status" / f"{key}.json"
    if not path.exists():
        return ""
    (ready,) = [c for c in json.loads(path.read_text())["conditions"] if c["type"] == "Ready"]
    return str(ready["reason"])


def test_run_leaves_the_network_alone_and_keeps_on_with_the_rest(
    host: Managed, daemon: list[subprocess.Popen[Any]]
) -> None:
    change(host)
    run(host, daemon)
    host.write("other.yaml", OTHER)
    host.write("pool.yaml", POOL)
    until(lambda: reason(host, "StoragePool/local") == "InSync", 10)
    until(lambda: reason(host, "Bridge/br-X") == "ChangePending", 10)
    assert moved(host)
    assert host.pending
    assert "br-X" not in host.sh("ip", "link")
    assert say(host, "commit").returncode == 0
    until(lambda: reason(host, "Bridge/br-X") == "InSync", 10)
    assert moved(host)
    until(lambda: kept(host) == ["10.10.0.2/24"], 5)


def test_run_does_not_make_again_what_nobody_confirmed(host: Managed, daemon: list[subprocess.Popen[Any]]) -> None:
    before = host.links()
    host.write("settings.yaml", (host.specs / "settings.yaml").read_text() + "  allow: cuts-management\n")
    change(host, "4s")
    run(host, daemon)
    until(lambda: not host.pending, 15)
    until(lambda: reason(host, "Bridge/br-MGMT") == "RolledBack", 10)
    time.sleep(2)
    same(host, before)
    assert kept(host) == ["10.9.0.2/24"]


def test_run_starts_the_guard_again(host: Managed, daemon: list[subprocess.Popen[Any]]) -> None:
    before = host.links()
    change(host, "8s")
    (guard,) = host.guards()
    os.kill(guard, signal.SIGKILL)
    run(host, daemon)
    assert host.pending
    assert moved(host), "an operator may still say commit"
    (other,) = host.guards()
    assert other != guard
    until(lambda: not host.pending, 20)
    same(host, before)


def test_rollback_beside_run(host: Managed, daemon: list[subprocess.Popen[Any]]) -> None:
    before = host.links()
    change(host)
    run(host, daemon)
    assert say(host, "rollback").returncode == 0
    until(lambda: reason(host, "Bridge/br-MGMT") in ("RolledBack", "NeedsPermission"), 10)
    same(host, before)


def test_the_file_is_roots_alone(host: Managed) -> None:
    change(host)
    assert (host.state / "pending.json").stat().st_mode & 0o777 == 0o600
    assert msgspec.json.decode((host.state / "pending.json").read_bytes())["by"].startswith("cellctl apply (pid ")
    say(host, "rollback")
