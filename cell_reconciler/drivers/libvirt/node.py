"""What the node is and what its libvirt offers: words of the capabilities → ``model.node``.

Three or four calls. The first caller after libvirtd started waits until it has probed every emulator (a second here,
more where many are installed); after that all of it takes some milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree as ET

from cell_reconciler.drivers.libvirt import failures
from cell_reconciler.errors import StepFailed
from cell_reconciler.model.node import Cpu, Hypervisor, Load, Node

_MACHINE = "q35"  # the board by which libvirt is asked; what it says of CPUs is the same for all


def node(connection: Any) -> Node | None:
    """None for a hypervisor that does not tell (libvirt's test driver)."""
    import libvirt

    root = ET.fromstring(connection.getCapabilities())
    arch = root.findtext("host/cpu/arch") or ""
    guests = [g for g in root.findall("guest") if g.findtext("os_type") == "hvm"]
    blocks = [a for g in guests for a in g.findall("arch") if a.get("name") == arch]
    machines = {m.text or "": int(m.get("maxCpus") or 0) for block in blocks for m in block.iter("machine")}
    offered = sorted({str(d.get("type")) for block in blocks for d in block.findall("domain")})
    types = {}
    for domain_type in offered:
        try:
            text = connection.getDomainCapabilities(None, arch, _MACHINE, domain_type, 0)
            whole = {f.get("name") or "" for f in root.findall("host/cpu/feature")} if domain_type == "kvm" else set()
            types[domain_type] = _hypervisor(connection, arch, domain_type, ET.fromstring(text), whole)
        except libvirt.libvirtError as error:
            if error.get_error_code() != failures.NO_SUPPORT:
                raise
    if not types:
        return None
    _, megabytes, threads, *_ = connection.getInfo()
    cells = root.findall("host/topology/cells/cell")
    cpus = [cpu for cell in cells for cpu in cell.findall("cpus/cpu")]
    cores = {(cpu.get("socket_id"), cpu.get("die_id"), cpu.get("core_id")) for cpu in cpus if cpu.get("core_id")}
    kib = sum(int(cell.findtext("memory") or 0) for cell in cells)
    return Node(
        arch=arch,
        cores=len(cores) or threads,
        threads=threads,
        memory=kib * 2**10 or megabytes * 2**20,
        numa=max(1, len(cells)),
        machines={name: most for name, most in machines.items() if most},
        types=types,
    )


def _hypervisor(connection: Any, arch: str, domain_type: str, root: ET.Element, whole: set[str]) -> Hypervisor:
    """``whole``: features that the host has beside those of host-model, which is of what can migrate."""
    import libvirt

    most = root.find("vcpu")
    model = root.find("cpu/mode[@name='host-model'][@supported='yes']")
    cpu = None if model is None or not model.findtext("model") else read_cpu(model)
    provides: tuple[str, ...] = ()
    if cpu is not None:
        try:
            full = baseline(connection, arch, domain_type, [cpu], libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
            provides = tuple(sorted(whole | {name for name, policy in full.features.items() if policy != "disable"}))
        except libvirt.libvirtError as error:
            if failures.lost(error):
                raise
    listed = root.findall("cpu/mode[@name='custom']/model")
    return Hypervisor(
        vcpus=int(most.get("max") or 0) if most is not None else 0,
        cpu=cpu,
        provides=provides,
        usable=tuple(sorted(m.text or "" for m in listed if m.get("usable") != "no")),
        unusable=tuple(sorted(m.text or "" for m in listed if m.get("usable") == "no")),
    )


# -- CPUs --------------------------------------------------------------------------------------------------------


def read_cpu(element: ET.Element) -> Cpu:
    """A ``<cpu>``, or what stands in domain capabilities in its place."""
    found = {f.get("name") or "": f.get("policy") or "require" for f in element.findall("feature")}
    return Cpu(model=element.findtext("model") or "", vendor=element.findtext("vendor") or "", features=found)


def cpu_xml(cpu: Cpu) -> str:
    """``<cpu>`` as domains have it: this model exactly."""
    root = ET.Element("cpu", mode="custom", match="exact")
    ET.SubElement(root, "model", fallback="forbid").text = cpu.model
    if cpu.vendor:
        ET.SubElement(root, "vendor").text = cpu.vendor
    for name, policy in sorted(cpu.features.items()):
        ET.SubElement(root, "feature", policy=policy, name=name)
    return ET.tostring(root, encoding="unicode")


def baseline(connection: Any, arch: str, domain_type: str, cpus: Iterable[Cpu], flags: int) -> Cpu:
    """The CPU that all of these can run."""
    texts = [cpu_xml(cpu) for cpu in cpus]
    return read_cpu(ET.fromstring(connection.baselineHypervisorCPU(None, arch, None, domain_type, texts, flags)))


def compare(connection: Any, domain_type: str, xml: str, host: Cpu | None) -> str:
    """Why a guest's ``<cpu>`` cannot run here, in libvirt's words, which name the missing features; empty when it can.

    ``host``: the CPU of host-model, which stands in for it; what libvirt cannot compare is let through.
    """
    import libvirt

    root = ET.fromstring(xml)
    if root.get("mode") == "host-model" and host is not None:
        asked = {f.get("name") or "": f.get("policy") or "require" for f in root.findall("feature")}
        xml = cpu_xml(Cpu(model=host.model, vendor=host.vendor, features={**host.features, **asked}))
    elif root.get("mode") in ("host-model", "host-passthrough", "maximum"):
        return ""
    try:
        fits = connection.compareHypervisorCPU(
            None, None, None, domain_type, xml, libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE
        )
    except libvirt.libvirtError as error:
        if error.get_error_code() == failures.CPU_INCOMPATIBLE:
            return str(error.get_error_message())
        raise
    if fits == libvirt.VIR_CPU_COMPARE_ERROR:
        raise StepFailed("libvirt cannot compare the CPU with that of the host")
    return ""


# -- what runs ---------------------------------------------------------------------------------------------------


def loads(connection: Any) -> dict[str, Load]:
    """What every running domain has now, whoever made it. No call here waits for a guest."""
    import libvirt

    found = {}
    for handle in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
        try:
            _, kib, _, vcpus, _ = handle.info()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (failures.NO_DOMAIN, failures.OPERATION_INVALID):
                raise
            continue  # it went off meanwhile
        found[handle.name()] = Load(vcpus, kib * 2**10)
    return found
