"""What the model does not say of its fields: values of texts, and what stands beside a field for it to be valid."""

from __future__ import annotations

from typing import Any

UUID = "0b6ff4f0-7d3e-4c7f-9a52-6c1f0a3d9e01"
SECRET = "/root/secret"
VALUES: dict[str, tuple[Any, ...]] = {
    "uuid": (UUID,),
    "description": ("front end <of> & 가",),
    "cpu/mode": ("host-model", "host-passthrough", "custom", "cluster-baseline"),
    "cpu/model": ("EPYC",),
    "cpu/vendor": ("AMD",),
    **dict.fromkeys(("cpu/sockets", "cpu/maxSockets", "cpu/cores"), (2,)),  # the most depends on QEMU
    "cpu/pinning/vcpus/vcpu": (0, 1),
    "cpu/numa/cells/cell": (0,),
    "cpu/numa/cells/cpus": ("0",),
    "cpu/numa/cells/memory": ("128MiB",),
    "memory/guest": ("128MiB", "8GiB"),
    "memory/current": ("64MiB",),
    "memory/maxGuest": ("1GiB",),
    "machine/type": ("q35", "pc", "pc-q35-7.2", "pc-i440fx-7.2"),
    "boot/kernel": ("/boot/vmlinuz",),
    "boot/initrd": ("/boot/initrd.img",),
    "boot/cmdline": ("root=/dev/vda 'quoted' <&>",),
    "disks/name": ("root",),
    "disks/volume": ("local/root",),
    "disks/source/rbd/monitors": (["10.0.0.11"], ["10.0.0.11:6789", "[fd00::12]:3300", "mon.example"]),
    "disks/source/rbd/pool": ("vms",),
    "disks/source/rbd/namespace": ("a",),
    "disks/source/iscsi/portal": ("10.0.0.5", "10.0.0.5:3261", "[fd00::5]", "array.example:3260"),
    "disks/source/iscsi/initiator": ("iqn.2026-11.io.cell:h1",),
    "disks/source/file/path": ("/mnt/nfs & <x>/a.raw",),
    **{f"disks/source/{kind}/user": ("cell",) for kind in ("rbd", "iscsi")},
    **{f"disks/source/{kind}/secret/uuid": (UUID,) for kind in ("rbd", "iscsi")},
    **{f"disks/source/{kind}/secret/usage": ("client.cell & more",) for kind in ("rbd", "iscsi")},
    "disks/serial": ("DATA-1",),
    "cdroms/name": ("cd",),
    "interfaces/name": ("lan",),
    "interfaces/bridge": ("br-VM",),
    "interfaces/sriov/nic": ("ens1f0",),
    "interfaces/sriov/address": ("0000:18:02.0",),
    "interfaces/mac": ("52:54:00:00:00:77", "52:54:00:AB:CD:EF"),
    "interfaces/filter/parameters": ({}, {"IP": ["10.0.0.1", "10.0.0.2"], "CTRL_IP_LEARNING": ["dhcp"]}),
    "hostDevices/name": ("dev",),
    "hostDevices/mdev/uuid": (UUID,),
    "graphics/listen": ("127.0.0.2", "0.0.0.0", "::1"),
    "features/hyperv/spinlocks": (0, 4095, 2**31 - 1),
    "features/hyperv/vendorId": ("KVM Hv", "<&'\"> "),
    "cloudInit/instanceId": ("i-1",),
    "updatePolicy/windows/start": ("02:00",),
    "updatePolicy/windows/duration": ("2h",),
    **dict.fromkeys(("graphics/password", "cloudInit/userDataFrom", "cloudInit/networkDataFrom"), ({"file": SECRET},)),
}
CPUSETS = ("3", "0-3,^2,7")
# Parts that are there with nothing said inside.
BARE = ("memory/hugepages", "tpm", "watchdog", "vsock", "cloudInit")

_PC: dict[str, Any] = {"machine": {"type": "pc"}}
_LUN = {"disks": [{"volume": None, "device": "lun", "bus": "scsi", "source": {"block": {"path": "/dev/vg0/data"}}}]}
_VPINDEX = {"features": {"hyperv": {"vpindex": True}}}
_SYNIC = {"features": {"hyperv": {"vpindex": True, "synic": True}}}
_STIMER = {"features": {"hyperv": {"vpindex": True, "synic": True, "stimer": True}}, "clock": {"hypervClock": True}}
_USB = {"hostDevices": [{"usb": {"bus": 2, "device": 3}}]}
_LOGIN = {"user": "cell", "secret": {"uuid": UUID}}
# Beginning of a goal → what stands beside it, each over those before it; None: left out.
COMPANY: dict[str, dict[str, Any]] = {
    "cpu/mode=custom": {"cpu": {"model": "EPYC"}},
    "cpu/model": {"cpu": {"mode": "custom"}},
    "cpu/vendor": {"cpu": {"mode": "custom", "model": "EPYC"}},
    "cpu/pinning/vcpus": {"cpu": {"cores": 2}},
    "cpu/pinning/ioThreads": {"ioThreads": 64},
    "cpu/numa/cells/mode": {"cpu": {"numa": {"cells": [{"hostNodes": "0"}]}}},
    "firmware/secureBoot=true": {"firmware": {"type": "uefi"}},
    "tpm/version=1.2": {"tpm": {"model": "tpm-tis"}},
    "watchdog/model=ib700": _PC,
    "disks": {"disks": [{"volume": "local/root"}]},
    "disks/source": {"disks": [{"volume": None}]},
    **{f"disks/source/{kind}/user": {"disks": [{"source": {kind: _LOGIN}}]} for kind in ("rbd", "iscsi")},
    **{f"disks/source/{kind}/secret": {"disks": [{"source": {kind: {"user": "cell"}}}]} for kind in ("rbd", "iscsi")},
    "disks/bus=ide": _PC,
    "disks/ioThread": {"ioThreads": 64},
    **{f"disks/{what}": _LUN for what in ("device=lun", "reservations=true", "rawIo=true")},
    "cdroms/bus=ide": _PC,
    "interfaces": {"interfaces": [{"bridge": "br-VM"}]},
    "interfaces/sriov": {"interfaces": [{"bridge": None}]},
    **{f"hostDevices/{field}": _USB for field in ("name", "bootOrder", "usb/bus", "usb/device")},
    "hostDevices/pci/managed": {"hostDevices": [{"pci": {"address": "0000:3b:00.0"}}]},
    "features/hyperv/synic=true": _VPINDEX,
    "features/hyperv/stimer=true": _STIMER,
    "features/hyperv/stimerDirect=true": _STIMER,
    "features/hyperv/tlbflush=true": _VPINDEX,
    "features/hyperv/ipi=true": _VPINDEX,
    "features/hyperv/evmcs=true": {"features": {"hyperv": {"vapic": True}}},
    "updatePolicy/restart=Window": {"updatePolicy": {"windows": [{}]}},
    "updatePolicy/windows": {"updatePolicy": {"restart": "Window"}},
}
