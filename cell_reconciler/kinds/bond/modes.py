"""The modes of a bond, and how an option of the bonding driver is declared."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from cell_reconciler.model.fields import UNSET, Effect, doc

INT_MAX = 2**31 - 1


class BondMode(StrEnum):
    """The seven modes of the kernel's bonding driver, by its own names; the order is that of its numbers."""

    BALANCE_RR = "balance-rr"
    ACTIVE_BACKUP = "active-backup"
    BALANCE_XOR = "balance-xor"
    BROADCAST = "broadcast"
    LACP = "802.3ad"
    BALANCE_TLB = "balance-tlb"
    BALANCE_ALB = "balance-alb"


ALL_MODES = frozenset(BondMode)
LACP_MODES = frozenset({BondMode.LACP})
# One member is active at a time (bond_mode_uses_primary of the kernel's bonding.h).
PRIMARY_MODES = frozenset({BondMode.ACTIVE_BACKUP, BondMode.BALANCE_TLB, BondMode.BALANCE_ALB})
TLB_MODES = frozenset({BondMode.BALANCE_TLB, BondMode.BALANCE_ALB})
# These know by miimon alone whether a member works (bond_mode_uses_arp), so the kernel turns it on for them.
MIIMON_MODES = LACP_MODES | TLB_MODES
ARP_MODES = ALL_MODES - MIIMON_MODES


def _named(modes: Iterable[BondMode]) -> str:
    *most, last = [mode.value for mode in BondMode if mode in frozenset(modes)]
    return f"{', '.join(most)} and {last}" if most else last


def option(
    text: str,
    netlink: str,
    absent: Any,
    change: Effect = Effect.LIVE,
    *,
    modes: frozenset[BondMode] = ALL_MODES,
    since: str = "",
    **more: Any,
) -> Any:
    """Declare an option of the bonding driver.

    ``netlink`` is its name in messages, ``absent`` the value of one that nobody sets (UNSET: it has none), ``since``
    the kernel that brought an option which supported kernels may lack.
    """
    if modes != ALL_MODES:
        text += f" Only in mode{'s' if len(modes) > 1 else ''} {_named(modes)}."
    if since:
        text += f" Kernels from {since} on."
    if absent is not UNSET and absent not in ((), {}):
        text += f" Absent: `{str(absent).lower() if isinstance(absent, bool) else absent}`."
    return doc(text, change, netlink=netlink, absent=absent, modes=modes, since=since, **more)
