"""Disks and drives of a VM: where they are, and what can be said of them together."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.kinds.vm.specs.words import Fields, merged, optional, uuids, words

_secret = st.one_of(
    st.fixed_dictionaries({"uuid": uuids}),
    st.fixed_dictionaries({"usage": st.from_regex(r"[!-.0-~][ -.0-~]{0,8}[!-.0-~]", fullmatch=True)}),
)
_users = st.from_regex(r"[A-Za-z0-9_+-]{1,8}", fullmatch=True)
_login = st.one_of(st.just({}), st.fixed_dictionaries({"user": _users, "secret": _secret}))
_server = st.sampled_from(["10.0.0.1", "10.0.0.1:99", "[fd00::1]", "[fd00::1]:3301", "mon.example"])


def places(name: str) -> st.SearchStrategy[Fields]:
    """What says where a disk is: a volume, or any source; no two names lead to one place."""
    monitors = {"pool": words, "image": st.just(name), "monitors": st.lists(_server, min_size=1, max_size=3)}
    rbd = merged(optional(monitors, namespace=words), _login)
    target = {"portal": _server, "target": st.just(f"iqn.2026-11.io.cell:{name}"), "lun": st.integers(0, 255)}
    iscsi = merged(optional(target, initiator=st.just("iqn.2026-11.io.cell:h1")), _login)
    block = st.just({"source": {"block": {"path": f"/dev/disk/by-id/wwn-{name}"}}})
    lun: Any = {"device": st.just("lun"), "bus": st.just("scsi")}
    return st.one_of(
        st.just({"volume": f"local/{name}"}),
        rbd.map(lambda value: {"source": {"rbd": value}}),
        iscsi.map(lambda value: {"source": {"iscsi": value}}),
        merged(iscsi.map(lambda value: {"source": {"iscsi": value}}), optional(lun, rawIo=st.booleans())),
        st.just({"source": {"file": {"path": f"/mnt/nfs & <x>/{name}.img"}}}),
        block,
        merged(block, optional(lun, reservations=st.booleans(), rawIo=st.booleans())),
    )


_NUMBERS = st.integers(1, 10**15 - 1)


@st.composite
def _limits(draw: st.DrawFn) -> Fields:
    """A total or its parts, each perhaps with a burst above it."""
    said: Fields = {}
    for unit in ("BytesSec", "IopsSec"):
        ways = draw(st.sampled_from([(), ("total",), ("read",), ("write",), ("read", "write")]))
        for way in ways:
            said[f"{way}{unit}"] = limit = draw(_NUMBERS)
            if draw(st.booleans()):
                said[f"{way}{unit}Max"] = draw(st.integers(limit + 1, 10**15))
    return said or {"totalIopsSec": draw(_NUMBERS)}


_cached = st.sampled_from([{"cache": cache} for cache in ("writeback", "writethrough", "unsafe")])
_uncached = st.sampled_from([{}, {"cache": "none"}, {"cache": "directsync"}])
# What depends on the cache: one that others see through, and one past which nothing is native.
_caching = st.one_of(
    merged(_cached, optional(io=st.sampled_from(["threads", "io_uring"]), shareable=st.just(False))),
    merged(_uncached, optional(io=st.sampled_from(["native", "threads", "io_uring"]), shareable=st.booleans())),
    optional({"cache": st.just("default")}, io=st.just("threads"), shareable=st.booleans()),
)
_anyhow = optional(discard=st.sampled_from(["unmap", "ignore"]))
_of_qemu = optional(
    device=st.just("disk"),
    detectZeroes=st.sampled_from(["off", "on", "unmap"]),
    iotune=_limits(),
    serial=st.from_regex(r"[A-Za-z0-9_.+-]{1,20}", fullmatch=True),
)


@st.composite
def disks(draw: st.DrawFn, name: str, pc: bool, io_threads: int) -> Fields:
    """One disk, on a board pc or q35."""
    disk = draw(merged(_anyhow, places(name)))
    if disk.get("device") == "lun":  # the guest talks to it past QEMU
        caching = optional(cache=st.sampled_from(["default", "none", "directsync"]), shareable=st.booleans())
        return {"name": name, **disk, **draw(merged(caching, optional(readOnly=st.booleans())))}
    bus = draw(st.sampled_from(["", "virtio", "scsi", "sata", "ide" if pc else "scsi"]))
    disk |= draw(merged(_of_qemu, _caching, optional(readOnly=st.booleans())))
    if bus:
        disk["bus"] = bus
    if bus in ("sata", "ide"):
        disk.pop("readOnly", None)
    if bus in ("", "virtio") and io_threads and draw(st.booleans()):
        disk["ioThread"] = draw(st.integers(1, io_threads))
    return {"name": name, **disk}


def cdroms(name: str, pc: bool) -> st.SearchStrategy[Fields]:
    """One drive."""
    buses = ["sata", "scsi", "ide"] if pc else ["sata", "scsi"]
    return optional({"name": st.just(name)}, bus=st.sampled_from(buses), media=st.just("/iso/any.iso"))
