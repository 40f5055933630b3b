"""What the steps about the console's password do. It is read from its file here, and goes to libvirt alone."""

from __future__ import annotations

from typing import Any

import msgspec

from cell_reconciler.errors import StepFailed, Transient
from cell_reconciler.kinds.virtual_machine import metadata, observe, xml
from cell_reconciler.kinds.virtual_machine.actions import active
from cell_reconciler.kinds.virtual_machine.codec import unset
from cell_reconciler.model.guest import SAME
from cell_reconciler.model.live import Domain
from cell_reconciler.model.mark import Mark

_VNC = "devices/graphics[@type='vnc']"


class KeepPassword(msgspec.Struct, frozen=True):
    """The password in the definition, and our note that it is ours. ``file`` empty: none."""

    name: str
    file: str
    mark: Mark

    def done(self, doors: Any) -> bool:
        domain: Domain | None = doors.libvirt.domain(self.name)
        if domain is None or domain.inactive is None:
            return False
        note = observe.parsed(domain.inactive).note
        if note.mark != self.mark or note.password != bool(self.file):
            return False
        return not self.file or doors.libvirt.passwords({self.name: self.file})[self.name].defined == SAME

    def do(self, doors: Any) -> None:
        root = xml.parse(doors.libvirt.dump(self.name))
        console = root.find(_VNC)
        if self.file:
            if console is None:
                raise Transient(f"domain {self.name} has no VNC console at the moment", "plan again")
            console.set("passwd", doors.password(self.file))
        elif console is not None:
            unset(console, "passwd", "passwdValidTo")
        metadata.write(root, metadata.read(root)._replace(mark=self.mark, password=bool(self.file)))
        doors.libvirt.define(xml.text(root))


class ChangePassword(msgspec.Struct, frozen=True):
    """Another password for the running instance. A VM that went off meanwhile starts with it."""

    name: str
    file: str

    def done(self, doors: Any) -> bool:
        if not active(doors.libvirt.domain(self.name)):
            return True
        return bool(doors.libvirt.passwords({self.name: self.file})[self.name].running == SAME)

    def do(self, doors: Any) -> None:
        console = xml.parse(doors.libvirt.dump(self.name, running=True)).find(_VNC)
        if console is None:
            raise StepFailed(f"the running domain {self.name} has no VNC console", "it has one after its next start")
        console.set("passwd", doors.password(self.file))  # the rest as it is: libvirt takes no other address or port
        doors.libvirt.update_device(self.name, xml.text(console))
