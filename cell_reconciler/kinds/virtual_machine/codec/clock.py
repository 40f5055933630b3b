"""The clock and its timers in domain XML.

A timer that the XML does not name is as QEMU has it: the HPET is there, the RTC does not make up for lost ticks, KVM's
PIT does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, child, remove, unset

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


def _timer(scope: Element, name: str) -> Element:
    """The timer of this name, made where it is missing."""
    found = scope.find(f"clock/timer[@name='{name}']")
    if found is None:
        clock = child(scope, "clock")
        found = clock.makeelement("timer", {"name": name})
        clock.append(found)
    return found


class Offset(Codec):
    """``utc``, ``localtime``, or a time zone; others of libvirt's (``variable``, ``absolute``) by libvirt's word."""

    def read(self, scope: Element) -> str:
        clock = scope.find("clock")
        offset = "utc" if clock is None else clock.get("offset") or "utc"
        return clock.get("timezone") or offset if clock is not None and offset == "timezone" else offset

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        clock = child(scope, "clock")
        unset(clock, "timezone", "adjustment", "basis", "start")  # each belongs to one offset
        named = value in ("utc", "localtime")
        clock.set("offset", value if named else "timezone")
        if not named:
            clock.set("timezone", value)


class Present(Codec):
    """Whether a timer is there; ``unsaid`` is what QEMU does when the XML does not say it."""

    def __init__(self, name: str, *, unsaid: bool) -> None:
        self.name, self.unsaid = name, unsaid

    def read(self, scope: Element) -> bool:
        timer = scope.find(f"clock/timer[@name='{self.name}']")
        said = None if timer is None else timer.get("present")
        return self.unsaid if said is None else said == "yes"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value != self.unsaid:
            _timer(scope, self.name).set("present", "yes" if value else "no")
            return
        timer = scope.find(f"clock/timer[@name='{self.name}']")
        if timer is not None:
            unset(timer, "present")
            if list(timer.attrib) == ["name"]:
                remove(timer)


class TickPolicy(Codec):
    """What a timer does about ticks that the guest was not there to take."""

    def __init__(self, name: str, *, unsaid: str) -> None:
        self.name, self.unsaid = name, unsaid

    def read(self, scope: Element) -> str:
        timer = scope.find(f"clock/timer[@name='{self.name}']")
        return self.unsaid if timer is None else timer.get("tickpolicy") or self.unsaid

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        timer = _timer(scope, self.name)
        timer.set("tickpolicy", str(value))
        for catchup in timer.findall("catchup"):  # fine print of the policy catchup
            remove(catchup)
