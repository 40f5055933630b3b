"""What the steps about a running instance do; each reads back whether it is so.

``handle`` is what a device is known by in the running instance: the target of a disk (``vda``), the MAC of an
interface. A VM that went off meanwhile needs none of it: it starts as it is defined.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cell_reconciler.errors import StepFailed, Transient
from cell_reconciler.kinds.virtual_machine import devices, guard_actions, observe, tree, update_policy, xml
from cell_reconciler.kinds.virtual_machine.actions import active, alone
from cell_reconciler.kinds.virtual_machine.admission import Admission
from cell_reconciler.kinds.virtual_machine.codec import child
from cell_reconciler.kinds.virtual_machine.codec import source as places
from cell_reconciler.kinds.virtual_machine.sources import Use
from cell_reconciler.kinds.virtual_machine.spec.disk import Iotune
from cell_reconciler.kinds.virtual_machine.spec.interface import Interface
from cell_reconciler.model.live import Domain
from cell_reconciler.model.node import Load

_RELEASE = 20.0  # s that a guest has to let a device go; libvirt itself waits 5 s and says nothing then


def _element(text: str | None, handle: str | None = None, *, alias: str | None = None) -> Any:
    """The device of this handle, or of this alias of ours, in an XML; None when there is none."""
    if text is None:
        return None
    root = xml.parse(text)
    for codec in devices.LISTS:
        for element in codec.elements(root):
            if (codec.handle(element) == handle) if alias is None else (devices.alias(element) == alias):
                return element
    return None


class LiveAction(msgspec.Struct, frozen=True):
    """Something about the running instance of one VM."""

    name: str

    def holds(self, domain: Domain) -> bool:
        """Is it so in the running instance?"""
        raise NotImplementedError

    def done(self, doors: Any) -> bool:
        domain = doors.libvirt.domain(self.name)
        return not active(domain) or self.holds(domain)

    def device(self, doors: Any, handle: str) -> Any:
        """The device in the running instance. Raises Transient when it is not there."""
        domain = doors.libvirt.domain(self.name)
        element = _element(None if domain is None else domain.active, handle)
        if element is None:
            raise Transient(f"domain {self.name} has no device {handle} at the moment")
        return element


class Describe(LiveAction, frozen=True):
    """The description of the running instance."""

    text: str | None

    def holds(self, domain: Domain) -> bool:
        return bool(observe.parsed(domain.active or "").spec.description == self.text)

    def do(self, doors: Any) -> None:
        doors.libvirt.set_description(self.name, self.text)


class Vcpus(LiveAction, frozen=True):
    """More vCPUs; the guest's kernel brings them online."""

    count: int
    admission: Admission

    def holds(self, domain: Domain) -> bool:
        cpu = observe.parsed(domain.active or "").spec.cpu
        return cpu.sockets * cpu.cores * cpu.threads >= self.count

    def do(self, doors: Any) -> None:
        domain: Domain | None = doors.libvirt.domain(self.name)
        has = observe.parsed((domain and domain.active) or "<domain/>").load
        with self.admission.roomy(doors, self.name, Load(self.count, has.memory)):
            doors.libvirt.set_vcpus(self.name, self.count)


class OnReboot(LiveAction, frozen=True):
    """What the running instance does when its guest reboots."""

    action: str

    def holds(self, domain: Domain) -> bool:
        return update_policy.on_reboot(domain.active) == self.action

    def do(self, doors: Any) -> None:
        doors.libvirt.set_on_reboot(self.name, self.action)


class ChangeInterface(LiveAction, frozen=True):
    """Make some ``fields`` of a running interface as ``nic`` has them, in one call.

    Its tap moves to another bridge (the guest sees nothing of it), the cable goes out or in, its rate is limited, its
    packets are filtered; or not any more.
    """

    mac: str
    nic: Interface
    fields: frozenset[str]

    def holds(self, domain: Domain) -> bool:
        element = _element(domain.active, self.mac)
        if element is None:
            return False
        have = tree.read(Interface, element, name=self.nic.name)
        bridge = devices.access_bridge(self.nic.bridge, self.nic.vlan)
        wanted = msgspec.structs.replace(self.nic, bridge=bridge, vlan=None)  # as the XML has them: in one name
        return all(getattr(have, field) == getattr(wanted, field) for field in self.fields)

    def do(self, doors: Any) -> None:
        element = self.device(doors, self.mac)
        tree.write(element, self.nic, tree.Context(), {f"nic.{field}" for field in self.fields}, "nic")
        if "link" in self.fields:  # also "up": libvirt takes a missing one for no change
            child(element, "link").set("state", self.nic.link.value)
        doors.libvirt.update_device(self.name, xml.text(element))


class ChangeMedia(LiveAction, frozen=True):
    """Another medium in the tray of a CD-ROM drive, or none."""

    target: str
    media: str | None

    def holds(self, domain: Domain) -> bool:
        element = _element(domain.active, self.target)
        return element is not None and places.Media().read(element) == self.media

    def do(self, doors: Any) -> None:
        element = self.device(doors, self.target)
        places.write_media(element, self.media)
        try:
            doors.libvirt.update_device(self.name, xml.text(element))
        except StepFailed as error:
            advice = "does the guest have the old one mounted, which locks the tray? It is tried again"
            raise StepFailed(error.message, advice) from error


class Throttle(LiveAction, frozen=True):
    """The limits of a disk's rate; all of them at once, 0 for none."""

    target: str
    limits: dict[str, int]

    def holds(self, domain: Domain) -> bool:
        element = _element(domain.active, self.target)
        if element is None:
            return False
        have = {name: int(element.findtext(f"iotune/{name}") or 0) for name in self.limits}
        return have == self.limits

    def do(self, doors: Any) -> None:
        doors.libvirt.set_block_iotune(self.name, self.target, self.limits)


def limits(iotune: Any) -> dict[str, int]:
    """Every limit of an ``Iotune`` (or none) by libvirt's name for it."""
    return {name: getattr(iotune, name, None) or 0 for name in Iotune.__struct_fields__}


class Plug(LiveAction, frozen=True):
    """Plug a device of the definition into the running instance.

    ``disk``: one that somebody else has open is not plugged in: it may be the disk of another VM.
    """

    device_name: str
    disk: tuple[Use, ...] = ()

    def holds(self, domain: Domain) -> bool:
        return _element(domain.active, alias=self.device_name) is not None

    def do(self, doors: Any) -> None:
        domain = doors.libvirt.domain(self.name)
        element = None if domain is None else _element(domain.inactive, alias=self.device_name)
        if domain is None or element is None:
            raise Transient(f"the definition of domain {self.name} has no device {self.device_name}", "plan again")
        alone(doors, f"{self.device_name} is not plugged into VM {self.name}", self.disk)
        guard_actions.plug(doors, domain, self.device_name)
        self._controller(doors, domain, element)
        if xml.parse(domain.active or "<domain/>").find("os/boot") is not None:
            # An instance that was started with another kind of boot order takes no place in one: that waits.
            for boot in element.findall("boot"):
                element.remove(boot)
        doors.libvirt.attach_device(self.name, xml.text(element))

    def _controller(self, doors: Any, domain: Domain, element: Any) -> None:
        """A SCSI disk's controller comes first: libvirt itself would add one of another model, at another place."""
        address = element.find("address[@type='drive']")
        if address is None:
            return
        which = f"devices/controller[@type='scsi'][@index='{address.get('controller')}']"
        there, defined = (xml.parse(text or "<domain/>").find(which) for text in (domain.active, domain.inactive))
        if there is None and defined is not None:
            doors.libvirt.attach_device(self.name, xml.text(defined))


class Unplug(LiveAction, frozen=True):
    """Take a device out of the running instance; done when the guest let it go."""

    device_name: str
    handle: str

    def holds(self, domain: Domain) -> bool:
        return _element(domain.active, self.handle) is None

    def do(self, doors: Any) -> None:
        for element in self.going(doors):
            doors.libvirt.detach_device(self.name, xml.text(element))
        what = f"the guest of VM {self.name}, which was asked to release {self.device_name}"
        if not doors.waiting.until(lambda: self.done(doors), _RELEASE, what):
            raise StepFailed(
                f"the guest of VM {self.name} did not release {self.device_name} within {_RELEASE:g} s",
                "is it in use there, or the guest not up yet? It goes at the next start at the latest",
            )

    def going(self, doors: Any) -> list[Any]:
        """What is taken out."""
        return [self.device(doors, self.handle)]
