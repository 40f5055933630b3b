"""CPUs and memory of a VM: what can be said of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.kinds.vm.specs.words import Fields, cpusets, merged, optional

MIB = 2**20
STEP = 128  # MiB that are plugged at once, at least
_PAGES = {"2MiB": 2, "1GiB": 1024}

_MODES = ["strict", "preferred", "interleave"]  # of each cell for itself

_shape = optional(
    sockets=st.integers(1, 4), maxSockets=st.integers(1, 8), cores=st.integers(1, 4), threads=st.integers(1, 2)
)
_features = st.dictionaries(
    st.sampled_from(["pcid", "aes", "hle", "rtm", "avx2"]), st.sampled_from(["require", "disable"])
).map(lambda said: {way: [name for name in said if said[name] == way] for way in dict.fromkeys(said.values())})
_model = st.one_of(
    st.sampled_from([{}, {"mode": "host-model"}, {"mode": "host-passthrough"}, {"mode": "cluster-baseline"}]),
    st.sampled_from([{"mode": "custom", "model": "EPYC"}, {"mode": "custom", "model": "EPYC", "vendor": "AMD"}]),
)
_time = optional(shares=st.integers(2, 262144), limit=st.sampled_from([1, 2.5, "10m", "1250m"]))


def vcpus(cpu: Fields) -> int:
    """Those that there are or may be."""
    sockets = max(cpu.get("sockets", 1), cpu.get("maxSockets", 1))
    return int(sockets * cpu.get("cores", 1) * cpu.get("threads", 1))


@st.composite
def cpus(draw: st.DrawFn, io_threads: int, cells: int) -> Fields:
    """The whole of ``cpu``, for so many I/O threads and so many MiB in the NUMA cells, if it has any."""
    cpu = draw(merged(_shape, _model, _time, optional(features=_features)))
    if cpu.get("maxSockets", 8) < cpu.get("sockets", 1):
        cpu["maxSockets"] = cpu["sockets"]
    most = vcpus(cpu)
    pinning = optional(
        cpuset=cpusets,
        vcpus=_pins("vcpu", range(most)),
        emulator=cpusets,
        ioThreads=_pins("ioThread", range(1, io_threads + 1)),
    )
    return cpu | draw(optional(pinning=pinning, numa=optional(cells=_cells(most, cells))))


def _pins(field: str, numbers: Sequence[int]) -> st.SearchStrategy[list[Fields]]:
    if not numbers:
        return st.just([])
    chosen = st.lists(st.sampled_from(numbers), unique=True, max_size=4)
    return chosen.flatmap(
        lambda found: st.tuples(*[cpusets.map(lambda cpuset, n=n: {field: n, "cpuset": cpuset}) for n in found])
    ).map(list)


@st.composite
def _cells(draw: st.DrawFn, most: int, memory: int) -> list[Fields]:
    """One cell or two with all vCPUs and all of so many MiB; restrictive for all or none."""
    first = draw(st.integers(1, most))
    alone = first == most or memory < 2
    parts = [(0, most, memory)] if alone else [(0, first, memory // 2), (first, most, memory - memory // 2)]
    modes = draw(st.sampled_from([["restrictive"], _MODES, _MODES]))
    cells = []
    for number, (begin, end, size) in enumerate(parts):
        nodes = draw(st.sampled_from([{}, {"mode": "strict"}, *({"hostNodes": where} for where in ("0", "1", "0-1"))]))
        if "hostNodes" in nodes:
            nodes = {**nodes, "mode": draw(st.sampled_from(modes))}
        cells.append({"cell": number, "cpus": f"{begin}-{end - 1}", "memory": f"{size}MiB", **nodes})
    return cells


@st.composite
def memories(draw: st.DrawFn) -> tuple[Fields, int]:
    """The whole of ``memory``, and what NUMA cells would have of it, in MiB."""
    memory = draw(optional(balloon=st.booleans(), hugepages=optional(pageSize=st.sampled_from(sorted(_PAGES)))))
    pages: Any = memory.get("hugepages")
    page = 1 if pages is None else _PAGES[pages.get("pageSize", "2MiB")]
    guest = draw(st.integers(1, 2**19 // page)) * page
    cells = guest
    if draw(st.booleans()):
        step = max(STEP, page)
        plugged = draw(st.integers(0, min(2, (guest - 1) // step)))
        cells = guest - plugged * step  # the rest is plugged in
        memory["maxGuest"] = f"{guest + step * draw(st.integers(0 if plugged else 1, 40))}MiB"
    if memory.get("balloon", True) and draw(st.booleans()):
        memory["current"] = f"{draw(st.integers(1, guest))}MiB"
    return {"guest": f"{guest}MiB", **memory}, cells
