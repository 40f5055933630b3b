"""How one field stands in domain XML: ``read`` an element, ``write`` a value into it.

Elements come from lxml but nothing here imports it (``makeelement`` is a method), so that specs can be validated
where lxml is not installed. ``scope`` is ``<domain>``, or the device's own element for the fields of a device.

Rule 1: absent reads as what libvirt means by it: None for an optional field, its default for the others.
Rule 2: ``write`` touches only what belongs to its field; what others put beside it stays, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from cell_reconciler.model.fields import UNSET, UnsetType

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from cell_reconciler.kinds.virtual_machine.tree import Context

T = TypeVar("T")


def child(scope: Element, path: str) -> Element:
    """The element at ``path`` (names separated by ``/``), made where it is missing."""
    for tag in path.split("/"):
        found = scope.find(tag)
        scope = add(scope, tag) if found is None else found
    return scope


def add(scope: Element, tag: str, **attributes: str) -> Element:
    """A new last child."""
    new = scope.makeelement(tag, attributes)
    scope.append(new)
    return new


def drop(scope: Element, path: str) -> None:
    """Remove every element at ``path``."""
    for element in scope.findall(path):
        remove(element)


def remove(element: Element) -> None:
    """Remove one element and the white space after it."""
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def unset(element: Element, *names: str) -> None:
    """Remove attributes, where they are there."""
    for name in names:
        if name in element.attrib:
            del element.attrib[name]


def absent(value: Any) -> bool:
    return value is None or value is UNSET


def said(value: T | UnsetType | None) -> T | None:
    """The value, None for one that is not there: a document leaves it UNSET, an effective spec and XML have None."""
    return None if value is UNSET else value


class Codec:
    """Base of all codecs."""

    entire = False  # of a field that is a struct: its codec is about all of it, and the fields inside have none

    def read(self, scope: Element) -> Any:
        raise NotImplementedError

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        """``owner`` is the struct that the field belongs to, for fields that make sense together only."""
        raise NotImplementedError


class Items(Codec):
    """A list whose items have an element each and a key; the fields of an item are written into its element."""

    def items(self, scope: Element, context: Context | None = None) -> Iterator[tuple[str, Element]]:
        """Every item with its key."""
        raise NotImplementedError

    def known(self, name: str) -> dict[str, Any]:
        """The fields that the key says."""
        return {"name": name}

    def create(self, scope: Element, name: str) -> Element:
        """An item that has its key and nothing else."""
        raise NotImplementedError

    def delete(self, element: Element) -> None:
        remove(element)


class Text(Codec):
    """The text of an element; None where there is none."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, scope: Element) -> str | None:
        return scope.findtext(self.path) or None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value):
            drop(scope, self.path)
        else:
            child(scope, self.path).text = str(value)


class Attribute(Codec):
    """An attribute of an element; ``absent`` is what libvirt means when it is not there."""

    def __init__(self, path: str, name: str, *, absent: str) -> None:
        self.path, self.name, self.absent = path, name, absent

    def read(self, scope: Element) -> str:
        element = scope.find(self.path)
        return self.absent if element is None else element.get(self.name) or self.absent

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        child(scope, self.path).set(self.name, str(value))


class Option(Codec):
    """An attribute that is only there when it says something else than ``absent``; text, or a whole number."""

    def __init__(self, path: str, name: str, *, absent: Any = None, kind: type[str] | type[int] = str) -> None:
        self.path, self.name, self.absent, self.kind = path, name, absent, kind

    def read(self, scope: Element) -> Any:
        element = scope.find(self.path)
        text = None if element is None else element.get(self.name)
        return self.kind(text) if text else self.absent

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if not absent(value) and value != self.absent:
            child(scope, self.path).set(self.name, str(value))
            return
        element = scope.find(self.path)
        if element is not None:
            unset(element, self.name)
            if not len(element) and not element.attrib:
                remove(element)


class Flag(Codec):
    """An element that is there or not; what is inside it are fields of their own."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self, scope: Element) -> bool:
        return scope.find(self.path) is not None

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if value:
            child(scope, self.path)
        else:
            drop(scope, self.path)


class Number(Codec):
    """The text of an element as a whole number; none, or 0, is ``absent``, and leaves no element."""

    def __init__(self, path: str, *, absent: int | None) -> None:
        self.path, self.absent = path, absent

    def read(self, scope: Element) -> int | None:
        return int(scope.findtext(self.path) or 0) or self.absent

    def write(self, scope: Element, value: Any, owner: Any, context: Context) -> None:
        if absent(value) or not value:
            drop(scope, self.path)
        else:
            child(scope, self.path).text = str(value)
