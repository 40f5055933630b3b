"""What VMs of different hosts may not both have: the documents of all hosts are one cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from cell_reconciler.load import Specs
from cell_reconciler.model.document import Loaded
from cell_reconciler.model.key import Key

HOSTS = "".join(
    f"---\napiVersion: cell/v1\nkind: Host\nmetadata: {{name: {name}, labels: {{rack: r1}}}}\nspec: {{}}\n"
    for name in ("h1", "h2")
)
POOLS = """---
apiVersion: cell/v1
kind: StoragePool
metadata: {name: glue}
spec: {rbd: {monitors: [192.0.2.1], pool: vms, user: cell, secret: {file: /etc/ceph/key}}}
---
apiVersion: cell/v1
kind: StoragePool
metadata: {name: local}
spec: {directory: {path: /images}}
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-x}
spec: {}
"""
WEB = Key("VirtualMachine", "a")


def vm(name: str, spec: str) -> str:
    head = f"---\napiVersion: cell/v1\nkind: VirtualMachine\nmetadata: {{name: {name}}}\n"
    return f"{head}spec: {{memory: {{guest: 1GiB}}, guestAgent: true, {spec}}}\n"


def scan(root: Path, *texts: str, host: str | None = None) -> Loaded:
    (root / "a.yaml").write_text("".join((HOSTS, POOLS, *texts)))
    return Specs([str(root)], host).scan()


def found(loaded: Loaded) -> list[tuple[str, str]]:
    """Beside what is advised of for other reasons."""
    rules = ("unique", "one-host")
    return [(str(d.severity), d.rule) for d in loaded.diagnostics if d.rule.endswith(rules)]


ISCSI = "source: {iscsi: {portal: 192.0.2.9, target: 'iqn.2026-01.io.x:a', lun: 1}}"
MAC = "interfaces: [{name: n, bridge: br-x, mac: '52:54:00:00:00:01'}]"


@pytest.mark.parametrize(
    ("what", "rule"),
    [
        (MAC, "vm-mac-unique"),
        ("uuid: 11111111-1111-1111-1111-111111111111", "vm-uuid-unique"),
        ("disks: [{name: d, volume: glue/web}]", "vm-volume-unique"),
        (f"disks: [{{name: d, {ISCSI}}}]", "vm-source-unique"),
    ],
)
def test_both_are_wrong_each_on_its_own_host(tmp_path: Path, what: str, rule: str) -> None:
    texts = vm("a", f"hosts: [h1], {what}"), vm("b", f"hosts: [h2], {what}")
    everywhere = scan(tmp_path, *texts)
    assert found(everywhere) == [("error", rule)] * 2
    assert any("VirtualMachine/b on h2 (" in d.message for d in everywhere.diagnostics)
    one = scan(tmp_path, *texts, host="h1")
    assert found(one) == [("error", rule)]
    assert WEB not in one.documents


@pytest.mark.parametrize(
    "what",
    [
        "disks: [{name: d, volume: local/web}]",
        "disks: [{name: d, source: {file: {path: /srv/a.raw}}}]",
        "disks: [{name: d, volume: glue/web, shareable: true}]",
        "graphics: {port: 5999}",
        "vsock: {cid: 7}",
    ],
)
def test_what_each_host_has_for_itself_or_what_is_shared_is_no_clash(tmp_path: Path, what: str) -> None:
    loaded = scan(tmp_path, vm("a", f"hosts: [h1], {what}"), vm("b", f"hosts: [h2], {what}"))
    assert found(loaded) == []
    assert WEB in loaded.documents


def test_the_last_good_version_stays_in_force(tmp_path: Path) -> None:
    specs = Specs([str(tmp_path)], "h1")
    (tmp_path / "a.yaml").write_text(HOSTS + POOLS + vm("a", f"hosts: [h1], {MAC}"))
    assert found(specs.scan()) == []
    (tmp_path / "b.yaml").write_text(vm("b", f"hosts: [h2], {MAC}"))
    loaded = specs.scan()
    assert WEB in loaded.stale
    assert WEB in loaded.documents
    (tmp_path / "b.yaml").unlink()
    assert specs.scan().stale == frozenset()


def test_a_vm_that_counts_on_two_hosts_is_warned_of(tmp_path: Path) -> None:
    both = scan(tmp_path, vm("a", "hosts: [h1, h2]"))
    assert found(both) == [("warning", "one-host")]
    [told] = [d for d in both.diagnostics if d.rule == "one-host"]
    assert told.message.startswith("it counts on h1, h2: each of them makes one, with the same UUID")
    assert found(scan(tmp_path, vm("a", ""))) == [("warning", "one-host")], "without hosts it counts everywhere"
    standby = vm("a", "hosts: [h1, h2], perHost: {h2: {runStrategy: Halted}}")
    assert found(scan(tmp_path, standby)) == []
    other = vm("a", "hosts: [h1, h2], perHost: {h2: {uuid: 22222222-1111-1111-1111-111111111111}}")
    assert found(scan(tmp_path, other)) == []
