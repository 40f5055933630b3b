"""The port and the password of the console on a real libvirtd and QEMU: a VNC client logs in, or does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import libvirt
import msgspec
import pytest

from cell_reconciler.drivers.libvirt import passwords
from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.model.document import Document
from cell_reconciler.model.guest import UNKNOWN, Password
from tests.kinds.vm.make import VM, carry_out, vm
from tests.live.test_vm import Site, site  # noqa: F401  # the fixture

pytestmark = pytest.mark.live

NAME, PORT = "console", 5977
FIRST, SECOND = "first-PW", "second+1"
STOP = {"shutdownTimeout": "1s", "forceStop": True}


@pytest.fixture
def file(site: Site, tmp_path: Path) -> Iterator[Path]:  # noqa: F811
    path = tmp_path / "password"
    path.write_text(FIRST + "\n")
    yield path
    site.doors.libvirt.destroy(NAME)
    site.doors.libvirt.undefine(NAME)


def doc(file: Path | None, **spec: Any) -> Document:
    password = {"password": {"file": str(file)}} if file else {}
    return vm(NAME, **{**STOP, "graphics": {"port": PORT, **password}, **spec})


def login(site: Site, password: str) -> str:  # noqa: F811
    argv = [sys.executable, "-m", "tests.rfb", str(PORT), password]
    return str(site.lab.exec(argv, check=True).stdout).strip()


def test_another_password_counts_at_once_in_both_copies(site: Site, file: Path) -> None:  # noqa: F811
    assert site.converge(doc(file)) == ["vm.define", "vm.password", "vm.start"]
    assert (login(site, FIRST), login(site, SECOND)) == ("welcome", "refused")
    pid = site.qemu(NAME)
    file.write_text(SECOND)
    change = site.plan(doc(file))
    assert [(f.path, f.have, f.pending) for f in change.fields] == [
        ("spec.graphics.password", "another password", False)
    ]
    assert site.converge(doc(file)) == ["vm.password", "vm.password-live"]
    assert (login(site, FIRST), login(site, SECOND)) == ("refused", "welcome")
    assert site.qemu(NAME) == pid
    site.doors.libvirt.destroy(NAME)
    site.doors.libvirt.start(NAME)
    assert login(site, SECOND) == "welcome", "it is in the definition too"


def test_a_port_the_first_one_and_none_any_more_wait_for_a_restart(site: Site, file: Path) -> None:  # noqa: F811
    restarted = {**STOP, "updatePolicy": {"restart": "Now"}}
    site.converge(vm(NAME, **STOP))
    assert site.converge(doc(file)) == ["vm.redefine", "vm.password"]
    assert {f.path for f in site.plan(doc(file)).pending} == {"spec.graphics.port", "spec.graphics.password"}
    assert site.converge(doc(file, **restarted)) == ["vm.stop", "vm.start"]
    assert login(site, FIRST) == "welcome"
    assert site.converge(doc(None)) == ["vm.password"]
    assert [f.path for f in site.plan(doc(None)).pending] == ["spec.graphics.password"]
    assert site.converge(doc(None, **restarted)) == ["vm.stop", "vm.start"]
    assert login(site, "") == "none"
    assert site.converge(vm(NAME, **STOP)) == ["vm.redefine"]
    assert [f.path for f in site.plan(vm(NAME, **STOP)).pending] == ["spec.graphics.port"]


def test_it_stays_when_something_else_changes(site: Site, file: Path) -> None:  # noqa: F811
    site.converge(doc(file))
    assert site.converge(doc(file, description="front", memory={"guest": "160MiB"})) == ["vm.redefine", "vm.describe"]
    console = xml.parse(site.doors.libvirt.dump(NAME)).find("devices/graphics")
    assert console is not None
    assert console.get("passwd") == FIRST


def test_a_run_killed_before_the_password_was_set_starts_nothing_without_it(site: Site, file: Path) -> None:  # noqa: F811
    site.plan(doc(file)).steps[0].action.do(site.doors)
    assert site.state(NAME) == "shutoff"
    assert site.converge(doc(file)) == ["vm.password", "vm.start"]
    file.write_text(SECOND)
    site.plan(doc(file)).steps[0].action.do(site.doors)
    assert site.converge(doc(file)) == ["vm.password-live"]


@pytest.mark.parametrize(
    ("content", "said"),
    [("nine-char", "has 9 characters"), ("", "is empty"), ("a\nb", "printable"), (None, "cannot be read")],
)
def test_a_file_that_holds_none_is_an_error_of_that_vm(
    site: Site,  # noqa: F811
    file: Path,
    content: str | None,
    said: str,
) -> None:
    def spoil() -> None:
        file.unlink() if content is None else file.write_text(content)

    spoil()
    change = site.plan(doc(file))
    assert (change.steps, [r.reason for r in change.refused]) == ((), ["SecretUnreadable"])
    assert said in change.refused[0].message
    file.write_text(FIRST)
    site.converge(doc(file))
    spoil()
    change = site.plan(doc(file, description="front"))
    assert [step.op for step in change.steps] == ["vm.redefine", "vm.describe"], "nothing else waits for it"
    assert said in change.refused[0].message
    carry_out(change, site.doors)
    assert login(site, FIRST) == "welcome"


def test_a_connection_that_only_reads_knows_that_it_does_not_know(site: Site, file: Path) -> None:  # noqa: F811
    site.converge(doc(file))
    connection = libvirt.openReadOnly(f"{site.doors.libvirt_uri}-ro")
    assert passwords.states(connection, {NAME: FIRST}) == {NAME: (UNKNOWN, UNKNOWN)}
    connection.close()
    around = site.world(doc(file))
    seen = {NAME: Password(file=str(file), defined=UNKNOWN, running=UNKNOWN)}
    around = msgspec.structs.replace(around, live=msgspec.structs.replace(around.live, passwords=seen))
    change = VM.plan(doc(file), VM.observe(NAME, around), around)
    assert change.quiet
    assert "unknown whether it is the password" in change.notes[0]
