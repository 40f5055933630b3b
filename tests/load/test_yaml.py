"""Strict YAML: what it reads as PyYAML does, what it reads as YAML 1.2 does, and what it refuses, with its place."""

from __future__ import annotations

import string
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cell_reconciler.load import yaml_events
from cell_reconciler.load.tree import locate, split
from cell_reconciler.load.yaml_events import parse

SCALARS = {
    "52:54:00:12:34:56": "52:54:00:12:34:56",
    "10:00": "10:00",
    "0644": "0644",
    "010": "010",
    "on": "on",
    "no": "no",
    "1e3": "1e3",
    ".5": ".5",
    "1_000": "1_000",
    "2024-01-01": "2024-01-01",
    "0b11": "0b11",
    ".inf": ".inf",
    "=": "=",
    "0": 0,
    "-12": -12,
    "+3": 3,
    "0x1F": 31,
    "0o17": 15,
    "1.10": 1.1,
    "-0.5": -0.5,
    "true": True,
    "False": False,
    "null": None,
    "~": None,
    "": None,
    '"12"': "12",
    "'true'": "true",
}

# bytes → the rules and places that are found, all of them
HOSTILE: dict[str, tuple[bytes, list[str]]] = {
    "brackets": (b"[" * 500, ["1:51 depth"]),
    "sequences in sequences": (b"- " * 50_000 + b"x", ["1:101 depth"]),
    "braces": (b"{" * 500, ["1:2 key-type"]),
    "mappings in mappings": (b"{a: " * 60, ["1:201 depth"]),
    "explicit keys": (b"? " * 50_000, ["1:3 key-type"]),
    "quotes": (b'"' * 100_001, ["1:3 syntax"]),
    "billion laughs": (b"a: &a [x, x]\nb: [*a, *a]\n", ["1:4 anchor", "2:5 alias", "2:9 alias"]),
    "merge key": (b"a: {x: 1}\n<<: {y: 2}\n", ["2:1 merge-key"]),
    "python object": (b"a: !!python/object/apply:os.system [ls]\n", ["1:4 tag"]),
    "local tag": (b"a: !x 1\nb: !!str 2\nc: ! 3\n", ["1:4 tag", "2:4 tag", "3:4 tag"]),
    "duplicate key": (b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n", ["4:3 duplicate-key", "5:1 duplicate-key"]),
    "duplicate by quoting": (b'a: 1\n"a": 2\n', ["2:1 duplicate-key"]),
    "key types": (b"5: a\ntrue: b\n~: c\n1.5: d\n", ["1:1 key-type", "2:1 key-type", "3:1 key-type", "4:1 key-type"]),
    "list as key": (b"? [a]\n: b\n", ["1:3 key-type"]),
    "NUL": (b"a: \x00\n", ["1:4 control-character"]),
    "NUL by escape": (b'a: "\\0"\n', ["1:4 control-character"]),
    "escape character": (b'a: "x\\e[31m"\n', ["1:4 control-character"]),
    "latin-1": (b"a: b\nc: caf\xe9\n", ["2:7 encoding"]),
    "UTF-16": ("a: b\n".encode("utf-16"), ["1:1 encoding"]),
    "surrogate": (b"a: \xed\xa0\x80\n", ["1:4 encoding"]),
    "tab": (b"a:\n\tb: 1\n", ["2:1 syntax"]),
    "unclosed": (b"a: [1, 2\n", ["2:1 syntax"]),
    "too large": (b"#" * (1 << 20) + b"\n", ["1:1 file-size"]),
    "many documents": (b"a: 1\n---\n" * 1001, ["2001:1 too-many-documents"]),
    "huge number": (b"a: " + b"9" * 100_000 + b"\nb: 0x" + b"f" * 999 + b"\n", ["1:4 number", "2:4 number"]),
    "errors in three documents": (
        b"a: [\n---\nb: 1\nb: 2\n---\nc: {\n---\nd: 1\n",
        ["2:1 syntax", "4:1 duplicate-key", "7:1 syntax"],
    ),
}


@pytest.mark.parametrize("opening", ["[", "{"])
def test_deeper_than_the_parser_itself_reads(opening: str) -> None:
    (error,) = parse(opening.encode() * 100_000, "f").errors
    assert error.rule in ("depth", "key-type"), "which one depends on the version of libyaml"


def value_of(text: str) -> Any:
    parsed = parse(text.encode(), "f")
    assert not parsed.errors
    return parsed.documents[0].value


@pytest.mark.parametrize(("text", "value"), SCALARS.items())
def test_scalars_follow_yaml_1_2(text: str, value: Any) -> None:
    read = value_of(f"a: {text}\n")["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("pure", [False, True], ids=["libyaml", "pure"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_with_a_place(name: str, pure: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if pure:
        monkeypatch.setattr(yaml_events, "_Loader", yaml.SafeLoader)
    data, wanted = HOSTILE[name]
    found = [f"{e.position.line}:{e.position.column} {e.rule}" for e in parse(data, "f").errors]
    assert [word.split()[1] for word in found] == [word.split()[1] for word in wanted]
    if not pure:  # the two parsers notice a syntax error at different characters
        assert found == wanted


def test_a_duplicate_names_both_places() -> None:
    (error,) = parse(b"spec:\n  vlan: 1\n  mtu: 2\n  vlan: 3\n", "f.yaml").errors
    assert str(error) == "f.yaml:4:3: error [duplicate-key] 'vlan' is given twice (first at 2:3)"


def test_reading_goes_on_after_an_error() -> None:
    parsed = parse(b"a: [\n---\nb: 1\n", "f")
    assert [(d.value, d.intact) for d in parsed.documents] == [({"a": []}, False), ({"b": 1}, True)]
    assert parsed.documents[1].position(parsed.documents[1].start).line == 3


def test_limits_are_inclusive() -> None:
    fifty = b"[" * 50 + b"]" * 50
    assert not parse(fifty, "f").errors
    assert not parse(b"a: 1\n---\n" * 1000, "f").errors
    assert not parse(b"a: 1\n".ljust(1 << 20, b"#"), "f").errors


def test_positions_of_values_and_keys() -> None:
    (raw,) = parse(b"# c\nspec:\n  disks:\n    - {name: root, size: 8GiB}\n    - name: data\n", "f").documents
    assert str(locate(raw, split("/spec/disks/0/size"))) == "f:4:26"
    assert str(locate(raw, split("/spec/disks/0/size"), key=True)) == "f:4:20"
    assert str(locate(raw, split("/spec/disks/1/name"))) == "f:5:13"
    assert str(locate(raw, split("/spec/disks/1/gone/deep"))) == "f:5:7", "the nearest place above"


def test_empty_documents_are_none() -> None:
    for text in (b"", b"# only a comment\n", b"---\n---\n", b"\xef\xbb\xbf"):
        assert parse(text, "f") == yaml_events.Parsed([], [])


WORDS = st.text(string.ascii_letters + "_-/", min_size=1, max_size=8).filter(
    lambda w: yaml.safe_load(w) == w and w not in ("null", "true", "false", "---", "-", "~")
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(WORDS, PLAIN, min_size=1, max_size=5), st.booleans())
def test_safe_documents_read_as_pyyaml_reads_them(value: dict[str, Any], flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    parsed = parse(text.encode(), "f")
    if any(e.rule == "control-character" for e in parsed.errors):
        return  # refused on purpose
    assert not parsed.errors
    assert parsed.documents[0].value == yaml.safe_load(text)


SNIPPETS = [
    b"a: ",
    b"- ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\n",
    b"  ",
    b"&x ",
    b"*x",
    b"!!int ",
    b"---\n",
    b"? ",
    b": ",
    b'"',
    b"'",
]
SNIPPETS += [
    b"|\n",
    b">-\n",
    b"\t",
    b"#",
    b"%YAML 9\n",
    b"\xff",
    b"\xc2\x85",
    b"\\u",
    b"<<: ",
    b"...\n",
    b"\x00",
    b"\r",
    b"1",
    b"@",
]


@pytest.mark.parametrize("pure", [False, True], ids=["libyaml", "pure"])
@given(data=st.binary(max_size=200) | st.lists(st.sampled_from(SNIPPETS), max_size=40).map(b"".join))
def test_no_bytes_make_it_raise(pure: bool, data: bytes) -> None:
    kept = yaml_events._Loader
    yaml_events._Loader = yaml.SafeLoader if pure else kept
    try:
        parsed = parse(data, "f")
    finally:
        yaml_events._Loader = kept
    lines = data.count(b"\n") + data.count(b"\r") + data.count(b"\x85") + 2
    for error in parsed.errors:
        assert 1 <= error.position.line <= lines
        assert "\n" not in str(error)
    for raw in parsed.documents:
        assert raw.position(raw.start).column >= 1
