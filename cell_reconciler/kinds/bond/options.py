"""The options of a bond between the spec and the kernel: what the declarations in ``spec`` say, applied.

Rule 1: an option counts in the modes that its declaration names; in the others it is neither compared nor sent.
Rule 2: of a bond that we made all options are ours, also those that the document leaves out; of an adopted one only
the named ones.
Rule 3: the kernel keeps delays as multiples of miimon, rounded down. A new miimon takes them along, so they are sent
with it; without miimon they cannot be set at all (EPERM), and are 0.
Rule 4: what the kernel does not report it does not have, but for lists that are empty and for what it tells to
CAP_NET_ADMIN only.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from cell_reconciler.kinds.bond.modes import BondMode
from cell_reconciler.kinds.bond.spec import BondSpec
from cell_reconciler.model.fields import UNSET, Field, fields_of
from cell_reconciler.model.live import Link
from cell_reconciler.model.quantities import Mac

FIELDS: dict[str, Field] = {f.name: f for f in fields_of(BondSpec) if "netlink" in f.extra}
# These name members, so they are set when the members are there, by steps of their own; the others are not.
OF_MEMBERS = frozenset({"primary", "active_slave", "prio", "queue_id"})
PLAIN: dict[str, Field] = {name: field for name, field in FIELDS.items() if name not in OF_MEMBERS}
DELAYS = ("updelay", "downdelay", "peer_notif_delay")
# bond_fill_info tells these in mode 802.3ad only, and only to CAP_NET_ADMIN. Every supported kernel has them.
PRIVILEGED = frozenset({"ad_actor_sys_prio", "ad_actor_system", "ad_user_port_key"})
# The kernel changes these with the mode (bond_option_mode_set), so they are sent with it also when they are right now.
_WITH_MODE = frozenset({"miimon", "arp_interval", "arp_validate", "tlb_dynamic_lb"})
# Lists are not reported while they are empty. This one came a release before nsIp6Target.
_WITNESS = {"bond_ns_ip6_target": "bond_missed_max"}
MIIMON = 100  # ms: what Documentation/networking/bonding calls a good starting point


def counts(name: str, mode: BondMode) -> bool:
    """Rule 1."""
    return mode in FIELDS[name].extra["modes"]


def given(spec: BondSpec) -> list[Field]:
    """The options that a spec sets."""
    return [field for name, field in FIELDS.items() if getattr(spec, name) is not UNSET]


def effective_miimon(spec: BondSpec) -> int:
    """Milliseconds."""
    if spec.miimon is not UNSET:
        return int(spec.miimon)
    return 0 if spec.arp_interval is not UNSET and spec.arp_interval else MIIMON


def multiple(delay: int, miimon: int) -> int:
    """What the kernel makes of a delay (rule 3); both in milliseconds."""
    return delay - delay % miimon if miimon else 0


def unsupported(spec: BondSpec, bond: Link, mode: BondMode) -> list[Field]:
    """The options that the document names, that count in its mode, and that the running kernel does not have."""
    named = [f for f in given(spec) if f.extra["since"] and f.name in PLAIN and counts(f.name, mode)]
    return [f for f in named if not reported(f, bond)]  # rule 4


def unreadable(spec: BondSpec, bond: Link) -> list[Field]:
    """The options that the document names and that we may not read."""
    lacp = bond.data.get("bond_mode") == BondMode.LACP
    return [f for f in given(spec) if lacp and f.name in PRIVILEGED and not reported(f, bond)]


def reported(field: Field, bond: Link) -> bool:
    """Does the kernel tell this option of the bond (rule 4)?"""
    option = field.extra["netlink"]
    return option == "bond_arp_ip_target" or _WITNESS.get(option, option) in bond.data


# -- the document's side -----------------------------------------------------------------------------------------


def wanted(spec: BondSpec, mode: BondMode, have: BondSpec | None, *, all_ours: bool) -> BondSpec:
    """The options of a document in canonical form, and those that are ours without being named (rules 1 to 3).

    With ``have``, only options that it has are filled in: what is not reported is no difference.
    """
    values: dict[str, Any] = {name: _canonical(getattr(spec, name)) if counts(name, mode) else UNSET for name in FIELDS}
    if values["num_grat_arp"] is not UNSET:
        values["num_unsol_na"] = UNSET  # the same number
    for name in FIELDS if all_ours else ():
        told = have is None or getattr(have, name) is not UNSET
        if values[name] is UNSET and counts(name, mode) and told:
            values[name] = _absent(name, spec)
    miimon = effective_miimon(spec)
    if not all_ours and spec.miimon is UNSET and have is not None and have.miimon is not UNSET:
        miimon = have.miimon
    for name in DELAYS:
        if values[name] is not UNSET:
            values[name] = multiple(values[name], miimon)
    for name in ("prio", "queue_id"):
        if values[name] == {} and (have is None or getattr(have, name) is UNSET):
            values[name] = UNSET
    return msgspec.structs.replace(spec, mode=mode, **values)


def usual(spec: BondSpec) -> dict[str, Any]:
    """What each option has when a document does not say it, beside the others that it says.

    Of the two names of one number the first says it.
    """
    silent = msgspec.structs.replace(spec, miimon=UNSET, num_unsol_na=UNSET)
    return {name: _absent(name, silent) for name in FIELDS} | {"num_unsol_na": spec.num_unsol_na}


def _absent(name: str, spec: BondSpec) -> Any:
    if name == "miimon":
        return effective_miimon(spec)
    if name == "num_grat_arp" and spec.num_unsol_na is not UNSET:
        return UNSET
    return FIELDS[name].extra["absent"]


def _canonical(value: Any) -> Any:
    """Addresses as the kernel writes them; of members only those that differ from the rest."""
    if isinstance(value, tuple):
        return tuple(str(ipaddress.ip_address(text)) for text in value)
    return {name: number for name, number in value.items() if number} if isinstance(value, dict) else value


# -- the kernel's side -------------------------------------------------------------------------------------------


def observed(bond: Link) -> dict[str, Any]:
    """The options of a live bond that count in its mode and do not name members, as values of the spec's fields."""
    mode = BondMode(bond.data["bond_mode"])
    found: dict[str, Any] = {}
    for name, field in PLAIN.items():
        if counts(name, mode) and reported(field, bond):
            found[name] = _from_kernel(field, bond.data.get(field.extra["netlink"], []))
    return found


def request(spec: BondSpec, names: Collection[str]) -> dict[str, Any]:
    """The named options, as far as they are set, in the kernel's words: ``{"bond_ad_lacp_rate": "fast"}``."""
    values = ((field.extra["netlink"], getattr(spec, name)) for name, field in PLAIN.items() if name in names)
    return {option: to_kernel(value) for option, value in values if value is not UNSET}


def creation(spec: BondSpec) -> dict[str, Any]:
    """What a new bond is made with: what the document names, the mode, and miimon, which the kernel leaves off."""
    want = wanted(spec, spec.mode, None, all_ours=True)
    names = {field.name for field in given(spec)} | ({"miimon"} if want.miimon else set())
    return {"bond_mode": want.mode.value, **request(want, names if want.miimon else names - set(DELAYS))}


def change(want: BondSpec, have: BondSpec, names: Collection[str]) -> dict[str, Any]:
    """The request that sets these options; delays go with miimon (rule 3), also those that are not ours."""
    miimon = effective_miimon(have if want.miimon is UNSET else want)
    if "miimon" in names:
        others = {name: getattr(have, name) for name in DELAYS if getattr(want, name) is UNSET}
        kept = {name: multiple(value, miimon) for name, value in others.items() if value is not UNSET}
        want, names = msgspec.structs.replace(want, **kept), {*names, *DELAYS}
    return request(want, names if miimon else set(names) - set(DELAYS))


def for_mode(want: BondSpec, have: BondSpec, bond: Link) -> dict[str, Any]:
    """The request that sets a mode and the options with it. ``want`` is complete: ``wanted`` without ``have``.

    What the old mode does not report may be anything, from a time before it.
    """
    told = {name for name, field in PLAIN.items() if name in PRIVILEGED or reported(field, bond)}
    names = {n for n in told if n in _WITH_MODE or getattr(want, n) != getattr(have, n)}
    return {"bond_mode": want.mode.value, **change(want, have, names)}


def left_behind(bond: Link, new: BondMode, ours: Collection[str] | None) -> dict[str, Any]:
    """Options that the mode of a bond has and the new one has not, back to their defaults: the kernel would keep them
    for the day when the old mode returns. ``ours``: JSON pointers of what may be touched, None for all."""
    old = BondMode(bond.data["bond_mode"])
    found: dict[str, Any] = {}
    for name, field in FIELDS.items():
        option = field.extra["netlink"]
        if not counts(name, old) or counts(name, new) or (ours is not None and f"/spec/{field.yaml}" not in ours):
            continue
        if name == "primary" and bond.data.get(option):
            found[option] = None
        elif name in PLAIN and option in bond.data:
            absent = field.extra["absent"]
            found |= {} if _from_kernel(field, bond.data[option]) == absent else {option: to_kernel(absent)}
    return found


def same(have: Mapping[str, Any], want: Mapping[str, Any]) -> bool:
    """Is all of it so? A list that the kernel does not report is empty."""
    return all(have.get(option, [] if value == [] else None) == value for option, value in want.items())


def to_kernel(value: Any) -> Any:
    """A value of the spec in the kernel's words."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Mac) else value


def _from_kernel(field: Field, value: Any) -> Any:
    absent = field.extra["absent"]
    if isinstance(absent, tuple):
        return tuple(value)
    if isinstance(absent, Mac):
        return Mac(value)
    return bool(value) if isinstance(absent, bool) else value


# -- for people --------------------------------------------------------------------------------------------------


def said(spec: BondSpec, names: Collection[str]) -> str:
    """``lacpRate fast, useCarrier true``, in the order of the fields."""
    values = ((field.yaml, getattr(spec, name)) for name, field in FIELDS.items() if name in names)
    return ", ".join(f"{yaml} {_text(value)}" for yaml, value in values if value is not UNSET)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
