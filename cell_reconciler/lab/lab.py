"""One lab: from `up` to `down`."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from cell_reconciler.errors import CellError, Refused, UsageError
from cell_reconciler.lab import guest, needs, spaces, wiring
from cell_reconciler.lab.ceph import Ceph
from cell_reconciler.lab.host import Host, LabInfo
from cell_reconciler.lab.state import Places, State, names

Progress = Callable[[str], None]
Infos = list[LabInfo]
DEFAULT_NAME = "h1"
KERNELS = ("auto", "namespace", "vm")
HOST_SCRIPT = Path(__file__).with_name("host.sh")
HOST_TIMEOUT = 60.0  # s: libvirtd's first start probes QEMU


class Lab(Host):
    """A running throw-away host. Made by ``up`` or ``get``; see the package's docstring for what it is."""

    def __init__(self, places: Places, state: State) -> None:
        super().__init__(places, state)
        self._birth: spaces.Birth | None = None

    # --- life ---------------------------------------------------------------------------------------

    @classmethod
    def up(
        cls,
        name: str = DEFAULT_NAME,
        kernel: str = "auto",
        nics: Sequence[str] = wiring.DEFAULT_NICS,
        ceph: bool = False,
        progress: Progress | None = None,
        bound: bool = False,
    ) -> Lab:
        """Start a host; when this returns, libvirtd answers in it.

        ``bound``: the lab ends when this process does, however that happens. Leftovers of a crashed lab of
        the same name are removed first. Raises Refused if it runs already, UsageError for a bad name, CellError
        if something is missing or does not start; nothing is left then.
        """
        say = progress or (lambda _: None)
        places = Places.of(name)
        wiring.check_names(nics)
        kernel = choose(kernel, say)
        needs.require("namespace", *(["vm"] if kernel == "vm" else []), *(["ceph"] if ceph else []))
        with places.locked():
            before = places.load()
            if before and before.rack and before.rack.alive:
                raise Refused(f"lab {name!r} is running", f"end it with `cellctl lab down {name}`, or name another")
            if before and before.rack:
                before.rack.kill()  # it may be on its way out still
            places.clear()
            lab = cls(places, State(name, kernel, tuple(nics), str(uuid.uuid4())))
            try:
                lab._build(ceph, say)
                if not bound and lab._birth:
                    lab._birth.bind(False)
            except BaseException:
                lab._end()
                raise
        return lab

    def _build(self, ceph: bool, say: Progress) -> None:
        """Rack, Ceph, host, in this order; each is recorded as soon as there is something to clean up."""
        self._places.make()
        # Bound to us while it is built: should we be killed now, the half of a lab dies with us.
        self._birth = spaces.start(("mnt", "net", "ipc", "pid"), bound=True, log=self._log("rack"))
        self._birth.wait("the lab", 10)
        self._update(rack=self._birth.process)
        self._wire(["link set lo up"])
        if ceph:
            say("starting Ceph")
            self._wire(wiring.storage_commands())
            Ceph.up(self._places.work / "ceph", address=wiring.CEPH_ADDRESS, inside=self._state.rack)
            self._update(ceph=True)
        if self._state.kernel == "namespace":
            self._wire(wiring.switch_commands())
        else:
            guest.prepare(self._places)
            self._wire(wiring.ceph_tap_commands() if ceph else [])
        self._boot(say)
        self._update(ready=True)

    def _boot(self, say: Progress) -> None:
        """Start the host itself."""
        if self._state.kernel == "vm":
            if not (self._places.work / "capabilities").exists():
                self._probe_emulators()
            say("booting a kernel with bonding and 8021q under TCG; this takes about 20 s")
            self._update(host=guest.boot(self._places, self._state, self._rack()))
            return
        say("starting libvirtd")
        birth = self._namespaces("host")
        self._update(host=birth.process)
        self._wire(wiring.nic_commands(self._state.nics, str(birth.process.pid)))
        if self._state.ceph:
            self._wire(wiring.ceph_nic_commands(str(birth.process.pid)))
            self._wire(wiring.ceph_address_commands(), where=birth.process)
        birth.wait(f"host {self.name}", HOST_TIMEOUT)
        birth.close()

    def _namespaces(self, state: str) -> spaces.Birth:
        """Start a host of namespaces that keeps its state in the directory ``state`` of the lab."""
        env = {
            "LAB_MODE": "namespace",
            "LAB_NAME": self.name,
            "LAB_WORK": str(self._places.work),
            "LAB_STATE": str(self._places.work / state),
            "LAB_UUID": self._state.uuid,
            "LAB_CEPH": "1" if self._state.ceph else "",
        }
        return spaces.start(
            ("mnt", "net", "uts", "ipc", "pid"),
            join=self._state.rack,
            setup=["sh", str(HOST_SCRIPT)],
            env=env,
            log=self._log(state),
        )

    def _probe_emulators(self) -> None:
        """Let a libvirtd out here ask the emulators what they can do, and give the guest its cache of the answers.

        libvirtd asks each of them when it first needs to know. That takes a second out here, and a minute in a guest
        that is emulated itself. KVM is hidden meanwhile: the guest has none, and the cache holds for the same only.
        """
        birth = self._namespaces("probe")
        try:
            birth.wait("libvirtd", HOST_TIMEOUT)
            ask = "[ ! -e /dev/kvm ] || mount -o bind /dev/null /dev/kvm; exec virsh capabilities"
            argv = spaces.enter(birth.process, ["sh", "-c", ask])
            subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            cache = self._places.work / "probe/var/cache/libvirt/qemu/capabilities"
            if cache.is_dir():
                shutil.copytree(cache, self._places.work / "capabilities")
        finally:
            birth.process.kill()
            birth.close()

    def power_off(self) -> None:
        """SIGKILL of the whole host at once, as when the power is cut; what it wrote to disk stays."""
        if self._state.host:
            self._state.host.kill()

    def power_on(self, progress: Progress | None = None) -> None:
        """Start the host again after ``power_off``, with the disks it had; raises Refused if it is on."""
        if self._state.host and self._state.host.alive:
            raise Refused(f"host {self.name} is on")
        self._unplug_ports()
        self._boot(progress or (lambda _: None))

    def _unplug_ports(self) -> None:
        """Ports outlive the host they led to only until the kernel has taken its network apart."""
        if self._state.kernel == "namespace":
            for nic in (*self._state.nics, *([wiring.CEPH_NIC] if self._state.ceph else [])):
                self.in_switch(["ip", "link", "del", nic])

    def down(self) -> None:
        """End the lab and remove everything of it; it may be down already."""
        with self._places.locked():
            self._end()

    def _end(self) -> None:
        """Kill the rack (all processes, mounts and networks go with it), then remove the files."""
        for process in (self._state.rack, self._state.host):
            if process:
                process.kill()
        if self._birth:
            self._birth.close()
            self._birth = None
        self._places.remove()

    def __enter__(self) -> Lab:
        """Used with ``with``, a lab ends with the block, or with the process if that comes first."""
        if self._birth:
            self._birth.bind(True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # --- which labs there are -------------------------------------------------------------------------

    @classmethod
    def get(cls, name: str) -> Lab:
        """The running lab ``name``; raises CellError with advice if there is none."""
        lab = cls.find(name)
        if lab is None:
            others = ", ".join(info.name for info in cls.list())
            raise CellError(
                f"there is no lab {name!r}",
                f"start it with `cellctl lab up {name}`" + (f"; there is: {others}" if others else ""),
            )
        if lab.info().status == "crashed":
            raise CellError(f"lab {name!r} has crashed", f"`cellctl lab up {name}` clears it away and starts it anew")
        return lab

    @classmethod
    def find(cls, name: str) -> Lab | None:
        """What there is of the lab ``name``, running or crashed; None if nothing."""
        places = Places.of(name)
        if not places.run.exists() and not places.work.exists():
            return None
        return cls(places, places.load() or State(name, "unknown", (), ""))

    @classmethod
    def list(cls) -> Infos:
        """All labs of this machine, by name, the crashed ones too."""
        return [lab.info() for name in names() if (lab := cls.find(name))]


def choose(kernel: str, say: Progress) -> str:
    """``auto`` becomes ``namespace`` or ``vm``, and it is said why; raises UsageError for another word."""
    if kernel not in KERNELS:
        raise UsageError(f"{kernel!r} is no kind of lab", f"one of {', '.join(KERNELS)}")
    if kernel != "auto":
        return kernel
    missing = needs.lacks()
    if missing:
        say(f"the running kernel has no {missing}: the host gets a kernel of its own (vm)")
        return "vm"
    say("the running kernel has bonding, 8021q, bridge and veth: the host is made of namespaces")
    return "namespace"
