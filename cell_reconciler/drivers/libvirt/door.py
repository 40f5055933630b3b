"""``LibvirtDoor``: the methods by which the rest of the program reads and changes domains and secrets."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from cell_reconciler.drivers import secret_files
from cell_reconciler.drivers.doors import Writes
from cell_reconciler.drivers.libvirt import cputune, events, facts, failures, passwords, secrets
from cell_reconciler.drivers.libvirt import node as nodes
from cell_reconciler.drivers.libvirt.coming import Coming
from cell_reconciler.drivers.libvirt.line import Line
from cell_reconciler.drivers.libvirt.pulse import Pulse
from cell_reconciler.errors import CellError, StepFailed, Transient
from cell_reconciler.model.guest import Password
from cell_reconciler.model.live import Domain
from cell_reconciler.model.node import Cpu, Load, Node

# Seconds. libvirt itself waits 30 s for the job of a domain; what comes first after libvirtd started (PROBE) waits
# until it has asked every emulator what it can do.
READ, WRITE, START, PROBE, AGENT = 30.0, 45.0, 120.0, 120.0, 10.0
LOOK = 10.0  # for a look at a few domains
GLANCE = 2.0  # for what an observation can do without
RENEW = 600.0  # after which it is asked again what the node is: QEMU may have been upgraded, memory plugged in
SILENT = "is it stopped, or its storage away? it is tried again when it answers; virsh destroy powers it off"


class LibvirtDoor:
    """One hypervisor. Opens its connections when they are first needed; safe to use from several threads.

    Every method raises Unreachable when libvirt does not answer, Transient when the domain is busy, and StepFailed
    with libvirt's own text when it refuses. Making what is made and removing what is gone are not errors.
    """

    def __init__(self, uri: str, writes: Writes) -> None:
        self.uri = uri
        self.count = writes
        self.reads = Line(uri, "reads")
        self.writes = Line(uri, "writes")
        self.guests = Line(uri, "guests")
        self.pulse = Pulse(uri, self.reads)
        self.tuning = cputune.Tuning(self._live)
        self.about = Line(uri, "node")  # of its own: what comes first after libvirtd started may wait long
        self.coming = Coming()
        self._node: tuple[float, Node | None] | None = None
        self._events: list[events.Subscription] = []
        self._lock = threading.Lock()

    # -- reading -----------------------------------------------------------------------------------------------

    def observe(self, names: Collection[str] | None = None) -> dict[str, Any]:
        """The parts of ``model.live.Live`` that libvirt tells: ``domains``, ``secrets``, ``cpus``, ``nwfilters``."""

        if names is None:  # before what may take long on a large host: the network waits for the answer as well
            self.pulse.reach()

        def read(connection: Any) -> dict[str, Any]:
            found = {name: self.pulse.tell(fact) for name, fact in facts.domains(connection, names).items()}
            return {
                "domains": found,
                "secrets": facts.secrets(connection),
                "cpus": cputune.host_cpus(connection),
                "nwfilters": facts.nwfilters(connection),
            }

        return self.reads.call("observe", read, READ if names is None else LOOK, repeat=True)

    def capabilities(self) -> dict[str, Any]:
        """What the hypervisor offers. The first caller after libvirtd started waits until it has probed QEMU."""
        return self.reads.call("read capabilities", facts.capabilities, PROBE, repeat=True)

    def node(self, timeout: float = PROBE) -> Node | None:
        """What this host is and offers; asked once in a while. None for a hypervisor that does not tell."""
        if self._node is None or time.monotonic() - self._node[0] > RENEW:
            found = self.about.call("read what the host offers", nodes.node, timeout, repeat=True)
            self._node = (time.monotonic(), found)
        return self._node[1]

    def glance(self) -> dict[str, Node | None]:
        """``node`` as a part of ``model.live.Live``: empty when libvirt, which has just started, takes long."""
        try:
            return {"node": self.node(GLANCE)}
        except CellError:  # what is wrong with libvirt the domains tell
            return {}

    def loads(self) -> dict[str, Load]:
        """vCPUs and memory of every running domain as it is now, whoever made it."""
        return self.reads.call("read what runs", nodes.loads, READ, repeat=True)

    def unfit(self, domain_type: str, xml: str) -> str:
        """Why a guest's ``<cpu>`` cannot run on this host (libvirt names the features); empty when it can."""
        node = self.node()
        offered = node.types.get(domain_type) if node is not None else None
        if offered is None:
            return ""
        cpu = offered.cpu
        return self.about.call("compare a CPU", lambda c: nodes.compare(c, domain_type, xml, cpu), PROBE, repeat=True)

    def baseline(self, arch: str, domain_type: str, cpus: Sequence[Cpu], *, whole: bool = False) -> Cpu:
        """The CPU that all of these can run, and migrate with; ``whole``: with the features of its model."""

        def read(connection: Any) -> Cpu:
            import libvirt

            flags = libvirt.VIR_CONNECT_BASELINE_CPU_MIGRATABLE
            flags |= libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES if whole else 0
            return nodes.baseline(connection, arch, domain_type, cpus, flags)

        return self.about.call("compute the baseline CPU", read, PROBE, repeat=True)

    def domain(self, name: str) -> Domain | None:
        """One domain as it is now, None when there is none."""
        found = self.reads.call(f"read domain {name}", lambda c: facts.domain(c, name), READ, repeat=True)
        return self.pulse.tell(found) if found else None

    def dump(self, name: str, *, running: bool = False) -> str:
        """The persistent XML (or the instance's) with its passwords, to be patched. Never log or keep it."""

        def read(connection: Any) -> str:
            import libvirt

            which = 0 if running else libvirt.VIR_DOMAIN_XML_INACTIVE
            return str(connection.lookupByName(name).XMLDesc(which | libvirt.VIR_DOMAIN_XML_SECURE))

        return self.reads.call(f"read domain {name}", read, READ, repeat=True)

    def passwords(self, files: Mapping[str, str]) -> dict[str, Password]:
        """How the VNC passwords of domains compare with those in files; neither leaves this method."""
        found: dict[str, Password] = {}
        wanted: dict[str, str] = {}
        for name, file in files.items():
            try:
                wanted[name] = secret_files.password(file)
            except StepFailed as error:
                found[name] = Password(file=file, error=error.message, advice=error.advice)
        states = self.reads.call("read passwords", lambda c: passwords.states(c, wanted), READ, repeat=True)
        for name, (defined, running) in states.items():
            found[name] = Password(file=files[name], defined=defined, running=running)
        return found

    # -- domains -----------------------------------------------------------------------------------------------

    def define(self, xml: str) -> None:
        """Define a domain, or define it again with other contents; a running instance stays as it is.

        The XML is validated against libvirt's schema first.
        """

        def write(connection: Any) -> None:
            import libvirt

            self.count.add("libvirt.defineXML")
            connection.defineXMLFlags(xml, libvirt.VIR_DOMAIN_DEFINE_VALIDATE)

        self.writes.call("define domain", write, PROBE)

    def start(self, name: str) -> None:
        """Start a domain; nothing to do for an active one."""

        def write(handle: Any) -> None:
            if not handle.isActive():
                self.count.add("libvirt.create")
                handle.createWithFlags(0)

        # QEMU may be at work for long on a disk that is slow to open: that is no silence.
        self._change(name, "start", write, START, ask=False)

    def shutdown(self, name: str, mode: str, patience: float | None = None) -> None:
        """Ask the guest to shut down, by its ``agent`` or by ``acpi``; it does so later, or not at all.

        ``patience``: seconds for an agent to take the order, ``AGENT`` at most. libvirt alone gives a mute one 5 s, and
        60 s to one that has said that it is there.
        """

        def write(handle: Any) -> None:
            import libvirt

            flags = {
                "agent": libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
                "acpi": libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
            }
            if handle.isActive():
                self.count.add("libvirt.shutdown")
                handle.shutdownFlags(flags[mode])

        agents = AGENT if patience is None else min(AGENT, patience)
        line, timeout = (self.guests, agents) if mode == "agent" else (self.writes, WRITE)
        self._change(name, f"shut down ({mode})", write, timeout, line=line, missing_ok=True)

    def destroy(self, name: str) -> None:
        """Power off at once; nothing to do for a domain that is off or gone."""

        def write(handle: Any) -> None:
            if handle.isActive():
                self.count.add("libvirt.destroy")
                handle.destroyFlags(0)

        # Without asking for the job first: this must work on a domain whose job hangs.
        self._change(name, "power off", write, START, missing_ok=True, ask=False)

    def undefine(self, name: str) -> None:
        """Remove the persistent definition; NVRAM and TPM state stay on disk. Refused by libvirt with snapshots."""

        def write(handle: Any) -> None:
            import libvirt

            if handle.isPersistent():
                self.count.add("libvirt.undefine")
                handle.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_TPM)

        self._change(name, "undefine", write, WRITE, missing_ok=True)

    def set_autostart(self, name: str, on: bool) -> None:
        """Whether libvirt starts the domain when the host boots."""

        def write(handle: Any) -> None:
            self.count.add("libvirt.setAutostart")
            handle.setAutostart(int(on))

        self._change(name, "set autostart of", write, WRITE)

    def set_description(self, name: str, text: str | None) -> None:
        """The description of the running instance (the persistent one stands in the XML)."""

        def write(handle: Any) -> None:
            import libvirt

            self.count.add("libvirt.setMetadata")
            kind, live = libvirt.VIR_DOMAIN_METADATA_DESCRIPTION, libvirt.VIR_DOMAIN_AFFECT_LIVE
            handle.setMetadata(kind, text or None, None, None, live)

        self._change(name, "set the description of", write, WRITE)

    def update_device(self, name: str, xml: str) -> None:
        """Change a device of the running instance in place; ``xml`` is the whole device as it is, changed."""
        self._live(name, "update a device of", "updateDevice", lambda handle, live: handle.updateDeviceFlags(xml, live))

    def attach_device(self, name: str, xml: str) -> None:
        """Plug a device into the running instance; the definition is not touched."""
        self._live(name, "plug a device into", "attachDevice", lambda handle, live: handle.attachDeviceFlags(xml, live))

    def detach_device(self, name: str, xml: str) -> None:
        """Ask the guest to let a device of the running instance go; libvirt waits 5 s for it, and says nothing then."""
        self._live(
            name, "unplug a device from", "detachDevice", lambda handle, live: handle.detachDeviceFlags(xml, live)
        )

    def set_vcpus(self, name: str, count: int) -> None:
        """Plug vCPUs into the running instance, up to its maximum."""
        self._live(name, "plug vCPUs into", "setVcpus", lambda handle, live: handle.setVcpusFlags(count, live))

    def set_on_reboot(self, name: str, action: str) -> None:
        """What the running instance does when its guest reboots: ``restart``, ``destroy`` …"""

        def change(handle: Any, live: int) -> None:
            import libvirt

            word = getattr(libvirt, f"VIR_DOMAIN_LIFECYCLE_ACTION_{action.upper().replace('-', '_')}")
            handle.setLifecycleAction(libvirt.VIR_DOMAIN_LIFECYCLE_REBOOT, word, live)

        self._live(name, "set on_reboot of", "setLifecycleAction", change)

    def block_resize(self, name: str, target: str, size: int) -> None:
        """Give a disk of the running instance, and its image, another size in bytes. libvirt shrinks without a word."""

        def write(handle: Any) -> None:
            import libvirt

            self.count.add("libvirt.blockResize")
            handle.blockResize(target, size, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)

        self._change(name, f"resize disk {target} of", write, WRITE)

    def set_block_iotune(self, name: str, target: str, limits: dict[str, int]) -> None:
        """The limits of a disk's rate in the running instance, by libvirt's names; 0 is none."""
        self._live(
            name,
            f"limit disk {target} of",
            "setBlockIoTune",
            lambda handle, live: handle.setBlockIoTune(target, limits, live),
        )

    def _live(self, name: str, verb: str, call: str, change: Callable[[Any, int], Any]) -> None:
        """``change(handle, flags)`` of the running instance; ``call`` is libvirt's name for it."""

        def write(handle: Any) -> None:
            import libvirt

            self.count.add(f"libvirt.{call}")
            change(handle, libvirt.VIR_DOMAIN_AFFECT_LIVE)

        self._change(name, verb, write, WRITE)

    def _change(
        self,
        name: str,
        verb: str,
        write: Callable[[Any], None],
        timeout: float,
        *,
        line: Line | None = None,
        missing_ok: bool = False,
        ask: bool = True,
    ) -> None:
        what = f"{verb} domain {name}"

        def run(connection: Any) -> None:
            import libvirt

            try:
                handle = connection.lookupByName(name)
                if ask and handle.isActive():
                    _refuse_busy(handle, what)
                write(handle)
            except libvirt.libvirtError as error:
                if error.get_error_code() != failures.NO_DOMAIN:
                    raise
                if not missing_ok:
                    raise StepFailed(f"{what}: there is no such domain") from error

        def vain() -> CellError | None:
            return Transient(f"{what}: its QEMU does not answer", SILENT) if self.pulse.occupied(name) else None

        if not ask:
            (line or self.writes).call(what, run, timeout)
            return
        if self.pulse.silent(name) and (error := vain()) is not None:
            raise error
        (line or self.writes).call(what, run, timeout, vain=vain)

    # -- secrets -----------------------------------------------------------------------------------------------

    def keep_secret(self, uuid: str, usage: str, description: str, value: bytes) -> None:
        """Define a Ceph secret with this value, or set it again. The value is neither logged nor dumped."""
        self.writes.call(
            f"keep secret {usage}", lambda c: secrets.keep(c, self.count, uuid, usage, description, value), WRITE
        )

    def secret_value(self, uuid: str, usage: str) -> bytes:
        """The value of a Ceph secret, by its UUID or its usage. Never log or keep it.

        Raises StepFailed when there is none, or when libvirt gives it to nobody (``private='yes'``).
        """
        what = f"read secret {uuid or usage}"
        return self.reads.call(what, lambda c: secrets.value(c, uuid, usage), READ, repeat=True)

    def delete_secret(self, uuid: str) -> None:
        """Undefine a secret; nothing to do when it is gone."""
        self.writes.call(f"delete secret {uuid}", lambda c: secrets.delete(c, self.count, uuid), WRITE)

    # -- events ------------------------------------------------------------------------------------------------

    def events(
        self,
        callback: Callable[[str], None],
        on_close: Callable[[], None],
        on_trouble: events.OnTrouble = lambda _name, _trouble, _text: None,
    ) -> None:
        """Call ``callback(name)`` whenever something happened to a domain, on a thread of libvirt's.

        ``on_close()`` is called once when the connection is lost: call this again then, and read everything anew.
        ``on_trouble(name, what, text)`` tells what befell a guest. All must return at once (enqueue, nothing more).
        Raises Unreachable.
        """
        subscription = events.Subscription(self.uri, callback, on_close, on_trouble)
        subscription.open(READ)
        with self._lock:
            lost = [s for s in self._events if not s.alive]
            self._events = [s for s in self._events if s.alive] + [subscription]
        for old in lost:
            old.close()

    def close(self) -> None:
        """Close all connections; they open again when used again."""
        with self._lock:
            subscriptions, self._events = self._events, []
        for subscription in subscriptions:
            subscription.close()
        self.pulse.close()
        for line in (self.reads, self.writes, self.guests, self.about):
            line.close()


def _refuse_busy(handle: Any, what: str) -> None:
    """Raise Transient while a job (migration, save, dump) holds the domain: a call would wait 30 s in vain."""
    import libvirt

    try:
        job = handle.jobInfo()[0]
    except libvirt.libvirtError as error:
        if error.get_error_code() == failures.NO_SUPPORT:
            return
        raise
    if job not in (libvirt.VIR_DOMAIN_JOB_NONE, libvirt.VIR_DOMAIN_JOB_COMPLETED):
        raise Transient(f"{what}: a job of libvirt is under way", "wait for it; `virsh domjobinfo` shows it")
