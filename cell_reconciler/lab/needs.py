"""What labs need from the machine: packages, root, and a kernel that has what a host's network is made of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from cell_reconciler.errors import CellError, Refused

# command -> Debian package. Commands in sbin are looked up there too: it is not on every PATH.
TOOLS = {
    "namespace": {
        "bash": "bash",
        "ip": "iproute2",
        "libvirtd": "libvirt-daemon",
        "virtlogd": "libvirt-daemon",
        "virsh": "libvirt-clients",
        "qemu-system-x86_64": "qemu-system-x86",
        "qemu-img": "qemu-utils",
    },
    "vm": {
        "ssh": "openssh-client",
        "ssh-keygen": "openssh-client",
        "dropbear": "dropbear-bin",
        "modprobe": "kmod",
        "mkfs.ext4": "e2fsprogs",
        "busybox": "busybox-static",
        "virtme-run": "virtme-ng (pip install 'cell-reconciler[lab]')",
    },
    "ceph": {
        "ceph-mon": "ceph-mon",
        "ceph-osd": "ceph-osd",
        "ceph": "ceph-common",
        "ceph-authtool": "ceph-common",
        "monmaptool": "ceph-common",
        "rbd": "ceph-common",
    },
}
# Tools of the interpreter's own environment first: virtme-run is installed there.
SEARCH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin:/sbin"])

PROBE = """
import ctypes, os, subprocess, sys
if ctypes.CDLL(None).unshare(0x40000000) != 0:
    sys.exit("a network namespace")
for what, command in (
    ("bonding", "link add probe0 type bond mode active-backup"),
    ("8021q", "link add link probe0 name probe0.7 type vlan id 7"),
    ("bridge", "link add probebr type bridge"),
    ("veth", "link add probev0 type veth peer name probev1"),
):
    if subprocess.run(["ip", *command.split()], capture_output=True).returncode:
        sys.exit(what)
"""


def find(tool: str) -> str:
    """Path of a tool; raises CellError that names it."""
    if path := shutil.which(tool, path=SEARCH):
        return path
    package = next((tools[tool] for tools in TOOLS.values() if tool in tools), tool)
    raise CellError(f"{tool} is not installed", f"install {package}")


def require(*parts: str) -> None:
    """Check for root and for all tools of ``parts`` (keys of TOOLS); raises one CellError that lists them."""
    if os.geteuid() != 0:
        raise Refused("a lab needs root: it makes namespaces", "run it with sudo; it changes nothing of this machine")
    missing = {
        package for part in parts for tool, package in TOOLS[part].items() if not shutil.which(tool, path=SEARCH)
    }
    if "vm" in parts and not kernels():
        missing.add("linux-image-amd64")
    if not missing:
        return
    pip = {package for package in missing if "pip" in package}
    steps = [f"apt install {' '.join(sorted(missing - pip))}"] if missing - pip else []
    steps += [package[package.index("(") + 1 : -1] for package in sorted(pip)]
    raise CellError("the lab needs packages that are not installed", "; ".join(steps))


def lacks() -> str:
    """What the running kernel cannot do that a host needs ("" if it can all), tried in a namespace of its own."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", PROBE],
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
        env={"PATH": SEARCH},
    )
    return done.stderr.strip() if done.returncode else ""


def kernels() -> list[Path]:
    """Kernels that can boot a lab, newest last: Debian's full flavour (the cloud one has no 9p)."""

    def version(path: Path) -> list[int]:
        return [int(part) for part in path.name.replace("-", ".").split(".") if part.isdigit()]

    images = [path for path in Path("/boot").glob("vmlinuz-*") if "cloud" not in path.name]
    return sorted((path for path in images if modules(path).is_dir()), key=version)


def modules(kernel: Path) -> Path:
    """Directory of a kernel's modules."""
    return Path("/lib/modules") / kernel.name.removeprefix("vmlinuz-")
