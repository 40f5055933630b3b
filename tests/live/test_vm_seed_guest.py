"""A real guest mounts the image for cloud-init, and sees another one while it runs."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from contextlib import suppress
from typing import Any

import pytest

from cell_reconciler.errors import StepFailed
from cell_reconciler.kinds.virtual_machine.resolve import default_uuid
from cell_reconciler.model.document import Document
from tests.guests import Guest, files
from tests.kinds.vm.make import vm
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

NAME = "cloud"


def held(report: dict[str, Any]) -> dict[str, str]:
    """The files that the guest found on the drive labelled ``cidata``."""
    data = base64.b64decode(report.get("seed") or "")
    if not data:
        return {}
    with tarfile.open(fileobj=io.BytesIO(data)) as packed:
        return {member.name: packed.extractfile(member).read().decode() for member in packed}  # type: ignore[union-attr] # all are files


def _patiently(site: Site, doc: Document) -> None:  # noqa: F811
    """As the loop does: a guest that reads its drive at that moment holds the tray."""
    for _ in range(3):
        with suppress(StepFailed):
            site.converge(doc)
            return
    site.converge(doc)


def test_a_guest_reads_its_data_and_sees_other_data_without_a_restart(site: Site) -> None:  # noqa: F811
    where = site.lab.share / "cloud"
    where.mkdir()
    secret = where / "user-data"
    secret.write_text("#cloud-config\npassword: first\n")
    network = "version: 2\nethernets:\n  all: {match: {name: 'en*'}, dhcp4: true}\n"
    data = {"userDataFrom": {"file": str(secret)}, "networkData": network, "metaData": {"local-hostname": "www"}}
    doc = vm(NAME, memory={"guest": "256MiB"}, boot=files(where), cloudInit=data)
    site.converge(doc)
    try:
        guest = Guest(site.lab, lambda: site.doors.libvirt.domain(NAME))
        found = held(guest.sees(lambda report: bool(held(report)), 120))
        meta = json.loads(found.pop("meta-data"))
        assert found == {"user-data": secret.read_text(), "network-config": network}
        assert meta == {"instance-id": default_uuid(NAME), "local-hostname": "www"}
        pid = site.qemu(NAME)
        secret.write_text("#cloud-config\npassword: second\n")
        _patiently(site, doc)
        guest.sees(lambda report: held(report).get("user-data") == secret.read_text())
        assert site.qemu(NAME) == pid
    finally:
        site.doors.libvirt.destroy(NAME)
        site.doors.libvirt.undefine(NAME)
