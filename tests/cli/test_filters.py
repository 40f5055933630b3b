"""What the command line says about packet filters: doctor, and snapshots that lack them."""

from __future__ import annotations

import sys

import pytest

from cell_reconciler.cli import checks_host, snapshot
from cell_reconciler.drivers import Doors
from cell_reconciler.model.document import Loaded
from cell_reconciler.model.live import Live, Source
from tests.network import document, isolated

INTERNAL = document("Bridge/cloud0", {"mode": "internal"})
NORMAL = document("Bridge/br0")


def loaded(*documents: object) -> Loaded:
    return Loaded(documents={doc.key: doc for doc in documents})  # type: ignore[attr-defined]


def doctor(doors: Doors, *documents: object) -> tuple[str, str, str]:
    (check,) = checks_host.nftables(doors, loaded(*documents))
    return check.result, check.message, check.advice


def test_the_library_is_missed_by_those_who_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nftables", None)  # as if it were not installed
    result, message, advice = doctor(Doors(), INTERNAL)
    assert (result, "python3-nftables is not installed" in message) == ("fail", True)
    assert "apt install python3-nftables" in advice
    assert doctor(Doors(), NORMAL)[0] == "ok"


@isolated
def test_doctor_names_what_is_isolated() -> None:
    doors = Doors()
    assert doctor(doors, INTERNAL)[:2] == ("ok", "isolates no bridge")
    from cell_reconciler.kinds.bridge.filters import filters

    doors.nftables.replace("cloud0", *filters("cloud0"))
    assert doctor(doors, INTERNAL)[:2] == ("ok", "isolates cloud0")


def test_a_snapshot_without_filters_is_unknown_where_they_are_needed() -> None:
    def gaps(live: Live, *documents: object) -> list[Source]:
        return [gap.source for gap in snapshot.complete(live, loaded(*documents).documents).gaps]

    assert gaps(Live(host="h", filters=None), INTERNAL) == [Source.NFTABLES]
    assert gaps(Live(host="h", filters=None), NORMAL) == []
    assert gaps(Live(host="h", filters={}), INTERNAL) == []
