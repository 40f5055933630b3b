"""The network inside the booted kernel (``tests.bench.network`` starts it there)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.floor_network import BOND, FIRST, MEMBERS
from tests.bench.measure import CELLCTL, row, seconds

FLOOR = [sys.executable, str(Path(__file__).with_name("floor_network.py"))]
HOST = """apiVersion: cell/v1
kind: Host
metadata: {name: bench}
spec: {domainType: qemu}
---
apiVersion: cell/v1
kind: Bond
metadata: {name: bond-VM}
spec: {members: [ens1f0, ens1f1]}
"""
BRIDGE = """---
apiVersion: cell/v1
kind: Bridge
metadata: {{name: br-VM.{vid}}}
spec: {{uplink: bond-VM, vlan: {vid}}}
"""
VM = """apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: guest}
spec:
  memory: {guest: 32MiB}
  interfaces: [{name: eth0, bridge: br-VM.101}]
"""


def main(directory: Path, peer: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    floor = (seconds([*FLOOR, "create", "100"], 1), seconds([*FLOOR, "check", "100"], 3))
    wipe()
    ours = converge(directory, 100)
    row(
        "1 bond, 100 VLANs, 100 bridges: create",
        f"{ours[0]:.1f} s",
        f"pyroute2 {floor[0]:.1f} s",
        twice(ours, floor, 0),
    )
    row("... again, nothing to do", f"{ours[1]:.1f} s", f"pyroute2 {floor[1]:.1f} s", twice(ours, floor, 1))
    guest(directory)
    wipe()
    theirs = ifupdown2(peer, 100)
    for index, what in enumerate(("create", "again, nothing to do")):
        ratio = theirs[index] / ours[index]
        row(f"... {what}", f"{ours[index]:.1f} s", f"ifupdown2 {theirs[index]:.1f} s", f"1/8 of it, is 1/{ratio:.1f}")
    wipe()
    many = converge(directory, 500)
    row("500 VLANs, 500 bridges: create", f"{many[0]:.1f} s", "", "30 s")
    row("... again, nothing to do", f"{many[1]:.1f} s", "", "3 s")


def twice(ours: tuple[float, float], floor: tuple[float, float], index: int) -> str:
    return f"2 x floor, is {ours[index] / floor[index]:.1f} x"


def cellctl(directory: Path, *args: str) -> list[str]:
    state = directory.with_name("state")
    return [*CELLCTL, "--host", "bench", "--state-dir", str(state), *args, "-f", str(directory)]


def converge(directory: Path, count: int) -> tuple[float, float]:
    """Seconds of whole processes: the first apply, and one that finds nothing to do."""
    for path in directory.iterdir():
        path.unlink()
    bridges = "".join(BRIDGE.format(vid=vid) for vid in range(FIRST, FIRST + count))
    (directory / "network.yaml").write_text(HOST + bridges)
    create = seconds(cellctl(directory, "apply", "--yes"), 1)
    return create, seconds(cellctl(directory, "apply", "--yes"), 3)


def guest(directory: Path) -> None:
    """A running VM is where it was after all of it."""
    (directory / "vm.yaml").write_text(VM)
    subprocess.run(cellctl(directory, "apply", "--yes"), check=True, stdout=subprocess.DEVNULL)
    subprocess.run(cellctl(directory, "apply", "--yes"), check=True, stdout=subprocess.DEVNULL)
    links = json.loads(subprocess.run(["ip", "-j", "link"], check=True, capture_output=True).stdout)
    taps = {link["ifname"]: link.get("master") for link in links if link["ifname"].startswith("vnet")}
    if list(taps.values()) != ["br-VM.101"]:
        raise RuntimeError(f"the tap of the running VM is not on br-VM.101: {taps}")
    print("(the tap of the running VM is still on its bridge)", flush=True)
    subprocess.run(["virsh", "destroy", "guest"], check=True, capture_output=True)


def wipe() -> None:
    links = json.loads(subprocess.run(["ip", "-j", "-d", "link"], check=True, capture_output=True).stdout)
    kinds = {link["ifname"]: link.get("linkinfo", {}).get("info_kind") for link in links}
    lines = [f"link del {name}\n" for kind in ("bridge", "bond") for name, k in kinds.items() if k == kind]
    lines += [f"link set {name} down\n" for name in MEMBERS]
    subprocess.run(["ip", "-batch", "-"], input="".join(lines).encode(), check=True)


def ifupdown2(peer: Path, count: int) -> tuple[float, float]:
    """The same with ifreload; bridges without a dot in their name, which it would take for a VLAN."""
    lines = [f"auto {BOND}\niface {BOND} inet manual\n bond-slaves {' '.join(MEMBERS)}\n bond-mode active-backup\n"]
    for vid in range(FIRST, FIRST + count):
        lines.append(f"auto {BOND}.{vid}\niface {BOND}.{vid} inet manual\n")
        lines.append(f"auto brVM{vid}\niface brVM{vid} inet manual\n bridge-ports {BOND}.{vid}\n bridge-stp off\n")
    for name in ("usr/share/ifupdown2", "etc/network"):
        target = Path("/", name)
        target.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(peer / name), str(target)], check=True)
    Path("/run/network").mkdir(exist_ok=True)  # for its lock
    Path("/etc/network/interfaces").write_text("\n".join(lines))
    program = peer / "ifreload"  # it is told what to do by its own name
    program.symlink_to("/usr/share/ifupdown2/ifupdown2")
    reload = ["/usr/bin/python3", str(program), "--all"]
    started = time.monotonic()
    subprocess.run(reload, check=True)
    create = time.monotonic() - started
    return create, seconds(reload, 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
