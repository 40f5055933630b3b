"""The last confirmed network: what gets into the file, what stays, and what comes out of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.converge import confirmed, pending
from cell_reconciler.converge.confirmed import Confirmed
from cell_reconciler.converge.undone import Undone
from cell_reconciler.errors import CellError
from cell_reconciler.model.document import Document, document_digest
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Gap, Live, Source
from cell_reconciler.planning.policy import IgnoreFields
from tests.livelinks import bridge, live
from tests.network import document

MGMT = document("Bridge/br-MGMT", {"uplink": "eno1", "addresses": ["10.9.0.2/24"], "mtu": 9000})
VMS = document("Bridge/br-VM", {"uplink": "eno2"})
NOBODY: tuple[IgnoreFields, ...] = ()


def both(*documents: Document) -> dict[Key, Document]:
    return {doc.key: doc for doc in documents}


def keep(state: Path, documents: dict[Key, Document], *in_sync: Document, seen: Live | None = None) -> list[str]:
    known = Confirmed(state, "h1")
    known.take(documents, [doc.key for doc in in_sync], seen or live(bridge("br-MGMT"), bridge("br-VM")), NOBODY)
    known.keep(documents)
    found = confirmed.load(state)
    return [str(entry.key) for entry in found.documents] if found else []


def test_what_is_in_sync_comes_back_as_it_was_declared(tmp_path: Path) -> None:
    settings = document("Reconciler/settings", {})
    derived = document(
        "Bridge/br-VM.101", {"uplink": "eno2", "vlan": 101}, derived_from=(Key("VirtualMachine", "web"),)
    )
    adopted = document("Bridge/br-OLD", {"mtu": 1400}, adopt=True)
    documents = both(MGMT, derived, adopted, settings)
    keep(tmp_path, documents, *documents.values())
    found = confirmed.load(tmp_path)
    assert found is not None
    assert found.host == "h1"
    back = {entry.key: entry.document("network.json") for entry in found.documents}
    assert back.keys() == {MGMT.key, derived.key, adopted.key}, "settings are no network"
    for key, doc in back.items():
        assert (doc.spec, doc.given, doc.adopts, doc.derived_from) == (
            documents[key].spec,
            documents[key].given,
            documents[key].adopts,
            documents[key].derived_from,
        )


def test_what_is_not_in_sync_keeps_its_last_confirmed_version(tmp_path: Path) -> None:
    keep(tmp_path, both(MGMT, VMS), MGMT, VMS)
    moved = document("Bridge/br-MGMT", {"uplink": "eno9"})
    assert keep(tmp_path, both(moved, VMS), VMS) == ["Bridge/br-MGMT", "Bridge/br-VM"]
    found = confirmed.load(tmp_path)
    assert found is not None
    assert found.documents[0].spec["uplink"] == "eno1"


def test_what_is_declared_no_more_goes_with_its_link(tmp_path: Path) -> None:
    keep(tmp_path, both(MGMT, VMS), MGMT, VMS)
    assert keep(tmp_path, both(MGMT), MGMT) == ["Bridge/br-MGMT", "Bridge/br-VM"]
    silent = Live(host="h1", gaps=(Gap(Source.NETLINK, "it hangs"),))
    assert keep(tmp_path, both(MGMT), MGMT, seen=silent) == ["Bridge/br-MGMT", "Bridge/br-VM"]
    assert keep(tmp_path, both(MGMT), MGMT, seen=live(bridge("br-MGMT"))) == ["Bridge/br-MGMT"]


def test_it_is_written_only_when_it_is_another_one(tmp_path: Path) -> None:
    keep(tmp_path, both(MGMT), MGMT)
    before = os.stat(confirmed.network_path(tmp_path))
    again = document("Bridge/br-MGMT", MGMT.given["spec"])
    keep(tmp_path, both(again), again)
    assert os.stat(confirmed.network_path(tmp_path)).st_ino == before.st_ino
    assert before.st_mode & 0o777 == 0o600


def test_ignore_rules_of_the_settings_are_in_it(tmp_path: Path) -> None:
    known = Confirmed(tmp_path, "h1")
    rule = IgnoreFields(kind="Bridge", fields=("/spec/mtu",))
    known.take(both(MGMT), [MGMT.key], live(bridge("br-MGMT")), (rule,))
    assert known.file().documents[0].document("x").ignored == ("/spec/mtu",)
    known.take(both(MGMT), [MGMT.key], live(bridge("br-MGMT")), NOBODY)
    assert known.file().documents[0].document("x").ignored == ()


def test_a_disk_that_cannot_be_written_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Confirmed(tmp_path, "h1")
    known.take(both(MGMT), [MGMT.key], live(bridge("br-MGMT")), NOBODY)

    def full(path: Path, data: bytes) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pending, "write", full)
        known.keep(both(MGMT))
    assert confirmed.load(tmp_path) is None
    known.keep(both(MGMT))
    assert confirmed.load(tmp_path) is not None


def test_a_file_that_cannot_be_read_is_told_and_written_anew(tmp_path: Path) -> None:
    confirmed.network_path(tmp_path).write_text("{")
    with pytest.raises(CellError, match="cannot be read"):
        confirmed.load(tmp_path)
    assert keep(tmp_path, both(MGMT), MGMT) == ["Bridge/br-MGMT"]


def test_what_was_undone_is_remembered_until_its_document_changes(tmp_path: Path) -> None:
    digests = {str(MGMT.key): document_digest(MGMT)}
    Undone(tmp_path).remember(digests)
    other: dict[str, Any] = {"heed": True}
    assert Undone(tmp_path).among(both(MGMT, VMS)) == frozenset(), "a person may try again"
    assert Undone(tmp_path, **other).among(both(MGMT, VMS)) == {MGMT.key}
    assert not Undone(tmp_path, **other).among(both(document("Bridge/br-MGMT", {"uplink": "eno2"})))
    Undone(tmp_path).forget([MGMT.key])
    assert not Undone(tmp_path, **other).among(both(MGMT))
