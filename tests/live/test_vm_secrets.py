"""What is secret in a VM is nowhere but where it has to be: not in the state directory, a log, JSON, or an argv."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cell_reconciler.lab import Lab
from tests.live.hosts import SpecHost, text

pytestmark = pytest.mark.live

PASSWORD, CHANGED, DATA = "q7Zk2-xW", "q7Zk3-xW", "hunter2-in-the-cloud"
SPECS = """
apiVersion: cell/v1
kind: Host
metadata: {{name: h1}}
spec: {{domainType: qemu}}
---
apiVersion: cell/v1
kind: VirtualMachine
metadata: {{name: vault}}
spec:
  memory: {{guest: 32MiB}}
  graphics: {{password: {{file: {secrets}/password}}}}
  cloudInit: {{userDataFrom: {{file: {secrets}/user-data}}}}
---
apiVersion: cell/v1
kind: VirtualMachine
metadata: {{name: neighbour}}
spec:
  memory: {{guest: 32MiB}}
  graphics: {{password: {{file: {secrets}/away}}}}
"""
# Every command line in the lab, and what is logged there.
TRACES = r"""
import glob
names = glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/var/log/libvirt/**", recursive=True)
for name in names:
    try:
        print(open(name, errors="replace").read())
    except OSError:
        pass
"""


@pytest.fixture(scope="module")
def host() -> Iterator[SpecHost]:
    with Lab.up(name="secrets", kernel="namespace", bound=True) as lab:
        yield SpecHost(lab)


def test_a_secret_is_nowhere_else(host: SpecHost) -> None:
    secrets = host.lab.share / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "password").write_text(PASSWORD + "\n")
    (secrets / "user-data").write_text(f"#cloud-config\npassword: {DATA}\n")
    host.write("all.yaml", SPECS.format(secrets=secrets))
    said: list[str] = []

    def cellctl(*args: str, code: int = 0) -> str:
        done = host.cellctl(*args)
        said.extend((text(done.stdout), text(done.stderr)))
        assert done.returncode == code, said[-2:]
        return said[-2]

    plan = str(host.state / "saved.plan")
    cellctl("plan", "--out", plan, code=6)
    cellctl("apply", "--yes", "--format", "json", code=6)
    assert "away cannot be read" in "".join(said), "an error of that VM, and the other one is made"
    assert host.sh("virsh", "domstate", "vault").strip() == "running"
    (secrets / "password").write_text(CHANGED)
    (secrets / "user-data").write_text(f"#cloud-config\npassword: {DATA}!\n")
    changes = json.loads(cellctl("diff", "--format", "json", code=6))["changes"]
    found = {field["path"] for change in changes for field in change["fields"]}
    assert found == {"spec.graphics.password", "spec.cloudInit.userData"}
    cellctl("apply", "--yes", code=6)
    snapshot = json.loads(cellctl("observe"))["live"]
    seen = snapshot["passwords"]["vault"]
    assert (seen["file"], seen["defined"], seen["running"]) == (f"{secrets}/password", "same", "same")
    host.cellctl_status("get", "--format", "json")
    said.append(host.sh("virsh", "dumpxml", "vault"))
    said.append(host.sh("python3", "-c", TRACES))
    assert "qemu-system" in said[-1], "command lines and logs were seen"
    files = [path for path in host.state.rglob("*") if path.is_file()]
    assert len(files) > 3
    said += [path.read_bytes().decode(errors="replace") for path in files]
    for secret in (PASSWORD, CHANGED, DATA):
        assert not [text for text in said if secret in text]
    assert _holders(host, (PASSWORD, CHANGED, DATA)) == {"qemu/vault.xml", "vault.2.iso"}


def _holders(host: SpecHost, secrets: tuple[str, ...]) -> set[str]:
    """The files of libvirt and ours that hold one: only those that must, and that only root can read."""
    places = ["/var/lib/libvirt", "/etc/libvirt", "/run/libvirt"]
    found = host.lab.exec(["grep", "-rlFa", *(f"-e{secret}" for secret in secrets), *places], check=False)
    paths = [Path(line) for line in text(found.stdout).split()]
    modes = host.sh("stat", "-c", "%a", *map(str, paths)).split()
    assert set(modes) == {"600"}, paths
    return {path.name if path.suffix == ".iso" else f"{path.parent.name}/{path.name}" for path in paths}
