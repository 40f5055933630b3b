"""Hyper-V enlightenments in domain XML: one element each in ``features/hyperv``, which goes with the last of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, child, drop, remove

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

_HYPERV = "features/hyperv"


class Enlightenment(Codec):
    """One that is on or off; a subclass has a value beside it."""

    attribute = ""  # in which the value stands
    off: Any = False

    def __init__(self, name: str) -> None:
        self.path = f"{_HYPERV}/{name}"

    def read(self, scope: Element) -> Any:
        element = scope.find(self.path)
        on = element is not None and element.get("state", "on") == "on"
        return self.value(element) if on and element is not None else self.off

    def value(self, element: Element) -> Any:
        return True

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if not absent(value) and value != self.off:
            child(scope, _HYPERV).set("mode", "custom")
            element = child(scope, self.path)
            element.set("state", "on")
            if self.attribute:
                element.set(self.attribute, str(value))
            return
        drop(scope, self.path)
        hyperv = scope.find(_HYPERV)
        if hyperv is not None and not len(hyperv) and hyperv.get("mode") != "passthrough":
            remove(hyperv)


class Spinlocks(Enlightenment):
    """With the number of retries; 0 is off."""

    attribute, off = "retries", 0

    def value(self, element: Element) -> int:
        return int(element.get("retries") or 0)


class VendorId(Enlightenment):
    """With the text; None is off."""

    attribute, off = "value", None

    def value(self, element: Element) -> str | None:
        return element.get("value") or None


class Direct(Codec):
    """``stimer/direct``: written after its timer, and gone with it."""

    _STIMER = f"{_HYPERV}/stimer"

    def read(self, scope: Element) -> bool:
        direct = scope.find(f"{self._STIMER}/direct")
        return direct is not None and direct.get("state") == "on"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        drop(scope, f"{self._STIMER}/direct")
        if value and scope.find(self._STIMER) is not None:
            child(scope, f"{self._STIMER}/direct").set("state", "on")
