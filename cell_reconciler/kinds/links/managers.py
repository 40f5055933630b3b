"""Other programs that manage links. Two managers of one link undo each other's work, so we keep off theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cell_reconciler.kinds.contract import World
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.live import Manager

REASON = "ManagedElsewhere"


def managed(nic: str, world: World, for_: str) -> Refusal | None:
    """Why this link must not be taken, None if it may. ``for_``: what for, ``a member of bond-MGMT``."""
    manager = world.live.managers.get(nic)
    if manager is None:
        return None
    return Refusal(
        reason=REASON,
        message=f"{nic} is managed by {said(manager)}: as {for_} it would have two masters",
        advice=remedy(nic, manager),
    )


def also_managed(links: Iterable[str], world: World) -> Iterator[Condition]:
    """A warning (one) when links that a document is about are managed by another program as well."""
    for name in links:
        manager = world.live.managers.get(name)
        if manager is not None:
            yield Condition(
                type=REASON,
                status=Truth.TRUE,
                reason=REASON,
                message=f"{name} is also managed by {said(manager)}; {remedy(name, manager)}",
            )
            return


def said(manager: Manager) -> str:
    """``NetworkManager (profile 'Office LAN', /etc/…)``."""
    return f"{manager.name} ({manager.detail})" if manager.detail else manager.name


def remedy(nic: str, manager: Manager) -> str:
    """What makes that program let go of a link without losing its addresses: each was tried on a running system.

    NetworkManager: the configuration alone would make its next reload take the link down; said to the device first,
    the link keeps all. systemd-networkd: a reload takes the addresses away, a restart does not.
    """
    file = manager.detail
    match manager.name:
        case "NetworkManager":
            return (
                f"first 'nmcli device set {nic} managed no', then, so that it lasts, a file in "
                f"/etc/NetworkManager/conf.d with [keyfile] and unmanaged-devices=interface-name:{nic}"
            )
        case "systemd-networkd":
            return (
                f"write Unmanaged=yes into the [Link] section of {file} (or of a file before it that matches {nic} "
                "alone), then 'systemctl restart systemd-networkd' (a reload would take its addresses away)"
            )
        case "netplan":
            source, _, by = file.partition(", by ")
            free = "systemctl restart systemd-networkd"
            if by == "NetworkManager":
                free = f"nmcli device set {nic} managed no"
            return f"take {nic} out of {source}, then 'netplan generate' and '{free}' (not 'netplan apply': it reloads)"
        case "ifupdown" | "ifupdown2":
            return f"take {nic} out of its stanza: {file}; do not run ifdown for it, which takes it down"
        case _:
            return f"make {manager.name} leave {nic} alone"
