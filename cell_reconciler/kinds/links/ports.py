"""Ports of bridges: what a document may say about one, and the two things one can do to it.

Whoever plugs a port in, it is the bridge that gives it its settings: the kernel forgets them when the port leaves.
So they are compared again and again, and put back. Nothing here makes a link a port or takes it off.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from cell_reconciler.drivers import Doors
from cell_reconciler.kinds.links.actions import LinkAction
from cell_reconciler.model import vlans
from cell_reconciler.model.fields import UNSET, Spec, UnsetType, doc, fields_of
from cell_reconciler.model.live import Link, VlanRange

_Trunk = (
    Annotated[int, doc("A VLAN.", ge=vlans.FIRST, le=vlans.LAST)]
    | Annotated[str, doc("A range of VLANs.", pattern=r"^[1-9][0-9]{0,3}(-[1-9][0-9]{0,3})?$")]
)


class PortVlans(Spec, frozen=True, kw_only=True):
    """VLANs that a port carries on a bridge with `vlanFiltering`: `access`, or `trunk` with or without `native`."""

    access: (
        Annotated[
            int,
            doc(
                "The one VLAN of the port: its frames have no tag. Not together with the others.",
                ge=vlans.FIRST,
                le=vlans.LAST,
                examples=[101],
            ),
        ]
        | UnsetType
    ) = UNSET
    native: (
        Annotated[
            int,
            doc(
                "The VLAN of frames without a tag on a trunk. Absent: such frames are dropped.",
                ge=vlans.FIRST,
                le=vlans.LAST,
            ),
        ]
        | UnsetType
    ) = UNSET
    trunk: (
        Annotated[
            tuple[_Trunk, ...],
            doc("VLANs whose frames have a tag, in any order: numbers and ranges.", examples=[["100-200", 300]]),
        ]
        | UnsetType
    ) = UNSET


class PortSettings(Spec, frozen=True, kw_only=True):
    """Settings of a bridge port. Names and defaults are those of bridge(8)."""

    vlans: (
        Annotated[
            PortVlans,
            doc(
                "VLANs that the port carries; needs `vlanFiltering`. Absent: left as they are, which is the bridge's "
                "`vlanDefaultPvid` for a new port.",
                whole=True,
            ),
        ]
        | UnsetType
    ) = UNSET
    isolated: Annotated[
        bool, doc("It reaches only ports that are not isolated, and the host.", netlink="brport_isolated")
    ] = False
    learning: Annotated[
        bool, doc("The bridge learns addresses from frames that come in here.", netlink="brport_learning")
    ] = True
    flood: Annotated[bool, doc("Frames to unknown addresses are sent out here.", netlink="brport_unicast_flood")] = True
    multicast_flood: Annotated[
        bool,
        doc("Multicast frames that nobody here is known to listen to are sent out here.", netlink="brport_mcast_flood"),
    ] = True
    broadcast_flood: Annotated[bool, doc("Broadcasts are sent out here.", netlink="brport_bcast_flood")] = True
    bpdu_guard: Annotated[
        bool, doc("A BPDU (of the Spanning Tree Protocol) that comes in disables the port.", netlink="brport_guard")
    ] = False
    root_block: Annotated[bool, doc("With STP, the port never leads to the root bridge.", netlink="brport_protect")] = (
        False
    )
    hairpin: Annotated[bool, doc("Frames may leave by the port that they came in by.", netlink="brport_mode")] = False
    cost: (
        Annotated[
            int,
            doc(
                "Path cost for STP. Absent: left as it is, which is what the kernel makes of the port's speed.",
                ge=1,
                le=65535,
                netlink="brport_cost",
            ),
        ]
        | UnsetType
    ) = UNSET
    priority: Annotated[
        int, doc("Priority of the port for STP; the lower one wins.", ge=0, le=63, netlink="brport_priority")
    ] = 32


class BridgePort(PortSettings, frozen=True, kw_only=True):
    """A port of a bridge by its name, and its settings."""

    name: Annotated[
        str,
        doc(
            "The port, or the bridge itself (then only `vlans`: those in which the host takes part).",
            min_length=1,
            max_length=15,
            pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:@+-]*$",
        ),
    ]


FIELDS = tuple(field for field in fields_of(PortSettings) if "netlink" in field.extra)
OPTIONS: dict[str, str] = {field.name: field.extra["netlink"] for field in FIELDS}
DEFAULTS: dict[str, int] = {OPTIONS[f.name]: int(f.default) for f in FIELDS if f.default is not UNSET}


def options(settings: PortSettings, names: Iterable[str] = tuple(OPTIONS)) -> dict[str, int]:
    """Those of the named fields that are set, in the kernel's words."""
    values = ((OPTIONS[name], getattr(settings, name)) for name in names)
    return {option: int(value) for option, value in values if value is not UNSET}


def ranges(settings: PortVlans) -> tuple[VlanRange, ...]:
    """The VLANs in the kernel's form. Raises ValueError for a range that is none."""
    untagged = settings.native if settings.access is UNSET else settings.access
    trunk = () if isinstance(settings.trunk, UnsetType) else settings.trunk
    return vlans.wanted(None if isinstance(untagged, UnsetType) else untagged, trunk)


def observed(name: str, link: Link, want: BridgePort | None) -> BridgePort:
    """A live port in the terms of the spec; equal VLANs are spelled as ``want`` spells them."""
    found: dict[str, Any] = {}
    for field, option in OPTIONS.items():
        if option in link.port:
            value = link.port[option]
            found[field] = bool(value) if DEFAULTS.get(option) in (0, 1) else value
    said = want.vlans if want is not None else UNSET
    carried = _spelled(link.vlans)
    if not isinstance(said, UnsetType):
        if ranges(said) == link.vlans:
            carried = said
        elif carried == said:  # the same VLANs in a way that the spec has no words for (a PVID that leaves with a tag)
            carried = UNSET
    return BridgePort(name=name, vlans=carried, **found)


def _spelled(found: tuple[VlanRange, ...]) -> PortVlans | UnsetType:
    if not found:
        return UNSET
    native = next((item.first for item in found if item.pvid), UNSET)
    trunk = tuple(vlans.spell(item.first, item.last) for item in found if not item.pvid)
    if native is not UNSET and not trunk:
        return PortVlans(access=native)
    return PortVlans(native=native, trunk=trunk)


class SetPort(LinkAction, frozen=True, kw_only=True):
    """Options of a port of ``master``, in the kernel's words. A port that left meanwhile needs nothing."""

    master: str
    options: dict[str, int]

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        if link is None or link.master != self.master:
            return True
        return all(link.port.get(option) == value for option, value in self.options.items())

    def do(self, doors: Doors) -> None:
        doors.netlink.set_port(self.name, **self.options)


class SetPortVlans(LinkAction, frozen=True, kw_only=True):
    """The VLANs of a port of ``master``; of the bridge itself when both have one name."""

    master: str
    vlans: tuple[VlanRange, ...]

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        if link is None or self.master not in (link.master, link.name):
            return True
        return doors.netlink.vlans(self.name) == self.vlans

    def do(self, doors: Doors) -> None:
        doors.netlink.set_vlans(self.name, self.vlans, self_=self.name == self.master)
