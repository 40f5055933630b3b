"""The floor of making VMs: a bare loop of the same calls. ``floor_vms.py make DIRECTORY`` (domain XML), or ``wipe``."""

import sys
from pathlib import Path

import libvirt

connection = libvirt.open("qemu:///system")
if sys.argv[1] == "make":
    for path in sorted(Path(sys.argv[2]).iterdir()):
        connection.defineXMLFlags(path.read_text(), libvirt.VIR_DOMAIN_DEFINE_VALIDATE).create()
else:
    for domain in connection.listAllDomains():
        if domain.isActive():
            domain.destroy()
        domain.undefine()
