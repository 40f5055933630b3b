"""A namespace lab with specs of its own, driven through the real command line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from cell_reconciler.lab import Lab

CELLCTL = (sys.executable, "-m", "cell_reconciler.cli")

HOST_AND_POOL = """
apiVersion: cell/v1
kind: Host
metadata: {name: h1}
spec: {domainType: qemu, overcommit: {cpu: 1000, memory: 100, disk: 1000}}
---
apiVersion: cell/v1
kind: StoragePool
metadata: {name: local}
spec: {directory: {path: /var/lib/libvirt/images/cell}}
---
"""

# Shows every fact of the host that anybody could care about, in the words of the host's own tools.
WORLD = r"""
import json, subprocess, glob, os, re
def out(*argv): return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
links = [
    {k: l.get(k) for k in ("ifname", "address", "mtu", "master", "group", "ifalias", "operstate", "flags")}
    | {"kind": l.get("linkinfo", {}).get("info_kind")}
    | {"addr": sorted(a["local"] for a in l.get("addr_info", []) if a["scope"] == "global")}
    for l in json.loads(out("ip", "-j", "-d", "addr"))
    if not l["ifname"].startswith("vnet")
]
for l in links: l["flags"] = sorted(set(l["flags"] or []) & {"UP"})
links = [{k: v for k, v in l.items() if k != "operstate"} for l in links]
domains = {}
for name in out("virsh", "list", "--all", "--name").split():
    xml = out("virsh", "dumpxml", "--inactive", name)
    domains[name] = [re.sub(r"\s+", " ", xml), out("virsh", "domstate", name).strip()]
files = {}
for root, dirs, names in os.walk("/var/lib/libvirt/images"):
    for n in sorted(names):
        p = os.path.join(root, n)
        files[p] = os.stat(p).st_size if n.endswith(".raw") else None
links.sort(key=lambda l: l["ifname"])
print(json.dumps({"links": links, "domains": domains, "files": files}, sort_keys=True))
"""


WIPE = r"""
import json, subprocess, libvirt
for domain in libvirt.open("qemu:///system").listAllDomains():
    if domain.isActive(): domain.destroy()
    if domain.isPersistent(): domain.undefine()
for link in json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout):
    if link["ifname"].startswith(("br-", "cloud", "foreign")):
        subprocess.run(["ip", "link", "del", link["ifname"]], check=True)
subprocess.run(["find", "/var/lib/libvirt/images", "-mindepth", "1", "-delete"], check=True)
"""


class SpecHost:
    """``lab``'s host with a fresh specs and state directory; ``name`` is also the host's name for ``cellctl``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.specs = lab.share / "specs"
        self.state = lab.share / "state"
        self.reset_specs()

    def reset_specs(self) -> None:
        for path in (self.specs, self.state):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.specs / name
        path.write_text(text)
        return path

    def argv(self, *args: str) -> list[str]:
        return ["--host", "h1", "--state-dir", str(self.state), *args, "-f", str(self.specs)]

    def cellctl(self, *args: str, timeout: float = 120) -> subprocess.CompletedProcess[Any]:
        return self.lab.exec([*CELLCTL, *self.argv(*args)], timeout=timeout)

    def cellctl_status(self, *args: str) -> str:
        """A command that takes no specs (get, suspend …); raises when it fails."""
        argv = [*CELLCTL, "--host", "h1", "--state-dir", str(self.state), *args]
        return text(self.lab.exec(argv, timeout=60, check=True).stdout)

    def killed_before_write(self, number: int, *args: str) -> int:
        """Run ``cellctl`` and kill it just before writing call ``number``; its exit code (-9 / 137 when killed)."""
        argv = [sys.executable, "-m", "tests.live.crash_driver", str(number), *self.argv(*args)]
        return self.lab.exec(argv, timeout=120).returncode

    def world(self) -> dict[str, Any]:
        """Links, domains and files as they are now."""
        done = self.lab.exec([sys.executable, "-c", WORLD], timeout=60, check=True)
        world: dict[str, Any] = json.loads(text(done.stdout))
        return world

    def sh(self, *argv: str) -> str:
        return text(self.lab.exec(list(argv), timeout=60, check=True).stdout)

    def wipe(self) -> None:
        """Take away what specs made, with the host's own tools, so that the next test starts from nothing."""
        self.lab.exec([sys.executable, "-c", WIPE], timeout=60, check=True)
        self.reset_specs()


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
