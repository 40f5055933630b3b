"""libvirt's errors → ours, with libvirt's own text.

Numbers: virterror.h. A lost connection has no number of its own: it is any error of the RPC layer, or the client's
"socket is closed" as an internal error.
"""

from __future__ import annotations

from typing import Any

from cell_reconciler.errors import CellError, Refused, StepFailed, Transient, Unreachable

INTERNAL_ERROR = 1
NO_SUPPORT = 3
INVALID_CONN = 6
OPERATION_DENIED = 29
SYSTEM_ERROR = 38
RPC = 39
NO_DOMAIN = 42
NO_CONNECT = 43
AUTH_FAILED = 45
OPERATION_INVALID = 55
NO_SECRET = 66
OPERATION_TIMEOUT = 68
AGENT_UNRESPONSIVE = 86
RESOURCE_BUSY = 87
ACCESS_DENIED = 88
CPU_INCOMPATIBLE = 91
START = "is libvirtd running? systemctl status libvirtd"
_NO_CGROUP = (
    "shares and limits of CPU time need the cgroup controller cpu: see cgroup_controllers in /etc/libvirt/qemu.conf, "
    "and whether the kernel has it; or take cpu.shares and cpu.limit out of the document"
)
# What the text of an error shows to be missing on the host → what to do.
_ADVICE = {
    "cgroup cpu is required": _NO_CGROUP,
    "cgroup CPU controller is not mounted": _NO_CGROUP,
    "Child process (tc ": "an interface's bandwidth needs modules of the host's kernel: modprobe -a sch_htb sch_sfq"
    " sch_ingress cls_u32 cls_fw act_police (`journalctl -k` tells more)",
    "'ebtables'": "an interface's filter needs ebtables: apt install ebtables iptables",
    "firewall rules /": "libvirt could not set an interface's filter: check its parameters against what virsh"
    " nwfilter-dumpxml shows, and that the host has ebtables and iptables",
}
_FROM_RPC = (7, 13)  # VIR_FROM_RPC, VIR_FROM_REMOTE


def lost(error: Any) -> bool:
    """Did the connection break (as opposed to: the call was answered with an error)?"""
    code, domain = error.get_error_code(), error.get_error_domain()
    if code in (INVALID_CONN, NO_CONNECT, RPC):
        return True
    if code == SYSTEM_ERROR:
        return domain in _FROM_RPC
    return code == INTERNAL_ERROR and (domain in _FROM_RPC or "socket is closed" in str(error))


def translate(error: Any, what: str) -> CellError:
    """The error to raise instead; ``what`` says what was tried ("start domain web-01")."""
    code, text = error.get_error_code(), error.get_error_message() or str(error)
    if lost(error):
        return Unreachable("libvirt", text, START)
    if code in (AUTH_FAILED, ACCESS_DENIED):
        return Unreachable("libvirt", text, "run as root, or as a member of the group libvirt")
    if code in (OPERATION_TIMEOUT, RESOURCE_BUSY, AGENT_UNRESPONSIVE):
        return Transient(f"{what}: {text}", "it is tried again; `virsh domjobinfo` shows who holds the domain")
    if code == NO_SUPPORT:
        return Refused(f"{what}: {text}", "this libvirt or hypervisor cannot do it")
    return StepFailed(f"{what}: {text}", next((said for sign, said in _ADVICE.items() if sign in text), ""))
