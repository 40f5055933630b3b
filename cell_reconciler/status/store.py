"""Keeps status, events, history and suspensions below the state directory.

Status files are replaced atomically; events and history are JSON lines, appended, and cut to half of
``MAX_LINES`` when they pass it. Several processes may read while one writes (the writer holds the host lock;
``suspend`` and ``resume`` only touch their own file).
"""

from __future__ import annotations

import os
import re
import threading
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from cell_reconciler.errors import CellError, about
from cell_reconciler.model.diagnostic import Diagnostic
from cell_reconciler.model.key import Key
from cell_reconciler.status.records import Event, HistoryEntry, ResourceStatus, SuspensionRecord

MAX_LINES = 20_000
_SAFE = re.compile(r"[^A-Za-z0-9_.:-]")
T = TypeVar("T")


class StatusStore:
    """The state directory. Everything is created on the first write; reading what is not there is empty."""

    def __init__(self, state_dir: str | Path) -> None:
        self.root = Path(state_dir)
        self._lock = threading.Lock()
        self._known: dict[Key, bytes] = {}

    # status

    def resources(self) -> list[ResourceStatus]:
        """Every known resource, by key. A file that cannot be read is left out (it is rewritten by the next pass)."""
        found = []
        for path in sorted((self.root / "status").glob("*/*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=ResourceStatus))
            except (OSError, msgspec.DecodeError):
                continue
        return sorted(found, key=lambda status: status.key)

    def get(self, key: Key) -> ResourceStatus | None:
        try:
            return msgspec.json.decode(self._path(key).read_bytes(), type=ResourceStatus)
        except (OSError, msgspec.DecodeError):
            return None

    def put(self, statuses: Iterable[ResourceStatus]) -> None:
        """Write what changed (``time`` alone is not a change worth a write)."""
        for status in statuses:
            essence = msgspec.json.encode(msgspec.structs.replace(status, time=""))
            if self._known.get(status.key) != essence:
                self._write(self._path(status.key), msgspec.json.encode(status))
                self._known[status.key] = essence

    def forget(self, keep: Iterable[Key]) -> None:
        """Remove the status of every key that is not in ``keep``."""
        wanted = {self._path(key) for key in keep}
        for path in (self.root / "status").glob("*/*.json"):
            if path not in wanted:
                path.unlink(missing_ok=True)
        self._known = {k: v for k, v in self._known.items() if self._path(k) in wanted}

    # diagnostics of the specs, so that `get` shows invalid files

    def set_diagnostics(self, diagnostics: Iterable[Diagnostic]) -> None:
        self._write(self.root / "diagnostics.json", msgspec.json.encode(tuple(diagnostics)))

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        try:
            return msgspec.json.decode((self.root / "diagnostics.json").read_bytes(), type=tuple[Diagnostic, ...])
        except (OSError, msgspec.DecodeError):
            return ()

    # events and history

    def add_events(self, events: Iterable[Event]) -> None:
        self._append(self.root / "events.jsonl", events)

    def events(self, key: Key | None = None, limit: int = 100) -> list[Event]:
        """The last ``limit`` events, oldest first."""
        found = (e for e in self._lines(self.root / "events.jsonl", Event) if key is None or e.key == key)
        return list(deque(found, maxlen=limit))

    def add_history(self, entry: HistoryEntry) -> None:
        self._append(self.root / "history.jsonl", [entry])

    def history(self, key: Key | None = None, limit: int = 100) -> list[HistoryEntry]:
        """The last ``limit`` passes that did something (to ``key``), oldest first."""
        found = (
            entry
            for entry in self._lines(self.root / "history.jsonl", HistoryEntry)
            if key is None or any(step.get("key") == str(key) for step in entry.steps)
        )
        return list(deque(found, maxlen=limit))

    # suspensions

    def suspend(self, record: SuspensionRecord) -> None:
        records = {r.key: r for r in self._suspension_records()}
        self._write(self.root / "suspensions.json", msgspec.json.encode([*({**records, record.key: record}).values()]))

    def resume(self, key: Key) -> bool:
        """End a suspension, and tell the watch loop to try again if it gave up (Fighting). True when either was so."""
        status = self.get(key)
        fighting = status is not None and status.condition("Fighting") is not None
        if fighting:
            times = {str(k): time for k, time in self.resumed().items()} | {str(key): datetime.now(UTC).isoformat()}
            self._write(self.root / "resumed.json", msgspec.json.encode(times))
        records = {r.key: r for r in self._suspension_records()}
        if records.pop(key, None) is None:
            return fighting
        self._write(self.root / "suspensions.json", msgspec.json.encode([*records.values()]))
        return True

    def resumed(self) -> dict[Key, str]:
        """Keys for which ``resume`` was said while they were fighting, and when (RFC 3339)."""
        try:
            found = msgspec.json.decode((self.root / "resumed.json").read_bytes(), type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            return {}
        return {Key.parse(key): time for key, time in found.items()}

    def suspensions(self, now: datetime | None = None) -> dict[Key, SuspensionRecord]:
        """Those in force at ``now`` (all when it is not given)."""
        return {
            r.key: r
            for r in self._suspension_records()
            if now is None or not r.until or now < datetime.fromisoformat(r.until)
        }

    def _suspension_records(self) -> tuple[SuspensionRecord, ...]:
        try:
            return msgspec.json.decode((self.root / "suspensions.json").read_bytes(), type=tuple[SuspensionRecord, ...])
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError) as error:
            # Going on without it would touch what somebody asked us to leave alone.
            raise CellError(
                f"{self.root / 'suspensions.json'} cannot be read: {error}", "repair or remove the file"
            ) from error

    # files

    def _path(self, key: Key) -> Path:
        return self.root / "status" / _SAFE.sub("_", key.kind) / f"{_SAFE.sub('_', key.name)}.json"

    def _write(self, path: Path, data: bytes) -> None:
        """Replace atomically: a reader sees the old file or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        temporary = path.with_name(f".tmp-{os.getpid()}-{threading.get_ident()}")
        try:
            with about(path), temporary.open("wb") as file:
                os.fchmod(file.fileno(), 0o644)
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _append(self, path: Path, records: Iterable[msgspec.Struct]) -> None:
        data = b"".join(msgspec.json.encode(r) + b"\n" for r in records)
        if not data:
            return
        with self._lock:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            with about(path), path.open("ab") as file:
                file.write(data)
                size = file.tell()
            if size > MAX_LINES * 200:
                lines = path.read_bytes().splitlines(keepends=True)
                self._write(path, b"".join(lines[-MAX_LINES // 2 :]))

    def _lines(self, path: Path, kind: type[T]) -> Iterable[T]:
        try:
            file = path.open("rb")
        except OSError:
            return
        with file:
            for line in file:
                try:
                    yield msgspec.json.decode(line, type=kind)
                except msgspec.DecodeError:
                    continue  # a line torn by a crash
