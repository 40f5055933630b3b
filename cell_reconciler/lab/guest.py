"""A host with a kernel of its own: the distribution's, booted by virtme-ng with the machine's root file system.

QEMU (TCG: no /dev/kvm is needed, none is trusted) runs in the lab's namespaces and dies with them. The root file
system is the machine's by 9p, read-only, with an overlay in the guest's memory; the lab's directory is a second
9p export, writable, at the same path; a raw disk with ext4 is what the host keeps over a power cut (9p and memory
have no O_DIRECT, which disks of VMs use).

It has an IOMMU, and on it what can be given to a VM: a RAID controller with a disk, a NIC, and a stick on USB. Their
drivers are modules that nothing loads by itself (megaraid_sas, e1000e, xhci_pci), so that whoever does not want them
does not see them.

The way in is SSH, for it is the one existing tool that carries streams, a terminal and exit codes over any
transport: dropbear, because it comes without a service that would start on this machine, with keys made for this
lab. It listens on a virtio NIC with QEMU user networking (``restrict=on``: nothing is reached by it, but for one
port on the *lab's* loopback), and that NIC sits in the guest's *switch* namespace: the host itself has the declared
NICs and no other, as in a host made of namespaces.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cell_reconciler.errors import CellError
from cell_reconciler.lab import needs, spaces, wiring
from cell_reconciler.lab.state import Places, Process, State

SCRIPTS = ("guest.sh", "guest-exec.sh", "host.sh")
SSHRUN = Path(__file__).with_name("sshrun.py")
SSH_PORT = 2222  # on the loopback of the lab's own network: no other lab can have it
MANAGEMENT_MAC, CEPH_MAC = "52:54:00:ce:11:01", "52:54:00:ce:11:02"
DISKS = {"disk.img": 64 << 30, "hba.img": 256 << 20, "stick.img": 16 << 20}  # bytes, sparse
HBA_SLOT, NIC_SLOT = "0x10", "0x11"  # on the root bus: 0000:00:10.0 and 0000:00:11.0
BOOT_TIMEOUT = 180.0  # s; 12 s on a quiet machine
MEMORY, CPUS = "2G", "2"

SSH_CONFIG = """\
Host host
    HostName 127.0.0.1
    HostKeyAlias host
    Port {port}
    User root
    IdentityFile {run}/key
    IdentitiesOnly yes
    UserKnownHostsFile {run}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    PasswordAuthentication no
    PreferredAuthentications publickey
    KexAlgorithms curve25519-sha256
    Ciphers aes128-ctr,chacha20-poly1305@openssh.com
    ConnectTimeout 30
    ServerAliveInterval 15
    ServerAliveCountMax 20
    ControlPath {run}/ssh
    LogLevel ERROR
"""


def prepare(places: Places) -> None:
    """Make what outlives a boot: keys, the disk, the scripts, their parameters; raises CellError."""
    for script in SCRIPTS:
        copy = places.work / script
        copy.write_bytes(Path(__file__).with_name(script).read_bytes())
        copy.chmod(0o755)
    _tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "cell-lab", "-f", str(places.run / "key"))
    _tool("dropbearkey", "-t", "ed25519", "-f", str(places.work / "host_key"))
    shown = _tool("dropbearkey", "-y", "-f", str(places.work / "host_key"))
    public = next(line for line in shown.splitlines() if line.startswith("ssh-ed25519 "))
    (places.run / "known_hosts").write_text(f"host {public}\n")
    (places.work / "authorized_keys").write_bytes((places.run / "key.pub").read_bytes())
    (places.run / "ssh_config").write_text(SSH_CONFIG.format(port=SSH_PORT, run=places.run))
    (places.work / "exec").mkdir()
    for name, size in DISKS.items():
        with (places.work / name).open("wb") as image:
            image.truncate(size)
    _tool("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", str(places.work / "disk.img"))


def boot(places: Places, state: State, rack: Process) -> Process:
    """Boot it and wait until it is a host; returns PID 1 of the namespace that QEMU runs in. Raises CellError."""
    told = places.work / "ready"
    told.unlink(missing_ok=True)
    log = places.run / "host.log"
    birth = spaces.start(("pid", "mnt"), join=rack, setup=qemu_argv(places, state), log=log, env={"HOME": "/root"})
    deadline = time.monotonic() + BOOT_TIMEOUT
    while not told.exists():
        if (ended := birth.said(0.1)) or time.monotonic() > deadline:
            birth.process.kill()
            seen = spaces.tail(log) + spaces.tail(places.run / "console.log")
            raise CellError(f"host {state.name} did not boot: {ended or 'no sign of it'}", seen)
    birth.close()
    if verdict := told.read_text().strip():
        birth.process.kill()
        raise CellError(f"host {state.name} booted but is no host: {verdict}", spaces.tail(places.work / "guest.log"))
    _connect(places, rack)
    return birth.process


def _connect(places: Places, rack: Process) -> None:
    """Open the connection that all commands share: a handshake costs 0.3 s under TCG. Without it they still work."""
    (places.run / "ssh").unlink(missing_ok=True)
    command = ["ssh", "-F", str(places.run / "ssh_config"), "-M", "-N", "-f", "host"]
    with places.run.joinpath("ssh.log").open("ab") as log:
        subprocess.run(
            spaces.enter(rack, command, kinds=("net", "pid"), death=0),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=60,
            check=False,
        )


def qemu_argv(places: Places, state: State) -> list[str]:
    """The command that boots the newest kernel with this machine's file system as its root and guest.sh as init.

    virtme-run makes the initramfs and most of QEMU's command line; ``-append`` given again replaces the kernel's.
    """
    work = str(places.work)
    if any(character in work for character in ' "\n'):
        raise CellError(f"{work!r} cannot be said on a kernel's command line", "set CELL_LAB_DIR without spaces")
    overlays = [entry.name for entry in Path("/").iterdir() if entry.is_dir() and not entry.is_symlink()]
    parameters = {
        "LAB_NAME": state.name,
        "LAB_WORK": work,
        "LAB_UUID": state.uuid,
        "LAB_NICS": ",".join(state.nics),
        "LAB_CEPH": wiring.HOST_ADDRESS if state.ceph else "",
        "LAB_OVERLAYS": ",".join(sorted(set(overlays) - NOT_OVERLAID)),
        "LAB_MANAGEMENT_MAC": MANAGEMENT_MAC,
        "LAB_CEPH_MAC": CEPH_MAC,
    }
    append = ["console=ttyS1", "quiet", "loglevel=3", "panic=-1", f"init={work}/guest.sh"]
    append += ["intel_iommu=on", *(f"{name}={value}" for name, value in parameters.items())]
    options = [
        *("-machine", "q35", "-device", "intel-iommu,intremap=on"),
        *("-device", f"megasas-gen2,id=hba,addr={HBA_SLOT}"),
        *("-drive", f"if=none,id=given,format=raw,file={_comma(work)}/hba.img"),
        *("-device", "scsi-hd,bus=hba.0,drive=given,serial=given"),
        *("-device", "qemu-xhci,id=usb", "-drive", f"if=none,id=stick,format=raw,file={_comma(work)}/stick.img"),
        *("-device", "usb-storage,bus=usb.0,drive=stick"),
        *("-netdev", "user,id=given,restrict=on"),
        *("-device", f"e1000e,netdev=given,addr={NIC_SLOT},romfile="),
        *("-append", " ".join(append)),
        *("-serial", f"file:{_comma(str(places.run))}/console.log"),
        *("-fsdev", f"local,id=lab,path={_comma(work)},security_model=passthrough,multidevs=remap"),
        *("-device", "virtio-9p-pci,fsdev=lab,mount_tag=lab"),
        *("-drive", f"if=none,id=keep,format=raw,file={_comma(work)}/disk.img"),
        *("-device", "virtio-blk-pci,drive=keep,serial=keep"),
        *("-netdev", f"user,id=management,restrict=on,ipv6=off,hostfwd=tcp:127.0.0.1:{SSH_PORT}-:22"),
        *("-device", f"virtio-net-pci,netdev=management,mac={MANAGEMENT_MAC},romfile="),
    ]
    if state.ceph:
        options += ["-netdev", f"tap,id=ceph,ifname={wiring.CEPH_NIC},script=no,downscript=no"]
        options += ["-device", f"virtio-net-pci,netdev=ceph,mac={CEPH_MAC},romfile="]
    return [
        *(needs.find("virtme-run"), "--kimg", str(needs.kernels()[-1]), "--mods", "auto"),
        *("--disable-kvm", "--force-9p", "--cpus", CPUS, "--memory", MEMORY, "--name", places.name),
        *("--script-sh", "false"),  # never run; it makes virtme-run use files and no terminal
        *("--qemu-opts", *options),
    ]


# Kernel file systems, and what guest.sh mounts itself.
NOT_OVERLAID = {"proc", "sys", "dev", "run", "lost+found"}


def _comma(path: str) -> str:
    """QEMU's option syntax doubles commas."""
    return path.replace(",", ",,")


def shell_argv(
    places: Places, rack: Process, argv: Sequence[str], *, tty: bool = False, cwd: str = "/", place: str = "host"
) -> list[str]:
    """argv that runs ``argv`` in the guest's ``place`` (``host`` or ``switch``), by SSH from the lab's network."""
    inner = [sys.executable, "-I", "-S", str(SSHRUN), "--config", str(places.run / "ssh_config")]
    inner += ["--requests", str(places.work / "exec"), "--place", place, "--cwd", cwd]
    inner += ["--tty"] if tty else []
    # SIGHUP on our death, not SIGKILL: sshrun then kills the command in the guest before it ends itself.
    return spaces.enter(rack, [*inner, "--", *argv], kinds=("net", "pid"), cwd=cwd, death=1)


def _tool(name: str, *args: str) -> str:
    """Run a tool of this machine; raises CellError."""
    done = subprocess.run(
        [needs.find(name), *args], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, cwd="/"
    )
    if done.returncode:
        raise CellError(f"{name} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
