"""``cpu.mode: cluster-baseline`` on a real libvirtd and QEMU: the Cluster document's CPU, and another one waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cell_reconciler.kinds.virtual_machine import xml
from tests.kinds.vm.make import vm
from tests.kinds.vm.test_baseline import cluster
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

NAME = "based"
DOC = vm(NAME, cpu={"mode": "cluster-baseline"}, shutdownTimeout="1s", forceStop=True)
# Models and features that QEMU emulates, whatever CPU the machine has.
OLD: dict[str, Any] = {"model": "Westmere", "features": {"disable": ["aes"]}}
NEW: dict[str, Any] = {"model": "Nehalem", "features": {"require": ["aes"]}}


@pytest.fixture(autouse=True)
def removed(site: Site) -> Iterator[None]:  # noqa: F811
    yield
    site.remove(NAME)


def test_another_baseline_waits_until_the_vm_is_restarted(site: Site) -> None:  # noqa: F811
    assert site.converge(DOC, cluster(**OLD)) == ["vm.define", "vm.start"]
    assert site.plan(DOC, cluster(**OLD)).quiet, "libvirt tells the running VM's CPU in full; it is the same"
    pid = site.qemu(NAME)
    assert argument(site) == "Westmere,aes=off"

    assert site.converge(DOC, cluster(**NEW)) == ["vm.redefine"]
    waiting = {field.path for field in site.plan(DOC, cluster(**NEW)).pending}
    assert waiting == {"spec.cpu.model", "spec.cpu.features.require", "spec.cpu.features.disable"}
    assert site.qemu(NAME) == pid
    site.doors.libvirt.destroy(NAME)
    assert site.converge(DOC, cluster(**NEW)) == ["vm.start"]
    assert site.plan(DOC, cluster(**NEW)).quiet
    assert argument(site) == "Nehalem,aes=on"


def test_what_no_document_says_any_more_is_left_as_it_is(site: Site) -> None:  # noqa: F811
    site.converge(DOC, cluster(**OLD))
    pid = site.qemu(NAME)
    change = site.plan(DOC)
    assert ([refusal.reason for refusal in change.refused], change.steps) == (["NoBaseline"], ())
    domain = site.doors.libvirt.domain(NAME)
    assert domain is not None
    assert xml.parse(domain.inactive or "").findtext("cpu/model") == "Westmere"
    assert site.qemu(NAME) == pid


def argument(site: Site) -> str:  # noqa: F811
    """What QEMU was told of the CPU."""
    words = str(site.lab.exec(["cat", f"/proc/{site.qemu(NAME)}/cmdline"], check=True).stdout).split("\0")
    return words[words.index("-cpu") + 1]
