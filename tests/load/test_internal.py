"""A bug of ours that a file or a document meets: it is told there, and everything else counts as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cell_reconciler.kinds.host import HostKind
from cell_reconciler.load import Specs, documents, internal
from cell_reconciler.load.internal import finding
from cell_reconciler.model.key import Key

HOST = "apiVersion: cell/v1\nkind: Host\nmetadata: {name: %s}\nspec: {domainType: %s}\n"
A, B = Key("Host", "a"), Key("Host", "b")


@pytest.fixture
def specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Specs:
    monkeypatch.setattr(internal, "finding", finding)  # as users have it; elsewhere in the tests a bug is raised
    (tmp_path / "a.yaml").write_text(HOST % ("a", "kvm"))
    (tmp_path / "b.yaml").write_text(HOST % ("b", "kvm"))
    return Specs([str(tmp_path)], "a")


def fails_for(word: str, original: Any) -> Any:
    def failing(first: Any, *more: Any) -> Any:
        if word in str(first):
            raise OverflowError("int too large\nto convert")
        return original(first, *more)

    return failing


def test_a_file_that_a_bug_meets_keeps_its_last_good_version(
    specs: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert specs.scan().complete
    monkeypatch.setattr(documents, "read", fails_for("qemu", documents.read))
    (tmp_path / "a.yaml").write_text(HOST % ("a", "qemu"))
    (tmp_path / "b.yaml").write_text(HOST % ("b", "kvm") + "---\n" + HOST % ("c", "kvm"))
    loaded = specs.scan()
    [found] = loaded.diagnostics
    assert str(found.position).startswith(f"{tmp_path}/a.yaml:1")
    assert found.message.startswith("internal error: OverflowError: int too large to convert (test_internal.py:")
    assert sorted(key.name for key in loaded.documents) == ["a", "b", "c"]
    assert str(loaded.documents[A].spec.domain_type) == "kvm"
    assert loaded.stale == {A}
    assert loaded.settings_known, "the last good version counts for this too"


def test_a_file_that_a_bug_meets_first_may_hold_settings_if_it_names_them(
    specs: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "read", fails_for("name: a", documents.read))
    loaded = specs.scan()
    assert [found.rule for found in loaded.diagnostics] == ["internal"]
    assert loaded.documents.keys() == {B}
    assert not loaded.settings_known
    (tmp_path / "a.yaml").write_text("name: a")
    assert specs.scan().settings_known


def test_a_document_that_a_rule_dies_of_is_wrong_alone(
    specs: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = HostKind.check

    def check(self: Any, doc: Any, others: Any) -> Any:
        if str(doc.spec.domain_type) == "qemu":
            raise OverflowError("no")
        return original(self, doc, others)

    assert specs.scan().complete
    monkeypatch.setattr(HostKind, "check", check)
    (tmp_path / "a.yaml").write_text("\n" + HOST % ("a", "qemu"))
    loaded = specs.scan()
    assert [(found.rule, found.position.line) for found in loaded.diagnostics] == [("internal", 2)]
    assert loaded.stale == {A}
