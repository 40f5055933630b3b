"""Reconciler: the settings document of the reconciler itself (at most one counts on a host)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.reconciler.spec import ReconcilerSpec
from cell_reconciler.kinds.settings import SettingsKind
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key

PROBES = ("ping", "tcp", "arp", "lacp")


class ReconcilerKind(SettingsKind):
    """See ``kinds.contract.Kind``."""

    name = "Reconciler"
    aliases: tuple[str, ...] = ("settings",)
    spec = ReconcilerSpec

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        for index, probe in enumerate(doc.spec.probes):
            pointer = f"/spec/probes/{index}"
            ways = {name: way for name in PROBES if (way := getattr(probe, name)) is not UNSET}
            if len(ways) != 1:
                message = f"probe {probe.name!r} must have exactly one of {', '.join(PROBES)}"
                yield Problem(pointer=pointer, rule="exactly-one", message=message)
            for name, way in ways.items():
                address = getattr(way, "address", None)
                if address is not None and not _is_address(address):
                    message = f"{address!r} is no IPv4 or IPv6 address: names may not resolve while a change is made"
                    yield Problem(pointer=f"{pointer}/{name}/address", rule="probe-address", message=message)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


KIND = ReconcilerKind()
