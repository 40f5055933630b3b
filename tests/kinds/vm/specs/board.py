"""What else is on a VM's board, what it offers the guest, and when it runs."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from tests.kinds.vm.specs.words import Fields, merged, names, optional, printable, secrets, uuids

BOARDS = ({}, {"type": "q35"}, {"type": "pc"}, {"type": "pc-q35-7.2"}, {"type": "pc-i440fx-7.2"})
_graphics = st.one_of(
    st.just({"type": "none"}),
    optional(
        type=st.just("vnc"),
        listen=st.sampled_from(["0.0.0.0", "::1"]),
        port=st.integers(5900, 65535),
        password=secrets,
    ),
)
_user_data = st.one_of(optional(userData=printable), optional(userDataFrom=secrets))
_network_data = st.one_of(optional(networkData=printable), optional(networkDataFrom=secrets))
_meta_data = st.dictionaries(names, st.one_of(printable, st.integers(), st.lists(printable, max_size=2)))
_cloud_init = merged(_user_data, _network_data, optional(instanceId=st.just("i-1"), metaData=_meta_data))
_clock = optional(
    offset=st.sampled_from(["utc", "localtime", "Asia/Seoul", "America/Argentina/Buenos_Aires"]),
    kvmClock=st.booleans(),
    hypervClock=st.booleans(),
    hpet=st.booleans(),
    rtcTickPolicy=st.sampled_from(["catchup", "delay"]),
    pitTickPolicy=st.sampled_from(["delay", "catchup", "discard"]),
)
_SWITCHES = (
    *("relaxed", "vapic", "vpindex", "runtime", "synic", "stimer", "stimerDirect", "frequencies", "reset", "tlbflush"),
    *("ipi", "reenlightenment", "evmcs", "avic"),
)
_NEEDS = {
    "stimerDirect": "stimer",
    "stimer": "synic",
    "synic": "vpindex",
    "tlbflush": "vpindex",
    "ipi": "vpindex",
    "evmcs": "vapic",
}


def _consistent(hyperv: Fields) -> Fields:
    """With what those that are on need; what lacks it is said to be off, since a guest OS may have it on."""
    on: Fields = dict(hyperv)
    for name, needed in _NEEDS.items():
        if on.get(name) is True:
            on[needed] = True
    off = {name: False for name, needed in _NEEDS.items() if on.get(needed) is not True}
    return on | off


_hyperv = optional(
    **{name: st.booleans() for name in _SWITCHES},
    spinlocks=st.sampled_from([0, 4095, 8191]),
    vendorId=st.from_regex(r"[ -+\--~]{1,12}", fullmatch=True),
).map(_consistent)
_tpm = st.one_of(
    optional(model=st.sampled_from(["tpm-crb", "tpm-tis"]), version=st.just("2.0")),
    st.just({"model": "tpm-tis", "version": "1.2"}),
)
_ACTIONS = ("reset", "poweroff", "shutdown", "pause", "inject-nmi", "dump", "none")
_windows = optional(
    {"start": st.just("02:00"), "duration": st.just("2h")},
    days=st.lists(st.sampled_from(["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]), min_size=2, unique=True),
)
_machine_change = optional(machine=st.sampled_from(["Keep", "Change"]))


@st.composite
def runs(draw: st.DrawFn) -> Fields:
    """When it runs, and when it may be restarted."""
    strategy = draw(st.sampled_from(["Always", "RerunOnFailure", "Once", "Manual", "Halted"]))
    restarts = ["Now", "Never", "Window", *(["NextBoot"] * 3 if strategy == "Always" else [])]
    update = {"restart": draw(st.sampled_from(restarts)), **draw(_machine_change)}
    if update["restart"] == "Window":
        update["windows"] = draw(st.lists(_windows, min_size=1, max_size=2))
    own = {"autostart": st.booleans() if strategy != "Halted" else st.just(False)}
    first = draw(st.one_of(optional(startOrder=st.integers(0, 1000)), optional(**own)))  # the host's start has no order
    return {
        "runStrategy": strategy,
        **first,
        **draw(optional(updatePolicy=st.just(update), deletionProtection=st.booleans())),
    }


@cache
def boards(pc: bool) -> st.SearchStrategy[Fields]:
    """Everything but CPUs, memory and named devices, on a board pc or q35."""
    models = ["i6300esb", "ib700"] if pc else ["i6300esb"]
    secure: list[Any] = [] if pc else [{"type": "uefi", "secureBoot": True}]
    firmware = [{"type": "bios"}, {"type": "uefi"}, {"type": "uefi", "secureBoot": False}, *secure]
    return optional(
        uuid=uuids,
        description=printable,
        boot=optional({"kernel": st.just("/k")}, initrd=st.just("/i"), cmdline=st.just("a=b c")),
        graphics=_graphics,
        cloudInit=_cloud_init,
        serialConsole=st.booleans(),
        guestAgent=st.booleans(),
        rng=st.booleans(),
        clock=_clock,
        guestOS=st.sampled_from(["debian12", "win2k22", "winxp", "http://rockylinux.org/rocky/9"]),
        features=st.fixed_dictionaries({"hyperv": _hyperv}),
        vsock=optional(cid=st.integers(3, 2**32 - 2)),
        **({} if pc else {"hotplugPorts": st.integers(0, 9)}),
        firmware=st.sampled_from(firmware),
        tpm=_tpm,
        video=st.sampled_from(["vga", "virtio", "bochs", "cirrus", "qxl", "none"]),
        watchdog=st.one_of(st.just({}), optional({"action": st.sampled_from(_ACTIONS)}, model=st.sampled_from(models))),
    )
