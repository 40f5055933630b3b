"""The settings of the ports that a Bridge document lists: of those that are there, and of the one that is coming."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.bridge.observe import is_port
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links import ports
from cell_reconciler.kinds.links.actions import LinkAction
from cell_reconciler.kinds.links.changes import Steps
from cell_reconciler.kinds.links.graph import TAP_KINDS, graph_of
from cell_reconciler.kinds.links.marks import named_paths
from cell_reconciler.model import vlans
from cell_reconciler.model.change import Risk
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, UnsetType
from cell_reconciler.model.live import VlanRange
from cell_reconciler.model.mark import Mark

Harm = tuple[Risk, str]


def configure(
    steps: Steps, doc: Document, mark: Mark | None, world: World, todo: frozenset[str], coming: str | None
) -> None:
    """Steps for every listed port. ``coming``: it becomes a port in this plan, with the kernel's defaults."""
    bridge = doc.key.name
    named = named_paths(doc, mark)
    for index, port in enumerate(doc.spec.ports):
        link = world.live.links.get(port.name)
        if port.name == coming or (port.name == bridge and link is None):
            pointer = f"/spec/ports/{index}"
            fields = [f for f in ports.OPTIONS if named is None or f"{pointer}/{_yaml(f)}" in named]
            wanted = {k: v for k, v in ports.options(port, fields).items() if ports.DEFAULTS.get(k) != v}
            said = port.vlans
        elif link is not None and is_port(link, bridge):
            path = f"ports[{port.name}]"
            wanted = ports.options(port, [f for f in ports.OPTIONS if f"{path}.{_yaml(f)}" in todo])
            said = port.vlans if f"{path}.vlans" in todo else UNSET
        else:
            continue
        for op, text, action, harm in _each(port.name, bridge, wanted, said, world):
            steps.add(op, text, action, harm)


def _each(
    name: str, bridge: str, wanted: dict[str, int], said: ports.PortVlans | UnsetType, world: World
) -> Iterator[tuple[str, str, LinkAction, Harm]]:
    if wanted:
        words = ", ".join(_word(field, wanted[o]) for field, o in ports.OPTIONS.items() if o in wanted)
        action = ports.SetPort(name=name, master=bridge, options=wanted)
        yield "port", f"set {words} of port {name}", action, graph_of(world.live).blip(bridge)
    if not isinstance(said, UnsetType):
        carried = ports.ranges(said)
        yield (
            "port.vlans",
            f"let {name} carry {_vlans(carried)}",
            ports.SetPortVlans(name=name, master=bridge, vlans=carried),
            _vlan_harm(name, bridge, carried, world),
        )


def _vlan_harm(name: str, bridge: str, carried: tuple[VlanRange, ...], world: World) -> Harm:
    """Whoever used a VLAN that goes is cut off; on a bridge that does not filter (yet) nobody notices."""
    link, above = world.live.links.get(name), world.live.links.get(bridge)
    if link is None or above is None or not above.data.get("br_vlan_filtering"):
        return Risk.NONE, ""
    graph = graph_of(world.live)
    if vlans.each(link.vlans).items() <= vlans.each(carried).items():
        return graph.blip(bridge)
    if link.kind in TAP_KINDS:
        return Risk.BLIP, f"{name} changes its VLANs"
    risk, why = graph.cut(bridge)
    return risk, f"VLANs leave {name}; {bridge} {why}" if why else ""


def _vlans(carried: tuple[VlanRange, ...]) -> str:
    """``VLANs 1 (untagged), 100-200``."""
    words = [
        (f"{item.first}" if item.first == item.last else f"{item.first}-{item.last}")
        + (" (untagged)" if item.untagged else "")
        for item in carried
    ]
    return f"VLANs {', '.join(words)}" if words else "no VLAN"


def _word(field: str, value: int) -> str:
    switch = ports.DEFAULTS.get(ports.OPTIONS[field]) in (0, 1)
    return f"{_yaml(field)} {str(bool(value)).lower() if switch else value}"


_YAML = {field.name: field.yaml for field in ports.FIELDS}


def _yaml(field: str) -> str:
    return _YAML[field]
