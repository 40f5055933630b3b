"""The checks of ``doctor`` that look at the host itself: hypervisor, network, kernel, pools."""

from __future__ import annotations

import argparse
import fcntl
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cell_reconciler.cli.options import host_name
from cell_reconciler.drivers import Doors, inhibitor
from cell_reconciler.errors import CellError
from cell_reconciler.kinds.world import domain_type, needs_filters, pool_targets
from cell_reconciler.model.document import Loaded
from cell_reconciler.model.node import MOST_CPUS, MOST_MEMORY

# module → what needs it, and what is there besides /sys/module when it is built in
_KERNEL = {
    "bonding": ("Bond", ("/sys/class/net/bonding_masters", "/proc/net/bonding")),
    "8021q": ("Vlan, and Bridge with vlan,", ("/proc/net/vlan",)),
    "bridge": ("Bridge", ("/proc/sys/net/bridge",)),
    "nft_meta_bridge": ("isolation between the VMs of an internal bridge", ()),
    "tun": ("VM interfaces", ("/dev/net/tun", "/sys/class/misc/tun")),
}
_KVM_CREATE_VM = 0xAE01  # linux/kvm.h


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """``result`` is ok, warn or fail."""

    name: str
    result: str
    message: str
    advice: str = ""


def libvirt(doors: Doors, args: argparse.Namespace, loaded: Loaded) -> Iterator[Check]:
    try:
        facts = doors.libvirt.capabilities()
        found = doors.libvirt.observe()
    except CellError as error:
        advice = error.advice or "systemctl start libvirtd, and be root or in the group libvirt"
        yield Check(name="libvirt", result="fail", message=error.message, advice=advice)
        return
    versions = ", ".join(
        f"{word} {_dotted(facts[name])}"
        for name, word in (("libvirtVersion", "libvirt"), ("hypervisorVersion", "qemu"))
        if name in facts
    )
    yield Check(
        name="libvirt", result="ok", message=f"{args.connect}: {versions}, {len(found.get('domains', {}))} domains"
    )
    yield from _size(doors)
    wanted = domain_type(loaded.documents, host_name(args))
    offered = facts.get("domainTypes", [])
    if wanted not in offered:
        message = f"this host runs VMs as {wanted}, libvirt offers {', '.join(offered) or 'nothing'}"
        yield Check(name="domain type", result="fail", message=message, advice=_kvm_advice(wanted))
    elif wanted == "kvm" and (trouble := _kvm_trouble()):
        yield Check(name="domain type", result="fail", message=f"kvm, but {trouble}", advice=_kvm_advice("kvm"))
    else:
        yield Check(name="domain type", result="ok", message=wanted)


def _size(doors: Doors) -> Iterator[Check]:
    """What the host is, against the limits of Cell."""
    node = doors.libvirt.node()
    if node is None:
        return
    beyond = node.threads > MOST_CPUS or node.memory > MOST_MEMORY
    numa = f", {node.numa} NUMA nodes" if node.numa > 1 else ""
    yield Check(
        name="size",
        result="warn" if beyond else "ok",
        message=f"{node.cores} cores, {node.threads} CPUs, {node.memory / 2**30:.1f} GiB{numa}",
        advice=f"Cell supports {MOST_CPUS} CPUs and {MOST_MEMORY // 2**40} TiB: what is beyond is not promised to VMs"
        if beyond
        else "",
    )


def _kvm_trouble() -> str:
    """Why no VM can be run in hardware. The device may be there and not work, so an empty VM is made and dropped."""
    try:
        device = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        return f"/dev/kvm cannot be opened: {error.strerror}"
    try:
        os.close(fcntl.ioctl(device, _KVM_CREATE_VM, 0))
    except OSError as error:
        return f"/dev/kvm does not work: {error.strerror}"
    finally:
        os.close(device)
    return ""


def _kvm_advice(wanted: str) -> str:
    if wanted == "kvm":
        return "enable virtualisation in the firmware and load kvm_intel or kvm_amd, or say domainType: qemu in Host"
    return "install qemu-system"


def _dotted(number: int) -> str:
    """libvirt's 9000000 → 9.0.0."""
    return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def netlink(doors: Doors) -> Iterator[Check]:
    try:
        links = doors.netlink.observe().get("links", {})
    except CellError as error:
        yield Check(name="netlink", result="fail", message=error.message, advice=error.advice)
        return
    yield Check(name="netlink", result="ok", message=f"{len(links)} interfaces")
    # CAP_NET_ADMIN is bit 12 (capability.h); creating links needs it.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    held = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapEff:")), 0)
    if not held >> 12 & 1:
        yield Check(
            name="privilege",
            result="warn",
            message="no CAP_NET_ADMIN: diff works, apply does not",
            advice="run as root",
        )


def nftables(doors: Doors, loaded: Loaded) -> Iterator[Check]:
    """Only hosts with an internal bridge need it."""
    needed = needs_filters(loaded.documents)
    try:
        found = doors.nftables.observe()["filters"]
    except CellError as error:
        advice = "apt install python3-nftables, and run as root"
        result = "fail" if needed else "ok"
        message = error.message if needed else f"no document needs it ({error.message})"
        yield Check(name="nftables", result=result, message=message, advice=advice if needed else "")
        return
    yield Check(name="nftables", result="ok", message=f"isolates {', '.join(sorted(found)) or 'no bridge'}")


def sleep(doors: Doors) -> Iterator[Check]:
    """A host that sleeps takes its VMs with it; ``run`` keeps it awake, where there is a logind to ask."""
    try:
        running = sum(domain.active is not None for domain in doors.libvirt.observe().get("domains", {}).values())
    except CellError:
        return  # said by the check of libvirt
    found = inhibitor.holders()
    ours = found is not None and any(line.startswith(inhibitor.WHO) for line in found)
    if found is None:
        message = "logind does not answer: nothing keeps this host from sleep while VMs run"
        advice = "if it may ever sleep: systemctl mask sleep.target suspend.target hibernate.target"
        yield Check(name="sleep", result="warn" if running else "ok", message=message, advice=advice)
    elif running and not ours:
        message = f"{running} VMs run, and nothing keeps this host from being suspended"
        yield Check(name="sleep", result="warn", message=message, advice="start cellctl run: it holds logind's lock")
    else:
        yield Check(name="sleep", result="ok", message="inhibited while VMs run" if ours else "no VM runs")


def kernel() -> Iterator[Check]:
    release = platform.release()
    base = Path("/lib/modules") / release
    listed = {
        Path(line.split(":")[0]).name.partition(".ko")[0].replace("-", "_")
        for name in ("modules.builtin", "modules.dep")
        if (base / name).is_file()
        for line in (base / name).read_text(encoding="utf-8").splitlines()
    }
    for module, (purpose, evidence) in _KERNEL.items():
        loaded = any(os.path.exists(path) for path in (f"/sys/module/{module}", *evidence))
        if loaded or module in listed:
            yield Check(name=f"kernel {module}", result="ok", message="loaded" if loaded else "loads on demand")
        else:
            message = f"kernel {release} lists no {module}: {purpose} may not work"
            advice = "run a kernel of the distribution; to try specs: cellctl lab up --kernel vm"
            yield Check(name=f"kernel {module}", result="warn", message=message, advice=advice)


def pools(doors: Doors, loaded: Loaded) -> Iterator[Check]:
    for name, target in pool_targets(loaded.documents).items():
        try:
            pool, images = doors.pool(target).observe()
        except CellError as error:
            yield Check(name=f"pool {name}", result="fail", message=error.message, advice=error.advice)
            continue
        if pool.exists:
            yield Check(
                name=f"pool {name}", result="ok", message=f"{target.backend} {target.place}: {len(images)} images"
            )
        else:
            result, advice = (
                ("warn", "apply makes it") if target.backend == "directory" else ("fail", "create the pool in Ceph")
            )
            yield Check(name=f"pool {name}", result=result, message=f"{target.place} does not exist", advice=advice)
