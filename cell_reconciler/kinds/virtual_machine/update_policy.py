"""When what is pending takes effect: by nobody, at the guest's next reboot, in a maintenance window, or now.

libvirt resets a guest that reboots and keeps the instance as it was booted. So while something is pending and the
document says ``NextBoot``, the *instance* gets ``on_reboot`` destroy: its guest's reboot ends it, and the run strategy
starts it as it is defined. The definition never has that; when nothing is pending any more, it is set back.

The only clock is the time of the observation. Pure, but that the tz database is read for the zones of windows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cell_reconciler.kinds.virtual_machine import power
from cell_reconciler.kinds.virtual_machine.spec import Restart, RunStrategy, VirtualMachineSpec, Window
from cell_reconciler.kinds.virtual_machine.spec.update import Day
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import given_paths
from cell_reconciler.model.live import Domain
from cell_reconciler.model.mark import Mark

_ON_REBOOT = re.compile(r"<on_reboot>([a-z-]+)</on_reboot>")
_DAYS = tuple(Day)  # as date.weekday() counts


def due(spec: VirtualMachineSpec, at: datetime | None) -> bool:
    """May the VM be restarted at this time for what is pending?"""
    policy = spec.update_policy
    if policy.restart == Restart.WINDOW:
        return at is not None and any(begin <= at < end for begin, end in _around(policy.windows, at))
    return policy.restart == Restart.NOW


def opens(spec: VirtualMachineSpec, at: datetime | None) -> datetime | None:
    """When the next window opens; None without one, or when it is not known what time it is."""
    policy = spec.update_policy
    if policy.restart != Restart.WINDOW or at is None:
        return None
    return min((begin for begin, _ in _around(policy.windows, at) if begin > at), default=None)


def _around(windows: tuple[Window, ...], at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Beginning and end of every window from the day before ``at`` to the same day next week."""
    for window in windows:
        zone = _zone(window.time_zone)
        if zone is None:
            continue
        clock, today = time.fromisoformat(window.start), at.astimezone(zone).date()
        for days in range(-1, 8):
            date = today + timedelta(days=days)
            if _DAYS[date.weekday()] in window.days:
                begin = datetime.combine(date, clock, zone).astimezone(UTC)
                yield begin, begin + timedelta(seconds=float(window.duration))


def _zone(name: str) -> tzinfo | None:
    """None where the host has no tz database: nobody can tell when such a window opens."""
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):
        return None


def on_reboot(text: str | None) -> str:
    """What a domain's XML says of a guest that reboots; libvirt's default is restart."""
    found = _ON_REBOOT.search(text or "")
    return found[1] if found else "restart"


def reboot_action(
    doc: Document, mark: Mark | None, domain: Domain, spec: VirtualMachineSpec, *, pending: bool
) -> str | None:
    """What the running instance has to do when its guest reboots; None: as it does already."""
    have, defined = on_reboot(domain.active), on_reboot(domain.inactive)
    policy = spec.update_policy.restart
    if pending and policy == Restart.NEXT_BOOT and power.strategy(doc, mark) == RunStrategy.ALWAYS:
        return None if have == "destroy" else "destroy"
    adopted = mark is None or mark.adopted
    ours = not adopted or "/spec/updatePolicy" in set(given_paths(doc.given))
    return defined if ours and have == "destroy" and defined != have else None


def told(doc: Document, mark: Mark | None, spec: VirtualMachineSpec, at: datetime | None) -> str:
    """When what is pending takes effect, and what becomes of a guest that does not shut down."""
    policy = spec.update_policy.restart
    after = "is powered off" if spec.force_stop else "is left running, and it is tried again"
    timeout = f"a guest that does not shut down within {spec.shutdown_timeout.to_text()} {after}"
    if policy == Restart.NEXT_BOOT:
        if power.strategy(doc, mark) != RunStrategy.ALWAYS:
            return "nobody restarts it: with NextBoot its runStrategy has to be Always"
        return "when its guest reboots or shuts down"
    if policy == Restart.WINDOW:
        begin = opens(spec, at)
        when = f" at {begin.isoformat(timespec='minutes')}" if begin else ", whose time zone this host does not know"
        when = when if at is not None else ""
        return f"its window is open; {timeout}" if due(spec, at) else f"in its window{when}; {timeout}"
    return f"at once; {timeout}" if policy == Restart.NOW else "nobody restarts it: updatePolicy.restart is Never"
