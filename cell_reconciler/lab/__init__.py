"""Throw-away KVM hosts on one machine: to a user of this tool what ``kind`` is to a user of Kubernetes.

**What a lab is.** A *rack* with one *host* in it. The rack is a set of namespaces (processes, network, mounts)
with a PID 1 that does nothing but reap; the switch, the far ends of the cables, Ceph and the host all live in it. The
host has its own network with the NICs that were asked for, its own name, ``/run``, ``/etc/libvirt``,
``/var/lib/libvirt`` and the like, and a libvirtd; the rest of the file system is the machine's, so programs and specs
are there at the same path.

**Why nothing is left behind.** The kernel ends every process of a PID namespace with its PID 1, and takes networks
and mounts apart with the last process in them. No name is given to any of them (no ``ip netns add``), so there is
nothing to clean up but files, and these lie in two directories (``state``). ``down`` is one SIGKILL and two
removals; a crash of anything leaves files at most, which the next ``up`` or ``down`` of that name removes.

**Two kinds of host.** In *namespaces* on the running kernel, 1 s; or, where that lacks bonding or 8021q, a *vm* that
boots the distribution's kernel under QEMU (``guest``). Both have the same NICs (veth pairs), the same switch, the same
set-up script (``host.sh``), and the same ways in: ``exec``, ``popen``, ``shell_argv``.

What differs in a vm: a signal that ends a command is told as exit code 128+N (SSH carries no more), and writes go to
memory, except to ``share`` and to what libvirt and cell-reconciler keep.
"""

from cell_reconciler.lab.ceph import Ceph
from cell_reconciler.lab.host import LabInfo
from cell_reconciler.lab.lab import DEFAULT_NAME, KERNELS, Lab
from cell_reconciler.lab.wiring import DEFAULT_NICS

__all__ = ["DEFAULT_NAME", "DEFAULT_NICS", "KERNELS", "Ceph", "Lab", "LabInfo"]
