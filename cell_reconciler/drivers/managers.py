"""Which other program manages a link now, by the files that it leaves: nothing is asked, so nothing can hang.

As NetworkManager 1.42, systemd-networkd 252, ifupdown 0.8, ifupdown2 3.0 and netplan 0.106 write them:

* NetworkManager: ``/run/NetworkManager/devices/IFINDEX``. ``managed=true`` is also said of a device that it only shows
  ("connected (externally)"): the profile of such a one has ``[.nmmeta] external=true``, and it does not count. The
  files stay when the daemon ends, so the daemon has to run.
* systemd-networkd: ``/run/systemd/netif/links/IFINDEX`` with ``NETWORK_FILE``, unless ``ADMIN_STATE`` is unmanaged.
* ifupdown has no daemon: what it brought up is in ``/run/network/ifstate``. ifupdown2 leaves only its lock there; what
  is ``auto`` counts then. In both cases the stanza must still be there.
* netplan writes for the first two: their files bear its name, and its own file is what people have to edit.

A file that is missing, not readable or full of garbage says nothing.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping

from cell_reconciler.drivers import state_files
from cell_reconciler.drivers.interfaces_file import interfaces
from cell_reconciler.model.live import Link, Manager

_Found = Iterator[tuple[str, Manager]]
_pids: dict[tuple[str, str], str] = {}  # (root, process name) → where it was found last


def managers(links: Mapping[str, Link], root: str = "/") -> dict[str, Manager]:
    """Link → who manages it besides us. ``root`` is the directory that stands for ``/``. Never raises."""
    root = root.rstrip("/")
    found: dict[str, Manager] = {}
    for source in (_network_manager, _networkd, _ifupdown):
        for name, manager in source(links, root):
            if name != "lo":
                found.setdefault(name, manager)
    return found


def _network_manager(links: Mapping[str, Link], root: str) -> _Found:
    devices = state_files.folder(f"{root}/run/NetworkManager/devices")
    if not devices or not _runs("NetworkManager", root):
        return
    generated = state_files.folder(f"{root}/run/NetworkManager/system-connections")
    written = state_files.folder(f"{root}/etc/NetworkManager/system-connections", edited=True)
    profiles = {
        pairs.get("connection.uuid"): (f"{place}/{file}", pairs)
        for place, files in (
            ("/run/NetworkManager/system-connections", generated),
            ("/etc/NetworkManager/system-connections", written),
        )
        for file, pairs in files.items()
    }
    for link in links.values():
        device = devices.get(str(link.index), {})
        if device.get("device.managed") != "true":  # a device that its configuration excludes has no such key
            continue
        path, profile = profiles.get(device.get("device.connection-uuid", "-"), ("", {}))
        # Who may not read it sees by its name that a profile was generated for a device that is only shown.
        hidden = not profile and generated.get(f"{link.name}.nmconnection") == {}
        if profile.get(".nmmeta.external") == "true" or hidden:
            continue
        if os.path.basename(path).startswith("netplan-"):
            yield link.name, _netplan(link.name, "NetworkManager", root)
        else:
            detail = f"profile {profile.get('connection.id', '')!r}, {path}" if path else "no profile is active on it"
            yield link.name, Manager(name="NetworkManager", detail=detail)


def _networkd(links: Mapping[str, Link], root: str) -> _Found:
    states = state_files.folder(f"{root}/run/systemd/netif/links")
    if not states or not _runs("systemd-network", root):  # the kernel keeps 15 characters of a process's name
        return
    for link in links.values():
        state = states.get(str(link.index), {})
        file = state.get("NETWORK_FILE")
        if not file or state.get("ADMIN_STATE") in ("unmanaged", "linger"):
            continue
        if os.path.basename(file).startswith("10-netplan-"):
            yield link.name, _netplan(link.name, "systemd-networkd", root)
        else:
            yield link.name, Manager(name="systemd-networkd", detail=file)


def _netplan(name: str, by: str, root: str) -> Manager:
    """netplan's own file with a definition of this name, or its directory (a definition may match by MAC)."""
    line = re.compile(rf"^\s*[\"']?{re.escape(name)}[\"']?\s*:", re.MULTILINE)
    for path in sorted(glob.glob(f"{root}/etc/netplan/*.yaml")):
        if line.search(state_files.text(path)):
            return Manager(name="netplan", detail=f"{path.removeprefix(root)}, by {by}")
    return Manager(name="netplan", detail=f"/etc/netplan, by {by}")


def _ifupdown(links: Mapping[str, Link], root: str) -> _Found:
    state = f"{root}/run/network/ifstate"
    old = os.path.exists(state)
    if not old and not os.path.exists(f"{root}/run/network/.lock"):
        return
    files = list(interfaces(f"{root}/etc/network/interfaces", root))
    auto = {name for _, stanzas in files for name in stanzas.auto}
    up = dict(line.split("=", 1) for line in state_files.text(state).splitlines() if "=" in line)
    stanza_of = up if old else {name: name for name in auto}  # interface that it brought up → its stanza
    by = "ifupdown" if old else "ifupdown2"
    for file, stanzas in files:
        for name in links:
            stanza, port_of = stanza_of.get(name), stanzas.ports.get(name)
            if stanza in stanzas.defined:
                yield name, Manager(name=by, detail=f"iface {stanza} in {file.removeprefix(root)}")
            elif port_of is not None and port_of in stanza_of.values():
                yield name, Manager(name=by, detail=f"a port in iface {port_of} in {file.removeprefix(root)}")


def _runs(name: str, root: str) -> bool:
    """Is there a process of this name in our network? Its files may have outlived it."""
    known = _pids.get((root, name))
    if known is not None and _is(known, name, root):
        return True
    try:
        pids = (entry for entry in os.listdir(f"{root}/proc") if entry.isdecimal())
    except OSError:
        return False
    found = next((pid for pid in pids if _is(pid, name, root)), None)
    if found is not None:
        _pids[root, name] = found
    return found is not None


def _is(pid: str, name: str, root: str) -> bool:
    if state_files.text(f"{root}/proc/{pid}/comm").rstrip("\n") != name:
        return False
    try:
        return os.readlink(f"{root}/proc/{pid}/ns/net") == os.readlink(f"{root}/proc/self/ns/net")
    except OSError:  # only root may ask
        return True
