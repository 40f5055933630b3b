"""Documents taken together: placement, patches, the kinds' rules, derived documents, references."""

from __future__ import annotations

from pathlib import Path

import pytest

from cell_reconciler.load import Specs, load_files
from cell_reconciler.model.document import Loaded
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Gap, Link, Live, Source

pytestmark = pytest.mark.usefixtures("toy")


def toy(name: str, spec: str = "", labels: str = "") -> str:
    spec = spec if "colour" in spec else ", ".join(filter(None, ("colour: red", spec)))
    return f"---\napiVersion: cell/v1\nkind: Toy\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec: {{{spec}}}\n"


def host(name: str, labels: str = "") -> str:
    return f"---\napiVersion: cell/v1\nkind: Host\nmetadata: {{name: {name}, labels: {{{labels}}}}}\nspec: {{}}\n"


def link(name: str) -> Link:
    return Link(
        name=name, index=1, kind=None, mac="", permanent_mac=None, mtu=1500, up=True, carrier=True, master=None,
        parent=None, group=0, alias=None,
    )  # fmt: skip


class Folder:
    def __init__(self, root: Path, host: str | None = "h") -> None:
        self.root = root
        self.specs = Specs([str(root)], host)

    def write(self, *texts: str, file: str = "a.yaml") -> None:
        (self.root / file).write_text("".join(texts))

    def scan(self, live: Live | None = None) -> Loaded:
        return self.specs.scan(live)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def found(loaded: Loaded) -> list[str]:
    """``line:col severity rule`` of every finding."""
    return [f"{d.position.line}:{d.position.column} {d.severity} {d.rule}" for d in loaded.diagnostics]


def toys(loaded: Loaded) -> list[str]:
    return sorted(key.name for key in loaded.documents if key.kind == "Toy")


def test_placement(folder: Folder) -> None:
    folder.write(
        host("h", "site: seoul"),
        toy("everywhere"),
        toy("here", "hosts: [g, h]"),
        toy("there", "hosts: [g]"),
        toy("selected", "hostSelector: {matchLabels: {site: seoul}}"),
        toy("unselected", "hostSelector: {matchLabels: {site: seoul, rack: '1'}}"),
    )
    loaded = folder.scan()
    assert loaded.complete
    assert toys(loaded) == ["everywhere", "here", "selected"]
    assert loaded.elsewhere == {Key("Toy", "there"), Key("Toy", "unselected")}


def test_a_selector_without_a_host_document_is_said(folder: Folder) -> None:
    folder.write(toy("selected", "hostSelector: {matchLabels: {site: seoul}}"))
    assert found(folder.scan()) == ["2:1 warning host-selector"]


def test_the_labels_of_the_host_select_anew(folder: Folder) -> None:
    folder.write(toy("selected", "hostSelector: {matchLabels: {site: seoul}}"))
    folder.write(host("h"), file="h.yaml")
    assert toys(folder.scan()) == []
    folder.write(host("h", "site: seoul"), file="h.yaml")
    assert toys(folder.scan()) == ["selected"]


def test_a_merge_patch_as_rfc_7386_has_it(folder: Folder) -> None:
    patch = "perHost: {h: {colour: null, tags: {a: null, c: z}, parts: [{name: x}]}, g: {colour: blue}}"
    folder.write(toy("t", "colour: red, tags: {a: x, b: y}, parts: [{name: p}, {name: q}], " + patch))
    loaded = folder.scan()
    assert [d.message for d in loaded.diagnostics] == ["spec has no 'colour'"]
    folder.write(
        toy(
            "t",
            "colour: red, tags: {a: x, b: y}, parts: [{name: p}, {name: q}], " + patch.replace("null, t", "green, t"),
        )
    )
    document = folder.scan().documents[Key("Toy", "t")]
    assert (document.spec.colour, document.spec.tags) == ("green", {"b": "y", "c": "z"})
    assert [part.name for part in document.spec.parts] == ["x"]
    assert document.given["spec"]["tags"] == {"b": "y", "c": "z"}


def test_the_place_of_a_patched_value_is_in_the_patch(folder: Folder) -> None:
    text = "colour: red\n  perHost:\n    h:\n      main: {name: UPPER}\n"
    folder.write("apiVersion: cell/v1\nkind: Toy\nmetadata: {name: t}\nspec:\n  " + text)
    (finding,) = folder.scan().diagnostics
    assert (finding.position.line, finding.position.column, finding.rule) == (8, 20, "pattern")


def test_required_fields_may_come_from_the_patch_alone(folder: Folder) -> None:
    spec = "spec: {hosts: [h, g], perHost: {h: {colour: red}, g: {colour: blue}}}\n"
    text = "apiVersion: cell/v1\nkind: Toy\nmetadata: {name: t}\n" + spec
    folder.write(text)
    assert folder.scan().complete
    assert Folder(folder.root, None).scan().complete
    folder.write(text.replace("hosts: [h, g]", "hosts: [h, g, i]"))
    assert [d.rule for d in Folder(folder.root, None).scan().diagnostics] == ["required"], "there is none for i"


def test_documents_of_other_hosts_are_validated_too(folder: Folder) -> None:
    folder.write(toy("t", "hosts: [g], count: 0"))
    assert found(folder.scan()) == ["5:40 error limit"]


def test_the_same_key_on_disjoint_hosts_is_no_duplicate(folder: Folder) -> None:
    folder.write(toy("t", "hosts: [h]"), toy("t", "hosts: [g]"))
    assert folder.scan().complete
    assert Folder(folder.root, None).scan().complete
    folder.write(toy("t", "hosts: [h]"), toy("t", "hosts: [g, h]"))
    for place in (folder, Folder(folder.root, None), Folder(folder.root, "h")):
        assert found(place.scan()) == ["2:1 error duplicate-key", "7:1 error duplicate-key"]
    assert Folder(folder.root, "g").scan().complete


def test_problems_of_a_kind_have_their_place(folder: Folder) -> None:
    folder.write(toy("x", "colour: bad"), toy("y", "colour: grey"))
    loaded = folder.scan()
    assert found(loaded) == ["5:16 error toy-colour", "10:16 warning toy-dull"]
    assert toys(loaded) == ["y"]


def test_a_document_that_a_kind_refuses_keeps_its_last_good_version(folder: Folder) -> None:
    folder.write(toy("x"), toy("y", "box: red"))
    folder.scan()
    folder.write(toy("x", "colour: bad"), toy("y", "box: red"))
    loaded = folder.scan()
    assert loaded.documents[Key("Toy", "x")].spec.colour == "red"
    assert loaded.stale == {Key("Toy", "x")}
    assert Key("Toy", "box") in loaded.documents


def test_derived_documents_are_merged(folder: Folder) -> None:
    folder.write(toy("x", "box: red"), toy("y", "box: red"))
    box = folder.scan().documents[Key("Toy", "box")]
    assert box.derived_from == (Key("Toy", "x"), Key("Toy", "y"))
    assert box.position.line == 2


def test_conflicting_derived_documents_name_both(folder: Folder) -> None:
    folder.write(toy("x", "box: red"), toy("y", "box: blue"))
    loaded = folder.scan()
    assert found(loaded) == ["2:1 error derived-conflict", "7:1 error derived-conflict"]
    assert "Toy/y" in loaded.diagnostics[0].message
    assert "a.yaml:7:1" in loaded.diagnostics[0].message
    assert toys(loaded) == []


def test_an_explicit_document_wins_over_derived_ones(folder: Folder) -> None:
    folder.write(toy("x", "box: red"), toy("y", "box: blue"), toy("box", "colour: green"))
    loaded = folder.scan()
    assert loaded.complete
    assert loaded.documents[Key("Toy", "box")].spec.colour == "green"
    assert loaded.documents[Key("Toy", "box")].derived_from == ()


def test_a_derived_document_goes_with_its_last_user(folder: Folder) -> None:
    folder.write(toy("x", "box: red"))
    assert toys(folder.scan()) == ["box", "x"]
    folder.write(toy("x"))
    assert toys(folder.scan()) == ["x"]


def test_the_last_good_version_still_derives(folder: Folder) -> None:
    folder.write(toy("x", "box: red"))
    folder.scan()
    folder.write("kind: [")
    loaded = folder.scan()
    assert toys(loaded) == ["box", "x"]
    assert loaded.stale == {Key("Toy", "x")}


@pytest.mark.parametrize(
    ("live", "severity", "text"),
    [
        (None, "warning", "Toy/wheele is not declared; did you mean 'wheel'?"),
        (Live(host="h"), "error", "Toy/wheele is not declared and does not exist on the host; did you mean 'wheel'?"),
        (
            Live(host="h", gaps=(Gap(Source.NETLINK, "gone"),)),
            "warning",
            "Toy/wheele is not declared, and it cannot be seen whether it exists; did you mean 'wheel'?",
        ),
        (Live(host="h", gaps=(Gap(Source.CEPH, "gone"),)), "error", None),
        (Live(host="h", links={"wheele": link("wheele")}), None, None),
    ],
    ids=["offline", "absent", "unknown", "other gap", "exists"],
)
def test_references(folder: Folder, live: Live | None, severity: str | None, text: str | None) -> None:
    folder.write(toy("car", "needs: [wheel, wheele, box], box: red"), toy("wheel"))
    loaded = folder.scan(live)
    assert found(loaded) == ([f"5:36 {severity} reference"] if severity else [])
    if text:
        assert loaded.diagnostics[0].message == text
    assert ("car" in toys(loaded)) == (severity != "error")


def test_references_follow_the_host_without_a_change_of_files(folder: Folder) -> None:
    folder.write(toy("car", "needs: [eth0]"))
    there, gone = Live(host="h", links={"eth0": link("eth0")}), Live(host="h")
    first = folder.scan(there)
    assert first.complete
    assert folder.scan(there) is first
    lost = folder.scan(gone)
    assert [d.rule for d in lost.diagnostics] == ["reference"]
    assert (toys(lost), lost.stale) == (["car"], {Key("Toy", "car")}), "what was good stays in force"
    assert folder.scan(there).complete


def test_what_an_invalid_file_declares_is_not_reported_as_missing(folder: Folder) -> None:
    folder.write(toy("car", "needs: [wheel]"))
    folder.write(toy("wheel", "colour: 5"), file="w.yaml")
    assert [d.rule for d in folder.scan(Live(host="h")).diagnostics] == ["type"]


def test_without_a_host_every_named_host_is_looked_at(folder: Folder) -> None:
    folder.write(
        toy("car", "needs: [wheel]"),
        toy("wheel", "hosts: [g]"),
        toy("wheel", "hosts: [h], perHost: {h: {colour: bad}}"),
    )
    loaded = Folder(folder.root, None).scan()
    assert found(loaded) == ["15:42 error toy-colour"]
    assert [d.rule for d in load_files([str(folder.root)], "i").diagnostics] == ["reference"]
