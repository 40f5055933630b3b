"""Rules about when a VM runs: start order, maintenance windows, restarts at the guest's next boot."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.virtual_machine import guest_os
from cell_reconciler.kinds.virtual_machine.spec import Restart, RunStrategy, VirtualMachineSpec
from cell_reconciler.model.document import Document
from cell_reconciler.model.fields import given_paths
from cell_reconciler.model.suggest import did_you_mean

_SHORTEST, _LONGEST = 300.0, 86400.0  # s that a window is open


def check(doc: Document) -> Iterator[Problem]:
    """Every rule of this module that the document breaks."""
    spec: VirtualMachineSpec = doc.spec
    yield from _autostart(doc)
    yield from _windows(spec)
    named = set(given_paths(doc.given))
    left_alone = doc.adopts and "/spec/runStrategy" not in named
    if spec.update_policy.restart == Restart.NEXT_BOOT and (left_alone or spec.run_strategy != RunStrategy.ALWAYS):
        yield Problem(
            pointer="/spec/updatePolicy/restart",
            rule="vm-next-boot",
            message="NextBoot ends the VM when its guest reboots, and only runStrategy Always starts it again then",
            advice="set runStrategy: Always, or another updatePolicy.restart",
        )


def _autostart(doc: Document) -> Iterator[Problem]:
    spec: VirtualMachineSpec = doc.spec
    if spec.autostart and spec.run_strategy == RunStrategy.HALTED:
        yield Problem(
            pointer="/spec/autostart",
            rule="vm-autostart-halted",
            message="libvirt would start a VM that runStrategy Halted stops again",
            advice="leave autostart out, or choose another runStrategy",
        )
    if spec.autostart and spec.start_order:
        yield Problem(
            pointer="/spec/startOrder",
            rule="vm-start-order-autostart",
            message="libvirt starts it with the host, before anybody asks for startOrder",
            advice="leave autostart out: with runStrategy Always, `cellctl run` starts it in its order",
        )


def _windows(spec: VirtualMachineSpec) -> Iterator[Problem]:
    policy, pointer = spec.update_policy, "/spec/updatePolicy/windows"
    if policy.restart == Restart.WINDOW and not policy.windows:
        yield Problem(
            pointer="/spec/updatePolicy/restart",
            rule="vm-windows",
            message="restart: Window needs windows",
            advice="windows: [{days: [Sat], start: '02:00', duration: 2h}]",
        )
    if policy.restart != Restart.WINDOW and policy.windows:
        message = f"windows say nothing with restart: {policy.restart}"
        yield Problem(pointer=pointer, rule="vm-windows", message=message, advice="set restart: Window")
    for index, window in enumerate(policy.windows):
        if not _SHORTEST <= window.duration <= _LONGEST:
            message = f"a window is open from 5m to 24h, not {window.duration.to_text()}"
            yield Problem(pointer=f"{pointer}/{index}/duration", rule="vm-window-duration", message=message)
        if window.time_zone != "UTC" and window.time_zone not in guest_os.zones():
            yield Problem(
                pointer=f"{pointer}/{index}/timeZone",
                rule="vm-window-zone",
                message=f"{window.time_zone!r} is no time zone{did_you_mean(window.time_zone, guest_os.zones())}",
                advice="UTC, or a name of the time zone database such as Asia/Seoul",
            )
