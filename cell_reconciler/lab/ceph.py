"""A Ceph cluster of one mon and one osd, up in seconds: for storage pools, volumes and disks of labs and tests.

The osd keeps its objects in memory (``memstore``) and writes them to its directory when it is ended in order
(``osd fast shutdown = false``), so an outage can be of either kind, and the same images are there afterwards:

* ``stop`` and ``start``: the daemons end and come back; clients get "connection refused" at once.
* ``freeze`` and ``thaw`` (SIGSTOP, SIGCONT): the daemons are silent; clients wait, as when a switch has failed.

In a lab, the daemons run in the lab's outer namespaces. Without one, they get PID and mount namespaces of
their own and listen on loopback ports that were free; either way they die with PID 1 there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from cell_reconciler.errors import CellError
from cell_reconciler.lab import needs, spaces
from cell_reconciler.lab.state import Process

POOL = "rbd"
MEMORY = 4 << 30  # bytes the osd reports as its size; taken as they are written
DAEMONS = {"ceph-mon": "mon", "ceph-osd": "osd"}
STOP_TIMEOUT = 60.0  # s: the osd writes its memory to disk

CONFIG = """\
[global]
fsid = {fsid}
mon host = [v2:{address}:{port_v2},v1:{address}:{port_v1}]
public addr = {address}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = {directory}/$cluster.$name.keyring
run dir = {directory}
admin socket =
pid file = {directory}/$type.pid
log file = {directory}/$type.log
log to stderr = false
mon data = {directory}/mon
osd data = {directory}/osd
osd objectstore = memstore
memstore device bytes = {memory}
osd fast shutdown = false
; a lease that runs out while a lone osd is frozen is never renewed (16.2): its requests would wait for ever
osd pool default read lease ratio = 50
osd pool default size = 1
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd class update on start = false
mon allow pool size one = true
mon allow pool delete = true
mon warn on pool no redundancy = false
mon osd min in ratio = 0
mon election default strategy = 1
paxos propose interval = 0.1
"""


class Ceph:
    """A cluster in ``directory``; ``inside`` is PID 1 of the namespaces its daemons run in."""

    def __init__(self, directory: Path, inside: Process | None) -> None:
        self.directory = directory
        self._inside = inside
        self._birth: spaces.Birth | None = None

    @classmethod
    def up(
        cls,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        inside: Process | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Ceph:
        """Start a cluster in ``directory`` (made anew) with pool ``rbd``; raises CellError.

        Without ``inside`` it listens on free ports of ``address`` in this network and ends with this process,
        or by ``down``.
        """
        needs.require("ceph")
        say = progress or (lambda _: None)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True, mode=0o755)
        ceph = cls(directory, inside)
        ports = (3300, 6789) if inside else free_ports(address)
        try:
            if inside is None:
                log = directory / "start.log"
                ceph._birth = spaces.start(("pid", "mnt"), bound=True, log=log)
                ceph._birth.wait("the place for Ceph", 10)
                ceph._inside = ceph._birth.process
            say("starting a Ceph mon and osd")
            ceph._make(address, ports, ceph._configure(address, ports))
        except BaseException:
            ceph.down()
            raise
        return ceph

    @property
    def conf(self) -> Path:
        """ceph.conf of a client."""
        return self.directory / "ceph.conf"

    @property
    def keyring(self) -> Path:
        """Keyring of client.admin."""
        return self.directory / "ceph.client.admin.keyring"

    def run(self, *argv: str, timeout: float = 60.0) -> str:
        """Run a Ceph tool (``ceph``, ``rbd``, ...) as client.admin; returns what it printed. Raises CellError."""
        return self._tool(argv[0], "-c", str(self.conf), *argv[1:], timeout=timeout)

    # --- start --------------------------------------------------------------------------------------

    def _configure(self, address: str, ports: Sequence[int]) -> str:
        """Write ceph.conf; returns the cluster's new fsid."""
        fsid = str(uuid.uuid4())
        self.conf.write_text(
            CONFIG.format(
                fsid=fsid,
                address=address,
                port_v2=ports[0],
                port_v1=ports[1],
                directory=self.directory,
                memory=MEMORY,
            )
        )
        return fsid

    def _make(self, address: str, ports: Sequence[int], fsid: str) -> None:
        """Keys, monitor map, mon, osd, pool: the steps of Ceph's "manual deployment"."""
        keys, everything = self.directory / "mon.keyring", ("--cap", "mon", "allow *")
        monmap = self.directory / "monmap"
        self._tool("ceph-authtool", "-C", str(keys), "--gen-key", "-n", "mon.", *everything)
        admin = (*everything, "--cap", "osd", "allow *", "--cap", "mds", "allow *", "--cap", "mgr", "allow *")
        self._tool("ceph-authtool", "-C", str(self.keyring), "--gen-key", "-n", "client.admin", *admin)
        self.keyring.chmod(0o600)
        self._tool("ceph-authtool", str(keys), "--import-keyring", str(self.keyring))
        addresses = f"[v2:{address}:{ports[0]},v1:{address}:{ports[1]}]"
        self._tool("monmaptool", "--create", "--fsid", fsid, "--addv", "a", addresses, str(monmap))
        self._tool("ceph-mon", *self._daemon("a"), "--mkfs", "--monmap", str(monmap), "--keyring", str(keys))
        self._tool("ceph-mon", *self._daemon("a"))
        osd = str(uuid.uuid4())
        self.run("ceph", "osd", "new", osd, "0")
        (self.directory / "osd").mkdir()
        caps = ("mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *")
        key = self.run("ceph", "auth", "get-or-create", "osd.0", *caps)
        (self.directory / "ceph.osd.0.keyring").write_text(key)
        self._tool("ceph-osd", *self._daemon("0"), "--mkfs", "--osd-uuid", osd)
        self._tool("ceph-osd", *self._daemon("0"))
        self.run("ceph", "osd", "pool", "create", POOL, "8", "8", "replicated")
        self.run("rbd", "pool", "init", POOL)

    def _daemon(self, name: str) -> list[str]:
        return ["-i", name, "-c", str(self.conf)]

    # --- outages ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemons again after ``stop``; returns when the pool answers. Raises CellError."""
        running = self._pids()
        if "ceph-mon" not in running:
            self._tool("ceph-mon", *self._daemon("a"))
        if "ceph-osd" not in running:
            self._tool("ceph-osd", *self._daemon("0"))
        self._wait_answer()

    def stop(self) -> None:
        """End the daemons in order, osd first; what they hold is on disk then. Raises CellError."""
        for name in ("ceph-osd", "ceph-mon"):
            if pid := self._pids().get(name):
                os.kill(pid, signal.SIGTERM)
                self._wait_end(name)

    def freeze(self) -> None:
        """The daemons fall silent; connections stay open and nobody answers."""
        for pid in self._pids().values():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """The end of ``freeze``."""
        for pid in self._pids().values():
            os.kill(pid, signal.SIGCONT)

    def down(self) -> None:
        """End a cluster that has no lab, and remove its directory; does nothing to one in a lab."""
        if self._birth:
            self._birth.process.kill()
            self._birth.close()
            self._birth = None
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Ceph:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # --- processes ----------------------------------------------------------------------------------

    def _pids(self) -> dict[str, int]:
        """PIDs of this cluster's daemons as seen from here, by command: those in our PID namespace with our conf."""
        found: dict[str, int] = {}
        if self._inside is None or not self._inside.alive:
            return found
        ours = Path(f"/proc/{self._inside.pid}/ns/pid").readlink()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if (
                    (entry / "ns/pid").readlink() == ours
                    and str(self.conf) in words
                    and (name := Path(words[0]).name) in DAEMONS
                ):
                    found[name] = int(entry.name)
        return found

    def _wait_end(self, name: str) -> None:
        deadline = time.monotonic() + STOP_TIMEOUT
        while name in self._pids():
            if time.monotonic() > deadline:
                raise CellError(f"{name} did not end within {STOP_TIMEOUT:.0f} s of SIGTERM")
            time.sleep(0.05)

    def _wait_answer(self) -> None:
        """A read of the pool's omap: it takes the mon, the osd and an active placement group."""
        self.run("rbd", "ls", POOL, timeout=STOP_TIMEOUT)

    def _tool(self, name: str, *args: str, timeout: float = 60.0) -> str:
        """Run a tool where the daemons are; raises CellError."""
        argv = [needs.find(name), *args]
        if self._inside:
            argv = spaces.enter(self._inside, argv, death=0)
        try:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=timeout,
                check=False,
                cwd="/",
            )
        except subprocess.TimeoutExpired:
            raise CellError(f"{name} {args[-1]}: no answer within {timeout:.0f} s") from None
        if done.returncode:
            raise CellError(f"{name} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout


def free_ports(address: str, count: int = 2) -> list[int]:
    """TCP ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((address, 0))
        return [one.getsockname()[1] for one in sockets]
