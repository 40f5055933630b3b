"""The topology of a host: what is drawn, what is marked, and each drawing to the byte.

``pytest --golden-update tests/cli/test_graph.py`` writes ``tests/golden/graph``; look at the difference first.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from cell_reconciler.cli import exits
from cell_reconciler.cli.main import main
from cell_reconciler.cli.render import graph_dot, graph_mermaid, graph_text
from cell_reconciler.cli.snapshot import to_json
from cell_reconciler.cli.topology import Edge, Node, State, Topology, around, topology
from cell_reconciler.errors import CellError, UsageError
from cell_reconciler.kinds.world import build
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Gap, Image, Live, Manager, Pool, Source
from tests.livelinks import bond, bridge, link, live, tap, vlan
from tests.network import document, plan_of

GOLDEN = Path(__file__).parents[1] / "golden" / "graph"
HOSTILE = 'a"]; rm -rf \x1b[31m\\ --> b<script>\nx'

VM = """<domain type='kvm'><name>{name}</name><memory unit='KiB'>1048576</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/>
<source file='{disk}'/><target dev='vda' bus='virtio'/></disk>
<interface type='bridge'><mac address='52:54:00:00:00:01'/>
<source bridge='{bridge}'/>{target}<model type='virtio'/></interface>
</devices></domain>"""


def machine(name: str, on: str, disk: str, dev: str | None = None, state: str | None = None) -> Domain:
    xml = VM.format(name=name, bridge=on, disk=disk, target=f"<target dev='{dev}'/>" if dev else "")
    said = state or ("running" if dev else "shutoff")
    return Domain(uuid=name, name=name, state=said, inactive=xml, active=xml if dev else None)


def host() -> Live:
    """A bond of two NICs under an access bridge and a plain one, with VMs, and things of others."""
    links = (
        link("lo"),
        link("eno1", master="bond-VM", mtu=9000),
        link("eno2", master="bond-VM", mtu=9000, carrier=False),
        bond("bond-VM", mtu=9000, master="br-VM"),
        vlan("bond-VM", 101, of="br-VM.101", master="br-VM.101"),
        bridge("br-VM.101"),
        bridge("br-VM", addresses=("10.0.0.11/24",), owned_addresses=("10.0.0.11/24",)),
        bridge("cloud0", carrier=False),
        bridge("virbr0", foreign=True, up=False, carrier=False),
        link("eno3", dynamic_addresses=("192.168.1.7/24",)),
        link("veth7", "veth"),
        tap("vnet0", "br-VM.101"),
        tap("vnet1", "br-VM"),
    )
    domains = (
        machine("web-01", "br-VM.101", "/data/root-01.raw", "vnet0"),
        machine("db-01", "br-VM", "/data/shared.raw", "vnet1"),
        machine("old", "br-VM", "/data/shared.raw"),
        machine("broken", "br-VM", "/dev/sdx", state="crashed"),
    )
    seen = live(*links, domains=domains)
    pool = Pool(name="local", backend="directory", target="/data", exists=True)
    images = [Image(pool="local", name="spare", size=8 << 30), Image(pool="local", name="mine", size=1 << 30, mark="x")]
    return msgspec.structs.replace(
        seen,
        managers={"eno3": Manager(name="NetworkManager", detail="profile 'x'")},
        pools={"local": pool},
        images={f"local/{image.name}": image for image in images},
    )


def wanted() -> list[Document]:
    """What is declared: the MTU of one bridge differs, one bridge is missing with its bond and a NIC of it."""
    return [
        document("Bond/bond-VM", {"members": ["eno1", "eno2"], "mtu": 9000}),
        document("Bridge/br-VM", {"uplink": "bond-VM", "mtu": 9000, "addresses": ["10.0.0.11/24"]}),
        document("Bridge/br-VM.101", {"uplink": "bond-VM", "vlan": 101}),
        document("Bond/bond-PN", {"members": ["ens1f0", "ens1f1"]}),
        document("Bridge/br-PN", {"uplink": "bond-PN"}),
        document(
            "VirtualMachine/new-01", {"memory": {"guest": "1GiB"}, "interfaces": [{"name": "a", "bridge": "br-PN"}]}
        ),
    ]


def drawn(documents: list[Document]) -> Topology:
    seen = host()
    declared = {doc.key: doc for doc in documents}
    return topology(build(seen.host, declared, seen), plan_of(documents, seen) if documents else None)


def words(found: Topology) -> dict[str, list[str]]:
    return {node.name: [state.word for state in node.states] for node in found.nodes}


Same = Callable[[str, Iterator[str]], None]


@pytest.fixture
def same(golden_update: bool) -> Same:
    def check(name: str, lines: Iterator[str]) -> None:
        path, text = GOLDEN / name, "".join(f"{line}\n" for line in lines)
        if golden_update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == text

    return check


CASES = {"live": [], "declared": wanted()}


@pytest.mark.parametrize("case", CASES)
def test_each_drawing(case: str, same: Same) -> None:
    found = drawn(CASES[case])
    same(f"{case}.txt", graph_text.lines(found, color=False))
    same(f"{case}.color.txt", graph_text.lines(found, color=True))
    same(f"{case}.ascii.txt", graph_text.lines(found, color=False, ascii=True))
    same(f"{case}.dot", graph_dot.lines(found))
    same(f"{case}.mmd", graph_mermaid.lines(found))


def test_what_is_marked_without_specs() -> None:
    found = words(drawn([]))
    assert found["eno2"] == ["no-carrier"]
    assert found["virbr0"] == ["down", "foreign"]
    assert found["cloud0"] == [], "a bridge without an uplink has no carrier, and is well"
    assert found["broken"] == ["down", "foreign"]
    assert found["local/spare"] == ["foreign"]
    assert found["local/mine"] == []
    assert "veth7" not in found, "nothing of interest hangs on it"


def test_what_is_marked_with_specs() -> None:
    found = words(drawn(wanted()))
    assert "drift" in found["br-VM"]
    assert found["bond-VM"] == []
    for name in ("bond-PN", "br-PN", "ens1f0", "ens1f1", "new-01"):
        assert "missing" in found[name], name


def test_the_chain_from_the_wire_to_the_data() -> None:
    edges = {(edge.below, edge.above) for edge in drawn([]).edges}
    chain = ("link:eno1", "link:bond-VM", "link:bond-VM.101", "link:br-VM.101", "link:vnet0", "vm:web-01")
    assert {*pairwise(chain), ("vm:web-01", "volume:/data/root-01.raw")} <= edges


def test_a_vm_that_does_not_run_is_drawn_on_its_bridge_as_defined() -> None:
    assert Edge("link:br-VM", "vm:old", False) in drawn([]).edges
    assert Edge("link:br-VM", "vm:db-01", False) not in drawn([]).edges


def test_what_is_shared_is_shown_once() -> None:
    text = list(graph_text.lines(drawn([]), color=False))
    assert sum("bond-VM  bond" in line for line in text) == 1
    assert sum("bond-VM  (see above)" in line for line in text) == 1


def test_around_one_resource() -> None:
    whole = drawn(wanted())
    names = {node.name for node in around(whole, Key("VirtualMachine", "web-01"), {}).nodes}
    assert names == {"eno1", "eno2", "bond-VM", "bond-VM.101", "br-VM.101", "vnet0", "web-01", "/data/root-01.raw"}
    below = {node.name for node in around(whole, Key("Bridge", "br-PN"), {}).nodes}
    assert below == {"ens1f0", "ens1f1", "bond-PN", "br-PN", "new-01"}
    assert "local/spare" in {node.name for node in around(whole, Key("Volume", "spare"), {}).nodes}
    with pytest.raises(UsageError, match="neither there nor declared"):
        around(whole, Key("Bridge", "none"), {})


def hostile() -> Topology:
    nodes = (
        Node(id="link:x", type="bridge", name=HOSTILE, detail=HOSTILE, states=(State("drift", HOSTILE),)),
        Node(id="vm:end", type="vm", name="end"),
    )
    return Topology(host=HOSTILE, nodes=nodes, edges=(Edge("link:x", "vm:end"),))


def test_hostile_names_in_text_and_mermaid() -> None:
    for lines in (graph_text.lines(hostile(), color=False), graph_mermaid.lines(hostile())):
        text = "\n".join(lines)
        assert "\x1b" not in text
        assert "b<script>\nx" not in text
    drawing = "\n".join(graph_mermaid.lines(hostile()))
    assert drawing.count("-->") == 1, "the arrow of the name is none"
    assert not re.search(r'"[^"]*[<>\\][^"]*"', drawing.replace("<br/>", ""))


def test_hostile_names_in_dot() -> None:
    """Nothing of a name is dot's: quoted strings end where they should, and labels are XML that says the name."""
    labels = []
    for line in graph_dot.lines(hostile()):
        assert "\x1b" not in line
        for label in re.findall(r"label=<(.*?)>[,;]", line):
            labels.append("".join(ElementTree.fromstring(f"<label>{label}</label>").itertext()))
        outside = re.sub(r"label=<.*?>(?=[,;])", "", line)
        assert re.fullmatch(r'(?:[^"\\]|"(?:[^"\\]|\\.)*")*', outside), line
    assert len(labels) == 3
    assert [label.count("rm -rf \\x1b[31m\\ --> b<script>\\nx") for label in labels] == [1, 3, 0], labels


def test_a_circle_ends() -> None:
    nodes = (Node(id="a", type="nic", name="a"), Node(id="b", type="nic", name="b"))
    circle = Topology(host="h", nodes=nodes, edges=(Edge("a", "b"), Edge("b", "a")))
    assert list(graph_text.lines(circle, color=False)) == ["h", "a  nic", "└─ b  nic", "   └─ a  (see above)"]


def test_a_long_chain_does_not_recurse() -> None:
    names = ["link:x", *(f"n{index}" for index in range(4999))]
    nodes = tuple(Node(id=name, type="vlan", name=name) for name in names)
    edges = tuple(Edge(below, above) for below, above in pairwise(names))
    chain = Topology(host="h", nodes=nodes, edges=edges)
    assert sum(1 for _ in graph_text.lines(chain, color=False)) == 5001
    assert len(around(chain, Key("Bridge", "x"), {}).nodes) == 5000


# the command


def run(tmp_path: Path, *argv: str, seen: Live | None = None) -> int:
    path = tmp_path / "live.json"
    path.write_bytes(to_json(seen or host(), ""))
    return main(["--state-dir", str(tmp_path / "state"), "graph", "--live", str(path), *argv])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert run(tmp_path, "--color", "always") == exits.OK
    assert capsys.readouterr().out == (GOLDEN / "live.txt").read_text()
    assert run(tmp_path, "vm/web-01", "--format", "dot") == exits.OK
    assert "eno3" not in capsys.readouterr().out
    assert run(tmp_path, "vm/none") == exits.USAGE


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--format", "json") == exits.OK
    answer = json.loads(capsys.readouterr().out)
    assert answer["formatVersion"] == "1.0"
    assert {"below": "link:eno1", "above": "link:bond-VM", "active": True} in answer["edges"]
    (nic,) = [node for node in answer["nodes"] if node["name"] == "eno3"]
    assert nic["detail"] == "192.168.1.7/24, managed by NetworkManager"


SPEC = """apiVersion: cell/v1
kind: Bridge
metadata: {{name: br-VM}}
spec: {{uplink: bond-VM, {}: 9000, addresses: [10.0.0.11/24]}}
"""


def test_with_specs_and_a_source_that_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    specs = tmp_path / "x.yaml"
    specs.write_text(SPEC.format("mtu"))
    assert run(tmp_path, "-f", str(specs)) == exits.OK
    assert "~ br-VM" in capsys.readouterr().out
    silent = msgspec.structs.replace(host(), gaps=(Gap(Source.LIBVIRT, "no answer"),))
    assert run(tmp_path, "-f", str(specs), seen=silent) == exits.UNREACHABLE
    assert "libvirt did not answer: no answer" in capsys.readouterr().err
    specs.write_text(SPEC.format("mtuu"))
    assert run(tmp_path, "-f", str(specs)) == exits.INVALID


def test_svg_without_its_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(tmp_path, "--format", "svg") == exits.FAILED
    said = capsys.readouterr()
    assert (said.out, "apt install graphviz" in said.err) == ("", True)


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
@pytest.mark.parametrize("found", [drawn(wanted()), hostile()], ids=["declared", "hostile"])
def test_dot_draws_it(found: Topology) -> None:
    picture = graph_dot.svg(found)
    assert picture.rstrip().endswith("</svg>")
    assert ElementTree.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg", "it is XML"
    assert picture.count('class="node"') == len(found.nodes)
    assert picture.count('class="edge"') == len(found.edges)


def test_dot_that_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*argv: object, **more: object) -> None:
        raise subprocess.CalledProcessError(1, "dot", stderr="syntax error")

    monkeypatch.setattr(subprocess, "run", fails)
    with pytest.raises(CellError, match="dot failed: syntax error"):
        graph_dot.svg(hostile())
