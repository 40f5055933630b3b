"""Interfaces and host devices of a VM."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.kinds.vm.specs.words import Fields, merged, optional, pci_addresses, uuids

_rate = st.builds(
    lambda said: {"average": 1000, **said}, optional(peak=st.integers(1000, 2**32 - 1), burst=st.integers(1, 10**6))
)
_parameters = st.dictionaries(
    st.sampled_from(["IP", "DHCPSERVER", "CTRL_IP_LEARNING"]),
    st.lists(st.sampled_from(["10.0.0.1", "192.168.7.9"]), min_size=1, max_size=2),
)
_bandwidth = st.one_of(
    optional({"inbound": _rate}), optional({"outbound": _rate}), optional({"inbound": _rate, "outbound": _rate})
)
_macs = st.binary(min_size=4, max_size=4).map(lambda tail: "52:54:" + ":".join(f"{byte:02x}" for byte in tail))
_card = st.one_of(
    optional(model=st.just("virtio"), queues=st.integers(1, 8)),
    st.sampled_from([{"model": model} for model in ("e1000", "e1000e", "rtl8139")]),
)
_anyhow = optional(vlan=st.integers(1, 4094), mac=_macs)
_on_bridge = optional(
    {"bridge": st.sampled_from(["br-VM", "br0"])},
    isolated=st.booleans(),
    mtu=st.sampled_from([1400, 9000]),
    link=st.sampled_from(["up", "down"]),
    bandwidth=_bandwidth,
    filter=optional({"name": st.just("clean-traffic")}, parameters=_parameters),
)
_function = st.one_of(
    st.fixed_dictionaries({"address": pci_addresses}),
    st.fixed_dictionaries({"nic": st.sampled_from(["ens1f0", "ens2f0"])}),
)


def interfaces(name: str) -> st.SearchStrategy[Fields]:
    """One interface: on a bridge, or a virtual function of a card."""
    bridged = merged(st.just({"name": name}), _anyhow, _card, _on_bridge)
    return st.one_of(bridged, bridged, merged(optional({"name": st.just(name), "sriov": _function}), _anyhow))


_ids = st.from_regex(r"[1-9a-f][0-9a-f]{3}:[0-9a-f]{4}", fullmatch=True)
_pci = st.one_of(
    optional({"address": pci_addresses}, managed=st.booleans()), optional({"id": _ids}, managed=st.booleans())
)
_usb = st.one_of(
    st.fixed_dictionaries({"id": _ids}),
    st.fixed_dictionaries({"bus": st.integers(1, 999), "device": st.integers(1, 999)}),
)
host_devices = st.one_of(
    st.fixed_dictionaries({"pci": _pci}),
    st.fixed_dictionaries({"mdev": st.fixed_dictionaries({"uuid": uuids})}),
    st.fixed_dictionaries({"usb": _usb}),
)
