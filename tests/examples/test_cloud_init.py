"""The scenario of cloud-init: what its images hold, and which of it comes from files of the host."""

from __future__ import annotations

import io
import json

import pycdlib

from cell_reconciler.drivers import nocloud
from cell_reconciler.drivers.seeds import contents
from cell_reconciler.kinds.virtual_machine.resolve import default_uuid
from cell_reconciler.kinds.world import guest_targets
from cell_reconciler.load import Specs
from cell_reconciler.model.guest import META, NETWORK, USER, Text
from tests.examples.test_scenarios import SCENARIOS


def test_its_images_hold_what_it_says_and_its_secrets_are_elsewhere() -> None:
    targets = guest_targets(Specs((str(SCENARIOS / "cloud-init"),), "h1").scan(None).documents)
    web, db = targets["web"].seed, targets["db"].seed
    assert web is not None
    assert db is not None
    iso, held = pycdlib.PyCdlib(), io.BytesIO()
    iso.open_fp(io.BytesIO(nocloud.image("VirtualMachine/web", contents(web))))
    iso.get_file_from_iso_fp(held, joliet_path=f"/{USER}")
    iso.close()
    assert held.getvalue().startswith(b"#cloud-config\npackages: [qemu-guest-agent, nginx]\n")
    meta = json.loads(web.files[META].text)
    assert (meta["instance-id"], meta["local-hostname"]) == (default_uuid("web"), "web")
    assert NETWORK not in web.files, "DHCP"

    assert db.files[USER] == Text(file="/etc/cell-reconciler/db.user-data")
    assert targets["db"].password == "/etc/cell-reconciler/console.password"
    assert json.loads(db.files[META].text)["instance-id"] == "db-1"
    assert db.files[NETWORK].text.startswith("version: 2\n")
