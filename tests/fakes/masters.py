"""What it means to become a port of a bridge or a member of a bond of the fake kernel, and to leave.

Rules are those of do_set_master, bond_enslave, __bond_release_one, br_add_if and br_del_if of Linux 6.1.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cell_reconciler.drivers.netlink.transport import KernelError
from tests.fakes import bonding, bridging
from tests.fakes.devices import ETH_DATA_LEN, PINNED, RANDOM, STOLEN, Device

if TYPE_CHECKING:
    from tests.fakes.kernel import Kernel


def set_master(kernel: Kernel, device: Device, name: str | None) -> None:
    """do_set_master: whoever has it is not asked."""
    if device.master is not None:
        release(kernel, device)
    if name is None:
        return
    master = kernel.find(name)
    if master.kind == "bond":
        _enslave(kernel, device, master)
    elif master.kind == "bridge":
        if device.kind == "bridge":
            raise KernelError(errno.ELOOP, "Can not enslave a bridge to a bridge")
        _no_loop(kernel, device, master)
        device.master, device.port = name, bridging.fresh_port()
        bridging.default_vlan(master, device)
        follow_ports(kernel, master)
    else:
        raise KernelError(errno.EOPNOTSUPP, "")


def release(kernel: Kernel, device: Device) -> None:
    """A member of a bond has its own address and MTU again, and is down."""
    master = kernel.find(device.master or "")
    device.master = None
    if master.kind == "bridge":
        device.port, device.vlans = {}, ()
        follow_ports(kernel, master)
        return
    port, device.port = device.port, {}
    kernel.new_mac(device, port["perm"], device.assigned)
    kernel.set_mtu(device, device.mtu_alone)
    kernel.set_up(device, False)
    if not kernel.ports(master):
        kernel.new_mac(master, kernel.another_mac(f"empty {master.name}"), RANDOM)


def follow_ports(kernel: Kernel, bridge: Device) -> None:
    """br_stp_recalculate_bridge_id and br_mtu_auto_adjust: unless somebody pinned them."""
    ports = kernel.ports(bridge)
    if bridge.assigned != PINNED:
        mac = min((port.mac for port in ports), default="00:00:00:00:00:00")
        if mac != bridge.mac:
            kernel.new_mac(bridge, mac, bridge.assigned)
    if not bridge.mtu_pinned:
        kernel.new_mtu(bridge, min((port.mtu for port in ports), default=ETH_DATA_LEN))


def _enslave(kernel: Kernel, device: Device, bond: Device) -> None:
    if device is bond:
        raise KernelError(errno.EPERM, "Cannot enslave bond to itself.")
    if device.up:
        raise KernelError(errno.EPERM, "Device can not be enslaved while up")
    others = kernel.ports(bond)
    if not others and bond.assigned == RANDOM:
        kernel.new_mac(bond, device.mac, STOLEN)
    _no_loop(kernel, device, bond, others)
    device.port = {"perm": device.mac, "bond_slave_queue_id": 0, "bond_slave_prio": 0}
    device.mtu_alone = device.mtu
    kernel.set_mtu(device, bond.mtu)
    device.master = bond.name
    if bond.data["primary"] == device.name:
        bond.data["active"] = None
    follows = bond.data["bond_fail_over_mac"] == "none" or bond.data["bond_mode"] != bonding.AB
    if follows and (bond.data["bond_mode"] not in bonding.OWN_MACS or not others):
        kernel.new_mac(device, bond.mac, device.assigned)
    try:
        kernel.set_up(device, True)
    except KernelError:  # a VLAN whose parent is down; the bond gives back what it took from it
        mac, assigned = bond.mac, bond.assigned
        release(kernel, device)
        if mac != device.mac:
            kernel.new_mac(bond, mac, assigned)
        raise


def _no_loop(kernel: Kernel, device: Device, master: Device, others: list[Device] | None = None) -> None:
    """__netdev_upper_dev_link: nothing may stand on what stands on it. A bond has touched both addresses by then."""
    above = [master]
    for upper in above:  # grows
        found = (kernel.devices.get(upper.master or ""), *kernel.vlans_on(upper))
        above += [x for x in found if x is not None and x not in above]
    if device not in above:
        return
    if master.kind == "bond":
        device.assigned = PINNED
        if not others and master.mac == device.mac:
            kernel.new_mac(master, kernel.another_mac(f"empty {master.name}"), RANDOM)
    raise KernelError(errno.EBUSY, "")
