"""Who manages a link, from files as the programs wrote them on Debian 12, and from files that are none.

NetworkManager 1.42.4, systemd-networkd 252.39, ifupdown 0.8.41; of ifupdown2 3.0 and netplan 0.106 the file's name.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cell_reconciler.drivers import state_files
from cell_reconciler.drivers.managers import managers
from cell_reconciler.model.live import Manager
from tests.livelinks import link

DEVICE = "[device]\nmanaged={managed}\nperm-hw-addr-fake=2A:17:5D:05:E2:03\nconnection-uuid={uuid}\nnm-owned=false\n"
UNMANAGED_BY_CONFIGURATION = "[device]\nperm-hw-addr-fake=B6:9F:81:50:36:9A\nnm-owned=false\n"
OFFICE = "[connection]\nid=Office LAN\nuuid=1111\ntype=ethernet\ninterface-name=eth0\n\n[ipv4]\nmethod=manual\n"
SHOWN = (
    "[connection]\nid=br0\nuuid=2222\ntype=bridge\nautoconnect=false\ninterface-name=br0\ntimestamp=1795588983\n\n"
    "[bridge]\nstp=false\n\n[proxy]\n\n[.nmmeta]\nnm-generated=true\nvolatile=true\nexternal=true\n"
)
AUTOMATIC = "[connection]\nid=Wired connection 1\nuuid=3333\ntype=ethernet\n\n[.nmmeta]\nnm-generated=true\n"
NETWORKD = (
    "# This is private data. Do not parse.\nADMIN_STATE={state}\nOPER_STATE=routable\nREQUIRED_FOR_ONLINE=yes\n"
    "NETWORK_FILE={file}\nDNS=\nDHCP6_CLIENT_DUID=DUID-EN/Vendor:0000ab110033bdebf95e192c\n"
)
NOT_NETWORKD = "# This is private data. Do not parse.\nADMIN_STATE=unmanaged\nOPER_STATE=degraded\n"


class Host:
    """A directory that stands for ``/``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.links = {name: link(name) for name in ("lo", "eth0", "eth1", "eth2", "br0")}

    def write(self, path: str, text: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def process(self, name: str, pid: int = 321) -> None:
        self.write(f"proc/{pid}/comm", f"{name}\n")

    def device(self, name: str, text: str) -> Path:
        return self.write(f"run/NetworkManager/devices/{self.links[name].index}", text)

    def networkd(self, name: str, text: str) -> Path:
        return self.write(f"run/systemd/netif/links/{self.links[name].index}", text)

    def managers(self) -> dict[str, Manager]:
        return managers(self.links, str(self.root))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def network_manager(host: Host) -> None:
    host.process("NetworkManager")
    host.device("lo", DEVICE.format(managed="true", uuid="1111"))
    host.device("eth0", DEVICE.format(managed="true", uuid="1111"))
    host.device("eth1", DEVICE.format(managed="false", uuid="3333"))
    host.device("eth2", UNMANAGED_BY_CONFIGURATION)
    host.device("br0", DEVICE.format(managed="true", uuid="2222"))
    host.write("etc/NetworkManager/system-connections/Wired connection 1.nmconnection", OFFICE)
    host.write("run/NetworkManager/system-connections/br0.nmconnection", SHOWN)


def test_network_manager(host: Host) -> None:
    network_manager(host)
    path = "/etc/NetworkManager/system-connections/Wired connection 1.nmconnection"
    assert host.managers() == {"eth0": Manager(name="NetworkManager", detail=f"profile 'Office LAN', {path}")}


def test_a_profile_that_it_made_by_itself_counts(host: Host) -> None:
    network_manager(host)
    host.device("eth0", DEVICE.format(managed="true", uuid="3333"))
    host.write("run/NetworkManager/system-connections/Wired connection 1.nmconnection", AUTOMATIC)
    assert "'Wired connection 1'" in host.managers()["eth0"].detail


def test_a_device_without_a_profile_is_managed_all_the_same(host: Host) -> None:
    network_manager(host)
    host.device("eth0", "[device]\nmanaged=true\nnm-owned=false\n")
    assert host.managers()["eth0"].detail == "no profile is active on it"


def test_who_may_not_read_profiles_is_not_misled_by_those_that_are_only_shown(host: Host) -> None:
    """Profiles have mode 0600. An empty file stands for one that cannot be read: root reads them all."""
    network_manager(host)
    host.write("run/NetworkManager/system-connections/br0.nmconnection", "")
    host.write("etc/NetworkManager/system-connections/Wired connection 1.nmconnection", "")
    assert set(host.managers()) == {"eth0"}


def test_files_of_a_daemon_that_does_not_run_do_not_count(host: Host) -> None:
    network_manager(host)
    host.networkd("eth1", NETWORKD.format(state="configured", file="/etc/systemd/network/20-lan.network"))
    assert set(host.managers()) == {"eth0"}
    (host.root / "proc/321/comm").write_text("bash\n")
    assert host.managers() == {}
    host.process("systemd-network", 400)
    assert set(host.managers()) == {"eth1"}


def test_a_daemon_in_another_network_does_not_count(host: Host) -> None:
    network_manager(host)
    for pid, number in (("321", "4026531840"), ("self", "4026539999")):
        (host.root / "proc" / pid / "ns").mkdir(parents=True)
        (host.root / "proc" / pid / "ns" / "net").symlink_to(f"net:[{number}]")
    assert host.managers() == {}


@pytest.mark.parametrize("state", ["configuring", "configured", "failed"])
def test_networkd(host: Host, state: str) -> None:
    host.process("systemd-network")
    host.networkd("eth0", NETWORKD.format(state=state, file="/etc/systemd/network/20-lan.network"))
    host.networkd("eth1", NOT_NETWORKD)
    host.networkd("eth2", NETWORKD.format(state="unmanaged", file="/etc/systemd/network/20-lan.network"))
    wanted = Manager(name="systemd-networkd", detail="/etc/systemd/network/20-lan.network")
    assert host.managers() == {"eth0": wanted}


def test_netplan_is_named_by_its_own_file(host: Host) -> None:
    host.process("systemd-network")
    host.process("NetworkManager", 322)
    host.networkd("eth0", NETWORKD.format(state="configured", file="/run/systemd/network/10-netplan-eth0.network"))
    host.device("eth1", DEVICE.format(managed="true", uuid="4444"))
    host.write("run/NetworkManager/system-connections/netplan-eth1.nmconnection", "[connection]\nuuid=4444\n")
    host.networkd("eth2", NETWORKD.format(state="configured", file="/run/systemd/network/10-netplan-all.network"))
    host.write("etc/netplan/01-other.yaml", "network:\n  ethernets:\n    eth9: {}\n")
    host.write("etc/netplan/50-init.yaml", 'network:\n  ethernets:\n    eth0: {}\n    "eth1":\n      dhcp4: true\n')
    assert host.managers() == {
        "eth0": Manager(name="netplan", detail="/etc/netplan/50-init.yaml, by systemd-networkd"),
        "eth1": Manager(name="netplan", detail="/etc/netplan/50-init.yaml, by NetworkManager"),
        "eth2": Manager(name="netplan", detail="/etc/netplan, by systemd-networkd"),
    }


INTERFACES = """\
# as the installer wrote it
source /etc/network/interfaces.d/*
auto lo
iface lo inet loopback
allow-hotplug eth0
iface eth0 inet static
    address 10.7.0.2/24
iface eth2 inet manual
"""
A_BRIDGE = "auto br0\niface br0 inet manual\n    bridge_ports eth1 \\\n    none\n"


def test_ifupdown(host: Host) -> None:
    host.write("etc/network/interfaces", INTERFACES)
    host.write("etc/network/interfaces.d/vm", A_BRIDGE)
    assert host.managers() == {}, "nothing was brought up"
    host.write("run/network/ifstate", "lo=lo\nbr0=br0\neth0=eth0\n")
    assert host.managers() == {
        "eth0": Manager(name="ifupdown", detail="iface eth0 in /etc/network/interfaces"),
        "eth1": Manager(name="ifupdown", detail="a port in iface br0 in /etc/network/interfaces.d/vm"),
        "br0": Manager(name="ifupdown", detail="iface br0 in /etc/network/interfaces.d/vm"),
    }
    host.write("etc/network/interfaces", "iface lo inet loopback\n")
    assert host.managers() == {}, "it is up still, and its stanza is gone: nobody will touch it any more"


def test_ifupdown_under_another_name(host: Host) -> None:
    host.write("etc/network/interfaces", "iface office inet dhcp\n")
    host.write("run/network/ifstate", "eth0=office\n")
    assert host.managers() == {"eth0": Manager(name="ifupdown", detail="iface office in /etc/network/interfaces")}


def test_ifupdown2(host: Host) -> None:
    host.write("run/network/.lock", "")
    host.write("etc/network/interfaces", "auto eth0\niface eth0\n  address 10.7.0.2/24\niface eth2\nauto eth1\n")
    wanted = Manager(name="ifupdown2", detail="iface eth0 in /etc/network/interfaces")
    assert host.managers() == {"eth0": wanted}, "eth2 is not brought up by itself, eth1 has no stanza"


def test_source_directory_takes_plain_names_only_and_includes_have_an_end(host: Host) -> None:
    host.write("run/network/ifstate", "eth0=eth0\neth1=eth1\n")
    host.write("etc/network/interfaces", "source-directory extra\nsource interfaces\n")
    host.write("etc/network/extra/first", "iface eth0 inet dhcp\n")
    host.write("etc/network/extra/second.bak", "iface eth1 inet dhcp\n")
    assert set(host.managers()) == {"eth0"}


GARBAGE = (b"", b"\xff\xfe\x00=\n[", b"[device]\nmanaged=true=\n", b"=\n==\n[]\n[=]\n", b"\n" * 2000, b"[" * 300_000)


@pytest.mark.parametrize("data", GARBAGE)
def test_garbage_says_nothing(host: Host, data: bytes) -> None:
    host.process("NetworkManager")
    host.process("systemd-network", 322)
    host.device("eth0", "").write_bytes(data)
    host.networkd("eth1", "").write_bytes(data)
    for path in ("run/network/ifstate", "etc/network/interfaces", "etc/NetworkManager/system-connections/x"):
        host.write(path, data)
    assert host.managers() == {}


def test_what_is_no_file_neither_blocks_nor_counts(host: Host) -> None:
    host.process("NetworkManager")
    (host.root / "run/NetworkManager/devices").mkdir(parents=True)
    os.mkfifo(host.root / f"run/NetworkManager/devices/{host.links['eth0'].index}")
    (host.root / f"run/NetworkManager/devices/{host.links['eth1'].index}").mkdir()
    (host.root / "run/systemd/netif").mkdir(parents=True)
    (host.root / "run/systemd/netif/links").symlink_to("links")
    host.write("proc/322/comm", "systemd-network\n")
    assert host.managers() == {}


def test_what_changes_is_seen_and_what_does_not_is_not_read_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    network_manager(host)
    old = 1_700_000_000
    for path in host.root.rglob("*"):
        os.utime(path, (old, old))
    assert set(host.managers()) == {"eth0"}
    read: list[str] = []
    original = state_files.text
    monkeypatch.setattr(state_files, "text", lambda path: [read.append(path), original(path)][1])
    assert set(host.managers()) == {"eth0"}
    assert [path for path in read if not path.endswith("/comm")] == []
    new = host.device("eth1", "").with_suffix(".new")  # by renaming, as NetworkManager does
    new.write_text(DEVICE.format(managed="true", uuid="3333"))
    new.rename(new.with_suffix(""))
    assert set(host.managers()) == {"eth0", "eth1"}
    profile = host.root / "etc/NetworkManager/system-connections/Wired connection 1.nmconnection"
    profile.write_text(OFFICE.replace("Office", "Home"))  # in place, as an editor does
    assert "'Home LAN'" in host.managers()["eth0"].detail
