"""``updatePolicy.restart: Window`` on a real libvirtd: the running VM takes on what is pending while one is open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.model.document import Document
from tests.kinds.vm.make import vm
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

NAME = "windowed"
OFF: dict[str, Any] = {"shutdownTimeout": "1s", "forceStop": True}


def window(hours: int) -> dict[str, Any]:
    """One of an hour's length whose middle is so many hours from now."""
    begin = datetime.now(UTC) + timedelta(hours=hours, minutes=-30)
    return {"days": [begin.strftime("%a")], "start": begin.strftime("%H:%M"), "duration": "1h"}


def doc(cores: int, *windows: dict[str, Any]) -> Document:
    policy = {"restart": "Window", "windows": list(windows)}
    return vm(NAME, **OFF, cpu={"cores": cores}, updatePolicy=policy)


@pytest.fixture(autouse=True)
def removed(site: Site) -> Iterator[None]:  # noqa: F811
    yield
    site.remove(NAME)


def vcpus(site: Site) -> str:  # noqa: F811
    """Of the running instance."""
    domain = site.doors.libvirt.domain(NAME)
    assert domain is not None
    return str(xml.parse(domain.active or "").findtext("vcpu"))


def test_it_is_restarted_in_an_open_window_and_in_no_other(site: Site) -> None:  # noqa: F811
    yesterday, now, tonight = window(-24), window(0), window(6)
    site.converge(doc(1, now))
    pid = site.qemu(NAME)

    assert site.converge(doc(2, yesterday, tonight)) == ["vm.redefine"]
    waiting = site.plan(doc(2, yesterday, tonight))
    assert [field.path for field in waiting.pending] == ["spec.cpu.cores"]
    assert waiting.again is not None
    assert waiting.again.strftime("%H:%M") == tonight["start"], "when it has to be looked at again"
    assert (site.qemu(NAME), vcpus(site)) == (pid, "1")

    assert site.converge(doc(2, tonight, now)) == ["vm.stop", "vm.start"]
    assert site.plan(doc(2, tonight, now)).quiet
    assert site.qemu(NAME) != pid
    assert vcpus(site) == "2"


def test_an_open_window_restarts_nothing_for_what_takes_effect_at_once(site: Site) -> None:  # noqa: F811
    site.converge(doc(1, window(0)))
    pid = site.qemu(NAME)
    change = vm(
        NAME, **OFF, cpu={"cores": 1}, description="new", updatePolicy={"restart": "Window", "windows": [window(0)]}
    )
    assert site.converge(change) == ["vm.redefine", "vm.describe"]
    assert site.qemu(NAME) == pid
