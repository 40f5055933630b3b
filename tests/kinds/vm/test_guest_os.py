"""What a VM has of its operating system: defaults that are shown and never change by themselves, and advice."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.kinds.compare import plain
from cell_reconciler.kinds.virtual_machine import guest_os, resolve
from cell_reconciler.model.document import Document
from tests.conftest import ROOT
from tests.kinds.vm.make import VM, document, planned, vm, world

sys.path.insert(0, str(ROOT / "scripts"))
import guests  # the script that writes the table is no package

OSINFO = pytest.mark.skipif(not guests.OSINFO.exists(), reason="osinfo-db is not installed")
DISK = {"name": "root", "volume": "local/root"}
NIC = {"name": "lan", "bridge": "br-VM"}
DRIVE = {"name": "drivers", "media": "/iso/virtio-win.iso"}


def problems(doc: Document, *others: Document) -> dict[str, tuple[str, str]]:
    found = VM.check(doc, {d.key: d for d in (doc, *others)})
    return {p.rule: (p.pointer, f"{p.severity} {p.message} {p.advice}") for p in found}


# -- defaults ------------------------------------------------------------------------------------------------------

WINDOWS_HYPERV = {
    "relaxed": True,
    "vapic": True,
    "spinlocks": 8191,
    "vpindex": True,
    "runtime": True,
    "synic": True,
    "stimer": True,
    "frequencies": True,
    "tlbflush": True,
    "ipi": True,
}


@pytest.mark.parametrize(
    ("name", "offset", "hyperv"),
    [
        (None, "utc", {}),
        ("debian12", "utc", {}),
        ("freebsd13.1", "utc", {}),
        ("winxp", "localtime", {}),
        ("msdos6.22", "localtime", {}),
        ("win2k22", "localtime", WINDOWS_HYPERV),
        ("win11", "localtime", WINDOWS_HYPERV),
        ("http://microsoft.com/win/2k22", "localtime", WINDOWS_HYPERV),
    ],
)
def test_what_cell_v1_gives_for_ever(name: str | None, offset: str, hyperv: dict[str, Any]) -> None:
    """A VM that is there has these: whoever changes one changes VMs behind people's backs, and needs a cell/v2."""
    spec = resolve.effective(vm("web", **({} if name is None else {"guestOS": name})))
    on = {key: value for key, value in plain(spec.features.hyperv).items() if value}
    assert (spec.clock.offset, spec.clock.hyperv_clock, on) == (offset, bool(hyperv), hyperv)


def test_what_is_written_wins() -> None:
    hyperv = {"stimer": False, "spinlocks": 4096}
    doc = vm("web", guestOS="win2k22", clock={"offset": "Asia/Seoul"}, features={"hyperv": hyperv})
    spec = resolve.effective(doc)
    assert spec.clock.offset == "Asia/Seoul"
    assert (spec.features.hyperv.stimer, spec.features.hyperv.spinlocks) == (False, 4096)
    assert spec.features.hyperv.relaxed is True, "and the others stay"


def test_the_defaults_are_shown() -> None:
    doc = vm("web", guestOS="win2k22", features={"hyperv": {"runtime": False}})
    (note,) = planned(doc, world(doc)).notes
    assert note.startswith("of guestOS win2k22: clock.offset localtime, clock.hypervClock, features.hyperv.relaxed")
    assert "features.hyperv.spinlocks 8191" in note
    assert "runtime" not in note
    assert list(VM.defaults(doc, {})) == [note]
    linux = vm("web", guestOS="debian12")
    assert planned(linux, world(linux)).notes == ()


# -- rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "rule", "pointer", "words"),
    [
        ({"guestOS": "win2k2"}, "vm-guest-os", "/spec/guestOS", "error.*did you mean 'win2k"),
        ({"guestOS": "debian99"}, "vm-guest-os", "/spec/guestOS", "error.*the one before it"),
        (
            {"guestOS": "rhel6.5", "disks": [{**DISK, "bus": "scsi"}]},
            "vm-os-device",
            "/spec/disks/0/bus",
            "warning.*virtio-scsi take sata",
        ),
        ({"guestOS": "winxp", "disks": [DISK]}, "vm-os-device", "/spec/machine/type", "warning.*q35 take pc"),
        (
            {"guestOS": "haikur1beta3", "machine": {"type": "pc"}, "interfaces": [NIC]},
            "vm-os-device",
            "/spec/interfaces/0/model",
            "warning.*virtio-net take e1000",
        ),
        ({"guestOS": "win2k22", "disks": [DISK]}, "vm-os-drivers", "/spec/cdroms", "warning.*virtio-win"),
        ({"guestOS": "win11"}, "vm-os-firmware", "/spec/firmware/type", "warning.*take uefi"),
        ({"guestOS": "rocky9"}, "vm-os-memory", "/spec/memory/guest", "warning.*1536 MiB"),
        ({"clock": {"offset": "Asia/Soul"}}, "vm-timezone", "/spec/clock/offset", "error.*did you mean 'Asia/Seoul'"),
        (
            {"features": {"hyperv": {"stimer": True, "synic": True, "vpindex": True}}},
            "vm-hyperv",
            "/spec/features/hyperv/stimer",
            "error.*clock.hypervClock",
        ),
        (
            {"guestOS": "win2k22", "features": {"hyperv": {"vapic": False, "evmcs": True}}},
            "vm-hyperv",
            "/spec/features/hyperv/evmcs",
            "error.*vapic",
        ),
        (
            {"features": {"hyperv": {"spinlocks": 100}}},
            "vm-hyperv",
            "/spec/features/hyperv/spinlocks",
            "error.*4095",
        ),
        ({"machine": {"type": "pc"}, "hotplugPorts": 2}, "vm-hotplug-ports", "/spec/hotplugPorts", "error.*slots"),
    ],
)
def test_each_rule_tells_what_where_and_what_to_do(spec: dict[str, Any], rule: str, pointer: str, words: str) -> None:
    found = problems(vm("web", **spec))
    assert found[rule][0] == pointer
    assert re.match(words, found[rule][1]), found[rule]


@pytest.mark.parametrize(
    "spec",
    [
        {"guestOS": "debian12", "memory": {"guest": "2GiB"}, "disks": [DISK], "interfaces": [NIC]},
        {"guestOS": "rocky-unknown", "memory": {"guest": "2GiB"}, "disks": [DISK]},  # nothing is known of its devices
        {"guestOS": "win2k22", "memory": {"guest": "2GiB"}, "disks": [DISK], "interfaces": [NIC], "cdroms": [DRIVE]},
        {
            "guestOS": "winxp",
            "machine": {"type": "pc"},
            "memory": {"guest": "1GiB"},
            "interfaces": [{**NIC, "model": "rtl8139"}],
        },
    ],
)
def test_what_an_os_supports_is_not_told(spec: dict[str, Any]) -> None:
    assert {rule for rule in problems(vm("web", **spec)) if rule.startswith("vm-os")} == set()


def test_without_kvm_vpindex_is_advised_against() -> None:
    doc, none = vm("web", guestOS="win2k22"), {"vpindex": False, "synic": False, "stimer": False}
    hosts = [
        document({"kind": "Host", "metadata": {"name": name}, "spec": {"domainType": name}}) for name in ("qemu", "kvm")
    ]
    assert "vm-hyperv-emulated" in problems(doc, hosts[0])
    assert "vm-hyperv-emulated" not in problems(doc, *hosts), "it may run on the other one"
    off = vm("web", guestOS="win2k22", features={"hyperv": {**none, "tlbflush": False, "ipi": False}})
    assert "vm-hyperv-emulated" not in problems(off, hosts[0])


def test_a_cid_is_one_vms_own() -> None:
    one, two, other = (vm(name, vsock={"cid": cid}) for name, cid in (("one", 9), ("two", 9), ("three", 10)))
    assert problems(one, two, other)["vm-vsock-cid"][0] == "/spec/vsock/cid"
    assert "vm-vsock-cid" not in problems(other, one, vm("four", vsock={}), vm("five", vsock={}))


def test_an_adopted_domain_may_have_what_its_document_leaves_out() -> None:
    hyperv = {"features": {"hyperv": {"stimer": True}}}
    assert "vm-hyperv" in problems(vm("web", **hyperv))
    assert "vm-hyperv" not in problems(vm("web", {"cell/adopt": "true"}, **hyperv))


# -- the table -----------------------------------------------------------------------------------------------------


@OSINFO
def test_the_table_is_what_the_installed_database_gives() -> None:
    done = subprocess.run([sys.executable, ROOT / "scripts/guests.py", "--check"], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


@OSINFO
def test_a_newer_database_changes_no_family_and_forgets_none(tmp_path: Path) -> None:
    before = (guests.HERE / "guests.tsv").read_text()
    text = '<libosinfo><os id="http://debian.org/debian/12"><short-id>debian12</short-id><name>Deb</name>{}</os></libosinfo>'
    (tmp_path / "new.xml").write_text(text.format("<family>winnt</family><version>10</version>"))
    after, told = guests.guests(guests.Database(tmp_path).rows(), before)
    assert told == ["debian12 stays linux, though it is windows now: its VMs would change"]
    families = [{row.split("\t")[0]: row.split("\t")[1] for row in table.splitlines()} for table in (before, after)]
    assert families[0] == families[1]
    assert "debian12\tlinux\t0\t\thttp://debian.org/debian/12\tDeb\n" in after, "but its facts are the new ones"


def test_facts_of_a_few_that_everybody_knows() -> None:
    known = guest_os.table()
    assert len(known) > 1000
    assert known["win11"].devices >= {"no-bios", "q35"}
    assert known["debian12"].devices == {"q35", "virtio-blk", "virtio-net", "virtio-scsi"}
    assert known["http://rockylinux.org/rocky/9"].id == "rocky9"
    assert "Asia/Seoul" in guest_os.zones()
