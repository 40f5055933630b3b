"""How a host hangs together, computed once and drawn by ``render.graph_*``.

NIC → bond → VLAN → bridge → vnet → VM → volume: an edge leads from what carries to what is carried, from a member to
its bond, from an uplink to its bridge, from a bridge to what is plugged in, from a VM to its disks. What is declared
and not there is part of the picture too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cell_reconciler.cli.exported import other_steps
from cell_reconciler.errors import UsageError
from cell_reconciler.kinds import kind, link_kinds
from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.links.graph import TAP_KINDS, graph_of
from cell_reconciler.kinds.virtual_machine.spec.source import wanted
from cell_reconciler.model.change import Cause, Change, Plan, Verb
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Image, Link
from cell_reconciler.model.mark import GROUP
from cell_reconciler.model.quantities import Bytes

TYPES = ("nic", "bond", "vlan", "bridge", "port", "vm", "volume")  # from the wire to the data
_LINK_TYPES = {"Nic": "nic", "Bond": "bond", "Vlan": "vlan", "Bridge": "bridge"}
_OF_KIND = {None: "nic", "bond": "bond", "vlan": "vlan", "bridge": "bridge"}
_PLUGGED = (*sorted(TAP_KINDS), "veth")  # ports that a bridge carries, and not the other way round
_ETHERNET_MTU = 1500


class State(msgspec.Struct, frozen=True):
    """Something that is not as it should be, or not ours. ``word`` is stable; ``text`` says more."""

    word: str  # missing, drift, pending, refused, undeclared, unknown, down, no-carrier, foreign
    text: str = ""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of the host. ``id`` is ``link:br0``, ``vm:web-01``, ``volume:local/root-01``."""

    id: str
    type: str  # one of TYPES
    name: str
    detail: str = ""
    states: tuple[State, ...] = ()


class Edge(msgspec.Struct, frozen=True, order=True):
    """``above`` is carried by ``below``. ``active`` False: as it is defined, and not now (a VM that does not run)."""

    below: str
    above: str
    active: bool = True


class Topology(msgspec.Struct, frozen=True, kw_only=True):
    """Nodes in the order of TYPES, then by name; edges sorted."""

    host: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def topology(world: World, plan: Plan | None = None) -> Topology:
    """Everything that was observed. ``plan``: what differs from the documents is marked."""
    draft = _Draft(world)
    draft.links()
    draft.volumes()
    draft.machines()
    for change in plan.changes if plan else ():
        draft.judge(change)
    for key, reason in (plan.unknown if plan else {}).items():
        draft.state(_id(key, world.documents.get(key)), State("unknown", reason))
    return draft.finished()


def around(whole: Topology, key: Key, documents: dict[Key, Document]) -> Topology:
    """What one resource stands on and what stands on it. Raises UsageError when it is not in the picture."""
    start = _id(key, documents.get(key))
    if start not in {node.id for node in whole.nodes}:
        names = [node.id for node in whole.nodes if node.id.endswith(f"/{key.name}")]
        if key.kind != "Volume" or len(names) != 1:
            raise UsageError(f"{key} is neither there nor declared", "'cellctl graph' shows what is")
        start = names[0]
    above, below = defaultdict(list), defaultdict(list)
    for edge in whole.edges:
        above[edge.below].append(edge.above)
        below[edge.above].append(edge.below)
    kept = _closure(start, above) | _closure(start, below)
    return msgspec.structs.replace(
        whole,
        nodes=tuple(node for node in whole.nodes if node.id in kept),
        edges=tuple(edge for edge in whole.edges if {edge.below, edge.above} <= kept),
    )


def _closure(start: str, following: dict[str, list[str]]) -> set[str]:
    found, todo = {start}, [start]
    while todo:
        todo += (fresh := [name for name in following[todo.pop()] if name not in found])
        found.update(fresh)
    return found


def _id(key: Key, doc: Document | None) -> str:
    if key.kind in link_kinds():
        return f"link:{key.name}"
    if key.kind == "VirtualMachine":
        return f"vm:{key.name}"
    if key.kind == "Volume" and doc is not None:
        return f"volume:{doc.spec.pool}/{key.name}"
    return f"{key.kind.lower()}:{key.name}"


class _Draft:
    """Collects nodes and edges."""

    def __init__(self, world: World) -> None:
        self._world, self._live = world, world.live
        self._nodes: dict[str, Node] = {}
        self._edges: set[Edge] = set()
        foreign = {name: set(kind(name).foreign(self._live)) for name in ("Bond", "Bridge", "Vlan", "VirtualMachine")}
        self._foreign = {Key(name, each) for name, names in foreign.items() for each in names} - set(world.documents)

    # what is there

    def links(self) -> None:
        graph = graph_of(self._live)
        for link in self._live.links.values():
            if link.master in self._live.links:
                plugged = link.kind in _PLUGGED and link.group != GROUP
                self._edge(*(f"link:{x}" for x in ((link.master, link.name) if plugged else (link.name, link.master))))
            if link.parent in self._live.links and link.kind not in (None, "veth"):
                self._edge(f"link:{link.parent}", f"link:{link.name}")
        touched = {end for edge in self._edges for end in (edge.below, edge.above)}
        for link in self._live.links.values():
            known = link.kind in _OF_KIND or link.name in graph.users.taps
            used = f"link:{link.name}" in touched or link.addresses or link.name in self._live.managers
            if link.name != "lo" and (known or used):
                self._add(f"link:{link.name}", _OF_KIND.get(link.kind, "port"), link.name, self._detail(link))
                for state in self._health(link):
                    self.state(f"link:{link.name}", state)

    def machines(self) -> None:
        users = graph_of(self._live).users
        for name, domain in self._live.domains.items():
            node = self._add(f"vm:{name}", "vm", name, domain.state)
            if domain.state == "crashed":
                self.state(node, State("down", "crashed"))
            if Key("VirtualMachine", name) in self._foreign:
                self.state(node, State("foreign"))
            taps = [tap for tap, owner in users.taps.items() if owner == name and tap in self._live.links]
            for tap in taps:
                self._edge(f"link:{tap}", node)
            for below, names in (*users.bridges.items(), *users.direct.items()):
                if name in names and not any(self._live.links[tap].master == below for tap in taps):
                    self._edge(self._link(below), node, active=False)
            have = kind("VirtualMachine").observe(name, self._world)
            for disk in have.spec.disks if have else ():
                self._edge(node, self._disk(disk))

    def volumes(self) -> None:
        for place, image in self._live.images.items():
            node = self._add(f"volume:{place}", "volume", place, _size(image))
            if image.mark is None and Key("Volume", image.name) not in self._world.documents:
                self.state(node, State("foreign"))

    # what ought to be there

    def judge(self, change: Change) -> None:
        doc = self._world.documents.get(change.key)
        node = _id(change.key, doc)
        if change.key.kind not in (*link_kinds(), "VirtualMachine", "Volume"):
            return
        if change.verb == Verb.CREATE and doc is not None:
            self._add(node, _LINK_TYPES.get(change.key.kind, node.partition(":")[0]), node.partition(":")[2])
            self.state(node, State("missing"))
            for below, above in self._declared(doc, node):
                self._edge(below, above)
        differs = [f.path.removeprefix("spec.") for f in change.fields if not f.ignored and not f.pending]
        said = ", ".join(differs) or "; ".join(step.text for step in other_steps(change))  # no field says "is down"
        if change.verb not in (Verb.CREATE, Verb.DELETE) and said:
            self.state(node, State("drift", said))
        if change.pending:
            self.state(node, State("pending", ", ".join(f.path.removeprefix("spec.") for f in change.pending)))
        if change.cause == Cause.PRUNE and change.verb == Verb.DELETE:
            self.state(node, State("undeclared"))
        for refusal in change.refused:
            if not refusal.waiting:
                self.state(node, State("refused", refusal.reason))

    def _declared(self, doc: Document, node: str) -> Iterator[tuple[str, str]]:
        """What a document that is not there yet would stand on, and what on it."""
        spec = doc.spec
        if doc.key.kind == "Bond":
            yield from ((self._link(nic), node) for nic in spec.members)
        elif doc.key.kind in ("Bridge", "Vlan"):
            below = spec.uplink if doc.key.kind == "Bridge" else spec.parent
            if below is not UNSET:
                yield self._link(below), node
        elif doc.key.kind == "VirtualMachine":
            for reference in kind("VirtualMachine").references(doc, self._world.documents):
                if reference.target.kind == "Bridge":
                    yield self._link(reference.target.name), node
            for disk in spec.disks:
                yield node, self._disk(disk)

    # parts

    def state(self, node: str, state: State) -> None:
        """Mark a node, if it is in the picture."""
        known = self._nodes.get(node)
        if known is not None and state not in known.states:
            self._nodes[node] = msgspec.structs.replace(known, states=(*known.states, state))

    def finished(self) -> Topology:
        rank = {name: index for index, name in enumerate(TYPES)}
        nodes = sorted(self._nodes.values(), key=lambda node: (rank[node.type], node.name))
        edges = (edge for edge in self._edges if {edge.below, edge.above} <= self._nodes.keys())
        return Topology(host=self._live.host, nodes=tuple(nodes), edges=tuple(sorted(edges)))

    def _add(self, node: str, type: str, name: str, detail: str = "") -> str:
        """What was drawn as missing because something names it may turn out to be declared."""
        self._nodes[node] = Node(id=node, type=type, name=name, detail=detail)
        return node

    def _edge(self, below: str, above: str, *, active: bool = True) -> None:
        self._edges.add(Edge(below, above, active))

    def _link(self, name: str) -> str:
        """A link that something names, whether it is there or not."""
        node = f"link:{name}"
        if node not in self._nodes:
            declared = (_LINK_TYPES[k] for k in _LINK_TYPES if Key(k, name) in self._world.documents)
            self._add(node, next(declared, "nic"), name)
            self.state(node, State("missing"))
        return node

    def _disk(self, disk: Any) -> str:
        """A disk on a volume, or on a place of its own."""
        return self._volume(wanted(disk.source).place if disk.source else disk.volume)

    def _volume(self, text: str) -> str:
        """``root-01`` of a Volume document, ``local/root-01``, or the place of a disk that no pool of ours has."""
        doc = self._world.declared("Volume", text)
        node = f"volume:{doc.spec.pool}/{text}" if doc else f"volume:{text}"
        if node not in self._nodes:
            self._add(node, "volume", node.partition(":")[2])
        return node

    def _detail(self, link: Link) -> str:
        parts = [] if link.kind in _OF_KIND else ["tap" if link.kind == "tun" else str(link.kind)]
        if link.kind == "bond":
            parts.append(str(link.data.get("bond_mode", "")))
        if link.kind == "vlan":
            parts.append(str(link.data.get("vlan_id", "")))
        parts += [*link.addresses, *link.dynamic_addresses]
        parts += [f"MTU {link.mtu}"] if link.mtu != _ETHERNET_MTU and link.kind in _OF_KIND else []
        manager = self._live.managers.get(link.name)
        return ", ".join([part for part in parts if part] + ([f"managed by {manager.name}"] if manager else []))

    def _health(self, link: Link) -> Iterable[State]:
        carried = any(edge.above == f"link:{link.name}" for edge in self._edges)
        if not link.up:
            yield State("down")
        elif not link.carrier and (link.kind in (None, "bond", "vlan") or (link.kind == "bridge" and carried)):
            yield State("no-carrier")
        if any(Key(name, link.name) in self._foreign for name in _LINK_TYPES):
            yield State("foreign")


def _size(image: Image) -> str:
    return Bytes(image.size).to_text()
