"""What is known of guest operating systems, and the defaults that a VM gets by the family of its own.

The facts are a table of the package (``guests.tsv``, by ``scripts/guests.py`` from osinfo-db), so that a document means
the same on every machine that judges it, with a hypervisor or without. Only the family gives defaults, the rest is for
advice: the table may be made anew from a newer database without any VM changing, since an id keeps its family. That
is also why an id which the table does not have is refused: it would get its defaults on the day the table learns it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import msgspec

from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.features import Hyperv
from cell_reconciler.model.fields import UNSET, fields_of

WINDOWS, WINDOWS_OLD = "windows", "windows-old"  # from Vista and Server 2008 on; before, and DOS


class GuestOs(NamedTuple):
    """One operating system."""

    id: str
    family: str
    memory: int  # MiB that it needs at least; 0: not known
    devices: frozenset[str]  # that it has drivers for, and ``no-bios``; empty: not known
    long_id: str
    name: str


class Defaults(NamedTuple):
    """What a family gives to the fields that a document leaves out, by struct. Part of cell/v1: never changed in it."""

    clock: Mapping[str, Any]
    hyperv: Mapping[str, Any]


_PLAIN = Defaults({"offset": "utc", "hyperv_clock": False}, {})
_DEFAULTS: Mapping[str, Defaults] = {
    WINDOWS: Defaults(
        {"offset": "localtime", "hyperv_clock": True},
        {
            "relaxed": True,
            "vapic": True,
            "spinlocks": 8191,
            "vpindex": True,
            "runtime": True,
            "synic": True,
            "stimer": True,
            "frequencies": True,
            "tlbflush": True,
            "ipi": True,
        },
    ),
    WINDOWS_OLD: Defaults({"offset": "localtime", "hyperv_clock": False}, {}),
}
_OFF: Mapping[str, Any] = {
    field.name: {"spinlocks": 0, "vendor_id": None}.get(field.name, False) for field in fields_of(Hyperv)
}


@cache
def table() -> Mapping[str, GuestOs]:
    """All that are known, by short id and by long id (``http://debian.org/debian/12``)."""
    found = {}
    for line in resources.files(__package__).joinpath("guests.tsv").read_text("utf-8").splitlines()[1:]:
        short_id, family, memory, devices, long_id, name = line.split("\t")
        guest = GuestOs(short_id, family, int(memory), frozenset(devices.split()), long_id, name)
        found[short_id] = guest
        found.setdefault(long_id, guest)
    return found


@cache
def zones() -> frozenset[str]:
    """Names of all time zones."""
    return frozenset(resources.files(__package__).joinpath("zones.txt").read_text("utf-8").split())


def of(spec: VirtualMachineSpec) -> GuestOs | None:
    """The system that a VM says it has; None when it says none, or one that is not known."""
    return None if not spec.guest_os else table().get(spec.guest_os)


def filled(spec: VirtualMachineSpec) -> VirtualMachineSpec:
    """The spec with what its guest's family gives to the fields that it leaves out."""
    return _both(spec, lambda value, default: default if value is UNSET else value)


def without(spec: VirtualMachineSpec) -> VirtualMachineSpec:
    """The other way round: what it has of its guest's family is left out."""
    return _both(spec, lambda value, default: UNSET if value == default else value)


def _both(spec: VirtualMachineSpec, choose: Callable[[Any, Any], Any]) -> VirtualMachineSpec:
    guest = of(spec)
    defaults = _PLAIN if guest is None else _DEFAULTS.get(guest.family, _PLAIN)
    parts = ((spec.clock, defaults.clock), (spec.features.hyperv, {**_OFF, **defaults.hyperv}))
    clock, hyperv = (
        msgspec.structs.replace(part, **{name: choose(getattr(part, name), value) for name, value in values.items()})
        for part, values in parts
    )
    return msgspec.structs.replace(spec, clock=clock, features=msgspec.structs.replace(spec.features, hyperv=hyperv))


def told(spec: VirtualMachineSpec) -> tuple[str, ...]:
    """What ``guestOS`` gives this very document, for people: a line, or none."""
    guest = of(spec)
    words = [] if guest is None else list(_given(spec, _DEFAULTS.get(guest.family, _PLAIN)))
    return (f"of guestOS {spec.guest_os}: {', '.join(words)}",) if words else ()


def _given(spec: VirtualMachineSpec, defaults: Defaults) -> Iterator[str]:
    if defaults is _PLAIN:
        return
    parts = (("clock", spec.clock, defaults.clock), ("features.hyperv", spec.features.hyperv, defaults.hyperv))
    for path, struct, values in parts:
        for field in fields_of(type(struct)):
            value = values.get(field.name)
            if value and getattr(struct, field.name) is UNSET:
                yield f"{path}.{field.yaml}" if value is True else f"{path}.{field.yaml} {value}"
