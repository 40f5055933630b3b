"""The options of a bridge as the kernel has them: the fields of the spec that name a netlink attribute.

Rule 1: times are centiseconds (USER_HZ), which the kernel keeps in jiffies: what is read back may be one less.
Rule 2: in one request the kernel sets the forward delay before STP (br_changelink), and holds it to 2 to 30 s while
STP is on (br_set_forward_delay). So STP is turned off in a request before, and turned on in the same one.
Rule 3: an option that the kernel does not report (it was built without) has its default: nothing is to be done.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from cell_reconciler.drivers import Doors
from cell_reconciler.kinds.bridge.spec import BridgeSpec, TagProtocol
from cell_reconciler.kinds.links.actions import LinkAction
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.fields import Field, encode, fields_of
from cell_reconciler.model.live import Link
from cell_reconciler.model.quantities import Duration

CENTI = 100  # centiseconds in a second
FIELDS: dict[str, Field] = {f.name: f for f in fields_of(BridgeSpec) if "netlink" in f.extra}
BY_YAML = {field.yaml: name for name, field in FIELDS.items()}
WITH_STP = {"forward_delay": (2, 30)}  # seconds; see rule 2
VLANS = frozenset({"vlan_filtering", "vlan_default_pvid", "vlan_protocol"})


def kernel(spec: BridgeSpec, names: Collection[str]) -> dict[str, Any]:
    """The named fields in the kernel's words: ``{"br_forward_delay": 1500}``."""
    return {FIELDS[name].extra["netlink"]: _kernel(getattr(spec, name)) for name in FIELDS if name in names}


def unusual(spec: BridgeSpec) -> frozenset[str]:
    """The fields that differ from what the kernel gives a new bridge."""
    return frozenset(name for name, field in FIELDS.items() if getattr(spec, name) != field.default)


def observed(link: Link, want: BridgeSpec | None) -> dict[str, Any]:
    """The options of a live bridge, as values of the spec's fields."""
    return {name: _observed(field, link, want) for name, field in FIELDS.items()}


def held_by_stp(spec: BridgeSpec, bridge: Link, todo: Collection[str]) -> Refusal | None:
    """Rule 2, for a document that adopts a bridge with STP on and does not name ``stp``, so that it stays on."""
    low, high = WITH_STP["forward_delay"]
    runs = bool(bridge.data.get("br_stp_state")) and "stp" not in todo
    if not runs or "forwardDelay" not in todo or low <= spec.forward_delay <= high:
        return None
    delay = spec.forward_delay.to_text()
    message = f"{bridge.name} runs STP, with which forwardDelay {delay} is not between {low}s and {high}s"
    return Refusal(reason="Conflict", message=message, advice="name stp in the document too")


def said(spec: BridgeSpec, names: Collection[str]) -> str:
    """``forwardDelay 4s, stp true``, in the order of the fields."""
    return ", ".join(f"{FIELDS[name].yaml} {_text(getattr(spec, name))}" for name in FIELDS if name in names)


class SetOptions(LinkAction, frozen=True, kw_only=True):
    """Options of a bridge, in the kernel's words."""

    options: dict[str, Any]

    def done(self, doors: Doors) -> bool:
        link = self.link(doors)
        return link is not None and all(_same(k, link.data.get(k), value) for k, value in self.options.items())

    def do(self, doors: Doors) -> None:
        doors.netlink.set_data(self.name, "bridge", **self.options)


_TIMES = frozenset(f.extra["netlink"] for f in FIELDS.values() if isinstance(f.default, Duration))


def _same(option: str, have: Any, want: Any) -> bool:
    if have is None:
        return False
    if option in _TIMES:
        return want - have in (0, 1)
    return bool(have) == bool(want) if option == "br_stp_state" else bool(have == want)  # 2: by a program (mstpd)


def _kernel(value: Any) -> Any:
    if isinstance(value, Duration):
        return round(value * CENTI)
    return value.value if isinstance(value, TagProtocol) else int(value)


def _observed(field: Field, link: Link, want: BridgeSpec | None) -> Any:
    option = field.extra["netlink"]
    have = link.data.get(option)
    if have is None:
        return field.default
    if option in _TIMES:
        wanted = None if want is None else getattr(want, field.name)
        return wanted if wanted is not None and _same(option, have, _kernel(wanted)) else Duration(have / CENTI)
    if isinstance(field.default, TagProtocol):
        return TagProtocol(have)
    return bool(have) if isinstance(field.default, bool) else have


def _text(value: Any) -> str:
    if isinstance(value, Duration):
        return str(encode(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
