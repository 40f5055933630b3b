"""Disks beside volumes on real ones: a file, a block device of the kernel, a LUN of an iSCSI target, all in a guest.

The block device is a loop device of this machine's kernel under a name of its own in /dev, which ends with the test;
the target (tgt) runs in the lab and listens on its loopback only.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.errors import CellError, Refused, Transient
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.lab import Lab, needs
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Live
from tests.guests import Guest, files
from tests.kinds.vm.make import carry_out, vm, world
from tests.live.test_vm import Site

pytestmark = pytest.mark.live

MIB = 2**20
TARGET = "iqn.2026-11.io.cell:pool1"
SECRET = """<secret ephemeral='no' private='yes'><usage type='iscsi'><target>the array's</target></usage></secret>"""
PASSWORD = "cellsecret123"


class Storage(Site):
    """A host with a file, a block device and a target; ``block`` and ``other`` are two names of one device."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab)
        self.file = self._image("data.img", 16)
        self.lun = self._image("lun.img", 24)
        self.backing = self._image("loop.img", 32)
        done = subprocess.run(
            ["losetup", "--find", "--show", str(self.backing)], check=True, capture_output=True, text=True
        )
        self.loop = done.stdout.strip()
        self.names = Path(f"/dev/cell-test-{os.getpid()}")
        self.names.mkdir()
        for name in ("block", "other"):
            (self.names / name).symlink_to(self.loop)
        self.block, self.other = str(self.names / "block"), str(self.names / "other")
        self.target = lab.popen(["tgtd", "-f", "-C", "17", "--iscsi", "portal=127.0.0.1:3260"])
        self._serve()

    def _image(self, name: str, mib: int) -> Path:
        path = self.disks / name
        with path.open("wb") as file:
            file.truncate(mib * MIB)
        return path

    def _serve(self) -> None:
        for words in (
            f"--op new --mode target --tid 1 -T {TARGET}",
            f"--op new --mode logicalunit --tid 1 --lun 1 -b {self.lun}",
            f"--op new --mode account --user cell --password {PASSWORD}",
            "--op bind --mode account --tid 1 --user cell",
            "--op bind --mode target --tid 1 -I ALL",
        ):
            self._admin(words)
        define = self.lab.share / "secret.xml"
        define.write_text(SECRET)
        said = self.lab.exec(["virsh", "secret-define", str(define)], check=True).stdout
        uuid = next(word for word in said.split() if word.count("-") == 4)
        value = self.lab.share / "password"
        value.write_text(PASSWORD)
        self.lab.exec(["virsh", "secret-set-value", uuid, "--plain", "--file", str(value)], check=True)

    def _admin(self, words: str) -> None:
        argv = ["tgtadm", "-C", "17", "--lld", "iscsi", *words.split()]
        end = time.monotonic() + 10
        while self.lab.exec(argv).returncode:  # it does not listen yet
            assert time.monotonic() < end, words
            time.sleep(0.1)

    def world(self, *docs: Document) -> World:
        live = Live(host="h1", **self.doors.libvirt.observe(), **self.doors.devices.observe())
        return world(self.pool, *docs, live=live)

    def close(self) -> None:
        self.doors.close()
        self.target.kill()
        self.target.wait()
        for name in ("block", "other"):
            (self.names / name).unlink()
        self.names.rmdir()
        subprocess.run(["losetup", "--detach", self.loop], check=True)

    def disks_of(self) -> list[dict[str, Any]]:
        iscsi = {"portal": "127.0.0.1", "target": TARGET, "lun": 1, "user": "cell", "secret": {"usage": "the array's"}}
        return [
            {"name": "file", "source": {"file": {"path": str(self.file)}}},
            {"name": "lun", "source": {"iscsi": iscsi}},
            {"name": "block", "source": {"block": {"path": self.block}}, "io": "native"},
        ]


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    try:
        needs.require("namespace")
    except CellError as error:
        pytest.skip(error.message)
    with Lab.up(name="test-vm-sources", kernel="namespace", bound=True) as lab:
        made = Storage(lab)
        try:
            yield made
        finally:
            made.doors.libvirt.destroy("box")
            made.close()


@pytest.mark.parametrize("backend", ["file", "block"])
def test_what_is_no_raw_image_is_no_disk(storage: Storage, backend: str) -> None:
    """And what a guest writes into its own disk keeps no VM down."""
    path = str(storage.file) if backend == "file" else storage.block
    disks = [{"name": "root", "source": {backend: {"path": path}}}]
    off, on = (
        vm("box", disks=disks, runStrategy=run, forceStop=True, shutdownTimeout="1s") for run in ("Halted", "Always")
    )
    with begins_with(path, b"QFI\xfb"):
        with pytest.raises(Refused, match=r"does not get disk root: .* is a qcow2 image, and disks are RAW"):
            carry_out(storage.plan(off), storage.doors)
        assert storage.doors.libvirt.domain("box") is None
    assert storage.converge(off) == ["vm.define"]
    with begins_with(path, b"QFI\xfb"):
        assert storage.converge(on) == ["vm.start"]
        assert storage.converge(off) == ["vm.stop"]
    storage.remove("box")


@contextmanager
def begins_with(path: str, data: bytes) -> Iterator[None]:
    with open(path, "r+b", buffering=0) as file:
        before = file.read(len(data))
        os.pwrite(file.fileno(), data, 0)
    try:
        yield
    finally:
        with open(path, "r+b", buffering=0) as file:
            file.write(before)


@contextmanager
def held(path: str, *, by_qemu: bool) -> Iterator[None]:
    """A process that is no VM has it open for writing."""
    program = "import sys; file = open(sys.argv[1], 'r+b'); print('open', flush=True); sys.stdin.read()"
    qemu = ["stdbuf", "-oL", "qemu-io", "-f", "raw", "-c", "length", "-c", "sleep 60000", path]
    argv = qemu if by_qemu else [sys.executable, "-c", program, path]
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline()  # it has it
    try:
        yield
    finally:
        holder.kill()
        holder.communicate()


def spec(disks: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"memory": {"guest": "256MiB"}, "disks": disks, "shutdownTimeout": "1s", "forceStop": True, **more}


def test_a_guest_writes_to_each_of_them(storage: Storage) -> None:
    where = storage.lab.share / "guest"
    where.mkdir()
    boot = files(where)
    boot["cmdline"] += " write=hello"
    whole = spec(storage.disks_of(), boot=boot)
    assert storage.converge(vm("box", **whole)) == ["vm.define", "vm.start"]
    guest = Guest(storage.lab, lambda: storage.doors.libvirt.domain("box"))
    sizes = {name: mib * MIB // 512 for name, mib in (("vda", 16), ("vdb", 24), ("vdc", 32))}
    guest.sees(lambda report: report["disks"] == sizes, 120)
    for path in (storage.file, storage.lun, Path(storage.loop)):
        assert path.open("rb").read(5) == b"hello", path

    pid = storage.qemu("box")
    assert storage.converge(vm("box", **spec(storage.disks_of()[:2], boot=boot))) == ["vm.redefine", "vm.unplug"]
    guest.sees(lambda report: len(report["disks"]) == 2)
    scsi = [*storage.disks_of()[:2], {**storage.disks_of()[2], "bus": "scsi"}]
    assert storage.converge(vm("box", **spec(scsi, boot=boot))) == ["vm.redefine", "vm.plug"]
    guest.sees(lambda report: report["disks"].get("sda") == sizes["vdc"])
    moved = [*scsi[:2], {**scsi[2], "source": {"block": {"path": storage.other}}}]
    assert storage.converge(vm("box", **spec(moved, boot=boot))) == ["vm.redefine"]
    assert [f.path for f in storage.plan(vm("box", **spec(moved, boot=boot))).pending] == ["spec.disks[block].source"]
    assert storage.converge(vm("box", **spec(scsi, boot=boot))) == ["vm.redefine"]
    assert storage.qemu("box") == pid


def test_nobody_gets_a_disk_that_another_vm_has_by_whatever_name(storage: Storage) -> None:
    """``box`` runs."""
    iscsi = {"portal": "localhost:3260", "target": TARGET, "lun": 1}
    for source in ({"block": {"path": storage.other}}, {"iscsi": iscsi}, {"file": {"path": str(storage.file)}}):
        change = storage.plan(vm("thief", **spec([{"name": "a", "source": source}])))
        assert [refusal.reason for refusal in change.refused] == ["Conflict"], source
        assert "domain box has the disk" in change.refused[0].message


def test_nobody_gets_a_disk_that_is_open_elsewhere(storage: Storage) -> None:
    """As a process that no domain tells of: ``box`` is off, and something else has its disks."""
    storage.doors.libvirt.destroy("box")
    doc = vm("box", **spec(storage.disks_of()))
    storage.converge(vm("box", **spec(storage.disks_of(), runStrategy="Halted")))
    for path, name, who in ((storage.loop, "block", "python"), (str(storage.file), "file", "QEMU")):
        with held(path, by_qemu=who == "QEMU"):
            with pytest.raises(Transient, match=f"disk {name} .* is open at {who}"):
                carry_out(storage.plan(doc), storage.doors)
            assert storage.state("box") == "shutoff"
    assert storage.converge(doc) == ["vm.start"]


def test_nobody_gets_a_disk_of_the_host(storage: Storage) -> None:
    storage.doors.libvirt.destroy("box")
    doc = vm("box", **spec(storage.disks_of()))
    start = storage.plan(doc)
    subprocess.run(["mkfs.ext4", "-q", storage.loop], check=True)
    mounted = storage.lab.share / "mounted"
    mounted.mkdir()
    subprocess.run(["mount", storage.loop, str(mounted)], check=True)
    try:
        (refusal,) = storage.plan(doc).refused
        assert refusal.reason == "HostDiskInUse"
        assert str(mounted) in refusal.message
        with pytest.raises(Refused, match="is this host's own"):
            carry_out(start, storage.doors)
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
    assert storage.converge(doc) == ["vm.start"]
    text = storage.doors.libvirt.domain("box").active  # type: ignore[union-attr] # it was just started
    assert len(xml.parse(text or "").findall("devices/disk[@type='block']")) == 1
