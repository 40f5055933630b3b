"""Data for cloud-init, planned: which image it is, what is said of it, and what is wrong with it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from cell_reconciler.cli.exported import export
from cell_reconciler.kinds.virtual_machine import resolve, seed, xml
from cell_reconciler.load import Specs
from cell_reconciler.model.change import Cause, Change
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.guest import META, NETWORK, SEEDS, USER, Password, Seed
from cell_reconciler.model.live import Domain, Live
from tests.kinds.vm.make import VM, planned, settled, vm, world
from tests.kinds.vm.schema import rendered
from tests.kinds.vm.test_export import planned as planned_export

FIRST = f"{SEEDS}/web.1.iso"


def web(**data: Any) -> Document:
    return vm("web", cloudInit=data, runStrategy="Halted")


def made(doc: Document) -> Live:
    """A host that made the VM of this document, and has seen nothing of others."""
    live = settled(doc, Live(host="h1"))
    text = xml.text(rendered(planned(doc, world(doc, live=live))))
    return msgspec.structs.replace(
        live, domains={"web": Domain(uuid="", name="web", state="shutoff", inactive=text, active=None)}
    )


def _with(live: Live, **seen: Any) -> Live:
    return msgspec.structs.replace(live, seeds={"web": msgspec.structs.replace(live.seeds["web"], **seen)})


def _files(doc: Document) -> dict[str, str]:
    wanted = seed.target(doc)
    assert wanted is not None
    return {name: text.text or text.file for name, text in wanted.files.items()}


def _fields(change: Change) -> list[tuple[str, Any, Any]]:
    return [(field.path, field.have, field.want) for field in change.fields]


def test_a_guest_is_the_same_machine_whatever_its_data() -> None:
    first, second = _files(web(userData="#!/bin/sh")), _files(web(userData="#cloud-config", networkData="version: 2"))
    assert first[META] == second[META]
    assert json.loads(first[META]) == {"instance-id": resolve.default_uuid("web"), "local-hostname": "web"}
    other = _files(web(instanceId="again", metaData={"local-hostname": "www", "public-keys": ["ssh-ed25519 A"]}))
    wanted = {"instance-id": "again", "local-hostname": "www", "public-keys": ["ssh-ed25519 A"]}
    assert (json.loads(other[META]), other[USER]) == (wanted, "")
    assert NETWORK not in other


@pytest.mark.parametrize(
    ("data", "different", "said"),
    [
        ({"userData": "#!/bin/bash"}, USER, ("spec.cloudInit.userData", "other data", "the data of the document")),
        (
            {"userDataFrom": {"file": "/root/data"}},
            USER,
            ("spec.cloudInit.userData", "other data", "the data in /root/data"),
        ),
        ({}, NETWORK, ("spec.cloudInit.networkData", "other data", None)),
        ({"instanceId": "i-2"}, META, ("spec.cloudInit.metaData", "other data", "those of instance i-2")),
    ],
)
def test_other_data_is_another_image_and_what_it_is_stays_unsaid(
    data: dict[str, Any], different: str, said: tuple[str, str, str | None]
) -> None:
    doc, live = web(**data), made(web(userData="#!/bin/sh", networkData="version: 2"))
    wanted = seed.target(doc)
    assert wanted is not None
    live = _with(live, images={FIRST: (different,)}, declared=wanted.declared)
    change = planned(doc, world(doc, live=live))
    assert _fields(change) == [said]
    assert [step.op for step in change.steps] == ["vm.seed", "vm.redefine", "vm.seed-remove"]
    assert f"{SEEDS}/web.2.iso" in change.steps[0].text
    assert change.cause == Cause.SPEC


def test_a_snapshot_of_other_documents_says_that_it_differs_and_not_how() -> None:
    doc = web(userData="#!/bin/bash")
    change = planned(doc, world(doc, live=made(web(userData="#!/bin/sh"))))
    assert _fields(change) == [("spec.cloudInit", FIRST, f"{SEEDS}/web.2.iso")]


def test_a_snapshot_without_these_documents_does_not_know() -> None:
    doc = web(userData="#!/bin/bash")
    change = planned(doc, world(doc, live=_with(made(doc), declared="", images={FIRST: (USER, META, NETWORK)})))
    assert (change.fields, change.steps) == ((), ())
    assert "unknown whether its data is as declared" in change.notes[0]
    without = vm("web", runStrategy="Halted")
    change = planned(doc, world(doc, live=msgspec.structs.replace(made(without), seeds={})))
    assert [step.op for step in change.steps] == ["vm.seed", "vm.redefine"], "no drive is no data, whatever it is"


def test_numbers_are_never_used_twice() -> None:
    doc = web(userData="#!/bin/sh")
    live = made(doc)
    live = _with(live, images={f"{SEEDS}/web.9.iso": (USER,), f"{SEEDS}/.web.10.iso.new": (USER, META, NETWORK)})
    assert f"{SEEDS}/web.11.iso" in planned(doc, world(doc, live=live)).steps[0].text
    gone = _with(live, images={})  # somebody removed all: what the domain names is still no name for another
    assert f"{SEEDS}/web.2.iso" in planned(doc, world(doc, live=gone)).steps[0].text


def test_an_image_that_another_domain_has_in_a_drive_stays() -> None:
    doc = web(userData="#!/bin/sh")
    live = made(doc)
    text = (live.domains["web"].inactive or "").replace(FIRST, f"{SEEDS}/web.7.iso")
    copy = Domain(uuid="", name="copy", state="shutoff", inactive=text, active=None)
    live = msgspec.structs.replace(live, domains={**live.domains, "copy": copy})
    live = _with(live, images={FIRST: (), f"{SEEDS}/web.7.iso": (USER,)})
    assert planned(doc, world(doc, live=live)).quiet
    live = _with(live, images={FIRST: (), f"{SEEDS}/web.8.iso": (USER,)})
    assert [step.op for step in planned(doc, world(doc, live=live)).steps] == ["vm.seed-remove"]


def test_what_a_snapshot_of_libvirt_names_is_not_known_so_that_nothing_goes() -> None:
    doc = web(userData="#!/bin/sh")
    live = _with(made(doc), images={FIRST: (), f"{SEEDS}/web.8.iso": (USER,)})
    held = msgspec.structs.replace(live.domains["web"], snapshots=True)
    live = msgspec.structs.replace(live, domains={"web": held})
    assert planned(doc, world(doc, live=live)).steps == ()


def test_the_mark_that_all_may_read_says_nothing_of_the_data() -> None:
    marks = {resolve.digest(web(userData=text).spec) for text in ("#cloud-config", "password: hunter2")}
    assert len(marks) == 1


def test_our_own_drive_is_exported_with_what_it_has_and_stays() -> None:
    live = made(vm("web", cloudInit={"userData": "#!/bin/sh"}, cdroms=[{"name": "tools"}], runStrategy="Halted"))
    domain = live.domains["web"]
    adopted = (domain.inactive or "").replace("</cell:vm>", ";adopted</cell:vm>")
    live = msgspec.structs.replace(live, domains={"web": msgspec.structs.replace(domain, inactive=adopted)})
    found = export(("VirtualMachine/web",), live)
    ((key, document),) = found.documents.items()
    drives = {drive["name"]: drive.get("media") for drive in document["spec"]["cdroms"]}
    assert drives == {"tools": None, "cloud-init": FIRST}
    assert any(note.startswith("drive cloud-init stays with the data") for note in found.notes[key])
    assert planned_export(found, live).steps == ()


def test_a_disc_of_others_is_a_plain_drive() -> None:
    text = (made(web(userData="#!/bin/sh")).domains["web"].inactive or "").replace("ua-", "x-")
    text = text[: text.index("<metadata>")] + text[text.index("</metadata>") + len("</metadata>") :]
    live = Live(host="h1", domains={"web": Domain(uuid="", name="web", state="shutoff", inactive=text, active=None)})
    ((_, document),) = export(("VirtualMachine",), live).documents.items()
    assert document["spec"]["cdroms"] == [{"name": "sda", "bus": "sata", "media": FIRST}]


# -- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "rule", "pointer"),
    [
        (
            {"cloudInit": {"userData": "#!", "userDataFrom": {"file": "/a"}}},
            "exactly-one",
            "/spec/cloudInit/userDataFrom",
        ),
        (
            {"cloudInit": {"networkData": "", "networkDataFrom": {"file": "/a"}}},
            "exactly-one",
            "/spec/cloudInit/networkDataFrom",
        ),
        ({"cloudInit": {"userDataFrom": {}}}, "exactly-one", "/spec/cloudInit/userDataFrom"),
        (
            {"cloudInit": {"userDataFrom": {"file": "/a/../b"}}},
            "normal-path",
            "/spec/cloudInit/userDataFrom/file",
        ),
        ({"cloudInit": {"metaData": {"instance-id": "i"}}}, "vm-instance-id", "/spec/cloudInit/metaData"),
        ({"cloudInit": {}, "cdroms": [{"name": "cloud-init"}]}, "vm-device-name", "/spec/cdroms/0/name"),
        (
            {"machine": {"type": "pc"}, "cloudInit": {}, "cdroms": [{"name": f"cd{i}"} for i in range(4)]},
            "vm-ide",
            "/spec/cloudInit",
        ),
        ({"graphics": {"password": {}}}, "exactly-one", "/spec/graphics/password"),
        ({"graphics": {"type": "none", "port": 5900}}, "vm-graphics", "/spec/graphics/port"),
    ],
)
def test_an_error_says_where(spec: dict[str, Any], rule: str, pointer: str) -> None:
    doc = vm("web", **spec)
    found = [(p.rule, p.pointer) for p in VM.check(doc, {doc.key: doc}) if p.severity == Severity.ERROR]
    assert found == [(rule, pointer)]


def test_two_consoles_have_two_ports() -> None:
    docs = [vm(name, graphics={"port": 5999}) for name in ("a", "b")]
    problems = [p for doc in docs for p in VM.check(doc, {d.key: d for d in docs})]
    assert {(p.rule, p.pointer) for p in problems} == {("vm-port-unique", "/spec/graphics/port")}


@pytest.mark.parametrize(
    ("data", "warned"),
    [
        ("#cloud-config\n", False),
        (" #Cloud-Config\n", False),
        ("## template: jinja\n#cloud-config\n", False),
        ("#!/bin/sh\n", False),
        ('Content-Type: multipart/mixed; boundary="x"\n', False),
        ("MIME-Version: 1.0\n", False),
        ("packages: [vim]\n", True),
        ("", True),
    ],
)
def test_user_data_that_cloud_init_would_ignore_is_told(data: str, warned: bool) -> None:
    doc = web(userData=data)
    assert ["vm-user-data" in [p.rule for p in VM.check(doc, {doc.key: doc})]] == [warned]


def test_data_that_is_no_yaml_is_a_warning_with_its_place() -> None:
    text = """apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: web}
spec:
  memory: {guest: 128MiB}
  cloudInit:
    userData: |
      #cloud-config
      packages: [vim
      users: []
    networkData: "version: 2: 3"
"""
    loaded = Specs((), "h1", fixed={"vm.yaml": text.encode()}).scan(None)
    found = [(d.rule, d.severity, d.pointer, d.position.line) for d in loaded.diagnostics]
    assert found == [
        ("embedded-yaml", Severity.WARNING, "/spec/cloudInit/userData", 7),
        ("embedded-yaml", Severity.WARNING, "/spec/cloudInit/networkData", 11),
    ]
    assert "line 3, column" in loaded.diagnostics[0].message
    assert len(loaded.documents) == 1, "its reader is the judge"


# -- facts of the console's password ---------------------------------------------------------------------------------


def test_a_snapshot_that_did_not_look_for_this_file_does_not_know() -> None:
    doc = vm("web", graphics={"password": {"file": "/root/one"}}, runStrategy="Halted")
    live = made(doc)
    text = (live.domains["web"].inactive or "").replace("<cell:vm ", '<cell:vm password="set" ')
    noted = msgspec.structs.replace(live.domains["web"], inactive=text)
    for seen in ({}, {"web": Password(file="/root/two", defined="other")}):
        unseen = msgspec.structs.replace(live, passwords=seen)
        assert _fields(planned(doc, world(doc, live=unseen))) == [
            ("spec.graphics.password", None, "the password in /root/one")
        ], "none was ever set"
        known = msgspec.structs.replace(unseen, domains={"web": noted})
        assert planned(doc, world(doc, live=known)).fields == ()


def test_facts_are_plain_and_come_back_from_a_snapshot() -> None:
    live = Live(host="h1", seeds={"web": Seed(images={FIRST: (USER,)})}, passwords={"web": Password(file="/x")})
    assert msgspec.json.decode(msgspec.json.encode(live), type=Live) == live
