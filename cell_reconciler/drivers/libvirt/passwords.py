"""Passwords of VNC consoles: compared here, where libvirt shows them, and told to nobody.

A password of eight characters is guessed from any digest of it within hours, so that no digest leaves this file either:
only whether it is the wanted one. Only domains that should have one are asked, since libvirt shows passwords in a dump
of its own, which takes a connection that may write.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from cell_reconciler.drivers.libvirt import failures
from cell_reconciler.model.guest import NONE, OTHER, SAME, UNKNOWN


def states(connection: Any, wanted: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Of the definition and of the running instance of each domain: SAME, OTHER, NONE or UNKNOWN.

    Empty where there is no such side, or no such domain.
    """
    return {name: _states(connection, name, password) for name, password in wanted.items()}


def _states(connection: Any, name: str, wanted: str) -> tuple[str, str]:
    import libvirt

    try:
        handle = connection.lookupByName(name)
        defined = _state(handle, wanted, libvirt.VIR_DOMAIN_XML_INACTIVE) if handle.isPersistent() else ""
        running = _state(handle, wanted, 0) if handle.isActive() else ""
    except libvirt.libvirtError as error:
        if error.get_error_code() != failures.NO_DOMAIN:
            raise
        return "", ""
    return defined, running


def _state(handle: Any, wanted: str, flags: int) -> str:
    import libvirt

    try:
        root = ET.fromstring(handle.XMLDesc(flags | libvirt.VIR_DOMAIN_XML_SECURE))
    except libvirt.libvirtError as error:
        if error.get_error_code() in (failures.OPERATION_DENIED, failures.ACCESS_DENIED):
            return UNKNOWN  # a connection that only reads may not see it
        raise
    console = root.find("devices/graphics[@type='vnc']")
    held = None if console is None else console.get("passwd")
    if held is None:
        return NONE
    return SAME if hmac.compare_digest(held.encode(), wanted.encode()) else OTHER
