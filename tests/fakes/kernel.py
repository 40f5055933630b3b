"""A kernel's links in memory: who stands on whom, and what a change of one does to the others.

Rules are those of net/core, net/8021q, net/bridge and drivers/net/bonding of Linux 6.1. What the kernel does some
milliseconds later (a bond that sees a carrier, a port that begins to forward) is done here at once.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from cell_reconciler.drivers.netlink.transport import KernelError
from cell_reconciler.model.live import VlanRange
from tests.fakes import bonding, bridging, layer3, masters
from tests.fakes.devices import (
    ETH_DATA_LEN,
    IFALIASZ,
    IFNAMSIZ,
    IPV6_MIN_MTU,
    PINNED,
    RANDOM,
    STOLEN,
    Device,
    check_mac,
    check_mtu,
    random_mac,
)

_MASTERS = ("bond", "bridge")


class Kernel:
    """``devices`` by name. Methods raise KernelError as the kernel answers; what came before an error stays done."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.layer3 = layer3.Tables(self)
        self._next = 1
        self._seed = 0
        self._add(Device(name="lo", index=0, kind=None, mac="00:00:00:00:00:00", mtu=65536))

    def __repr__(self) -> str:
        """For Hypothesis: what there is, one device in a line."""
        found = [repr(device) for device in self.devices.values() if device.name != "lo"]
        return "\n".join(["", *found, *map(repr, self.layer3.routes), *map(repr, self.layer3.rules)])

    # what tests put there, beside what the door can make

    def nic(self, name: str, *, up: bool = False, mac: str | None = None) -> None:
        """A piece of hardware with a cable in it."""
        mac = mac or random_mac(f"nic {name}").replace("ee", "52", 1)
        self._add(Device(name=name, index=0, kind=None, mac=mac, permanent=mac))
        self.set_link(name, up=up)

    def tap(self, name: str, master: str | None = None) -> None:
        """What a VM plugs in."""
        self._add(Device(name=name, index=0, kind="tun", mac=random_mac(f"tap {name}").replace("ee", "fe", 1)))
        self.set_link(name, master=master, up=True) if master else self.set_link(name, up=True)

    def another_mac(self, why: str) -> str:
        """What the kernel draws by chance."""
        self._seed += 1
        return random_mac(f"{why} {self._seed}")

    # requests

    def find(self, name: str) -> Device:
        device = self.devices.get(name)
        if device is None:
            raise KernelError(errno.ENODEV, f"there is no link {name}")
        return device

    def create(
        self,
        name: str,
        kind: str,
        mac: str | None,
        parent: str | None,
        master: str | None,
        group: int,
        up: bool,
        mtu: int | None,
        data: dict[str, Any],
    ) -> None:
        """RTM_NEWLINK with NLM_F_CREATE | NLM_F_EXCL: nothing is left of one that fails. An alias is not looked at."""
        below = self.find(parent) if parent is not None else None
        if master is not None:
            self.find(master)
        if len(name) >= IFNAMSIZ:
            raise KernelError(errno.ERANGE, "Attribute failed policy validation")
        if name in self.devices:
            raise KernelError(errno.EEXIST, "")
        if mac is not None:
            check_mac(mac)
        if mtu is not None:
            check_mtu(kind, mtu)
        device = Device(
            name=name,
            index=0,
            kind=kind,
            mac=mac or self.another_mac(f"new {name}"),
            assigned=PINNED if mac else RANDOM,
            mtu=mtu or ETH_DATA_LEN,
            group=group,
        )
        if kind == "vlan":
            self._new_vlan(device, below, mac, mtu, data)
        elif kind == "bond":
            device.data = bonding.fresh()
            bonding.change(device, data, [])
        elif kind == "bridge":
            device.data = bridging.fresh()
            bridging.default_vlan(device, device)
            bridging.change(device, data, [])
        elif kind != "dummy":
            raise KernelError(errno.EOPNOTSUPP, "Unknown device type")
        if device.mtu < IPV6_MIN_MTU:
            device.ipv6 = None
        self._add(device)
        try:
            self.set_link(name, up=up)
            if master is not None:  # rtnl_newlink_create: after it is up
                self.set_link(name, master=master)
        except KernelError:
            self._remove(device)
            raise

    def _new_vlan(
        self, device: Device, below: Device | None, mac: str | None, mtu: int | None, data: dict[str, Any]
    ) -> None:
        if below is None:
            raise KernelError(errno.EINVAL, "link not specified")
        if "vlan_id" not in data:
            raise KernelError(errno.EINVAL, "VLAN properties not specified")
        if data["vlan_id"] >= 4095:
            raise KernelError(errno.ERANGE, "Invalid VLAN id")
        identity = {"vlan_protocol": data.get("vlan_protocol", "802.1Q"), "vlan_id": data["vlan_id"]}
        for other in self.vlans_on(below):
            if {key: other.data[key] for key in identity} == identity:
                raise KernelError(errno.EEXIST, "VLAN device already exists")
        if mtu is not None and mtu > below.mtu:
            raise KernelError(errno.EINVAL, "")
        device.data = identity | {"vlan_flags": data.get("vlan_flags", 1)}
        device.parent, device.mtu = below.name, mtu or below.mtu
        if mac is None:
            device.mac, device.assigned = below.mac, STOLEN

    def delete(self, name: str) -> None:
        """RTM_DELLINK, with all that cannot be without it; hardware cannot be deleted."""
        device = self.find(name)
        if device.kind is None:
            raise KernelError(errno.EOPNOTSUPP, "")
        self._remove(device)

    def unplug(self, name: str) -> None:
        """The hardware is gone (or a VM, with its tap)."""
        self._remove(self.find(name))

    def set_link(self, name: str, **asked: Any) -> None:
        """RTM_SETLINK; attributes in the order of do_setlink."""
        device = self.find(name)
        if asked.get("master"):
            self.find(asked["master"])
        if asked.get("mac") is not None:
            self._set_mac(device, asked["mac"])
        if asked.get("mtu") is not None:
            self.set_mtu(device, asked["mtu"])
        if asked.get("group") is not None:
            device.group = asked["group"]
        if asked.get("alias") is not None:
            if len(asked["alias"].encode()) + 1 >= IFALIASZ:  # dev_set_alias counts the zero byte that ends it
                raise KernelError(errno.EINVAL, "")
            device.alias = asked["alias"] or None
        if "master" in asked:
            masters.set_master(self, device, asked["master"])
        if asked.get("up") is not None:
            self.set_up(device, asked["up"])

    def disable_ipv6(self, name: str, disabled: bool) -> None:
        """The sysctl, which is there while the link has IPv6 at all."""
        device = self.find(name)
        if device.ipv6 is not None:
            device.ipv6 = not disabled
        if disabled:
            self.layer3.no_ipv6(device)

    def set_data(self, name: str, kind: str, data: Mapping[str, Any]) -> None:
        device = self.find(name)
        if device.kind != kind:
            raise KernelError(errno.EOPNOTSUPP, "")
        if kind == "bond":
            bonding.change(device, data, self.ports(device))
        elif kind == "bridge":
            bridging.change(device, data, self.ports(device))
        elif kind == "vlan":
            # vlan_changelink takes flags only: identity is ignored, and the answer is yes.
            device.data.update({key: value for key, value in data.items() if key == "vlan_flags"})

    def set_member(self, name: str, options: Mapping[str, int]) -> None:
        device = self.find(name)
        master = self.devices.get(device.master or "")
        if master is None:
            raise KernelError(errno.EOPNOTSUPP, "")
        if master.kind != "bond":
            raise KernelError(errno.EINVAL, "")
        device.port.update(options)

    def set_port(self, name: str, options: Mapping[str, int]) -> None:
        device = self.find(name)
        master = self.devices.get(device.master or "")
        if master is None:
            raise KernelError(errno.EOPNOTSUPP, "")
        if master.kind != "bridge":
            raise KernelError(errno.EINVAL, "")
        bridging.change_port(device, options)

    def set_vlans(self, name: str, wanted: tuple[VlanRange, ...], itself: bool) -> None:
        device = self.find(name)
        bridge = device if itself else self.devices.get(device.master or "")
        if wanted != device.vlans and (bridge is None or bridge.kind != "bridge"):
            raise KernelError(errno.EOPNOTSUPP, "")
        bridging.set_vlans(device, wanted)

    def ports(self, master: Device) -> list[Device]:
        return [device for device in self.devices.values() if device.master == master.name]

    # addresses of links

    def _set_mac(self, device: Device, mac: str) -> None:
        check_mac(mac)
        options = device.data if device.kind == "bond" else {}
        if options.get("bond_mode") == bonding.AB and options["bond_fail_over_mac"] != "none":
            return  # bond_set_mac_address: the answer is yes
        self.new_mac(device, mac, PINNED)
        if device.kind == "bond" and device.data["bond_mode"] not in bonding.OWN_MACS:
            for member in self.ports(device):
                self.new_mac(member, mac, member.assigned)

    def new_mac(self, device: Device, mac: str, assigned: str) -> None:
        """NETDEV_CHANGEADDR"""
        device.mac, device.assigned = mac, assigned
        for vlan in self.vlans_on(device):
            if vlan.up and vlan.assigned == STOLEN:  # one that is down looks when it comes up
                self.new_mac(vlan, mac, STOLEN)
        master = self.devices.get(device.master or "")
        if master is not None and master.kind == "bridge":
            masters.follow_ports(self, master)

    # MTU

    def set_mtu(self, device: Device, mtu: int) -> None:
        """dev_set_mtu: nothing happens (nothing is pinned) when it is so already."""
        if mtu == device.mtu:
            return
        check_mtu(device.kind, mtu)
        if device.kind == "vlan" and mtu > self.find(device.parent or "").mtu:
            raise KernelError(errno.ERANGE, "")
        if device.kind == "bond":
            for member in self.ports(device):
                self.set_mtu(member, mtu)
        if device.kind == "bridge":
            device.mtu_pinned = True
        self.new_mtu(device, mtu)

    def new_mtu(self, device: Device, mtu: int) -> None:
        """NETDEV_CHANGEMTU: VLANs shrink with what is below them and do not grow with it; IPv6 needs 1280 bytes."""
        if mtu == device.mtu:
            return
        device.mtu = mtu
        if mtu < IPV6_MIN_MTU and device.ipv6 is not None:
            self.layer3.no_ipv6(device)
            device.ipv6 = None
        elif mtu >= IPV6_MIN_MTU and device.ipv6 is None:
            device.ipv6 = True  # with the default settings: what was switched off is on again
        for vlan in self.vlans_on(device):
            if vlan.mtu > mtu:
                self.new_mtu(vlan, mtu)
        master = self.devices.get(device.master or "")
        if master is not None and master.kind == "bridge" and not master.mtu_pinned:
            masters.follow_ports(self, master)

    # up and down

    def set_up(self, device: Device, up: bool) -> None:
        if device.up == up:
            return
        if up and device.kind == "vlan" and not _loose(device) and not self.find(device.parent or "").up:
            raise KernelError(errno.ENETDOWN, "")
        device.up = up
        if up and device.kind == "vlan" and device.assigned == STOLEN:
            self.new_mac(device, self.find(device.parent or "").mac, STOLEN)
        if not up:
            self.layer3.went_down(device)
        for vlan in self.vlans_on(device):  # vlan_device_event: they all go with it, and all come
            if not _loose(vlan):
                self.set_up(vlan, up)

    def carrier(self, device: Device) -> bool:
        if not device.up:
            return False
        if device.kind in _MASTERS:
            return any(self.carrier(port) for port in self.ports(device))
        if device.kind == "vlan":
            return self.carrier(self.find(device.parent or ""))
        return device.cable

    # helpers

    def vlans_on(self, device: Device) -> list[Device]:
        return [other for other in self.devices.values() if other.kind == "vlan" and other.parent == device.name]

    def _add(self, device: Device) -> None:
        if device.name in self.devices:
            raise KernelError(errno.EEXIST, "")
        device.index, self._next = self._next, self._next + 1
        self.devices[device.name] = device

    def _remove(self, device: Device) -> None:
        self.set_up(device, False)
        for vlan in self.vlans_on(device):
            self._remove(vlan)
        for port in self.ports(device):
            masters.release(self, port)
        if device.master is not None:
            masters.release(self, device)
        self.layer3.gone(device)
        del self.devices[device.name]


def _loose(vlan: Device) -> bool:
    """VLAN_FLAG_LOOSE_BINDING"""
    return bool(vlan.data["vlan_flags"] & 4)
