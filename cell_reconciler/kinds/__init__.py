"""The kinds: one folder each, and one line in ``KINDS``. No kind imports another.

A kind is looked up by name and imported when it is first needed, so that ``cellctl validate`` of a bridge does not
load the code for VMs, and no kind loads a driver library before it acts.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import cast

from cell_reconciler.errors import UsageError
from cell_reconciler.kinds.contract import Kind
from cell_reconciler.model.live import Live

# kind → module; the order is that of documentation and tables (settings first, then bottom up).
KINDS: dict[str, str] = {
    "Host": "cell_reconciler.kinds.host",
    "Reconciler": "cell_reconciler.kinds.reconciler",
    "Cluster": "cell_reconciler.kinds.cluster",
    "Nic": "cell_reconciler.kinds.nic",
    "Bond": "cell_reconciler.kinds.bond",
    "Vlan": "cell_reconciler.kinds.vlan",
    "Bridge": "cell_reconciler.kinds.bridge",
    "StoragePool": "cell_reconciler.kinds.storage_pool",
    "Volume": "cell_reconciler.kinds.volume",
    "VirtualMachine": "cell_reconciler.kinds.virtual_machine",
}


@cache
def kind(name: str) -> Kind:
    """The kind of this name. Raises KeyError for a name that is none."""
    return cast(Kind, import_module(KINDS[name]).KIND)


# Kind → the parts of an observation where its objects are; nothing there, no objects. Settings have none anywhere.
_PARTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Nic", "Bond", "Vlan", "Bridge"), ("links", "filters")),
    "StoragePool": ("pools", "secrets"),
    "Volume": ("images",),
    "VirtualMachine": ("domains",),
}


def link_kinds() -> frozenset[str]:
    """The kinds whose resources are links: the kernel alone tells everything about them, and makes them."""
    return _LINK_KINDS


_LINK_KINDS = frozenset(name for name, parts in _PARTS.items() if "links" in parts)


def present(live: Live) -> tuple[str, ...]:
    """The kinds that have objects in this observation, ours or not; the code of no other is loaded for that."""
    return tuple(name for name in KINDS if any(getattr(live, part) for part in _PARTS.get(name, ())))


def kind_by_alias(text: str) -> Kind:
    """``vm``, ``virtualmachines``, ``VirtualMachine`` → the kind. Raises UsageError naming the known ones."""
    for name in KINDS:
        if text.lower() in (name.lower(), name.lower() + "s", *kind(name).aliases):
            return kind(name)
    raise UsageError(f"{text!r} is not a kind", f"the kinds are {', '.join(KINDS)}")
