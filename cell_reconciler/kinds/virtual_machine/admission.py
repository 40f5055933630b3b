"""The last questions before a VM starts, with the facts of that moment: is there room, and can the host run its CPU?

What a running VM gets more needs room as well.
What was planned may be minutes old, and others start VMs too. A restart asks before it shuts the VM down: one that
could not be started again stays on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from cell_reconciler.errors import Refused, Transient
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import capacity, fitness, observe, xml
from cell_reconciler.model.live import Domain
from cell_reconciler.model.node import Load, Overcommit


class Admission(msgspec.Struct, frozen=True):
    """What this host may do, as its document says."""

    host: str
    domain_type: str
    allowed: Overcommit

    @contextmanager
    def entered(self, doors: Any, domain: Domain) -> Iterator[None]:
        """Within it, the domain may start; what it takes is kept for it.

        Raises Transient when there is no room, and Refused when the host cannot run its CPU.
        """
        text = domain.inactive or ""
        self._fit(doors, domain.name, text)
        with self.roomy(doors, domain.name, observe.parsed(text).load):
            yield

    @contextmanager
    def roomy(self, doors: Any, name: str, load: Load) -> Iterator[None]:
        """Within it, the domain may take this much, of which it may have a part. Raises Transient: there is no room."""

        def check(others: Mapping[str, Load]) -> None:
            node = doors.libvirt.node()
            found = node and capacity.objection(name, load, others, node, self.allowed, self.host)
            if found:
                raise Transient(found.message, found.advice)

        with doors.libvirt.coming.entered(name, load, doors.libvirt.loads, check):
            yield

    def _fit(self, doors: Any, name: str, text: str) -> None:
        cpu = xml.parse(text).find("cpu")
        if cpu is None:
            return
        # libvirt compares with what can migrate, which this feature cannot, though the host may have it.
        for feature in cpu.findall("feature[@name='invtsc']"):
            cpu.remove(feature)
        asked = cpu.find("model") is not None or cpu.find("feature[@policy='require']") is not None
        why = doors.libvirt.unfit(self.domain_type, xml.text(cpu)) if asked else ""
        if why:
            raise Refused(f"VM {name} cannot run on this host: {why}", fitness.ADVICE)


def of(world: World) -> Admission:
    """What the documents of this world allow."""
    return Admission(world.host, world.domain_type, world.overcommit)
