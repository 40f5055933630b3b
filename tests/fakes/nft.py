"""The interface of ``NftablesDoor``, as far as a plan needs it: which filter a bridge has."""

from __future__ import annotations

from cell_reconciler.drivers.doors import Writes
from cell_reconciler.model.firewall import Filter


class FakeNftables:
    """See ``NftablesDoor``; a kernel that is able to hold every filter."""

    def __init__(self, writes: Writes) -> None:
        self.writes = writes
        self.filters: dict[str, str] = {}

    def close(self) -> None:
        """Nothing is open."""

    def observe(self) -> dict[str, dict[str, str]]:
        return {"filters": dict(self.filters)}

    def filter(self, bridge: str) -> str | None:
        return self.filters.get(bridge)

    def replace(self, bridge: str, *choices: Filter) -> None:
        self.writes.add("nftables.replace")
        self.filters[bridge] = choices[0].digest()

    def delete(self, bridge: str) -> None:
        self.writes.add("nftables.delete")
        self.filters.pop(bridge, None)
