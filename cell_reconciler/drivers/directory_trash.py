"""The trash of a directory pool: ``.cell/trash/NAME.NUMBER.raw``, each with its record.

The record is written first, and names the inode: whatever a killed run leaves, the data are in one of both places, and
a record without its data counts for nothing. The file moves in one step that never replaces another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from cell_reconciler.drivers import directory_files as files
from cell_reconciler.drivers.directory_files import DIRECTORY, SUFFIX, opened
from cell_reconciler.drivers.pool_record import Record, is_ours_in_trash
from cell_reconciler.errors import Refused
from cell_reconciler.model.live import Trashed
from cell_reconciler.model.mark import Mark

_AT, _UNTIL = "trashed", "until"  # notes that only a record in the trash has


def names(cell: int) -> list[str]:
    """The files that lie there."""
    if cell < 0:
        return []
    try:
        with _trash(cell) as trash:
            return sorted(entry for entry in os.listdir(trash) if entry.endswith(SUFFIX))
    except FileNotFoundError:
        return []


def listed(cell: int) -> tuple[Trashed, ...]:
    """What lies there, the newest first."""
    found = []
    for file in names(cell):
        with suppress(FileNotFoundError), _trash(cell) as trash:
            found.append(_entry(trash, file.removesuffix(SUFFIX)))
    return tuple(sorted(found, key=lambda entry: (entry.at, entry.id), reverse=True))


def move(root: int, cell: int, name: str, seconds: float) -> None:
    """Move a volume there, to the first free number. The caller holds the lock."""
    with suppress(FileExistsError):
        os.mkdir("trash", 0o700, dir_fd=cell)
    with _trash(cell) as trash, opened(root, name + SUFFIX, os.O_RDONLY | os.O_NONBLOCK) as fd:
        taken = set(os.listdir(trash))
        number = next(n for n in range(1, len(taken) + 2) if f"{name}.{n}{SUFFIX}" not in taken)
        bind = files.identity(fd)
        old = Record.parse(files.read(cell, f"{name}.json"), bind)
        mark = Mark.parse(old.mark) if old else None
        if old is not None and mark is not None:
            now = datetime.now(UTC).replace(microsecond=0)
            times = {_AT: now.isoformat(), _UNTIL: (now + timedelta(seconds=seconds)).isoformat()}
            files.write(trash, f"{name}.{number}.json", Record.make(mark, bind, {**old.notes, **times}))
        os.rename(name + SUFFIX, f"{name}.{number}{SUFFIX}", src_dir_fd=root, dst_dir_fd=trash)
        os.fsync(trash)
        files.unlink(cell, f"{name}.json")
    os.fsync(root)


def restore(root: int, cell: int, identity: str, name: str, notes: Mapping[str, str], path: str) -> None:
    """See ``PoolDoor.restore``. The caller holds the lock."""
    with _trash(cell) as trash:
        entry = _known(trash, identity)
        with opened(trash, identity + SUFFIX, os.O_RDONLY | os.O_NONBLOCK) as fd:
            bind = files.identity(fd)
        if os.access(name + SUFFIX, os.F_OK, dir_fd=root, follow_symlinks=False):
            raise _taken(path)
        mark = Mark.parse(entry.mark)
        if mark is not None:
            files.write(cell, f"{name}.json", Record.make(mark, bind, notes))
        if not files.give_name(trash, identity + SUFFIX, root, name + SUFFIX):
            raise _taken(path)
        os.fsync(root)
        files.unlink(trash, f"{identity}.json")
        os.fsync(trash)


def purge(cell: int, identity: str, path: str) -> None:
    """See ``PoolDoor.purge``. The caller holds the lock."""
    with _trash(cell) as trash:
        entry = _known(trash, identity)
        if not is_ours_in_trash(entry):
            raise Refused(f"{identity} in the trash of {path} is not ours", "delete it by hand")
        if not entry.until or datetime.fromisoformat(entry.until) > datetime.now(UTC):
            raise Refused(f"{identity} stays in the trash of {path} until {entry.until or 'somebody restores it'}")
        files.unlink(trash, identity + SUFFIX)
        files.unlink(trash, f"{identity}.json")
        os.fsync(trash)


def remove(cell: int) -> None:
    """The empty trash, with the records that killed runs left."""
    with suppress(FileNotFoundError):
        with _trash(cell) as trash:
            for entry in os.listdir(trash):
                os.unlink(entry, dir_fd=trash)
        os.rmdir("trash", dir_fd=cell)


@contextmanager
def _trash(cell: int) -> Iterator[int]:
    with opened(cell, "trash", DIRECTORY) as trash:
        yield trash


def _known(trash: int, identity: str) -> Trashed:
    if identity + SUFFIX not in os.listdir(trash):
        raise Refused(f"there is no {identity} in the trash", "cellctl trash list shows what is")
    return _entry(trash, identity)


def _entry(trash: int, identity: str) -> Trashed:
    with opened(trash, identity + SUFFIX, os.O_RDONLY | os.O_NONBLOCK) as fd:
        record = Record.parse(files.read(trash, f"{identity}.json"), files.identity(fd))
        notes = dict(record.notes) if record else {}
        return Trashed(
            id=identity,
            name=identity.rpartition(".")[0],
            at=notes.pop(_AT, ""),
            until=notes.pop(_UNTIL, ""),
            size=os.fstat(fd).st_size,
            mark=record.mark if record else None,
            notes=notes,
        )


def _taken(path: str) -> Refused:
    return Refused(f"{path} exists, and nothing is restored over it", "restore it --as another name")
