"""What export says of a host, from snapshots; that it reads back, and that a plan of it has nothing to do but marks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from cell_reconciler.cli import exits
from cell_reconciler.cli.exported import export, needed, notes
from cell_reconciler.cli.main import main
from cell_reconciler.cli.snapshot import to_json
from cell_reconciler.errors import UsageError
from cell_reconciler.load import load_files
from cell_reconciler.model.change import Risk
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Gap, Link, Live, Manager, Route, Rule, Source
from cell_reconciler.model.mark import RTPROT
from cell_reconciler.planning import Policy, make_plan
from tests.livelinks import bond, bridge, domain, link, live, ours, tap, vlan

DHCP, STATIC = 16, 4


def brownfield() -> Live:
    """A host that was set up by hand: a bond with bridges on VLANs of it, a NIC with its own network, a guest."""
    mac = "52:54:00:aa:00:01"
    links = (
        link("lo"),
        link("eno1", master="bond0", mac=mac),
        link("eno2", master="bond0", mac=mac, permanent_mac="52:54:00:aa:00:02"),
        bond("bond0", foreign=True, mac=mac, ipv6_disabled=False),
        vlan("bond0", 20, of=None, mac=mac, master="br20", ipv6_disabled=False),
        bridge("br20", foreign=True, mac=mac, addresses=("10.20.0.11/24",), ipv6_disabled=False),
        vlan("bond0", 30, of=None, name="storage", mac=mac, mtu=1500, addresses=("10.30.0.11/24",)),
        bridge("br-int", foreign=True, mac="52:54:00:bb:00:01", mtu=9000, ipv6_disabled=True),
        link("eno3", addresses=("10.0.0.5/24", "fe80::1/64", "fe80::9044:a9a9:3dc3:6e53/64")),
        link("eno4", dynamic_addresses=("192.168.1.7/24",)),
        bridge("virbr0", foreign=True),
        bridge("br-0123456789ab", foreign=True),
        link("vx0", "vxlan"),
        link("veth1", "veth", parent="veth0"),
        tap("vnet0", "br20"),
    )
    routes = (
        Route(to="0.0.0.0/0", link="eno3", via="10.0.0.1", protocol=3),
        Route(to="10.9.0.0/16", link="eno3", via="10.0.0.9", table=100, metric=7, protocol=STATIC),
        Route(to="10.8.0.0/16", link="eno3", via="10.0.0.8", protocol=DHCP),
        Route(to="10.7.0.0/16", link=None, type="blackhole", protocol=3),
    )
    rules = (
        Rule(family=4, priority=1000, table=100, source="10.0.0.5/32"),
        Rule(family=4, priority=55, table=0, source="10.99.0.0/16", action="blackhole", detail="blackhole"),
    )
    seen = live(*links, domains=(domain("web-01", "br20", dev="vnet0"),))
    return msgspec.structs.replace(seen, routes=routes, rules=rules)


@pytest.fixture
def host() -> Live:
    return brownfield()


def specs(seen: Live, *what: str, ours: bool = False) -> dict[str, dict[str, Any]]:
    """``Bridge/br0`` → its spec, as plain values."""
    return {str(key): document["spec"] for key, document in export(what, seen, ours=ours).documents.items()}


def test_only_what_differs_from_the_defaults(host: Live) -> None:
    found = specs(host)
    assert list(found) == ["Nic/eno3", "Bond/bond0", "Vlan/storage", "Bridge/br-int", "Bridge/br20"]
    # A new bond or bridge without addresses has no IPv6, and these have it: that is a difference.
    assert found["Bond/bond0"] == {"ipv6": True, "members": ["eno1", "eno2"]}
    assert found["Bridge/br20"] == {"addresses": ["10.20.0.11/24"], "uplink": "bond0", "vlan": 20}
    assert found["Bridge/br-int"] == {"mtu": 9000, "mac": "52:54:00:bb:00:01"}
    assert found["Vlan/storage"]["parent"] == "bond0"
    assert found["Vlan/storage"]["id"] == 30
    assert "mac" not in found["Vlan/storage"], "that of its parent, as the kernel would give it"
    nic = found["Nic/eno3"]
    assert nic["addresses"] == ["10.0.0.5/24", "fe80::1/64"]
    assert {route["to"] for route in nic["routes"]} == {"0.0.0.0/0", "10.9.0.0/16"}
    assert nic["rules"] == [{"from": "10.0.0.5/32", "table": 100, "priority": 1000}]


def test_what_no_document_says_is_told(host: Live) -> None:
    said = "\n".join(notes(export((), host)))
    for words in (
        "Nic/eno3: addresses that are not declared: fe80::9044:a9a9:3dc3:6e53/64",
        "Nic/eno3: a route is not declared: 10.8.0.0/16 via 10.0.0.8 proto dhcp",
        "Nic/eno4: dynamic addresses are not declared: 192.168.1.7/24",
        "a route is not declared: blackhole 10.7.0.0/16 proto boot",
        "a policy rule is not declared: 55: from 10.99.0.0/16 lookup 0 blackhole",
        "left alone, a link of kind vxlan: vx0",
        "left alone, a port of a VM or a container: veth1",
        "left out, a network of libvirt: Bridge/virbr0",
        "left out, a network of Docker: Bridge/br-0123456789ab",
        "left out, the VLAN device of Bridge/br20: Vlan/bond0.20",
    ):
        assert words in said
    assert "vnet0" not in said, "it comes and goes with its VM"


def test_what_is_never_touched_is_exported_when_it_is_named(host: Live) -> None:
    assert list(specs(host, "Bridge/virbr0", "nic/eno4")) == ["Nic/eno4", "Bridge/virbr0"]
    assert "Bridge/virbr0" not in specs(host, "bridge")


def test_a_kind_or_one_object(host: Live) -> None:
    assert list(specs(host, "bond")) == ["Bond/bond0"]
    assert list(specs(host, "br", "Bond/bond0")) == ["Bond/bond0", "Bridge/br-int", "Bridge/br20"]
    with pytest.raises(UsageError, match="there is no Bridge/br9"):
        export(["Bridge/br9"], host)
    with pytest.raises(UsageError, match="Volume cannot be exported yet"):
        export(["volume"], host)


def test_ours_only_when_asked_for() -> None:
    adopted = bridge("br1", **ours("Bridge", "br1", adopted=True), foreign=True)
    seen = live(bridge("br0"), adopted, bridge("br2", foreign=True))
    assert list(specs(seen)) == ["Bridge/br2"]
    found = export((), seen, ours=True).documents
    assert [str(key) for key in found] == ["Bridge/br0", "Bridge/br1", "Bridge/br2"]
    annotated = {key.name: "annotations" in document["metadata"] for key, document in found.items()}
    assert annotated == {"br0": False, "br1": True, "br2": True}
    assert list(specs(seen, "Bridge/br0")) == ["Bridge/br0"], "named: it is meant"


def test_the_export_is_a_plan_of_marks_only(host: Live, tmp_path: Path) -> None:
    found = export((), host)
    for key in found.documents:
        (tmp_path / f"{key.kind}-{key.name}.yaml").write_text(found.text(key))
    loaded = load_files([str(tmp_path)], host.host)
    assert not loaded.diagnostics
    plan = make_plan(host.host, loaded, host, Policy(allow=Risk.CUTS_VM))
    assert {str(c.key): [f.path for f in c.fields] for c in plan.changes} == {str(key): [] for key in found.documents}
    assert not [r for change in plan.changes for r in change.refused]
    assert {step.op.partition(".")[2] for step in plan.steps} <= {"adopt", "vlan.mark", "mark"}


def test_two_exports_are_the_same_text(host: Live) -> None:
    shuffled = msgspec.structs.replace(host, links=dict(reversed(host.links.items())), routes=host.routes[::-1])
    first, second = export((), host), export((), shuffled)
    assert [first.text(key) for key in first.documents] == [second.text(key) for key in second.documents]


def test_what_the_rules_refuse_is_left_out_and_told() -> None:
    """An address on a member of a bond is never reached, so no document may say it; the name of a link may be none."""
    member = link("eno1", master="bond0", addresses=("10.0.0.5/24",))
    seen = live(member, bond("bond0", foreign=True), bridge("-x", foreign=True), bridge(".hidden", foreign=True))
    found = export((), seen)
    assert [str(key) for key in found.documents] == ["Bond/bond0"]
    said = "\n".join(notes(found))
    assert "Nic/eno1: left out: addresses, since eno1 is a member of Bond/bond0" in said
    assert "Bridge/.hidden: left out: the document" in said
    assert "Bridge/-x: left out: the document" in said


def test_a_second_uplink_and_options_without_a_field_are_told() -> None:
    links = (
        link("eno1", master="br0"),
        link("eno2", master="br0"),
        link("br0", "bridge", alias="by \x1b[31mhand", data={"br_stp_state": 0, "br_mcast_router": 2}),
    )
    found = export((), live(*links))
    said = "\n".join(found.notes[Key("Bridge", "br0")])
    assert "eno2 is a port too" in said
    assert "no field says mcast_router 2" in said
    assert "its alias 'by \\x1b[31mhand' gives way to our mark" in said


def test_what_is_down_is_left_out_unless_it_is_named() -> None:
    """Its document would bring it up, and applying an export changes nothing."""
    seen = live(bridge("br0", foreign=True, up=False), bridge("br1", foreign=True))
    found = export((), seen)
    assert [str(key) for key in found.documents] == ["Bridge/br1"]
    assert found.notes[Key("Bridge", "br0")][-1].startswith("is not exported, as an apply of it would bring br0 up")
    found = export(["Bridge/br0"], seen)
    assert [str(key) for key in found.documents] == ["Bridge/br0"]
    assert "apply would also bring br0 up" in found.notes[Key("Bridge", "br0")]


def test_what_was_given_with_an_address_and_flags_of_a_vlan_are_told() -> None:
    odd = vlan(
        "eno1", 30, of=None, name="v30", addresses=("10.0.0.1/32",), address_options={"10.0.0.1/32": "peer 10.0.0.9"}
    )
    odd = msgspec.structs.replace(odd, data={**odd.data, "vlan_flags": 0x9})
    said = "\n".join(notes(export((), live(link("eno1"), odd))))
    assert "Vlan/v30: 10.0.0.1/32 has peer 10.0.0.9: it keeps that" in said
    assert "Vlan/v30: no field says mvrp on" in said


def test_many_of_a_kind_are_one_note() -> None:
    said = list(notes(export((), live(*(link(f"calif{number:04}", "vxlan") for number in range(30))))))
    (note,) = [text for text in said if "left alone" in text]
    assert note.endswith(", calif0019 and 10 more")


def test_a_host_of_another_manager_is_exported_and_the_remedy_stands_in_it(host: Live) -> None:
    manager = Manager(name="NetworkManager", detail="profile 'Office LAN', /etc/x")
    found = export(["Nic/eno3"], msgspec.structs.replace(host, managers={"eno3": manager}))
    text = found.text(Key("Nic", "eno3"))
    assert "# eno3 is managed by NetworkManager (profile 'Office LAN', /etc/x)" in text
    assert "nmcli device set eno3 managed no" in text
    assert "10.0.0.5/24" in text


@pytest.mark.parametrize(
    "link_of", [lambda: bridge("breno1-101", foreign=True), lambda: bridge("cloud0", foreign=True)]
)
def test_bridges_of_the_cloudstack_agent_are_its_own(link_of: Any) -> None:
    of: Link = link_of()
    port = vlan("eno1", 101, of=None, master=of.name)
    found = export((), live(link("eno1"), of, port))
    assert found.documents == {}
    assert found.left_out[Key("Bridge", of.name)] == "a bridge of the CloudStack agent"


# the command


class Site:
    def __init__(self, root: Path, seen: Live, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self._capsys = root, capsys
        self.live = root / "live.json"
        self.live.write_bytes(to_json(seen, "2026-11-25T00:00:00Z"))
        self.out = self.err = ""

    def __call__(self, *argv: str) -> int:
        code = main(["--state-dir", str(self.root / "state"), "export", "--live", str(self.live), *argv])
        self.out, self.err = self._capsys.readouterr()
        return code


@pytest.fixture
def site(tmp_path: Path, host: Live, capsys: pytest.CaptureFixture[str]) -> Site:
    return Site(tmp_path, host, capsys)


def test_a_stream_on_stdout_and_notes_on_stderr(site: Site) -> None:
    assert site() == exits.OK
    assert site.out.startswith("# cell-01 as cellctl export found it")
    assert "#   a route is not declared: blackhole 10.7.0.0/16 proto boot\n" in site.out
    documents = list(yaml.safe_load_all(site.out))
    assert [d["kind"] for d in documents] == ["Nic", "Bond", "Vlan", "Bridge", "Bridge"]
    assert all(d["metadata"]["annotations"] == {"cell/adopt": "true"} for d in documents)
    assert "note: Nic/eno4: dynamic addresses" in site.err
    assert site("-q") == exits.OK
    assert site.err == ""


def test_a_file_for_each_document_and_none_is_overwritten(site: Site) -> None:
    folder = site.root / "specs"
    assert site("-o", str(folder), "-q") == exits.OK
    names = ["bond-bond0.yaml", "bridge-br-int.yaml", "bridge-br20.yaml", "nic-eno3.yaml", "vlan-storage.yaml"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert site.out.split() == [str(folder / name) for name in (names[3], names[0], names[4], names[1], names[2])]
    assert main(["validate", "-f", str(folder), "-q"]) == exits.OK
    (folder / names[0]).write_text("mine")
    (folder / names[1]).unlink()
    assert site("-o", str(folder)) == exits.REFUSED
    assert (folder / names[0]).read_text() == "mine"
    assert not (folder / names[1]).exists(), "all files or none"
    assert site("-o", str(folder), "--format", "json") == exits.USAGE


def test_json(site: Site) -> None:
    assert site("--format", "json", "-q") == exits.OK
    answer = json.loads(site.out)
    assert answer["formatVersion"] == "1.0"
    assert [d["metadata"]["name"] for d in answer["documents"]] == ["eno3", "bond0", "storage", "br-int", "br20"]
    assert {"key": "Nic/eno4", "message": "dynamic addresses are not declared: 192.168.1.7/24"} in answer["notes"]
    assert {"key": "Bridge/virbr0", "reason": "a network of libvirt"} in answer["leftOut"]
    assert any("blackhole" in text for text in answer["general"])


def test_unseen_is_not_empty(site: Site) -> None:
    gone = Live(host="cell-01", gaps=(Gap(Source.NETLINK, "no answer"),))
    site.live.write_bytes(to_json(gone, ""))
    assert site() == exits.UNREACHABLE
    assert site.out == ""


def test_ours_are_exported_without_what_others_added() -> None:
    """Of an object with our mark only what is ours is said."""
    mine = bridge("br0", addresses=("10.0.0.1/24", "10.0.0.2/24"), owned_addresses=("10.0.0.1/24",))
    seen = msgspec.structs.replace(
        live(mine), routes=(Route(to="10.5.0.0/16", link="br0", via="10.0.0.9", protocol=RTPROT),)
    )
    found = export((), seen, ours=True)
    spec = found.documents[Key("Bridge", "br0")]["spec"]
    assert spec["addresses"] == ["10.0.0.1/24"]
    assert [route["to"] for route in spec["routes"]] == ["10.5.0.0/16"]
    assert "addresses that are not declared: 10.0.0.2/24" in found.notes[Key("Bridge", "br0")]


def test_vms_are_told_of_when_libvirt_is_away(host: Live) -> None:
    away = msgspec.structs.replace(host, gaps=(Gap(Source.LIBVIRT, "connection refused"),))
    assert "VMs were not seen: connection refused" in export((), away).general
    assert needed(["vm/web"]) == {Source.LIBVIRT}
    assert Source.NETLINK in needed(["bond"])
    assert needed([]) == {Source.NETLINK}
