"""Whatever a host has: its export is valid, taking it over writes marks only, and nothing is lost silently."""

from __future__ import annotations

import json
import re

import pytest

from cell_reconciler.cli.exported import Export, export, notes
from cell_reconciler.kinds.links.graph import graph_of
from cell_reconciler.model.live import Live
from tests.kernel.inside.brownfields import make
from tests.kernel.inside.test_brownfield_chain import loaded, marked, planned
from tests.network import NetworkHost, ip, isolated

pytestmark = pytest.mark.kernel

SEEDS = range(8)  # more of them: run it by hand with another range


@pytest.mark.parametrize("seed", SEEDS)
@isolated
def test_a_host_of_chance_is_taken_over_by_marks_alone(seed: int) -> None:
    commands = make(seed)
    try:
        _taken_over()
    except Exception as error:
        raise AssertionError("\n".join(commands)) from error


def _taken_over() -> None:
    host = NetworkHost()
    live = host.live()
    before = _facts()
    found = export((), live)
    assert not set(_silent(found, live)), "\n".join(notes(found))
    marked(host, planned(host, loaded(found)))
    assert _facts() == before
    for annotated in (True, False):
        again = planned(host, loaded(found, annotated=annotated))
        assert again.empty, [change for change in again.changes if not change.quiet]
    # That they are dummies leaves them out otherwise.
    loaded(export([f"Nic/{link.name}" for link in live.links.values() if link.kind == "dummy"], live))


# What moves by itself, and our marks.
_MOVING = re.compile(
    "timer|life_time|expires|operstate|ad_info|active_slave|topology|root|bridge_id|designated|state|_cnt|count|flags"
    "|qdisc|^group$|ifalias|dynamic|config_pending|ack|detected|mii_status|carrier|port_id|metrics"
)

_LATE = re.compile("fe80|ff00::/8")


def _facts() -> list[object]:
    """Links, addresses, routes and rules as ip(8) has them, but for what moves by itself."""
    shown = ("-d address", "-d route show table all", "-d -6 route show table all", "-d rule", "-d -6 rule")
    return [_still(json.loads(ip(f"-j {words}") or "[]")) for words in shown]


def _still(value: object) -> object:
    if isinstance(value, dict):
        up = {"up": "UP" in value["flags"]} if isinstance(value.get("flags"), list) and "mtu" in value else {}
        return {key: _still(inner) for key, inner in value.items() if not _MOVING.search(key)} | up
    if isinstance(value, list):
        # Link-local addresses and the routes of IPv6 to them and to groups come a while after the link.
        return [still for inner in value if "mtu" in (words := str(still := _still(inner))) or not _LATE.search(words)]
    return value


def _silent(found: Export, live: Live) -> list[str]:
    """What neither a document nor a note says."""
    text = "\n".join([*(found.text(key) for key in found.documents), *notes(found)])
    documented = {key.name for key in found.documents}
    said = documented | {key.name for key in (*found.notes, *found.left_out)}
    said |= {port.name for name in said for port in graph_of(live).ports(name)}
    for spec in (document["spec"] for document in found.documents.values()):
        said |= {*spec.get("members", ()), spec.get("uplink", ""), f"{spec.get('uplink')}.{spec.get('vlan')}"}
    bare = {x.name for x in live.links.values() if x.kind is None and not (x.addresses or x.dynamic_addresses)}
    lost = [name for name in live.links if name not in (*said, *bare, "lo") and name not in text]
    for link in (live.links[name] for name in sorted(documented)):
        lost += [cidr for cidr in (*link.addresses, *link.dynamic_addresses) if cidr not in text]
        lost += [words for words in link.address_options.values() if words not in text]
    for route in live.routes:
        if route.link is None or route.link in documented:
            lost += [] if route.to in text else [str(route)]
    return lost + [str(rule) for rule in live.rules if str(rule.priority) not in text]
