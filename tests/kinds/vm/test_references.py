"""What a VM needs, and the access bridges that its VLANs bring into being."""

from __future__ import annotations

from typing import Any

from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key
from tests.kinds.vm.make import VM, document, vm


def _bridge(name: str, **spec: Any) -> Document:
    return document({"apiVersion": "cell/v1", "kind": "Bridge", "metadata": {"name": name}, "spec": spec})


def _set(*docs: Document) -> dict[Key, Document]:
    return {doc.key: doc for doc in docs}


WEB = vm(
    "web",
    disks=[{"name": "root", "volume": "web-root"}, {"name": "iso", "volume": "glue/by-hand"}],
    interfaces=[{"name": "a", "bridge": "br-VM", "vlan": 101}, {"name": "b", "bridge": "br-MGMT"}],
)


def test_refers_to_the_bridge_it_is_put_on_and_to_its_volumes() -> None:
    access = _bridge("br-VM.101", uplink="bond-VM", vlan=101)
    found = [(str(r.target), r.pointer) for r in VM.references(WEB, _set(WEB, access))]
    assert found == [
        ("Bridge/br-VM.101", "/spec/interfaces/0/bridge"),
        ("Bridge/br-MGMT", "/spec/interfaces/1/bridge"),
        ("Volume/web-root", "/spec/disks/0/volume"),
        ("StoragePool/glue", "/spec/disks/1/volume"),
    ]


def test_a_vlan_brings_its_access_bridge_into_being() -> None:
    base = _bridge("br-VM", uplink="bond-VM", mtu=9000, stp=True, addresses=["10.0.0.1/24"])
    (made,) = VM.derive(WEB, _set(WEB, base))
    assert made.key == Key("Bridge", "br-VM.101")
    assert (made.spec.uplink, made.spec.vlan, made.spec.mtu) == ("bond-VM", 101, 9000)
    assert made.spec.addresses == ()  # the host's address stays on the base
    assert made.position == WEB.position
    assert made == document(made.given) or made.spec == document(made.given).spec


def test_without_an_uplink_the_vlan_is_a_bridge_of_the_hosts_own() -> None:
    (made,) = VM.derive(WEB, _set(WEB, _bridge("br-VM")))
    assert not made.spec.uplink
    assert not made.spec.vlan


def test_nothing_is_derived_from_what_is_not_declared_or_is_declared_already() -> None:
    assert list(VM.derive(WEB, _set(WEB))) == []
    base, access = _bridge("br-VM", uplink="bond-VM"), _bridge("br-VM.101", uplink="bond-VM", vlan=101)
    assert list(VM.derive(WEB, _set(WEB, base, access))) == []
    nested = _bridge("br-VM", uplink="bond-VM", vlan=5)
    assert list(VM.derive(WEB, _set(WEB, nested))) == []


def test_a_vlan_whose_bridges_are_not_declared_names_the_base_bridge() -> None:
    first, second, *_ = VM.references(WEB, _set(WEB))
    assert (first.target, first.basis) == (Key("Bridge", "br-VM.101"), Key("Bridge", "br-VM"))
    assert (second.target, second.basis) == (Key("Bridge", "br-MGMT"), None)
