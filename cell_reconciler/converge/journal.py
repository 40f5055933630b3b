"""Write-ahead record of what is being done: one JSON line before and after each step.

Nothing reads it to decide what to do. It tells people (and the next run, which reports it as an event) at which step a
process died. A line survives the death of the process as soon as it is written; only what a power cut could leave half
done (steps that disturb or delete) waits for the disk, since a wait for each of a thousand bridges takes many seconds.

On a full disk a pass or a step that cannot be noted is not begun. A line begins with its line break, so that what was
torn by a full disk spoils no other.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from cell_reconciler.errors import about
from cell_reconciler.model.change import Outcome, Plan, Risk, Step


class Journal:
    """``<state_dir>/journal.jsonl``: the passes under way; when the last of them ended, the file is empty."""

    def __init__(self, state_dir: str | Path) -> None:
        self.path = Path(state_dir) / "journal.jsonl"
        self._lock = threading.Lock()
        self._under_way: set[int] = set()
        self._numbers = itertools.count(1)

    def interrupted(self) -> list[str]:
        """Texts of the steps that were begun and not ended by a process that died; empty otherwise."""
        open_steps: dict[tuple[int, int], str] = {}
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                record = msgspec.json.decode(line)
            except msgspec.DecodeError:
                continue  # torn by the crash
            place = (record.get("pass", 0), record.get("step", 0))
            if record.get("event") == "begin":
                open_steps[place] = record["text"]
            elif record.get("event") == "end":
                open_steps.pop(place, None)
        return list(open_steps.values())

    @contextmanager
    def open(self, plan: Plan) -> Iterator[JournalWriter]:
        """Start a pass. The watch loop has several at a time (of different keys), each in a thread of its own."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        with self._lock:
            number = next(self._numbers)
            file = self.path.open("ab", buffering=0)
            if not self._under_way:
                file.truncate(0)
            self._under_way.add(number)
        with file:
            writer = JournalWriter(file.fileno(), number, str(self.path))
            try:
                head = {"event": "plan", "host": plan.host, "specs": plan.specs_digest, "steps": len(plan.steps)}
                writer.write(head, sync=True)
                yield writer
            finally:
                with self._lock:
                    self._under_way.discard(number)
                    if not self._under_way and sys.exc_info()[0] is None:
                        file.truncate(0)


class JournalWriter:
    """Appends to an open journal; ``number`` tells the passes of one process apart."""

    def __init__(self, descriptor: int, number: int, path: str) -> None:
        self._descriptor = descriptor
        self._number = number
        self._path = path

    def begin(self, index: int, step: Step) -> None:
        """Raises OSError, with the path, when it cannot be written: then the step must not be made."""
        grave = step.deletes or step.risk > Risk.NONE
        record = {"event": "begin", "step": index, "key": str(step.key), "op": step.op, "text": step.text}
        self.write(record, sync=grave)

    def end(self, outcome: Outcome) -> None:
        """Where it cannot be written, the next run tells at worst that the step was interrupted."""
        with suppress(OSError):
            self.write({"event": "end", "step": outcome.step, "result": outcome.result, "error": outcome.error})

    def write(self, record: dict[str, Any], *, sync: bool = False) -> None:
        data = b"\n" + msgspec.json.encode({**record, "pass": self._number})
        with about(self._path):
            while data:  # a disk that is nearly full takes the beginning without an error
                data = data[os.write(self._descriptor, data) :]
            if sync:
                os.fdatasync(self._descriptor)


class NoJournal(JournalWriter):
    """For who brings the network back: a full disk must not keep it away, and what was cut short is begun anew."""

    def __init__(self) -> None:
        super().__init__(-1, 0, "")

    def write(self, record: dict[str, Any], *, sync: bool = True) -> None:
        """Nowhere."""
