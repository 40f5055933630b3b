"""User-mode-linux: Debian's 6.1 kernel as an ordinary program, booted for one command in about two seconds.

It has bonding, 8021q, bridge with VLAN filtering, dummy, veth, tun and nf_tables, as the emulated machine of ``Lab``
has, and runs Python fifty times faster than that. It lacks nft_meta_bridge, and dies at once on CPUs with AMX (its
ptrace cannot carry their registers), so whoever uses it asks ``boots()`` first and takes the emulated machine if not.

The command sees this machine's files read-only, with empty file systems of its own on /run, /tmp, /dev/shm and the
state directory. What it prints comes over the console; its exit code through a directory that is shared.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import ROOT

KERNEL = "linux.uml"
MODULES = ("bonding", "8021q", "bridge", "dummy", "veth", "tun", "nf_tables")
# Once a test has loaded ip_gre, each new namespace would have a gre0 of its own.
NO_TUNNELS = ("sysctl", "-qw", "net.core.fb_tunnels_only_for_init_net=2")
OWN = ("/run", "/tmp", "/dev/shm", "/var/lib/cell-reconciler")
SCRIPT = """#!/bin/bash
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home TERM=dumb
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t hostfs -o {shared} shared /mnt
for own in {own}; do [ -d "$own" ] && mount -t tmpfs -o mode=1777 tmpfs "$own"; done
mkdir -p /run/netns /run/lock /run/home {root}
mount -t hostfs -o {root},ro root {root}
mount --bind /usr/lib/uml/modules /lib/modules
modprobe --all {modules}
{quiet}
ip link set lo up
cd {root} || exit
{command} </dev/null
echo $? >/mnt/code
sync
echo o >/proc/sysrq-trigger || halt -f -p
sleep 60
"""


class Uml:
    """One command on a kernel of its own."""

    def run(self, argv: Sequence[str], timeout: float, memory: str = "1G") -> subprocess.CompletedProcess[str]:
        """Boot, run, power off. ``timeout`` in seconds; raises TimeoutExpired, and OSError if the kernel died."""
        with tempfile.TemporaryDirectory(prefix="uml-", dir="/var/tmp") as directory:
            shared = Path(directory)
            script = shared / "init"
            script.write_text(
                SCRIPT.format(
                    shared=shared,
                    own=" ".join(OWN),
                    modules=" ".join(MODULES),
                    quiet=shlex.join(NO_TUNNELS),
                    root=shlex.quote(str(ROOT)),
                    command=shlex.join(argv),
                )
            )
            script.chmod(0o755)
            said = self._boot(script, timeout, memory)
            code = shared / "code"
            if not code.exists():
                raise OSError(f"the kernel died:\n{said}")
            return subprocess.CompletedProcess(list(argv), int(code.read_text()), said, "")

    def _boot(self, script: Path, timeout: float, memory: str) -> str:
        """What the console showed."""
        kernel = [KERNEL, f"mem={memory}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet"]
        console = [f"init={script}", "con=null", "con0=fd:0,fd:1", "loglevel=1"]
        process = subprocess.Popen(
            [*kernel, *console],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.communicate(timeout=timeout)[0].decode(errors="replace")
        finally:
            if process.poll() is None:  # its processes are ours too: all of them go
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@functools.cache
def boots() -> bool:
    """Whether it runs on this machine."""
    if shutil.which(KERNEL) is None:
        return False
    try:
        return Uml().run(["ip", "link", "add", "bond0", "type", "bond"], timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
