"""What is written beside a volume's data: our mark, the notes, and the very object that they are bound to.

RBD copies image-meta with the image, and a file can be replaced under its name; so the record names the object
(an RBD image id, an inode) and counts for no other. The same JSON stands in the image-meta and in the file.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from cell_reconciler.model.live import Image, Trashed
from cell_reconciler.model.mark import Mark


class Record(msgspec.Struct, frozen=True):
    """``bind`` identifies the object; a record found beside another object is not about that one."""

    mark: str
    bind: str
    notes: dict[str, str] = {}

    @classmethod
    def make(cls, mark: Mark, bind: str, notes: Mapping[str, str] | None) -> Record:
        return cls(mark.to_text(), bind, dict(notes or {}))

    def to_bytes(self) -> bytes:
        return msgspec.json.encode(self, order="sorted")

    @classmethod
    def parse(cls, data: bytes | None, bind: str) -> Record | None:
        """None unless ``data`` is a record about the object ``bind``."""
        try:
            record = msgspec.json.decode(data or b"", type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return record if record.bind == bind and Mark.parse(record.mark) is not None else None


def is_ours_in_trash(entry: Trashed) -> bool:
    """As ``is_ours``, of what lies in the trash."""
    return is_ours(Image(pool="", name=entry.name, size=0, mark=entry.mark))


def is_ours(image: Image) -> bool:
    """Does the image carry our mark under its own name? (A renamed one does not: somebody took it over.)"""
    mark = Mark.parse(image.mark)
    return mark is not None and mark.owner.name == image.name
