"""Which functions of the host a VM gets where its document leaves the choice to us.

A choice is stable because the domain's XML keeps it: whatever a VM has already stays its own as long as it is what the
document asks for. The rest is dealt out in the order of names, over all documents at once, so that two VMs that ask for
the same kind of card in one plan get two cards. What the host itself uses is never among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine import guard, observe
from cell_reconciler.kinds.virtual_machine.host_devices import Request, functions, requests
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.model.change import Refusal
from cell_reconciler.model.document import Document
from cell_reconciler.model.host_devices import HostDevices
from cell_reconciler.model.live import Live

KIND = "VirtualMachine"

_last: list[tuple[World, dict[str, dict[str, str]]]] = []  # of the last world: each of its VMs asks


def chosen(name: str, world: World) -> Mapping[str, str]:
    """By name of the device: the function that this VM gets. What nothing is free for is missing."""
    for of, found in _last:
        if of.live is world.live and of.documents is world.documents:
            return found.get(name, {})
    dealt = _deal(world)
    _last[:] = [(world, dealt)]
    return dealt.get(name, {})


def _deal(world: World) -> dict[str, dict[str, str]]:
    machines = {key.name: doc for key, doc in world.documents.items() if key.kind == KIND}
    asking = {name: doc for name, doc in sorted(machines.items()) if next(requests(doc.spec), None) is not None}
    if not asking:
        return {}
    dealt = {name: dict(_kept(doc, world.live)) for name, doc in asking.items()}
    taken = {address for of in dealt.values() for address in of.values()}
    taken |= {address for doc in machines.values() for address in functions(doc.spec, {}).values()}
    for domain in world.live.domains.values():
        taken |= guard.functions_of(domain)
    for name, doc in asking.items():
        # Whatever fits one of its requests may be its own in the end: a group may be asked for whole, by ids.
        mine = {*functions(doc.spec, {}).values(), *(a for r in requests(doc.spec) for a in candidates(r, world.live))}
        for request in requests(doc.spec):
            if request.name in dealt[name]:
                continue
            free = (address for address in candidates(request, world.live) if address not in taken)
            found = next((address for address in free if not any(_objections(address, name, mine, world))), None)
            if found is not None:
                dealt[name][request.name] = found
                taken.add(found)
    return dealt


def _objections(address: str, vm: str, mine: Collection[str], world: World) -> Iterator[Refusal]:
    return guard.of_function(address, vm, {*mine, address}, world.live, world.documents)


def missing(name: str, spec: VirtualMachineSpec, world: World) -> Iterator[Refusal]:
    """What is asked for and nothing is free for, each with what has the candidates."""
    found = chosen(name, world)
    for request in requests(spec):
        if request.name in found:
            continue
        every = candidates(request, world.live)
        said = [next((o.message for o in _objections(a, name, (), world)), f"{a} goes to another VM") for a in every]
        message = f"{request.name}: no {request.text} is free: {guard.some(said) or 'there is none'}"
        advice = "free one of them" if said else _none(request)
        yield Refusal(reason="NoFreeHostDevice", message=message, advice=advice)


def _none(request: Request) -> str:
    """What to do when there is nothing that a request fits."""
    if request.nic is None:
        return "lspci -D -nn lists what is there"
    return f"make some on a card that can: echo 4 > /sys/class/net/{request.nic}/device/sriov_numvfs"


def _kept(doc: Document, live: Live) -> Iterator[tuple[str, str]]:
    """What the VM has already, by its definition, or by the instance that runs.

    A device without our alias (of a domain that is to be adopted) is whichever request it fits.
    """
    domain = live.domains.get(doc.key.name)
    text = None if domain is None else domain.inactive or domain.active
    if text is None:
        return
    raw = observe.parsed(text)
    have = functions(raw.spec, {})
    used = set(functions(doc.spec, {}).values())
    for request in requests(doc.spec):
        fitting = candidates(request, live) if live.devices is not None else list(have.values())
        strangers = [a for name, a in have.items() if name not in raw.aliased]
        found = next((a for a in (have.get(request.name), *strangers) if a in fitting and a not in used), None)
        if found is not None:
            used.add(found)
            yield request.name, found


def candidates(request: Request, live: Live) -> list[str]:
    """Addresses of the functions that a request fits, whoever has them."""
    devices = live.devices or HostDevices()
    if request.nic is None:
        return [d.address for d in devices.pci.values() if d.ids == request.ids]
    card = devices.pci.get(guard.address_of(request.nic, live) or "")
    return list(card.vfs) if card else []
