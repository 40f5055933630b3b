"""A device of the fake kernel as an observation tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.model.live import Link
from tests.fakes import bonding
from tests.fakes.devices import Device

if TYPE_CHECKING:
    from tests.fakes.kernel import Kernel

_ORIGINS = ("ours", "static", "dynamic")


def link(kernel: Kernel, device: Device) -> Link:
    """As ``facts.read`` tells it."""
    data = dict(device.data)
    master = kernel.devices.get(device.master or "")
    port: dict[str, Any] = {}
    if device.kind == "bond":
        data = bonding.shown(device, kernel.ports(device))
    if master is not None and master.kind == "bridge":
        forwards = kernel.carrier(device) and master.up
        port = {"brport_state": "forwarding" if forwards else "disabled", **device.port}
    elif master is not None:
        port = {"bond_slave_mii_status": "up" if kernel.carrier(device) else "down"}
        port["bond_slave_perm_hwaddr"] = device.port["perm"]
        port |= {key: value for key, value in device.port.items() if key != "perm"}
    told = {origin: tuple(sorted(a.cidr for a in device.addresses if a.origin == origin)) for origin in _ORIGINS}
    return Link(
        name=device.name,
        index=device.index,
        kind=device.kind,
        mac=device.mac,
        permanent_mac=device.permanent or port.get("bond_slave_perm_hwaddr"),
        mtu=device.mtu,
        up=device.up,
        carrier=kernel.carrier(device),
        master=device.master,
        parent=device.parent,
        group=device.group,
        alias=device.alias,
        data=data,
        port=port,
        addresses=tuple(sorted(told["ours"] + told["static"])),
        owned_addresses=told["ours"],
        dynamic_addresses=told["dynamic"],
        ipv6_disabled=None if device.ipv6 is None or device.kind == "tun" else not device.ipv6,
    )
