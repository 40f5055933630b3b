"""What is planned about the taps of running domains: isolation, VLANs on a bridge that filters, MTU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.ports import DEFAULTS
from cell_reconciler.kinds.virtual_machine import actions, taps
from cell_reconciler.model.change import Cause, Change, Risk
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Domain, Gap, Link, Live, Source, VlanRange
from tests.kinds.vm.make import VM, planned, pool, vm, world
from tests.kinds.vm.test_plan import WEB
from tests.livelinks import bridge, link
from tests.network import document

DATA = Path(__file__).parent / "data"
POOL = pool("local", "/var/lib/libvirt/images/local")
LAN = {"name": "lan", "bridge": "br-VM", "vlan": 101}


def carries(vid: int) -> tuple[VlanRange, ...]:
    return (VlanRange(first=vid, last=vid, pvid=True, untagged=True),)


def filtering(**more: Any) -> Document:
    return document("Bridge/br-VM", {"uplink": "bond-VM", "vlanFiltering": True, **more})


def web(on: str = "br-VM", state: str = "running") -> Domain:
    """The recorded domain ``web``, whose one interface is on this bridge."""
    texts = [(DATA / f"web.{which}.xml").read_text().replace("br-VM.101", on) for which in ("inactive", "active")]
    active = texts[1] if state == "running" else None
    return Domain(uuid=WEB["uuid"], name="web", state=state, inactive=texts[0], active=active)


def tap(master: str | None = "br-VM", name: str = "vnet0", **more: Any) -> Link:
    options = DEFAULTS | {f"brport_{k}": v for k, v in more.pop("port", {}).items()}
    return link(name, "tun", master=master, port=options, **{"vlans": carries(1), **more})


def around(doc: Document, *documents: Document, links: tuple[Link, ...] = (), domain: Domain | None = None) -> World:
    domains = {domain.name: domain} if domain else {}
    live = Live(host="h1", domains=domains, links={x.name: x for x in links})
    return world(POOL, doc, *documents, live=live)


def of(change: Change) -> list[tuple[str, dict[str, int], tuple[VlanRange, ...] | None]]:
    """The steps about ports: on which bridge, and what they set."""
    found = (step.action for step in change.steps if step.op == "vm.port")
    return [(action.bridge, action.options, action.carried) for action in found]


def test_on_a_filtering_bridge_the_vlan_is_a_setting_of_the_port() -> None:
    doc = vm("web", **WEB)
    change = planned(doc, around(doc, filtering()))
    assert [step.op for step in change.steps] == ["vm.define", "vm.start", "vm.port"]
    define = change.steps[0].action
    assert isinstance(define, actions.Define)
    assert define.tree().find("devices/interface/source").get("bridge") == "br-VM"
    assert of(change) == [("br-VM", {"brport_isolated": 0}, carries(101))]
    assert change.risk == Risk.NONE, "whom could it disturb?"


def test_it_needs_the_bridge_and_derives_none() -> None:
    doc = vm("web", interfaces=[LAN])
    documents = {d.key: d for d in (doc, filtering())}
    assert [str(r.target) for r in VM.references(doc, documents)] == ["Bridge/br-VM"]
    assert list(VM.derive(doc, documents)) == []


def test_a_running_tap_in_place_is_quiet() -> None:
    doc = vm("web", **WEB)
    assert planned(doc, around(doc, filtering(), links=(tap(vlans=carries(101)),), domain=web())).quiet
    plain = around(doc, links=(tap("br-VM.101"),), domain=web("br-VM.101"))
    assert planned(doc, plain).quiet


@pytest.mark.parametrize(
    ("now", "fields"),
    [
        ({"vlans": carries(1)}, [("vlan", None, 101)]),
        ({"vlans": ()}, [("vlan", None, 101)]),
        ({"vlans": carries(7)}, [("vlan", 7, 101)]),
        ({"vlans": carries(101), "port": {"isolated": 1}}, [("isolated", True, False)]),
    ],
)
def test_drift_of_a_running_tap_is_put_right(now: dict[str, Any], fields: list[tuple[str, Any, Any]]) -> None:
    doc = vm("web", **WEB)
    change = planned(doc, around(doc, filtering(), links=(tap(**now),), domain=web()))
    assert [(f.path, f.have, f.want) for f in change.fields] == [
        (f"spec.interfaces[lan].{name}", have, want) for name, have, want in fields
    ]
    assert of(change) == [("br-VM", {"brport_isolated": 0}, carries(101))]
    assert (change.cause, change.risk) == (Cause.DRIFT, Risk.BLIP)


def test_isolation_needs_no_filtering_bridge() -> None:
    doc = vm("web", **{**WEB, "interfaces": [{**LAN, "isolated": True}]})
    change = planned(doc, around(doc, links=(tap("br-VM.101"),), domain=web("br-VM.101")))
    assert of(change) == [("br-VM.101", {"brport_isolated": 1}, None)]
    # The mark says later that it was this spec for which the port was set: what differs then was somebody else.
    assert [step.op for step in change.steps] == ["vm.redefine", "vm.port"]
    assert change.cause == Cause.SPEC


def test_without_a_vlan_a_port_of_ours_has_the_default_of_its_bridge() -> None:
    doc = vm("web", **{**WEB, "interfaces": [{"name": "lan", "bridge": "br-VM"}]})
    left = tap(vlans=carries(101))
    for more, usual in (({}, carries(1)), ({"vlanDefaultPvid": 7}, carries(7)), ({"vlanDefaultPvid": 0}, ())):
        (found,) = of(planned(doc, around(doc, filtering(**more), links=(left,), domain=web())))
        assert found == ("br-VM", {"brport_isolated": 0}, usual)


def test_of_an_adopted_vm_only_what_is_named_is_ours() -> None:
    strange = tap(vlans=carries(9), port={"isolated": 1})

    def found(**nic: Any) -> list[Any]:
        doc = vm("web", {"cell/adopt": "true"}, interfaces=[{"name": "lan", "bridge": "br-VM", **nic}])
        return of(planned(doc, around(doc, filtering(), links=(strange,), domain=web())))

    assert found() == []
    assert found(isolated=False) == [("br-VM", {"brport_isolated": 0}, None)]
    assert found(vlan=101) == [("br-VM", {}, carries(101))]


def test_a_tap_that_hangs_in_the_air_is_plugged_in_and_then_set() -> None:
    doc = vm("web", **WEB)
    change = planned(doc, around(doc, filtering(), links=(tap(None, vlans=()),), domain=web()))
    assert [step.op for step in change.steps] == ["vm.plug-interface", "vm.port"]
    usual = vm("web", **{**WEB, "interfaces": [{"name": "lan", "bridge": "br-VM"}]})
    change = planned(usual, around(usual, links=(tap(None),), domain=web()))
    assert [step.op for step in change.steps] == ["vm.plug-interface"], "a new port has the defaults"


def test_an_interface_that_moves_is_set_on_its_new_bridge() -> None:
    """``vlanFiltering`` was turned on: from the access bridge to a port of the bridge itself."""
    doc = vm("web", **WEB)
    change = planned(doc, around(doc, filtering(), links=(tap("br-VM.101"),), domain=web("br-VM.101")))
    assert [step.op for step in change.steps] == ["vm.redefine", "vm.move-interface", "vm.port"]
    assert of(change) == [("br-VM", {"brport_isolated": 0}, carries(101))]


def test_a_tap_that_somebody_put_elsewhere_is_left_there() -> None:
    doc = vm("web", **WEB)
    assert planned(doc, around(doc, filtering(), links=(tap("br-guest"),), domain=web())).quiet


def test_a_tap_that_the_bridge_itself_has_settings_for_is_left_to_it() -> None:
    doc = vm("web", **WEB)
    own = filtering(ports=[{"name": "vnet0", "vlans": {"trunk": ["100-200"]}}])
    assert planned(doc, around(doc, own, links=(tap(),), domain=web())).quiet


def test_what_is_ignored_is_shown_and_left() -> None:
    doc = vm("web", {"cell/ignore": "/spec/interfaces/0/vlan"}, **WEB)
    change = planned(doc, around(doc, filtering(), links=(tap(),), domain=web()))
    assert not change.steps
    assert [(f.path, f.ignored) for f in change.fields] == [("spec.interfaces[lan].vlan", True)]


def test_links_that_are_not_known_are_nothing_to_judge_by() -> None:
    doc = vm("web", **WEB)
    unknown = around(doc, filtering(), domain=web())
    gap = Gap(Source.NETLINK, "no answer")
    assert planned(doc, msgspec.structs.replace(unknown, live=msgspec.structs.replace(unknown.live, gaps=(gap,)))).quiet


def test_a_start_sets_the_port_of_the_tap_that_it_makes() -> None:
    doc = vm("web", **WEB)
    change = planned(doc, around(doc, filtering(), domain=web(state="shutoff")))
    assert [step.op for step in change.steps] == ["vm.start", "vm.port"]
    plain = vm("web", **{**WEB, "interfaces": [{"name": "lan", "bridge": "br-VM"}]})
    change = planned(plain, around(plain, domain=web(state="shutoff")))
    assert [step.op for step in change.steps] == ["vm.start"]


class Doors:
    """Libvirt with one domain, and the kernel's ports; what is written shows."""

    def __init__(self, domain: Domain | None, *links: Link) -> None:
        self.libvirt = self.netlink = self
        self._domain, self._links = domain, {x.name: x for x in links}

    def domain(self, name: str) -> Domain | None:
        assert name == "web"
        return self._domain

    def link(self, name: str) -> Link | None:
        return self._links.get(name)

    def vlans(self, name: str) -> tuple[VlanRange, ...]:
        return self._links[name].vlans

    def set_port(self, name: str, **options: int) -> None:
        now = self._links[name]
        self._links[name] = msgspec.structs.replace(now, port=now.port | options)

    def set_vlans(self, name: str, wanted: tuple[VlanRange, ...], self_: bool = False) -> None:
        assert not self_
        self._links[name] = msgspec.structs.replace(self._links[name], vlans=wanted)


SET = taps.SetTap(
    vm="web",
    interface="lan",
    mac="52:df:ec:34:71:49",
    bridge="br-VM",
    options={"brport_isolated": 1},
    carried=carries(101),
)


@pytest.mark.parametrize(
    "active",
    [
        web().active,
        str(web().active).replace("<alias name='ua-lan'/>", "<alias name='net0'/>"),  # known by its address alone
        str(web().active).replace("52:df:ec:34:71:49", "52:54:00:00:00:01"),  # by its alias alone
    ],
)
def test_the_tap_is_found_when_the_step_runs(active: str) -> None:
    doors = Doors(msgspec.structs.replace(web(), active=active), tap(), tap(name="vnet1"))
    assert not SET.done(doors)
    SET.do(doors)
    assert SET.done(doors)
    now = doors.link("vnet0")
    assert now is not None
    assert (now.port["brport_isolated"], now.vlans) == (1, carries(101))
    assert doors.vlans("vnet1") == carries(1)


@pytest.mark.parametrize(
    "doors",
    [
        Doors(None),
        Doors(web(state="shutoff")),
        Doors(web()),
        Doors(web(), tap("br-guest")),
    ],
)
def test_nothing_is_set_where_there_is_no_such_port(doors: Doors) -> None:
    assert SET.done(doors)


def test_a_step_spares_the_tap_that_the_bridge_has_settings_for() -> None:
    assert msgspec.structs.replace(SET, spare=("vnet0",)).done(Doors(web(), tap()))


def test_an_mtu_that_does_not_fit_is_said() -> None:
    doc = vm("web", **WEB)

    def said(mtu: int) -> list[str]:
        links = (tap("br-VM.101", mtu=mtu), bridge("br-VM.101", mtu=9000))
        here = around(doc, links=links, domain=web("br-VM.101"))
        have = VM.observe("web", here)
        return [c.message for c in VM.conditions(doc, have, here) if c.type == "MtuMismatch"]

    assert said(9000) == []
    (message,) = said(1500)
    assert message.startswith("vnet0 has MTU 1500, br-VM.101 9000")


@pytest.mark.parametrize(
    ("ports", "rules"),
    [
        ([], {"vm-vlan-trunk"}),
        ([{"name": "bond-VM", "vlans": {"trunk": ["100-200"]}}], set()),
        ([{"name": "bond-VM", "vlans": {"trunk": ["102-200"], "native": 101}}], set()),
        ([{"name": "bond-VM", "vlans": {"access": 1}}], {"vm-vlan-trunk"}),
        ([{"name": "bond-VM", "isolated": False}], {"vm-vlan-trunk"}),
    ],
)
def test_a_vlan_that_the_uplink_does_not_carry_is_a_warning(ports: list[dict[str, Any]], rules: set[str]) -> None:
    doc = vm("web", interfaces=[LAN])
    documents = {d.key: d for d in (doc, filtering(ports=ports))}
    assert {problem.rule for problem in VM.check(doc, documents)} == rules
    alone = document("Bridge/br-VM", {"vlanFiltering": True})
    assert list(VM.check(doc, {Key("VirtualMachine", "web"): doc, alone.key: alone})) == []
