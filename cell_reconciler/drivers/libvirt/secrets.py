"""Ceph secrets in libvirt: where qemu gets the key of an RBD disk. The value goes in, and only its digest out."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.libvirt import failures
from cell_reconciler.errors import StepFailed


def keep(connection: Any, count: Writes, uuid: str, usage: str, description: str, value: bytes) -> None:
    """Define the secret and set its value. ``usage`` is unique in libvirt among Ceph secrets."""
    root = ET.Element("secret", ephemeral="no", private="no")
    ET.SubElement(root, "uuid").text = uuid
    ET.SubElement(root, "description").text = description
    ceph = ET.SubElement(root, "usage", type="ceph")
    ET.SubElement(ceph, "name").text = usage
    count.add("libvirt.secretDefineXML")
    handle = connection.secretDefineXML(ET.tostring(root, encoding="unicode"), 0)
    count.add("libvirt.secretSetValue")
    handle.setValue(value, 0)


def value(connection: Any, uuid: str, usage: str) -> bytes:
    """The value of a secret, by its UUID or its usage. Raises StepFailed when it cannot be had."""
    import libvirt

    try:
        if uuid:
            handle = connection.secretLookupByUUIDString(uuid)
        else:
            handle = connection.secretLookupByUsage(libvirt.VIR_SECRET_USAGE_TYPE_CEPH, usage)
        return bytes(handle.value())
    except libvirt.libvirtError as error:
        if failures.lost(error):
            raise
        raise StepFailed(
            f"secret {uuid or usage} cannot be read: {error.get_error_message()}",
            "who has the image open is asked with it: set its value, and define it with private='no'",
        ) from error


def delete(connection: Any, count: Writes, uuid: str) -> None:
    """Undefine the secret if it is there."""
    import libvirt

    try:
        handle = connection.secretLookupByUUIDString(uuid)
        count.add("libvirt.secretUndefine")
        handle.undefine()
    except libvirt.libvirtError as error:
        if error.get_error_code() != failures.NO_SECRET:
            raise
