"""Data for cloud-init on a real libvirtd: the image in the drive, another image while the VM runs, and none left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.kinds.virtual_machine import observe
from cell_reconciler.model.change import Cause
from cell_reconciler.model.document import Document
from tests.kinds.vm.make import VM, carry_out, planned, vm
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

NAME = "seeded"
STOP = {"shutdownTimeout": "1s", "forceStop": True}


@pytest.fixture(autouse=True)
def removed(site: Site) -> Iterator[None]:  # noqa: F811
    yield
    site.doors.libvirt.destroy(NAME)
    site.doors.libvirt.undefine(NAME)
    for path in site.doors.seeds.images(NAME):
        site.doors.seeds.remove(NAME, path)


def doc(**data: Any) -> Document:
    return vm(NAME, cloudInit=data, **STOP)


def medium(site: Site) -> tuple[set[str], set[str]]:  # noqa: F811
    """Of the definition and of the running instance."""
    import msgspec

    domain = site.doors.libvirt.domain(NAME)
    assert domain is not None
    sides = ({"active": None}, {"inactive": None})
    first, second = (observe.media(msgspec.structs.replace(domain, **side)) for side in sides)
    return first, second


def test_another_text_is_another_medium_while_it_runs_and_the_old_image_goes(site: Site) -> None:  # noqa: F811
    assert site.converge(doc(userData="#!/bin/sh\n")) == ["vm.seed", "vm.define", "vm.start"]
    first = str(site.seeds / f"{NAME}.1.iso")
    assert medium(site) == ({first}, {first})
    assert Path(first).stat().st_mode & 0o777 == 0o600
    pid = site.qemu(NAME)

    changed = doc(userData="#!/bin/sh\n:\n", networkData="version: 2\n")
    change = site.plan(changed)
    assert [(f.path, f.have, f.pending) for f in change.fields] == [
        ("spec.cloudInit.userData", "other data", False),
        ("spec.cloudInit.networkData", "other data", False),
    ]
    assert change.cause == Cause.SPEC
    assert site.converge(changed) == ["vm.seed", "vm.redefine", "vm.media", "vm.seed-remove"]
    second = str(site.seeds / f"{NAME}.2.iso")
    assert medium(site) == ({second}, {second})
    assert site.qemu(NAME) == pid
    assert [str(path) for path in site.seeds.iterdir()] == [second]

    site.remove(NAME)
    assert site.state(NAME) == "absent"
    assert list(site.seeds.iterdir()) == []


@pytest.mark.parametrize("made", range(5))
def test_a_run_killed_after_any_step_is_made_good_by_the_next(site: Site, made: int) -> None:  # noqa: F811
    site.converge(doc(userData="#!/bin/sh\n"))
    changed = doc(userData="#!/bin/sh\n:\n")
    for step in site.plan(changed).steps[:made]:
        step.action.do(site.doors)
    site.converge(changed)
    assert len(list(site.seeds.iterdir())) == 1
    assert VM.observe(NAME, site.world()) is not None
    for step in (change := _gone(site)).steps[: min(made, len(change.steps))]:
        step.action.do(site.doors)
    while site.doors.libvirt.domain(NAME) is not None or list(site.seeds.iterdir()):
        assert carry_out(_gone(site), site.doors)


def _gone(site: Site) -> Any:  # noqa: F811
    around = site.world()
    return VM.plan(None, VM.observe(NAME, around), around)


def test_an_image_whose_vm_was_never_made_is_found_and_goes(site: Site) -> None:  # noqa: F811
    site.plan(doc(userData="#!/bin/sh\n")).steps[0].action.do(site.doors)
    (site.seeds / f".{NAME}.2.iso.new").write_bytes(b"begun")
    (site.seeds / "not-ours.iso").write_bytes(b"somebody else's")
    (site.seeds / f"{NAME}.7.iso").write_bytes(b"somebody else's, with a name like ours")
    assert NAME in dict(VM.owned(site.world().live))
    assert [step.op for step in _gone(site).steps] == ["vm.seed-remove"]
    carry_out(_gone(site), site.doors)
    assert sorted(path.name for path in site.seeds.iterdir()) == ["not-ours.iso", f"{NAME}.7.iso"]
    assert NAME not in dict(VM.owned(site.world().live))
    for path in site.seeds.iterdir():
        path.unlink()


def test_a_secret_file_is_followed_and_one_that_is_away_holds_up_nothing_else(
    site: Site,  # noqa: F811
    tmp_path: Path,
) -> None:
    file = tmp_path / "user-data"
    secret = doc(userDataFrom={"file": str(file)})
    assert [r.reason for r in site.plan(secret).refused] == ["SecretUnreadable"]
    assert site.plan(secret).steps == ()
    file.write_text("#cloud-config\npassword: hunter2\n")
    assert site.converge(secret) == ["vm.seed", "vm.define", "vm.start"]
    file.write_text("#cloud-config\npassword: hunter3\n")
    change = site.plan(secret)
    assert [(f.path, f.want) for f in change.fields] == [("spec.cloudInit.userData", f"the data in {file}")]
    assert change.cause == Cause.SPEC, "the file was changed, and not the VM"
    assert "hunter" not in repr((change, site.world(secret).live))
    site.converge(secret)
    file.unlink()
    other = vm(NAME, cloudInit={"userDataFrom": {"file": str(file)}}, description="front", **STOP)
    change = site.plan(other)
    assert [step.op for step in change.steps] == ["vm.redefine", "vm.describe"]
    assert [(r.reason, str(file) in r.message) for r in change.refused] == [("SecretUnreadable", True)]
    carry_out(change, site.doors)
    assert site.plan(other).fields == ()


def test_a_medium_that_somebody_took_out_is_put_back(site: Site) -> None:  # noqa: F811
    site.converge(doc())
    target = "sda"
    site.lab.exec(["virsh", "change-media", NAME, target, "--eject", "--live", "--config"], check=True)
    change = site.plan(doc())
    assert ([f.path for f in change.fields], change.cause) == (["spec.cloudInit"], Cause.DRIFT)
    assert site.converge(doc()) == ["vm.redefine", "vm.media"]


def test_an_image_that_somebody_removed_is_made_anew(site: Site) -> None:  # noqa: F811
    site.converge(doc())
    (site.seeds / f"{NAME}.1.iso").unlink()
    assert site.converge(doc()) == ["vm.seed", "vm.redefine", "vm.media"]
    assert [path.name for path in site.seeds.iterdir()] == [f"{NAME}.2.iso"]


def test_what_is_to_be_ignored_is_shown_and_left(site: Site) -> None:  # noqa: F811
    site.converge(doc(userData="#!/bin/sh\n"))
    other = vm(NAME, annotations={"cell/ignore": "/spec/cloudInit"}, cloudInit={"userData": "#!/bin/sh\n:\n"}, **STOP)
    change = site.plan(other)
    assert [(f.path, f.ignored) for f in change.fields] == [("spec.cloudInit.userData", True)]
    assert carry_out(change, site.doors) == []


def test_the_drive_of_an_adopted_vm_comes_beside_its_own(site: Site) -> None:  # noqa: F811
    iso = site.disks / "old.iso"
    iso.write_bytes(bytes(2**20))
    site.converge(vm(NAME, cdroms=[{"name": "old", "media": str(iso)}], runStrategy="Halted"))
    domain = site.doors.libvirt.domain(NAME)
    assert domain is not None
    assert domain.inactive
    text = "".join(line for line in domain.inactive.splitlines(True) if "ua-" not in line and "cell:vm" not in line)
    site.doors.libvirt.undefine(NAME)
    site.doors.libvirt.define(text)  # as somebody else would have made it
    adopted = vm(NAME, annotations={"cell/adopt": "true"}, cloudInit={"userData": "#!/bin/sh\n"})
    assert site.converge(adopted) == ["vm.seed", "vm.adopt"]
    assert medium(site)[0] == {str(iso), str(site.seeds / f"{NAME}.1.iso")}
    assert planned(adopted, site.world(adopted)).quiet
