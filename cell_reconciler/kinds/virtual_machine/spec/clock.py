"""The fields of a VM's clock."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from cell_reconciler.kinds.virtual_machine.codec import clock
from cell_reconciler.model.fields import UNSET, Effect, Spec, UnsetType, doc

ZONE = r"^(utc|localtime|[A-Za-z]+(/[A-Za-z0-9_+-]+){1,2})$"


class RtcTickPolicy(StrEnum):
    CATCHUP = "catchup"  # lost ticks are made up for
    DELAY = "delay"  # they come late


class PitTickPolicy(StrEnum):
    DELAY = "delay"
    CATCHUP = "catchup"
    DISCARD = "discard"  # lost ticks are lost


class Clock(Spec, frozen=True, kw_only=True):
    """Time in the guest."""

    offset: (
        Annotated[
            str,
            doc(
                "What the guest's clock shows when it starts: `utc`, `localtime` of the host, or a time zone such as "
                "`Asia/Seoul`. Default: by `guestOS`, `localtime` for Windows and DOS, otherwise `utc`.",
                Effect.RESTART,
                max_length=64,
                pattern=ZONE,
                examples=["utc", "localtime", "Asia/Seoul"],
                xml=clock.Offset(),
            ),
        ]
        | UnsetType
    ) = UNSET
    kvm_clock: Annotated[
        bool, doc("Offer the guest KVM's own clock.", Effect.RESTART, xml=clock.Present("kvmclock", unsaid=True))
    ] = True
    hyperv_clock: (
        Annotated[
            bool,
            doc(
                "Offer the guest Hyper-V's reference time. Default: by `guestOS`, on for Windows, otherwise off.",
                Effect.RESTART,
                xml=clock.Present("hypervclock", unsaid=False),
            ),
        ]
        | UnsetType
    ) = UNSET
    hpet: Annotated[
        bool,
        doc(
            "A High Precision Event Timer, which costs the host time.",
            Effect.RESTART,
            xml=clock.Present("hpet", unsaid=True),
        ),
    ] = False
    rtc_tick_policy: Annotated[
        RtcTickPolicy,
        doc(
            "Ticks of the RTC that the guest did not take in time: `catchup` (they follow faster) or `delay`.",
            Effect.RESTART,
            xml=clock.TickPolicy("rtc", unsaid="delay"),
        ),
    ] = RtcTickPolicy.CATCHUP
    pit_tick_policy: Annotated[
        PitTickPolicy,
        doc(
            "Ticks of the PIT that the guest did not take in time: `delay`, `catchup` or `discard`.",
            Effect.RESTART,
            xml=clock.TickPolicy("pit", unsaid="catchup"),
        ),
    ] = PitTickPolicy.DELAY
