"""Whether the host can run a VM's CPU, as far as the facts of the node tell. Pure.

libvirt says for each named model whether it runs as it is; a model with features taken away may run all the same, so of
such a one only the features that it requires are looked at here. ``admission`` asks libvirt itself before the start.
"""

from __future__ import annotations

from cell_reconciler.kinds.contract import World
from cell_reconciler.kinds.virtual_machine.spec import CpuMode, VirtualMachineSpec
from cell_reconciler.model.change import Refusal

ADVICE = "run the VM on another host, or choose a CPU that all hosts have: cellctl cpu-baseline"


def unfit(spec: VirtualMachineSpec, world: World) -> Refusal | None:
    """Why its CPU cannot run here. ``spec`` is as it stands in the domain (``resolve.defined``)."""
    node, cpu = world.live.node, spec.cpu
    offered = None if node is None else node.types.get(world.domain_type)
    if offered is None:
        return None
    missing = sorted(set(cpu.features.require) - set(offered.provides)) if offered.provides else []
    model = cpu.model if cpu.mode == CpuMode.CUSTOM else None
    if cpu.mode == CpuMode.HOST_PASSTHROUGH:
        missing = []  # the host may have more than libvirt tells of
    if model is not None and model not in (*offered.usable, *offered.unusable):
        message = f"QEMU on this host knows no CPU model {model}"
    elif model in offered.unusable and not cpu.features.disable:
        more = f", nor {', '.join(missing)}" if missing else ""
        message = f"this host lacks features of the CPU model {model}{more}"
    elif missing:
        message = f"the CPU of this host does not provide {', '.join(missing)}"
    else:
        return None
    return Refusal(reason="CpuUnfit", message=message, advice=ADVICE)
