"""While a settings document is invalid and no version of it was ever good, nothing may be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from cell_reconciler.load import Specs
from cell_reconciler.model.live import Live
from cell_reconciler.planning import Policy, make_plan

HOST = "apiVersion: cell/v1\nkind: Host\nmetadata: {name: h1}\nspec: {domainType: qemu}\n"
RECONCILER = "apiVersion: cell/v1\nkind: Reconciler\nmetadata: {name: settings}\nspec: {allow: none}\n"
BRIDGE = "apiVersion: cell/v1\nkind: Bridge\nmetadata: {name: br-X}\nspec: {}\n"

DOUBTFUL = {
    "field": HOST.replace("domainType", "domainTyp"),
    "value": HOST.replace("qemu", "xen"),
    "kind": HOST.replace("Host", "Hots"),
    "version": HOST.replace("cell/v1", "cell/v2"),
    "syntax": HOST + "  {{{{",
    "syntax before": "{{{{\n---\n" + HOST,
    "reconciler": RECONCILER.replace("none", "blop"),
    "in one file with others": BRIDGE.replace("br-X", "br-Y") + "---\n" + RECONCILER.replace("none", "blop"),
    "two that count": RECONCILER + "---\n" + RECONCILER.replace("settings", "others"),
    "twice": HOST + "---\n" + HOST,
}
HARMLESS = {
    "another host": HOST.replace("h1", "h2").replace("domainType", "domainTyp"),
    "reconciler of another host": RECONCILER.replace("none", "blop, hosts: [h2]"),
    "reconciler selected elsewhere": RECONCILER.replace("none", "none, hostSelector: {matchLabels: {a: b}}"),
    "another kind": BRIDGE.replace("spec: {}", "spec: {mtuu: 1}").replace("br-X", "br-Z"),
    "syntax of something else": "{{{{",
    "nothing": "",
}


def known(root: Path) -> bool:
    return Specs([str(root)], "h1").scan().settings_known


@pytest.mark.parametrize("text", DOUBTFUL.values(), ids=DOUBTFUL)
def test_a_doubtful_settings_document_is_noticed(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(BRIDGE)
    assert not known(tmp_path)


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS)
def test_what_does_not_concern_the_settings_of_this_host_stops_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(BRIDGE)
    assert known(tmp_path)


def test_the_last_good_version_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(HOST)
    specs = Specs([str(tmp_path)], "h1")
    assert specs.scan().settings_known
    for text in (HOST.replace("qemu", "xen"), HOST + "{{{{", "{{{{\n" + HOST):
        path.write_text(text)
        loaded = specs.scan()
        assert not loaded.complete
        assert loaded.settings_known
        assert loaded.stale


def test_nothing_is_done_while_they_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(BRIDGE)
    good = Specs([str(tmp_path)], "h1").scan()
    assert [s.op for s in make_plan("h1", good, Live(host="h1"), Policy()).steps] == ["bridge.create"]
    (tmp_path / "a.yaml").write_text(HOST.replace("qemu", "xen"))
    bad = Specs([str(tmp_path)], "h1").scan()
    plan = make_plan("h1", bad, Live(host="h1"), Policy())
    assert plan.steps == ()
    (refusal,) = next(c for c in plan.changes if c.key.name == "br-X").refused
    assert (refusal.reason, refusal.waiting) == ("SettingsInvalid", True)
