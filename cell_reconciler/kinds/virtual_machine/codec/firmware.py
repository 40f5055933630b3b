"""Firmware and TPM in domain XML.

The firmware is chosen by libvirt from what the host has (``os/@firmware`` and ``os/firmware/feature``), when the VM
starts; the running instance names the files. A domain of others may name the files itself (``os/loader``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, add, child, drop, unset

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

_SECURE = "os/firmware/feature[@name='secure-boot']"


class FirmwareType(Codec):
    """``bios``, or ``uefi`` whose variables stay in their own file (``os/nvram``), also when other fields change."""

    def read(self, scope: Element) -> str:
        system, loader = scope.find("os"), scope.find("os/loader[@type='pflash']")
        return "uefi" if loader is not None or (system is not None and system.get("firmware") == "efi") else "bios"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        system = child(scope, "os")
        drop(scope, "os/loader")
        if value == "uefi":
            system.set("firmware", "efi")
            SecureBoot().write(scope, owner.secure_boot, owner, context)
        else:
            unset(system, "firmware")
            drop(scope, "os/firmware")
            drop(scope, "os/nvram")


class SecureBoot(Codec):
    """Whether the firmware starts signed systems only. What libvirt does when nothing is said, differs by host."""

    def read(self, scope: Element) -> bool:
        feature, loader = scope.find(_SECURE), scope.find("os/loader[@type='pflash']")
        if feature is not None:
            return feature.get("enabled") == "yes"
        return loader is not None and loader.get("secure") == "yes"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if owner.type != "uefi":
            return
        child(scope, "os").set("firmware", "efi")
        drop(scope, "os/loader")
        drop(scope, _SECURE)
        nvram = scope.find("os/nvram")
        if nvram is not None:
            unset(nvram, "template")  # that of the other firmware
        add(child(scope, "os/firmware"), "feature", enabled="yes" if value else "no", name="secure-boot")


class Tpm(Codec):
    """Whether there is an emulated TPM; its state stays on the host's disk under the VM's UUID."""

    def read(self, scope: Element) -> bool:
        return scope.find("devices/tpm") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            drop(scope, "devices/tpm")
        elif not self.read(scope):
            tpm = add(child(scope, "devices"), "tpm", model=str(value.model))
            add(tpm, "backend", type="emulator", version=str(value.version))
