"""What a choice costs is told, with the figures of the Cell documentation, and only where it is made."""

from __future__ import annotations

from typing import Any

import pytest

from cell_reconciler.model.diagnostic import Severity
from tests.kinds.vm.make import VM, document, pool, vm

POOL = pool("local", "/srv/images")
DISK = {"name": "root", "volume": "local/root"}
NIC = {"name": "lan", "bridge": "br-VM"}


def _advice(**spec: Any) -> list[tuple[str, str, str]]:
    doc = vm("web", **spec)
    problems = [p for p in VM.check(doc, {doc.key: doc, POOL.key: POOL}) if p.severity == Severity.WARNING]
    assert all(problem.advice for problem in problems), "advice says what to do"
    return [(problem.rule, problem.pointer, problem.message) for problem in problems]


@pytest.mark.parametrize(
    ("spec", "rule", "pointer", "figures"),
    [
        ({"disks": [{**DISK, "bus": "sata"}]}, "vm-disk-slow", "/spec/disks/0/bus", ("40 %", "85 %")),
        (
            {"machine": {"type": "pc"}, "disks": [{**DISK, "bus": "ide"}]},
            "vm-disk-slow",
            "/spec/disks/0/bus",
            ("40 %", "85 %"),
        ),
        (
            {"disks": [DISK, {**DISK, "name": "b", "volume": "local/b", "bus": "scsi"}]},
            "vm-disk-scsi",
            "/spec/disks/1/bus",
            ("85 %",),
        ),
        ({"disks": [{**DISK, "cache": "writeback"}]}, "vm-disk-cache", "/spec/disks/0/cache", ("migrate",)),
        ({"interfaces": [{**NIC, "model": "e1000"}]}, "vm-nic-slow", "/spec/interfaces/0/model", ("60 %", "75 %")),
        (
            {"interfaces": [{**NIC, "model": "e1000e"}]},
            "vm-nic-slow",
            "/spec/interfaces/0/model",
            ("as e1000 is", "60 %"),
        ),
        ({"cpu": {"mode": "host-passthrough"}}, "vm-cpu-migration", "/spec/cpu/mode", ("the very same CPU",)),
        ({"video": "cirrus"}, "vm-video-slow", "/spec/video", ("50 %", "85 %")),
        ({"guestAgent": False}, "vm-no-agent", "/spec/guestAgent", ("agent",)),
    ],
)
def test_what_costs_something_is_told(spec: dict[str, Any], rule: str, pointer: str, figures: tuple[str, ...]) -> None:
    ((found, where, message),) = _advice(**spec)
    assert (found, where) == (rule, pointer)
    assert all(figure in message for figure in figures)


def test_the_usual_vm_needs_no_advice() -> None:
    assert _advice(disks=[DISK], interfaces=[NIC]) == []


def test_an_image_on_rbd_migrates_whatever_its_cache() -> None:
    rbd = {"monitors": ["192.0.2.1"], "pool": "rbd", "user": "cell", "secret": {"file": "/etc/cell/key"}}
    glue = document(
        {"apiVersion": "cell/v1", "kind": "StoragePool", "metadata": {"name": "glue"}, "spec": {"rbd": rbd}}
    )
    doc = vm("web", disks=[{"name": "root", "volume": "glue/root", "cache": "writeback"}])
    assert list(VM.check(doc, {doc.key: doc, glue.key: glue})) == []
