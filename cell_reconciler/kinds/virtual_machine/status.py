"""Conditions of a VM beside Ready: what the live state justifies saying."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import Observed, World
from cell_reconciler.kinds.virtual_machine import differ, observe, power, seed, taps, update_policy
from cell_reconciler.kinds.virtual_machine.spec import RunStrategy
from cell_reconciler.model.condition import Condition, Truth
from cell_reconciler.model.document import Document
from cell_reconciler.model.live import Domain
from cell_reconciler.model.quantities import Bytes


def conditions(doc: Document, have: Observed | None, world: World) -> Iterator[Condition]:
    """RestartRequired with the pending paths; Paused, Unresponsive …; JobActive …; Failed; BalloonWaiting …"""
    if have is None or (have.mark is None and not doc.adopts):
        return
    domain: Domain = have.detail
    state = power.unsettled(domain)
    if state is not None:
        reason, message, advice = state
        yield Condition(type=reason, status=Truth.TRUE, reason=reason, message=f"{message} ({advice})")
    elif domain.state in power.OFF and domain.reason in power.FAILED:
        yield Condition(
            type="Failed",
            status=Truth.TRUE,
            reason=domain.reason.capitalize(),
            message=f"domain {domain.name} went down: {domain.reason}",
        )
    elif domain.state in power.ON and doc.spec.run_strategy == RunStrategy.HALTED:
        message = f"domain {domain.name} runs, and runStrategy is Halted"
        yield Condition(type="StopPending", status=Truth.TRUE, reason="Running", message=message)
    doing = power.busy(domain)
    if doing is not None and (state is None or doing[0] != state[0]):
        reason, message, advice = doing
        message = f"{message}; nothing is changed meanwhile ({advice})"
        yield Condition(type=reason, status=Truth.TRUE, reason=reason, message=message)
    yield from _balloon(domain)
    misfits = [f"{tap.name} has MTU {tap.mtu}, {b.name} {b.mtu}" for tap, b in taps.misfits(domain, world.live)]
    if misfits:
        message = f"{'; '.join(misfits)}: frames that are larger than the smaller of the two are lost"
        yield Condition(type="MtuMismatch", status=Truth.TRUE, reason="TapMtu", message=message)
    if domain.inactive is None:
        return
    pending = differ.differences(doc, domain, have.mark, world).boot
    if pending:
        when = update_policy.told(doc, have.mark, doc.spec, world.live.at)
        yield Condition(
            type="RestartRequired",
            status=Truth.TRUE,
            reason="Pending",
            message=f"takes effect at the next start: {', '.join(map(seed.spoken, pending))} ({when})",
        )


def _balloon(domain: Domain) -> Iterator[Condition]:
    """A guest that keeps more memory than it was asked to."""
    if domain.active is None:
        return
    raw = observe.parsed(domain.active)
    memory, taken = raw.spec.memory, raw.note.taken
    asked, has = int(memory.guest) - (taken or 0), int(memory.current or memory.guest)
    if taken is not None and has > asked:
        message = (
            f"its guest has {Bytes(has).to_text()} of memory and was asked to make do with {Bytes(asked).to_text()}: "
            "it is not up yet, has no balloon driver (virtio_balloon), or cannot do with less"
        )
        yield Condition(type="BalloonWaiting", status=Truth.TRUE, reason="GuestKeepsMemory", message=message)
