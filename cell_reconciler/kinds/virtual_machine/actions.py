"""What the steps of a VM do: each a frozen struct whose fields are its arguments.

Rule 1: ``do`` works on the domain as it is at that moment, not as it was when it was planned: it dumps, patches
the paths it was given and defines, so that whatever others changed meanwhile survives.
Rule 2: what was defined is read back and compared by ``do`` itself, and a difference fails the step with its paths.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import msgspec

from cell_reconciler.errors import NotHealthy, Refused, StepFailed, Transient, Unreachable
from cell_reconciler.kinds.compare import compare
from cell_reconciler.kinds.virtual_machine import guard_actions, metadata, observe, patch, render, xml
from cell_reconciler.kinds.virtual_machine.admission import Admission
from cell_reconciler.kinds.virtual_machine.codec import consoles
from cell_reconciler.kinds.virtual_machine.sources import HOST_DISK, Use, host_disk, host_uses
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.tree import Context
from cell_reconciler.model.live import Domain
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import DiskSource


def active(domain: Domain | None) -> bool:
    return domain is not None and domain.active is not None


def alone(doors: Any, refused: str, disks: tuple[Use, ...]) -> None:
    """Raise Refused or Transient, with ``refused`` and why: the host itself or somebody else has one of the disks."""
    blocks = [disk for disk in disks if disk.source.backend == "block"]
    devices = doors.devices.observe()["devices"] if blocks else None
    for disk in blocks:
        if uses := host_uses(disk.source, devices):
            raise Refused(f"{refused}: {host_disk(disk, uses)}", HOST_DISK)
    for disk in disks:
        if disk.pool is None:
            users = doors.disks.users(disk.source, shared=disk.shareable)
        else:
            users = () if disk.shareable else doors.pool(disk.pool).users(disk.image)
        if users:
            raise Transient(
                f"{refused}: its disk {disk.name} ({disk.source.place}) is open at {', '.join(users)}",
                "stop that user first: the VM may run there. If a client of Ceph died, its watch ends after 30 s",
            )


def raw(doors: Any, vm: str, disks: Mapping[str, DiskSource]) -> None:
    """Raise Refused when one of the disks is no RAW image.

    Asked before a VM gets a disk, and not again when it starts: what a guest writes there is its own.
    """
    for name, source in disks.items():
        try:
            what = doors.disks.not_raw(source)
        except (Unreachable, StepFailed):
            continue  # who has it open is asked in the same way before it is opened, and what is wrong is told then
        if what:
            message = f"VM {vm} does not get disk {name}: {source.place} is {what}, and disks are RAW"
            raise Refused(message, "convert it: qemu-img convert -O raw")


class _Defining(msgspec.Struct, frozen=True, kw_only=True):
    """Common to both ways to define: the wanted spec, and reading it back."""

    name: str
    spec: VirtualMachineSpec  # effective
    sources: dict[str, DiskSource]
    mark: Mark
    chosen: dict[str, str] = {}  # by name of the device: the PCI function that was chosen for it

    @property
    def known(self) -> observe.Known:
        return observe.Known(self.spec, self.sources, chosen=self.chosen)

    def sources_said(self, paths: frozenset[str] | None = None) -> dict[str, DiskSource]:
        """Of the disks that the document says the place of, and that come or change (``paths``; None: all)."""
        said = [disk.name for disk in self.spec.disks if disk.source]
        here = ((name, f"spec.disks[{name}]") for name in said if name in self.sources)
        return {name: self.sources[name] for name, p in here if paths is None or {p, f"{p}.source"} & paths}

    def differing(self, domain: Domain) -> set[str]:
        """Paths at which the definition differs from the spec."""
        have = observe.configured(domain, self.known)
        # Autostart is no part of the XML; it has a step of its own.
        return {c.path for c in compare(self.spec, have)} - {"spec.autostart"}

    def read_back(self, doors: Any, paths: frozenset[str] | None = None) -> None:
        domain = doors.libvirt.domain(self.name)
        if domain is None or domain.inactive is None:
            raise StepFailed(f"domain {self.name} is not there after it was defined")
        left = self.differing(domain)
        left = left if paths is None else left & paths
        if left:
            raise StepFailed(
                f"libvirt made something else of domain {self.name}: {', '.join(sorted(left))}",
                f"compare with: virsh dumpxml --inactive {self.name}",
            )


class Define(_Defining, frozen=True, kw_only=True):
    """Make the domain."""

    domain_type: str
    start_due: bool = False

    def done(self, doors: Any) -> bool:
        domain = doors.libvirt.domain(self.name)
        return domain is not None and observe.mark_of(domain) is not None and not self.differing(domain)

    def do(self, doors: Any) -> None:
        domain = doors.libvirt.domain(self.name)
        if domain is not None and observe.mark_of(domain) is None:
            raise Refused(f"domain {self.name} was made by somebody else meanwhile", "plan again")
        raw(doors, self.name, self.sources_said())
        doors.libvirt.define(xml.text(self.tree()))
        self.read_back(doors)

    def tree(self) -> Any:
        """What is defined."""
        note = metadata.Note(mark=self.mark, start_due=self.start_due)
        return render.domain(self.name, self.spec, self.domain_type, Context(self.sources, chosen=self.chosen), note)


class Redefine(_Defining, frozen=True, kw_only=True):
    """Change fields of the definition; a running instance stays as it is."""

    paths: frozenset[str]
    module: int = 0  # bytes of memory that the running instance gets plugged in next

    def done(self, doors: Any) -> bool:
        domain = doors.libvirt.domain(self.name)
        if domain is None or domain.inactive is None:
            return False
        marked = observe.parsed(domain.inactive).note.mark == self.mark
        return marked and not self.differing(domain) & self.paths

    def do(self, doors: Any) -> None:
        raw(doors, self.name, self.sources_said(self.paths))
        root = xml.parse(doors.libvirt.dump(self.name))  # with its passwords: they would be lost otherwise
        names = observe.names_of(observe.parse(root), self.known)
        context = Context(self.sources, names, self.chosen, self.module)
        patch.apply(root, self.spec, context, self.paths, self.mark)
        doors.libvirt.define(xml.text(root))
        self.read_back(doors, self.paths)


class Release(msgspec.Struct, frozen=True):
    """Take our mark off: the domain stays, as somebody else's."""

    name: str

    def done(self, doors: Any) -> bool:
        domain = doors.libvirt.domain(self.name)
        return domain is None or observe.mark_of(domain) is None

    def do(self, doors: Any) -> None:
        root = xml.parse(doors.libvirt.dump(self.name))
        patch.release(root)
        doors.libvirt.define(xml.text(root))


class Autostart(msgspec.Struct, frozen=True):
    """Whether libvirt starts the domain with the host."""

    name: str
    on: bool

    def done(self, doors: Any) -> bool:
        domain = doors.libvirt.domain(self.name)
        return domain is not None and domain.autostart == self.on

    def do(self, doors: Any) -> None:
        doors.libvirt.set_autostart(self.name, self.on)


class Start(msgspec.Struct, frozen=True):
    """Start the domain; a note that its first start is due goes with it.

    ``disks``: one that somebody else has open may be the disk of the same VM elsewhere. ``admission``: what is asked
    just before. Raises Transient and Refused as that does.
    """

    name: str
    disks: tuple[Use, ...] = ()
    admission: Admission | None = None

    def done(self, doors: Any) -> bool:
        domain = doors.libvirt.domain(self.name)
        return active(domain) and not self._due(domain)

    def do(self, doors: Any) -> None:
        domain = doors.libvirt.domain(self.name)
        if not active(domain):
            alone(doors, f"VM {self.name} is not started", self.disks)
            guard_actions.start(doors, domain)
            with self.admission.entered(doors, domain) if self.admission and domain else nullcontext():
                doors.libvirt.start(self.name)
        if self._due(doors.libvirt.domain(self.name)):
            root = xml.parse(doors.libvirt.dump(self.name))
            metadata.write(root, metadata.read(root)._replace(start_due=False))
            doors.libvirt.define(xml.text(root))

    def _due(self, domain: Domain | None) -> bool:
        return bool(domain and domain.inactive and observe.parsed(domain.inactive).note.start_due)


class Stop(msgspec.Struct, frozen=True):
    """Shut the guest down: by its agent where one answers, else by ACPI; after ``timeout`` seconds ``force`` counts."""

    name: str
    timeout: float
    force: bool = False
    admission: Admission | None = None  # of a restart: what could not be started again is not stopped

    def done(self, doors: Any) -> bool:
        return not active(doors.libvirt.domain(self.name))

    def do(self, doors: Any) -> None:
        domain = doors.libvirt.domain(self.name)
        if self.admission is not None and domain is not None:
            with self.admission.entered(doors, domain):
                pass
        end = time.monotonic() + self.timeout
        # An agent may be mute, or take the order and nothing come of it: it has half of the time, the power button
        # the rest.
        by_agent = self._agent_answers(doors) and self._ask(doors, "agent", self.timeout / 2)
        if not (by_agent and self._off(doors, end - self.timeout / 2)):
            self._ask(doors, "acpi")
        if self._off(doors, end):
            return
        if not self.force:
            raise NotHealthy(
                f"VM {self.name} did not shut down within {self.timeout:g} s; it is left running",
                f"shut it down in the guest, set forceStop: true, or power it off: virsh destroy {self.name}",
            )
        doors.libvirt.destroy(self.name)

    def _agent_answers(self, doors: Any) -> bool:
        domain = doors.libvirt.domain(self.name)
        if domain is None or domain.active is None:
            return False
        target = xml.parse(domain.active).find(f"devices/channel/target[@name='{consoles.AGENT}']")
        return target is not None and target.get("state") == "connected"

    def _ask(self, doors: Any, mode: str, patience: float | None = None) -> bool:
        """Ask the guest to shut down; False when that cannot even be asked (it hangs, its agent is mute)."""
        try:
            doors.libvirt.shutdown(self.name, mode, patience)
        except (StepFailed, Transient, Unreachable):  # whether it is off is read back, and then ``force`` counts
            return False
        return True

    def _off(self, doors: Any, end: float) -> bool:
        """Wait until the domain is off; False when it is still on at ``end``."""
        what = f"VM {self.name}, which was asked to shut down"
        off: bool = doors.waiting.until(lambda: self.done(doors), end - time.monotonic(), what)
        return off


class Undefine(msgspec.Struct, frozen=True):
    """Remove the definition; its disks, NVRAM and TPM state stay."""

    name: str

    def done(self, doors: Any) -> bool:
        return doors.libvirt.domain(self.name) is None

    def do(self, doors: Any) -> None:
        domain = doors.libvirt.domain(self.name)
        if domain is not None and observe.mark_of(domain) is None:
            raise Refused(f"domain {self.name} is not ours any more", "plan again")
        if active(domain):
            raise Transient(f"domain {self.name} runs again; it is not removed while it runs")
        doors.libvirt.undefine(self.name)
