"""The fields that say when a running VM may be restarted for a change that needs it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.model.fields import Effect, Spec, doc
from cell_reconciler.model.quantities import Duration


class Restart(StrEnum):
    """When may a running VM be restarted for a change that needs it?"""

    NEVER = "Never"  # nobody but you does it
    NEXT_BOOT = "NextBoot"  # when its guest reboots or shuts down by itself
    WINDOW = "Window"  # in a maintenance window
    NOW = "Now"


class MachineChange(StrEnum):
    """May an existing VM get another board?"""

    KEEP = "Keep"
    CHANGE = "Change"  # for the next start


class Day(StrEnum):
    MON = "Mon"
    TUE = "Tue"
    WED = "Wed"
    THU = "Thu"
    FRI = "Fri"
    SAT = "Sat"
    SUN = "Sun"


class Window(Spec, frozen=True, kw_only=True):
    """A maintenance window: it opens on these days at this time of the clock."""

    days: Annotated[
        tuple[Day, ...], doc("Days of the week on which it opens.", Effect.POLICY, min_length=1, examples=[["Sat"]])
    ] = tuple(Day)
    start: Annotated[
        str,
        doc("When it opens: hours and minutes.", Effect.POLICY, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$"),
    ]
    duration: Annotated[
        Duration,
        doc("How long restarts may begin: from `5m` to `24h`. A restart that began is finished.", Effect.POLICY),
    ]
    time_zone: Annotated[
        str,
        doc(
            "Whose clock: a name of the tz database.",
            Effect.POLICY,
            pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,60}$",
            examples=["Europe/Berlin", "Asia/Seoul"],
        ),
    ] = "UTC"


class UpdatePolicy(Spec, frozen=True, kw_only=True):
    """What a change may do to the running VM."""

    restart: Annotated[
        Restart,
        doc(
            "When a change that needs a restart takes effect. `Never`: when somebody restarts the VM. `NextBoot`: when "
            "its guest reboots. `Window`: in one of `windows`, `Now`: at once; then the VM is shut down and started.",
            Effect.POLICY,
        ),
    ] = Restart.NEVER
    windows: Annotated[
        tuple[Window, ...], doc("Maintenance windows, for `restart: Window`.", Effect.POLICY, max_length=20)
    ] = ()
    machine: Annotated[
        MachineChange,
        doc(
            "When `machine.type` names another board, or another version of it, than the VM has: `Keep` refuses that, "
            "since not every guest boots on another board. `Change` defines it, for the next start.",
            Effect.POLICY,
        ),
    ] = MachineChange.KEEP
