"""What ``doctor`` looks at. Each check reads, never writes, and never raises: what goes wrong is its finding."""

from __future__ import annotations

import argparse
import ctypes
import importlib.metadata
import importlib.util
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from cell_reconciler.cli import awaiting, checks_host
from cell_reconciler.cli.checks_host import Check
from cell_reconciler.cli.options import SPECS_DIR, host_name
from cell_reconciler.cli.render.text import count
from cell_reconciler.converge.lock import holder
from cell_reconciler.converge.pending import guard_lives
from cell_reconciler.drivers import Doors
from cell_reconciler.errors import CellError
from cell_reconciler.load import Specs
from cell_reconciler.model.document import Loaded

# module → (distribution, what it is for, how to get it)
MODULES = {
    "yaml": ("PyYAML", "reads specs", "pip install cell-reconciler"),
    "jsonschema": ("jsonschema", "checks specs", "pip install cell-reconciler"),
    "msgspec": ("msgspec", "typed values", "pip install cell-reconciler"),
    "libvirt": ("libvirt-python", "VMs", "apt install python3-libvirt"),
    "lxml": ("lxml", "domain XML", "pip install 'cell-reconciler[host]'"),
    "pyroute2": ("pyroute2", "bridges, bonds, VLANs", "pip install 'cell-reconciler[host]'"),
    "watchdog": ("watchdog", "file events of run", "pip install 'cell-reconciler[host]'"),
    "structlog": ("structlog", "log of run", "pip install 'cell-reconciler[host]'"),
    "pycdlib": ("pycdlib", "images for cloud-init", "pip install 'cell-reconciler[host]'"),
    "rbd": ("", "Ceph pools", "apt install python3-rbd python3-rados"),
    "nftables": ("", "internal bridges (cloud0)", "apt install python3-nftables"),
}
_NEEDED = ("yaml", "jsonschema", "msgspec")
_INOTIFY = {"max_user_watches": 8192, "max_user_instances": 64, "max_queued_events": 16384}
_CLOCK_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)


def examine(args: argparse.Namespace) -> list[Check]:
    """All checks, in the order in which one would look."""
    loaded, specs = _specs(args)
    doors = Doors(args.connect)
    groups: tuple[Callable[[], Iterator[Check]], ...] = (
        _modules,
        lambda: iter(specs),
        lambda: checks_host.libvirt(doors, args, loaded),
        lambda: checks_host.netlink(doors),
        lambda: checks_host.nftables(doors, loaded),
        lambda: checks_host.sleep(doors),
        checks_host.kernel,
        lambda: checks_host.pools(doors, loaded),
        _inotify,
        lambda: _state(args.state_dir),
        _clock,
        _schemas,
    )
    try:
        return [check for group in groups for check in _guarded(group)]
    finally:
        doors.close()


def _guarded(group: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """A check that breaks is a finding too."""
    try:
        yield from group()
    except CellError as error:
        yield Check(name="doctor", result="fail", message=error.message, advice=error.advice)
    except (OSError, ImportError) as error:
        yield Check(name="doctor", result="fail", message=f"{type(error).__name__}: {error}")


def _modules() -> Iterator[Check]:
    for module, (distribution, purpose, remedy) in MODULES.items():
        name = f"python {module}"
        if importlib.util.find_spec(module) is None:
            result = "fail" if module in _NEEDED else "warn"
            yield Check(name=name, result=result, message=f"not installed ({purpose})", advice=remedy)
        else:
            yield Check(name=name, result="ok", message=f"{_version(distribution)} ({purpose})")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return "of the distribution"


def _specs(args: argparse.Namespace) -> tuple[Loaded, list[Check]]:
    paths = tuple(getattr(args, "specs", None) or ()) or ((SPECS_DIR,) if os.path.isdir(SPECS_DIR) else ())
    if not paths:
        advice = "name them with -f PATH"
        return Loaded(documents={}), [Check(name="specs", result="warn", message=f"no {SPECS_DIR}", advice=advice)]
    loaded = Specs(paths, host_name(args)).scan(None)
    if loaded.complete:
        here = f"{count(len(loaded.documents), 'document')} for {host_name(args)}"
        return loaded, [Check(name="specs", result="ok", message=f"{count(loaded.files, 'file')}, {here}")]
    first = loaded.diagnostics[0]
    message = f"{count(len(loaded.diagnostics), 'finding')}, the first: {first}"
    return loaded, [Check(name="specs", result="warn", message=message, advice="cellctl validate shows all")]


def _inotify() -> Iterator[Check]:
    low, values = [], []
    for name, least in _INOTIFY.items():
        value = int(Path(f"/proc/sys/fs/inotify/{name}").read_text(encoding="ascii"))
        values.append(f"{name} {value}")
        low += [f"fs.inotify.{name}={least}"] if value < least else []
    advice = f"sysctl -w {' '.join(low)} (file events are hints: without them changes wait for the rescan)"
    yield Check(name="inotify", result="warn" if low else "ok", message=", ".join(values), advice=advice if low else "")


def _state(state_dir: str) -> Iterator[Check]:
    place = Path(state_dir)
    while not place.exists() and place != place.parent:
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK):
        message = f"{state_dir} cannot be written: apply and run need it"
        yield Check(name="state directory", result="warn", message=message, advice="run as root, or give --state-dir")
    else:
        free = os.statvfs(place)
        mib = free.f_bavail * free.f_frsize >> 20
        result = "ok" if mib >= 64 else "warn"
        yield Check(name="state directory", result=result, message=f"{state_dir}, {mib} MiB free", advice="make room")
    who = holder(state_dir)
    yield Check(name="lock", result="ok", message=f"held by {who}" if who else "free: no apply or run is at work")
    yield _unconfirmed(state_dir)


def _unconfirmed(state_dir: str) -> Check:
    """A change of the network that waits, and whether it would be undone."""
    try:
        found = awaiting.read(state_dir)
    except CellError as error:
        return Check(name="network change", result="fail", message=error.message, advice=error.advice)
    if found is None:
        return Check(name="network change", result="ok", message="none waits for a confirmation")
    if not found.over and not guard_lives(state_dir):
        message = f"{awaiting.line(found)}; its guard is gone, nothing would undo it"
        return Check(
            name="network change", result="fail", message=message, advice="cellctl rollback, or start cellctl run"
        )
    return Check(name="network change", result="warn", message=awaiting.line(found), advice="say one of them")


def _clock() -> Iterator[Check]:
    """``adjtimex`` with modes 0 only reads; 512 bytes hold any ``struct timex``."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (AttributeError, OSError):
        state = -1
    if state == _CLOCK_UNSYNCHRONISED or state < 0:
        message = f"{now}, not synchronised as far as the kernel knows"
        yield Check(
            name="clock", result="warn", message=message, advice="run chrony or systemd-timesyncd; Ceph needs it too"
        )
    else:
        yield Check(name="clock", result="ok", message=f"{now}, synchronised")


def _schemas() -> Iterator[Check]:
    from cell_reconciler.kinds import KINDS
    from cell_reconciler.load.schema import kind_schema

    for name in KINDS:
        kind_schema(name)
    yield Check(name="schemas", result="ok", message=f"cell/v1: {', '.join(KINDS)}")
