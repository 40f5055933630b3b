"""A kind that uses every part of the contract that ``load`` calls, so that its rules are tested without a host.

A Toy needs other Toys (``needs``), wants a box of a colour (``box``: derived), and must not be called ``bad``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from cell_reconciler.kinds.contract import Problem, Reference
from cell_reconciler.kinds.placement import Placed
from cell_reconciler.kinds.settings import SettingsKind
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import UNSET, Spec, UnsetType, doc
from cell_reconciler.model.key import Key
from cell_reconciler.model.live import Live, Source
from cell_reconciler.model.quantities import Bytes, Duration, Mac


class Part(Spec, kw_only=True):
    """A part of a toy."""

    name: Annotated[str, doc("Name of the part.", pattern=r"^[a-z]+$", max_length=8)]
    size: Annotated[Bytes, doc("How large.")] | UnsetType = UNSET
    weight: Annotated[float, doc("In kg.", gt=0, le=10)] = 1.0


class ToySpec(Placed, kw_only=True):
    """A toy."""

    colour: Annotated[str, doc("Of the toy.", examples=["red"])]
    needs: Annotated[tuple[str, ...], doc("Other toys.", max_length=3)] = ()
    box: Annotated[str, doc("Colour of the box that it brings into being.")] | UnsetType = UNSET
    parts: Annotated[tuple[Part, ...], doc("What it consists of.")] = ()
    main: Annotated[Part, doc("The main part.")] | UnsetType = UNSET
    age: Annotated[int | str, doc("A number or a word.")] | UnsetType = UNSET
    count: Annotated[int, doc("How many.", ge=1, lt=100, multiple_of=1)] = 1
    wait: Annotated[Duration, doc("How long.")] = Duration(1)
    mac: Annotated[Mac, doc("Address.")] | UnsetType = UNSET
    tags: Annotated[dict[str, str], doc("Free words.", max_length=2)] = {}


class ToyKind(SettingsKind):
    name = "Toy"
    aliases: tuple[str, ...] = ("t",)
    spec = ToySpec
    sources = frozenset({Source.NETLINK})

    def check(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Problem]:
        if doc.spec.colour == "bad":
            yield Problem(pointer="/spec/colour", rule="toy-colour", message="bad is not a colour", advice="try red")
        if doc.spec.colour == "grey":
            yield Problem(pointer="/spec/colour", rule="toy-dull", message="dull", severity=Severity.WARNING)

    def references(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Reference]:
        for index, name in enumerate(doc.spec.needs):
            yield Reference(Key("Toy", name), f"/spec/needs/{index}")

    def derive(self, doc: Document, documents: Mapping[Key, Document]) -> Iterable[Document]:
        if doc.spec.box is not UNSET:
            spec = ToySpec(colour=doc.spec.box)
            yield Document(key=Key("Toy", "box"), spec=spec, given={}, position=doc.position)

    def exists(self, name: str, live: Live) -> bool:
        return name in live.links


KIND = ToyKind()
