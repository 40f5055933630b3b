"""The doors to the outside: libvirt, netlink, Ceph, files. The only importers of third-party driver libraries.

Rule 1: a driver library is imported when its door is first opened, never before.
Rule 2: every call to the outside has a deadline; a source that does not answer raises ``Unreachable``.
Rule 3: every method that writes calls ``self.writes.add("libvirt.defineXML")`` just before it does: promise 1
("nothing to do is nothing done") is checked by counting there, in the tests and in the summary of ``apply``.
Rule 4: doors return the plain facts of ``model.live``, and raise the errors of ``cell_reconciler.errors`` only.
"""

from __future__ import annotations

from cell_reconciler.drivers.doors import Doors, Writes

__all__ = ["Doors", "Writes"]
