"""A real guest: Debian's kernel and a busybox that says over and over, on its serial console, what it sees."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cell_reconciler.kinds.virtual_machine import xml
from cell_reconciler.lab import Lab
from cell_reconciler.model.live import Domain

MODULES = ("virtio_pci", "virtio_blk", "virtio_scsi", "virtio_net", "virtio_balloon", "sd_mod", "button", "evdev")
MODULES += ("ahci", "sr_mod", "isofs")  # for a CD-ROM drive on bus sata
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read module; do insmod "$module"; done </modules/order
grep -qw deaf /proc/cmdline || acpid -c /etc/acpi -l /dev/null # deaf: it ignores its power button
exec >/dev/ttyS0 2>&1
. /early
word=$(sed -n 's/.*write=\\([a-z]*\\).*/\\1/p' /proc/cmdline) # on each disk, should the test want it
[ -z "$word" ] || for disk in /dev/[vs]d[a-z]; do echo "$word" | dd of="$disk" conv=notrunc,fsync; done
while :; do
    for cpu in /sys/devices/system/cpu/cpu*/online; do [ "$(cat "$cpu")" = 1 ] || echo 1 >"$cpu"; done
    for block in /sys/devices/system/memory/memory*/state; do
        [ "$(cat "$block")" = online ] || echo online >"$block"
    done
    disks=""
    for size in /sys/block/[vs]d*/size; do
        [ -f "$size" ] && name=${size%/size} && disks="$disks,\\"${name##*/}\\":$(cat "$size")"
    done
    nics=""
    for nic in /sys/class/net/eth*; do
        [ -d "$nic" ] || continue
        ip link set "${nic##*/}" up
        nics="$nics,\\"$(cat "$nic/address")\\":$(cat "$nic/carrier")"
    done
    if [ -b /dev/sr0 ] && medium=$(dd if=/dev/sr0 bs=2k skip=16 count=1 2>/dev/null | md5sum) && \
        [ "$medium" != "$read" ] && mount -t iso9660 -o ro /dev/sr0 /mnt; then
        # Not mounted for longer than need be: that locks the tray.
        read=$medium seed=",\\"seed\\":\\"$(cd /mnt && tar cz * | base64 -w 0)\\""
        umount /mnt
    fi
    cpus=$(grep -c ^processor /proc/cpuinfo)
    rngs=$(cat /sys/bus/virtio/devices/*/device 2>/dev/null | grep -c 0x0004)
    memory=$(sed -n 's/^MemTotal: *\\([0-9]*\\) kB$/\\1/p' /proc/meminfo)
    echo "{\\"cpus\\":$cpus,\\"memory\\":$memory,\\"disks\\":{${disks#,}},\\"nics\\":{${nics#,}},\\"rngs\\":$rngs$seed}"
    sleep 1
done
"""


def files(
    directory: Path, *, modules: Sequence[str] = (), programs: Sequence[str] = (), early: str = ""
) -> dict[str, str]:
    """Make kernel and initial RAM disk in a directory of the lab; what a VM's ``boot`` says of them.

    ``modules`` of the kernel and ``programs`` of this machine besides; ``early`` is done by the guest's shell before
    it says anything.
    """
    kernels = (path.name.removeprefix("vmlinuz-") for path in Path("/boot").glob("vmlinuz-*"))
    release = max(name for name in kernels if Path("/lib/modules", name).exists())
    root = directory / "root"
    for folder in ("bin", "proc", "sys", "dev", "modules", "mnt", "tmp", "etc/acpi/PWRF"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    _copy_modules(root, release, (*MODULES, *modules))
    for program in programs:
        _copy_program(root, program)
    for name, text in (("init", INIT), ("early", early), ("etc/acpi/PWRF/00000080", "#!/bin/sh\nexec poweroff -f\n")):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"], cwd=root, input=names.encode(), check=True, capture_output=True
    )
    initrd = directory / "initrd.img"
    initrd.write_bytes(packed.stdout)
    return {"kernel": f"/boot/vmlinuz-{release}", "initrd": str(initrd), "cmdline": "console=ttyS0 quiet panic=-1"}


def _copy_modules(root: Path, release: str, modules: Sequence[str]) -> None:
    """With those that they need, and the order in which they are loaded."""
    order: list[str] = []
    for module in modules:
        argv = ["modprobe", "--set-version", release, "--show-depends", module]
        said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
        for path in (Path(line.split()[1]) for line in said.splitlines() if line.startswith("insmod")):
            if f"/modules/{path.name}" not in order:
                shutil.copy(path, root / "modules" / path.name)
                order.append(f"/modules/{path.name}")
    (root / "modules/order").write_text("\n".join(order) + "\n")


def _copy_program(root: Path, program: str) -> None:
    """With its libraries, at the places where it looks for them."""
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    for path in (program, *(word for word in said.split() if word.startswith("/"))):
        there = root / path.removeprefix("/")
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there)


class Guest:
    """What a running guest says of itself."""

    def __init__(self, lab: Lab, domain: Callable[[], Domain | None]) -> None:
        self.lab, self.domain = lab, domain

    def sees(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60.0) -> dict[str, Any]:
        """Its first report that is as wanted. Raises AssertionError when none is in time."""
        end, last = time.monotonic() + seconds, "nothing"
        while time.monotonic() < end:
            for line in self._lines():
                last = line
                try:
                    report = json.loads(line)
                except ValueError:  # the end of a line that began before we looked
                    continue
                if wanted(report):
                    return dict(report)
        raise AssertionError(f"the guest does not see it; its last word: {last}")

    def _lines(self) -> list[str]:
        domain = self.domain()
        assert domain is not None
        assert domain.active
        source = xml.parse(domain.active).find("devices/serial/source")
        assert source is not None
        done = self.lab.exec(["timeout", "2.5", "cat", str(source.get("path"))], check=False)
        return [line.strip() for line in done.stdout.splitlines() if line.strip().startswith("{")]
