"""Consoles and the guest agent in domain XML."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cell_reconciler.kinds.virtual_machine.codec import Codec, absent, add, child, drop, remove, unset

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context


AGENT = "org.qemu.guest_agent.0"  # the name by which libvirt and the agent in the guest know the channel


class SerialConsole(Codec):
    """``<serial type='pty'>``; libvirt itself adds the ``<console>`` that mirrors it."""

    def read(self, scope: Element) -> bool:
        return scope.find("devices/serial") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value and not self.read(scope):
            add(child(scope, "devices"), "serial", type="pty")
        elif not value:
            drop(scope, "devices/serial")
            for target in scope.findall("devices/console/target[@type='serial']"):
                console = target.getparent()
                if console is not None:
                    remove(console)


class GuestAgent(Codec):
    """The virtio-serial channel on which the agent in the guest listens."""

    def read(self, scope: Element) -> bool:
        return scope.find(f"devices/channel/target[@name='{AGENT}']") is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value and not self.read(scope):
            channel = add(child(scope, "devices"), "channel", type="unix")
            add(channel, "target", type="virtio", name=AGENT)
        elif not value:
            for target in scope.findall(f"devices/channel/target[@name='{AGENT}']"):
                channel_of = target.getparent()
                if channel_of is not None:
                    remove(channel_of)


def takes_channels(scope: Element) -> bool:
    """Has it the bus that a channel is plugged into? libvirt cannot plug in such a bus."""
    return scope.find("devices/controller[@type='virtio-serial']") is not None


class GraphicsType(Codec):
    """Whether there is a VNC console. Other kinds of graphics are not ours."""

    def read(self, scope: Element) -> str:
        return "none" if scope.find("devices/graphics[@type='vnc']") is None else "vnc"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value == "none":
            drop(scope, "devices/graphics[@type='vnc']")
        elif self.read(scope) == "none":
            add(child(scope, "devices"), "graphics", type="vnc", port="-1", autoport="yes")
            GraphicsListen().write(scope, owner.listen, owner, context)
            GraphicsPort().write(scope, owner.port, owner, context)


class GraphicsListen(Codec):
    """The address of the VNC console, which libvirt shows twice: as an attribute and as a child."""

    def read(self, scope: Element) -> str:
        vnc = scope.find("devices/graphics[@type='vnc']")
        return "127.0.0.1" if vnc is None else vnc.get("listen") or "127.0.0.1"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        vnc = scope.find("devices/graphics[@type='vnc']")
        if vnc is not None:
            unset(vnc, "socket")  # instead of an address
            vnc.set("listen", str(value))
            drop(vnc, "listen")
            add(vnc, "listen", type="address", address=str(value))


class GraphicsPort(Codec):
    """The port of the VNC console; None where libvirt chooses one, which a running instance shows as well."""

    def read(self, scope: Element) -> int | None:
        vnc = scope.find("devices/graphics[@type='vnc']")
        if vnc is None or vnc.get("autoport") == "yes":
            return None
        port = int(vnc.get("port") or 0)
        return port if port > 0 else None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        vnc = scope.find("devices/graphics[@type='vnc']")
        if vnc is not None:
            unset(vnc, "socket")  # instead of a port; and so is listening on nothing
            drop(vnc, "listen[@type='socket']")
            drop(vnc, "listen[@type='none']")
            vnc.set("port", "-1" if absent(value) else str(value))
            vnc.set("autoport", "yes" if absent(value) else "no")


class Video(Codec):
    """The screen's card. libvirt adds one to every console, so that none at all is said as the model ``none``.

    Further cards, for further screens, are not ours: they stay, unless there is to be none.
    """

    def read(self, scope: Element) -> str:
        model = scope.find("devices/video/model")
        return "none" if model is None else model.get("type") or "none"

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        first = scope.find("devices/video")
        if first is not None and "none" not in (value, self.read(scope)):
            for part in list(first):  # its memory and its slot are those of the model
                remove(part)
            add(first, "model", type=str(value))
            return
        drop(scope, "devices/video")
        if value != "none" or scope.find("devices/graphics") is not None:
            add(add(child(scope, "devices"), "video"), "model", type=str(value))
