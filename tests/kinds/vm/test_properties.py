"""Any valid spec: renders to valid XML that reads back as itself, and patches any other into itself."""

from __future__ import annotations

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from cell_reconciler.kinds.compare import compare
from cell_reconciler.kinds.virtual_machine import differ, observe, patch, xml
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Live
from cell_reconciler.model.mark import Mark
from tests.kinds.vm.make import VM, pool, settled, vm, world
from tests.kinds.vm.schema import domain_schema, rendered

POOL = pool("local", "/var/lib/libvirt/images/cell")
_names = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,8}", fullmatch=True)
_printable = st.text(
    st.characters(min_codepoint=32, max_codepoint=0xD7FF, exclude_characters="\x7f"), min_size=1, max_size=30
)


def _optional(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


_cpus = st.builds(
    lambda first, more, out: f"{first}-{first + more}" + (f",^{first + more}" if out and more else ""),
    st.integers(0, 99),
    st.integers(0, 9),
    st.booleans(),
)
_pinning = _optional(
    cpuset=_cpus,
    vcpus=st.lists(st.integers(0, 3), unique=True).flatmap(
        lambda numbers: st.tuples(*[_cpus.map(lambda cpuset, n=n: {"vcpu": n, "cpuset": cpuset}) for n in numbers])
    ),
    emulator=_cpus,
    ioThreads=_cpus.map(lambda cpuset: [{"ioThread": 1, "cpuset": cpuset}]),
)
_cpu = st.one_of(
    _optional(shares=st.integers(2, 262144), limit=st.sampled_from([1, 2.5, "10m", "1250m"]), pinning=_pinning),
    _optional(
        sockets=st.integers(1, 4),
        maxSockets=st.integers(1, 8),
        cores=st.integers(1, 4),
        threads=st.integers(1, 2),
        features=_optional(
            require=st.lists(st.sampled_from(["pcid", "aes"]), unique=True),
            disable=st.lists(st.sampled_from(["hle", "rtm", "aes"]), unique=True),
        ),
    ),
    st.just({"mode": "host-passthrough"}),
    st.just({"mode": "custom", "model": "EPYC"}),
    st.just({"mode": "custom", "model": "EPYC", "vendor": "AMD"}),
)
_limits = st.one_of(
    st.just({"totalBytesSec": 10_000_000}),
    st.just({"readIopsSec": 100, "writeIopsSec": 200, "writeIopsSecMax": 300}),
    _optional(readBytesSec=st.integers(1, 10**9), totalIopsSec=st.integers(1, 10**6)),
)
_words = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}", fullmatch=True)
_secret = st.one_of(
    st.just({"uuid": "0b6ff4f0-7d3e-4c7f-9a52-6c1f0a3d9e01"}),
    st.fixed_dictionaries({"usage": st.from_regex(r"[!-.0-~][ -.0-~]{0,8}[!-.0-~]", fullmatch=True)}),
)
_users = st.from_regex(r"[A-Za-z0-9_+-]{1,8}", fullmatch=True)
_login = st.one_of(st.just({}), st.fixed_dictionaries({"user": _users, "secret": _secret}))
_server = st.sampled_from(["10.0.0.1", "10.0.0.1:99", "[fd00::1]", "[fd00::1]:3301", "mon.example"])


def _merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


def sources(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """What says where a disk is: a volume, or any source; no two names lead to one place."""
    monitors = {"pool": _words, "image": st.just(name), "monitors": st.lists(_server, min_size=1, max_size=3)}
    rbd = _merged(st.fixed_dictionaries(monitors, optional={"namespace": _words}), _login)
    target = {"portal": _server, "target": st.just(f"iqn.2026-11.io.cell:{name}"), "lun": st.integers(0, 255)}
    initiator = {"initiator": st.just("iqn.2026-11.io.cell:h1")}
    iscsi = _merged(st.fixed_dictionaries(target, optional=initiator), _login)
    lun = st.one_of(st.just({}), st.fixed_dictionaries({}, optional={"reservations": _on, "rawIo": _on}).map(_as_lun))
    block = st.just({"source": {"block": {"path": f"/dev/disk/by-id/wwn-{name}"}}})
    return st.one_of(
        st.just({"volume": f"local/{name}"}),
        rbd.map(lambda value: {"source": {"rbd": value}}),
        iscsi.map(lambda value: {"source": {"iscsi": value}}),
        st.just({"source": {"file": {"path": f"/mnt/nfs & <x>/{name}.img"}}}),
        _merged(block, lun),
    )


_on = st.just(True)


def _as_lun(fields: dict[str, Any]) -> dict[str, Any]:
    return {"device": "lun", "bus": "scsi", **fields}


_disk = _optional(
    shareable=st.booleans(),
    bus=st.sampled_from(["virtio", "scsi", "sata", "ide"]),
    io=st.sampled_from(["native", "threads", "io_uring"]),
    detectZeroes=st.sampled_from(["off", "on", "unmap"]),
    ioThread=st.integers(1, 2),
    iotune=_limits,
    serial=st.from_regex(r"[A-Za-z0-9_.+-]{1,20}", fullmatch=True),
    readOnly=st.booleans(),
    cache=st.sampled_from(["default", "none", "writeback", "writethrough", "directsync", "unsafe"]),
    discard=st.sampled_from(["unmap", "ignore"]),
    bootOrder=st.integers(1, 100),
)
_rate = st.builds(
    lambda said: {"average": 1000, **said}, _optional(peak=st.integers(1000, 2**32 - 1), burst=st.integers(1, 10**6))
)
_parameters = st.dictionaries(
    st.sampled_from(["IP", "DHCPSERVER", "CTRL_IP_LEARNING"]),
    st.lists(st.sampled_from(["10.0.0.1", "192.168.7.9"]), min_size=1, max_size=2),
)
_nic = _optional(
    vlan=st.integers(1, 4094),
    model=st.sampled_from(["virtio", "e1000", "e1000e", "rtl8139"]),
    bootOrder=st.integers(101, 200),
    queues=st.integers(1, 8),
    mtu=st.sampled_from([1400, 9000]),
    link=st.sampled_from(["up", "down"]),
    bandwidth=_optional(inbound=_rate, outbound=_rate),
    filter=st.builds(lambda said: {"name": "clean-traffic", **said}, _optional(parameters=_parameters)),
)
_address = st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]", fullmatch=True)
_uuid = st.uuids().map(str)
_ids = st.from_regex(r"[1-9a-f][0-9a-f]{3}:[0-9a-f]{4}", fullmatch=True)
_host_device = st.one_of(
    st.fixed_dictionaries(
        {"pci": st.fixed_dictionaries({"address": _address}, optional={"managed": st.booleans()})},
        optional={"bootOrder": st.integers(201, 300)},
    ),
    st.fixed_dictionaries({"mdev": st.fixed_dictionaries({"uuid": _uuid})}),
    st.fixed_dictionaries({"usb": st.fixed_dictionaries({"id": _ids})}),
    st.fixed_dictionaries(
        {"usb": st.fixed_dictionaries({"bus": st.integers(1, 999), "device": st.integers(1, 999)})},
        optional={"bootOrder": st.integers(301, 400)},
    ),
)
_function = st.fixed_dictionaries(
    {"sriov": st.fixed_dictionaries({"address": _address})},
    optional={"vlan": st.integers(1, 4094), "bootOrder": st.integers(401, 500)},
)
_secret = st.sampled_from([{"file": "/root/secret"}, {"credential": "secret"}])
_graphics = st.one_of(
    st.just({"type": "none"}),
    _optional(listen=st.just("0.0.0.0"), port=st.integers(5900, 65535), password=_secret),
)
_cloud_init = st.one_of(
    _optional(
        userData=_printable,
        networkDataFrom=_secret,
        instanceId=st.just("i-1"),
        metaData=st.dictionaries(_names, st.one_of(_printable, st.integers(), st.lists(_printable, max_size=2))),
    ),
    _optional(userDataFrom=_secret, networkData=_printable),
)
_cdrom = _optional(bus=st.sampled_from(["sata", "ide", "scsi"]), media=st.just("/iso/any.iso"))

_clock = _optional(
    offset=st.sampled_from(["utc", "localtime", "Asia/Seoul", "America/Argentina/Buenos_Aires"]),
    kvmClock=st.booleans(),
    hypervClock=st.booleans(),
    hpet=st.booleans(),
    rtcTickPolicy=st.sampled_from(["catchup", "delay"]),
    pitTickPolicy=st.sampled_from(["delay", "catchup", "discard"]),
)
_SWITCHES = (
    "relaxed vapic vpindex runtime synic stimer stimerDirect frequencies reset tlbflush ipi reenlightenment evmcs avic"
)
_NEEDS = {"synic": "vpindex", "stimer": "synic", "stimerDirect": "stimer", "tlbflush": "vpindex", "ipi": "vpindex"}


def _consistent(hyperv: dict[str, Any]) -> dict[str, Any]:
    off = {name: False for name, needed in (*_NEEDS.items(), ("evmcs", "vapic")) if hyperv.get(needed) is not True}
    return _consistent({**hyperv, **off}) if off.items() - hyperv.items() else hyperv


_hyperv = _optional(
    **{name: st.booleans() for name in _SWITCHES.split()},
    spinlocks=st.sampled_from([0, 4095, 8191]),
    vendorId=st.from_regex(r"[ -+\--~]{1,12}", fullmatch=True),
).map(_consistent)


def _plugged(guest: int) -> st.SearchStrategy[dict[str, Any]]:
    """What may be plugged in and what the balloon leaves, for a guest of so many MiB."""
    more = st.integers(0, 40).map(lambda steps: f"{guest + 128 * steps}MiB")
    return _optional(maxGuest=more, current=st.integers(1, guest).map(lambda size: f"{size}MiB"))


@st.composite
def _cells(draw: st.DrawFn, cpu: dict[str, Any], guest: int) -> list[dict[str, Any]]:
    """One cell or two with all vCPUs and all of so many MiB."""
    most = max(cpu.get("sockets", 1), cpu.get("maxSockets", 1)) * cpu.get("cores", 1) * cpu.get("threads", 1)
    first = draw(st.integers(1, most))
    parts = (
        [(0, first, guest // 2 or 1), (first, most, guest - guest // 2)] if 1 <= first < most else [(0, most, guest)]
    )
    where = _optional(hostNodes=st.just("0"), mode=st.sampled_from(["strict", "preferred", "interleave"]))
    cells = [{"cpus": f"{a}-{b - 1}", "memory": f"{size}MiB", **draw(where)} for a, b, size in parts]
    return [{"cell": number, **cell} for number, cell in enumerate(cells)]


@st.composite
def specs(draw: st.DrawFn) -> Document:
    """A VirtualMachine named ``any`` that passes ``check``."""
    names = draw(st.lists(_names, max_size=6, unique=True))
    cut = draw(st.integers(0, len(names)))
    disks = [{"name": n, **draw(_disk), **draw(sources(n))} for n in names[:cut]]
    for disk in disks:
        if disk.get("device") == "lun":  # the guest talks to it past QEMU
            disk |= {"cache": "none"}
            for field in ("detectZeroes", "iotune", "serial", "ioThread"):
                disk.pop(field, None)
    bridged = _nic.flatmap(lambda nic: st.sampled_from(["br-VM", "br0"]).map(lambda bridge: {"bridge": bridge, **nic}))
    nics = [{"name": n, **draw(st.one_of(bridged, bridged, _function))} for n in names[cut:]]
    handed = [{"name": f"host-{i}", **draw(_host_device)} for i in range(draw(st.integers(0, 2)))]
    cdroms = [{"name": f"cd-{i}", **draw(_cdrom)} for i in range(draw(st.integers(0, 2)))]
    orders = [d["bootOrder"] for d in (*disks, *nics, *handed) if "bootOrder" in d]
    assume(len(orders) == len(set(orders)))
    spec = draw(
        _optional(
            description=_printable,
            cpu=_cpu,
            machine=st.sampled_from([{"type": "q35"}, {"type": "pc"}, {"type": "pc-q35-7.2"}]),
            boot=_optional(initrd=st.just("/i"), cmdline=st.just("a=b c")).map(lambda b: {"kernel": "/k", **b}),
            graphics=_graphics,
            cloudInit=_cloud_init,
            serialConsole=st.booleans(),
            guestAgent=st.booleans(),
            rng=st.booleans(),
            clock=_clock,
            guestOS=st.sampled_from(["debian12", "win2k22", "winxp", "http://rockylinux.org/rocky/9"]),
            features=st.fixed_dictionaries({"hyperv": _hyperv}),
            vsock=_optional(cid=st.integers(3, 2**32 - 2)),
            hotplugPorts=st.integers(0, 9),
            firmware=st.sampled_from([{"type": "uefi"}, {"type": "uefi", "secureBoot": True}]),
            tpm=_optional(model=st.sampled_from(["tpm-crb", "tpm-tis"]), version=st.sampled_from(["2.0", "1.2"])),
            ioThreads=st.integers(0, 3),
            video=st.sampled_from(["vga", "virtio", "bochs", "cirrus", "none"]),
            watchdog=_optional(
                model=st.sampled_from(["i6300esb", "ib700"]), action=st.sampled_from(["reset", "pause", "inject-nmi"])
            ),
            runStrategy=st.sampled_from(["Always", "Once", "Manual", "Halted"]),
            startOrder=st.integers(0, 1000),
            deletionProtection=st.booleans(),
            updatePolicy=st.sampled_from([{"restart": "Now"}, {"restart": "Never"}]),
        )
    )
    memory = draw(_optional(balloon=st.booleans(), hugepages=_optional(pageSize=st.sampled_from(["2MiB", "1GiB"]))))
    guest = draw(st.integers(1, 2**20))
    memory |= {"guest": f"{guest}MiB"} | draw(_plugged(guest))
    if draw(st.booleans()):
        spec |= {"cpu": {**spec.get("cpu", {}), "numa": {"cells": draw(_cells(spec.get("cpu", {}), guest))}}}
    if spec.get("machine") == {"type": "pc"}:
        spec.pop("hotplugPorts", None)
    if spec.get("guestOS") == "win2k22" or spec.get("features", {}).get("hyperv", {}).get("stimer"):
        spec["clock"] = {**spec.get("clock", {}), "hypervClock": True}
    doc = vm("any", memory=memory, disks=disks, cdroms=cdroms, interfaces=nics, hostDevices=handed, **spec)
    assume(not [p for p in VM.check(doc, {doc.key: doc}) if p.severity == Severity.ERROR])
    return doc


def _tree(doc: Document) -> Any:
    return rendered(VM.plan(doc, None, world(POOL, doc, live=settled(doc, Live(host="h1")))))


def _known(doc: Document) -> observe.Known:
    return differ.known(doc, world(POOL, doc, live=settled(doc, Live(host="h1"))))


@given(specs())
def test_a_valid_spec_renders_to_valid_xml_that_reads_as_itself(doc: Document) -> None:
    root, known = _tree(doc), _known(doc)
    domain_schema().assertValid(root)
    assert compare(known.want, observe.in_words_of(observe.parse(root), known)) == ()


@given(specs())
def test_what_is_defined_as_declared_needs_nothing(doc: Document) -> None:
    text = xml.text(_tree(doc))
    domain = Domain(uuid="", name="any", state="shutoff", inactive=text, active=None)
    around = world(POOL, doc, live=settled(doc, Live(host="h1", domains={"any": domain})))
    have = VM.observe("any", around)
    assert have is not None
    change = VM.plan(doc, have, around)
    assert change.fields == () or [f.path for f in change.fields] == ["spec.runStrategy"]
    assert {step.op for step in change.steps} <= {"vm.start"}


@given(specs(), specs())
def test_patching_one_spec_into_another_gives_the_other(before: Document, after: Document) -> None:
    root, known = _tree(before), _known(after)
    want = known.want
    assert want is not None
    stranger = root.makeelement("stranger", {"keep": "me"})
    root.find("devices").append(stranger)
    changes = compare(want, observe.in_words_of(observe.parse(root), known))
    mark = Mark(Key("VirtualMachine", "any"), "0")
    patch.apply(root, want, Context(known.sources), {c.path for c in changes}, mark)
    assert compare(want, observe.in_words_of(observe.parse(root), known)) == ()
    assert stranger.getparent() is root.find("devices")
    stranger.getparent().remove(stranger)
    domain_schema().assertValid(root)
