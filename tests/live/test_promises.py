"""The promises of the design, each on a real libvirtd, kernel and file system, through the real command line."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator

import pytest

from cell_reconciler.lab import Lab
from tests.live.hosts import HOST_AND_POOL, SpecHost, text

pytestmark = pytest.mark.live

BASE = f"""{HOST_AND_POOL}apiVersion: cell/v1
kind: Bridge
metadata: {{name: br-VM}}
spec: {{uplink: ens1f0}}
"""
ISOLATED = """
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-iso}
spec: {stp: false}
---
apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: iso}
spec:
  cpu: {mode: custom, model: qemu64}
  memory: {guest: 32MiB}
  interfaces: [{name: lan, bridge: br-iso, vlan: 7}]
"""
WEB = """
apiVersion: cell/v1
kind: Volume
metadata: {name: web-root}
spec: {pool: local, size: 16MiB, reclaimPolicy: %(reclaim)s}
---
apiVersion: cell/v1
kind: VirtualMachine
metadata: {name: web}
spec:
  memory: {guest: %(memory)s}
  disks: [{name: root, volume: web-root}]
  interfaces: [{name: eth0, bridge: br-VM}]
"""
PRUNE = """
apiVersion: cell/v1
kind: Reconciler
metadata: {name: settings}
spec: {prune: true, allow: cuts-vm}
"""
FOREIGN_VM = """<domain type='qemu'><name>foreign</name><memory unit='MiB'>32</memory><os><type>hvm</type></os>
<devices><interface type='bridge'><source bridge='foreign0'/></interface></devices></domain>"""


def web(memory: str = "32MiB", reclaim: str = "Retain") -> str:
    return WEB % {"memory": memory, "reclaim": reclaim}


@pytest.fixture(scope="module")
def running() -> Iterator[SpecHost]:
    with Lab.up(name="promises", kernel="namespace", bound=True) as lab:
        yield SpecHost(lab)


@pytest.fixture
def host(running: SpecHost) -> SpecHost:
    running.wipe()
    running.write("base.yaml", BASE)
    running.write("web.yaml", web())
    return running


def applied(host: SpecHost, *args: str, code: int = 0) -> str:
    done = host.cellctl("apply", "--yes", *args)
    assert done.returncode == code, text(done.stdout) + text(done.stderr)
    return text(done.stdout) + text(done.stderr)


def undeclare(host: SpecHost) -> None:
    """Remove the document of web, and power it off: its guest has no OS that would obey a graceful shutdown."""
    host.lab.exec(["virsh", "destroy", "web"])
    host.write("web.yaml", "")


def diff(host: SpecHost, code: int) -> str:
    done = host.cellctl("diff", "--exit-code")
    assert done.returncode == code, text(done.stdout) + text(done.stderr)
    return text(done.stdout)


def test_nothing_to_do_is_nothing_done(host: SpecHost) -> None:
    before = host.world()
    diff(host, 3)
    assert host.world() == before, "diff changed something"
    applied(host)
    diff(host, 0)
    after = host.world()
    assert "0 writing calls" in applied(host)
    assert host.world() == after


def test_a_volume_grows_under_the_vm_that_has_it_open_and_in_its_pool_when_none_has(host: SpecHost) -> None:
    applied(host)
    size = "/var/lib/libvirt/images/cell/web-root.raw"
    for running, wanted in ((True, 32), (False, 48)):
        if not running:
            host.sh("virsh", "destroy", "web")
        manual = web().replace("spec:\n  memory", "spec:\n  runStrategy: Manual\n  memory")
        host.write("web.yaml", manual.replace("size: 16MiB", f"size: {wanted}MiB"))
        applied(host)
        assert host.sh("stat", "-c", "%s", size).strip() == str(wanted * 2**20)
        assert f"{wanted * 2**20}" in host.sh("virsh", "domblkinfo", "web", "vda")
        assert "0 writing calls" in applied(host)


def test_foreign_things_stay_byte_for_byte(host: SpecHost) -> None:
    host.sh("ip", "link", "add", "foreign0", "type", "bridge")
    host.sh("ip", "addr", "add", "192.0.2.1/24", "dev", "foreign0")
    (host.lab.share / "foreign.xml").write_text(FOREIGN_VM)
    host.sh("virsh", "define", str(host.lab.share / "foreign.xml"))
    host.sh("mkdir", "-p", "/var/lib/libvirt/images/cell")
    host.sh("truncate", "-s", "3M", "/var/lib/libvirt/images/cell/foreign.raw")
    foreign = [host.sh("virsh", "dumpxml", "foreign"), host.sh("ip", "-d", "link", "show", "foreign0")]
    host.write("prune.yaml", PRUNE)
    applied(host)
    undeclare(host)
    applied(host)
    assert host.sh("virsh", "list", "--all", "--name").split() == ["foreign"]
    assert [host.sh("virsh", "dumpxml", "foreign"), host.sh("ip", "-d", "link", "show", "foreign0")] == foreign
    assert host.sh("stat", "-c", "%s", "/var/lib/libvirt/images/cell/foreign.raw").strip() == str(3 * 2**20)


def test_a_foreign_object_of_a_declared_name_is_refused(host: SpecHost) -> None:
    host.sh("ip", "link", "add", "br-VM", "type", "bridge")
    before = host.sh("ip", "-d", "link", "show", "br-VM")
    out = applied(host, code=6)
    assert "cell/adopt" in out
    assert host.sh("ip", "-d", "link", "show", "br-VM") == before


def test_a_restart_is_pending_and_said_before(host: SpecHost) -> None:
    applied(host)
    pid = host.sh("cat", "/run/libvirt/qemu/web.pid")
    host.write("web.yaml", web("64MiB"))
    out = diff(host, 3)
    assert "spec.memory.guest" in out
    applied(host)
    assert host.sh("cat", "/run/libvirt/qemu/web.pid") == pid
    assert "65536" in host.sh("virsh", "dumpxml", "--inactive", "web")
    status = json.loads(host.cellctl_status("get", "VirtualMachine/web", "-o", "json"))
    conditions = {c["type"]: c for c in status["resources"][0]["conditions"]}
    assert conditions["RestartRequired"]["status"] == "True"
    assert "spec.memory.guest" in conditions["RestartRequired"]["message"]


def test_a_bad_file_hurts_nobody(host: SpecHost) -> None:
    host.write("prune.yaml", PRUNE)
    applied(host)
    before = host.world()
    host.write("web.yaml", "apiVersion: cell/v1\nkind: VirtualMachine\nmetadata: {name: web}\nspec: {memry: 1}\n")
    out = applied(host, code=4)
    assert "web.yaml:4:8" in out
    assert host.world() == before
    host.write("web.yaml", "{{{{")
    applied(host, code=4)
    assert host.world() == before
    (host.specs / "web.yaml").unlink()
    (host.specs / "base.yaml").unlink()
    (host.specs / "prune.yaml").unlink()
    host.cellctl("apply", "--yes", "--prune")
    assert host.world() == before, "an empty directory deleted something"


@pytest.mark.parametrize("text", ["domainType: qemuu", "domainTyp: qemu"])
def test_nothing_is_made_while_the_settings_were_never_valid(host: SpecHost, text: str) -> None:
    before = host.world()
    settings, _, rest = BASE.partition("---")
    host.write("base.yaml", rest)
    host.write("host.yaml", settings.replace("domainType: qemu", text))
    out = applied(host, code=4)
    assert "the Host or Reconciler document is invalid" in out
    assert "host.yaml:5" in out
    assert host.world() == before
    host.write("host.yaml", settings)
    applied(host)
    assert "type='qemu'" in host.sh("virsh", "dumpxml", "web")


def test_data_needs_a_policy_to_go(host: SpecHost) -> None:
    host.write("prune.yaml", PRUNE)
    applied(host)
    undeclare(host)
    applied(host)
    assert host.sh("virsh", "list", "--all", "--name").split() == []
    assert "web-root.raw" in str(host.world()["files"])
    diff(host, 0)
    host.write("web.yaml", web(reclaim="Delete"))
    applied(host)
    undeclare(host)
    applied(host)
    diff(host, 0)
    assert "web-root.raw" not in str(host.world()["files"])


def test_what_a_vm_uses_that_may_not_be_pruned_stays_with_it(host: SpecHost) -> None:
    host.write("iso.yaml", ISOLATED)
    applied(host)
    host.write("iso.yaml", "")
    host.write("prune.yaml", PRUNE.replace(", allow: cuts-vm", ""))
    out = applied(host, code=6)
    assert "NeedsPermission" in out
    assert "iso has an interface on br-iso.7" in out
    assert "0 failed; 1 writing call\n" in out  # br-iso: nobody is on it
    history = json.loads(host.cellctl_status("history", "--format", "json"))["history"]
    assert [sum(entry["writes"].values()) for entry in history][-1] == 1
    assert host.sh("virsh", "domstate", "iso").strip() == "running"


def test_protected_stays(host: SpecHost) -> None:
    host.write("prune.yaml", PRUNE)
    host.write("web.yaml", web().replace("{name: web}", "{name: web, annotations: {cell/protect: 'true'}}"))
    applied(host)
    undeclare(host)
    host.cellctl("apply", "--yes")
    assert host.sh("virsh", "list", "--all", "--name").split() == ["web"]


def test_unreachable_is_not_absent(host: SpecHost) -> None:
    applied(host)
    before = host.world()
    done = host.lab.exec(
        [*_cellctl(), "--connect", "qemu+unix:///system?socket=/nowhere", *host.argv("diff")], timeout=60
    )
    assert done.returncode == 5
    out = text(done.stdout) + text(done.stderr)
    assert "VirtualMachine/web" in out
    assert "unreachable" in out
    assert host.world() == before


def test_a_saved_plan_is_refused_when_something_moved(host: SpecHost) -> None:
    plan = host.lab.share / "plan.json"
    assert host.cellctl("plan", "--out", str(plan)).returncode == 0
    host.write("web.yaml", web("48MiB"))
    stale = host.cellctl("apply", str(plan), "--yes")
    assert stale.returncode == 6
    assert "stale" in text(stale.stderr) + text(stale.stdout)
    assert host.cellctl("plan", "--out", str(plan)).returncode == 0
    fresh = host.cellctl("apply", str(plan), "--yes")
    assert fresh.returncode == 0, text(fresh.stderr) + text(fresh.stdout)


def test_suspended_and_ignored_are_left_alone_in_diff_and_apply(host: SpecHost) -> None:
    applied(host)
    host.cellctl_status("suspend", "Bridge/br-VM", "--reason", "INC-1")
    host.sh("ip", "link", "set", "ens1f0", "nomaster")
    assert "INC-1" in text(host.cellctl("apply", "--yes").stdout)
    assert "br-VM" not in host.sh("ip", "link", "show", "ens1f0")
    host.cellctl_status("resume", "Bridge/br-VM")
    applied(host)
    assert "br-VM" in host.sh("ip", "link", "show", "ens1f0")


def _cellctl() -> tuple[str, ...]:
    from tests.live.hosts import CELLCTL

    return CELLCTL


FOREIGN_VMS = {
    "small": "<memory unit='MiB'>32</memory><os><type>hvm</type></os>",
    "odd": """<title>of a colleague</title><memory unit='MiB'>48</memory><vcpu current='1'>2</vcpu>
      <os><type machine='pc'>hvm</type><boot dev='network'/></os><cputune><shares>512</shares></cputune>
      <features><acpi/><pae/><hyperv><relaxed state='on'/></hyperv></features>
      <cpu mode='host-model'><feature policy='disable' name='hle'/></cpu>
      <devices><interface type='bridge'><source bridge='foreign0'/><mtu size='1400'/></interface>
      <disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>
      <sound model='ac97'/><graphics type='vnc' listen='127.0.0.1' passwd='secret12'/>
      <video><model type='cirrus'/></video><watchdog model='i6300esb' action='pause'/></devices>""",
    "efi": """<memory unit='MiB'>64</memory><os firmware='efi'><type machine='q35'>hvm</type>
      <firmware><feature enabled='no' name='secure-boot'/></firmware></os><features><acpi/></features>
      <devices><tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm>
      <interface type='user'/><memballoon model='none'/>
      <rng model='virtio'><backend model='random'/></rng></devices>""",
}


def test_vms_of_others_are_exported_adopted_and_then_changed_field_by_field(host: SpecHost) -> None:
    host.sh("ip", "link", "add", "foreign0", "type", "bridge")
    for name, inside in FOREIGN_VMS.items():
        path = host.lab.share / f"{name}.xml"
        path.write_text(f"<domain type='qemu'><name>{name}</name>{inside}</domain>")
        host.sh("virsh", "define", str(path))
    before = {name: dumped(host, name) for name in FOREIGN_VMS}
    found = host.cellctl_status("export", "vm")
    for word in ("shares: 512", "relaxed: true", "<pae>", "sound", "user:"):
        assert word in found
    assert "secret12" not in found
    host.write("base.yaml", HOST_AND_POOL.partition("---")[0])
    host.write("web.yaml", found)
    done = host.cellctl("adopt")
    assert done.returncode == 0, text(done.stdout) + text(done.stderr)
    for name in FOREIGN_VMS:
        gone, come = changed(before[name], dumped(host, name))
        assert not gone
        assert all(re.search("cell:vm|metadata|alias", line) for line in come), come
    diff(host, 0)

    adopted = dumped(host, "odd")
    host.write("web.yaml", found.replace("guest: 48MiB", "guest: 56MiB"))
    applied(host)
    gone, come = changed(adopted, dumped(host, "odd"))
    assert {re.split("[ >]", line.strip())[0] for line in (*gone, *come)} == {"<memory", "<currentMemory", "<cell:vm"}


def dumped(host: SpecHost, name: str) -> list[str]:
    return host.sh("virsh", "dumpxml", "--inactive", "--security-info", name).splitlines()


def changed(before: list[str], after: list[str]) -> tuple[list[str], list[str]]:
    """Lines that went, and lines that came."""
    lines = list(difflib.ndiff(before, after))
    return [line[2:] for line in lines if line[:1] == "-"], [line[2:] for line in lines if line[:1] == "+"]
