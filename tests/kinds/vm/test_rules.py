"""Rules beyond the schema: each breaks one, and says where."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from cell_reconciler.kinds.virtual_machine import resolve
from cell_reconciler.model.document import Document
from tests.kinds.vm.make import VM, document, vm


def _problems(doc: Document, *others: Document) -> list[tuple[str, str]]:
    documents = {d.key: d for d in (doc, *others)}
    return [(p.rule, p.pointer) for p in VM.check(doc, documents)]


def _disk(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "volume": f"v-{name}", **more}


def _nic(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "bridge": "br-VM", **more}


@pytest.mark.parametrize(
    ("spec", "rule", "pointer"),
    [
        ({"cpu": {"mode": "custom"}}, "vm-cpu-model", "/spec/cpu/mode"),
        ({"cpu": {"model": "EPYC"}}, "vm-cpu-model", "/spec/cpu/model"),
        ({"cpu": {"sockets": 2, "cores": 356}}, "vm-vcpus", "/spec/cpu"),
        ({"cpu": {"cores": 256}, "machine": {"type": "pc"}}, "vm-vcpus", "/spec/cpu"),
        ({"memory": {"guest": "1025KiB"}}, "vm-memory", "/spec/memory/guest"),
        ({"memory": {"guest": "0B"}}, "vm-memory", "/spec/memory/guest"),
        ({"memory": {"guest": "17TiB"}}, "vm-memory", "/spec/memory/guest"),
        ({"disks": [_disk("a"), _disk("a", volume="x")]}, "vm-device-name", "/spec/disks/1/name"),
        ({"disks": [_disk("a")], "interfaces": [_nic("a")]}, "vm-device-name", "/spec/interfaces/0/name"),
        ({"disks": [_disk("a"), _disk("b", volume="v-a")]}, "vm-volume-unique", "/spec/disks/1/volume"),
        (
            {"disks": [_disk("a", bootOrder=1)], "interfaces": [_nic("b", bootOrder=1)]},
            "vm-boot-order",
            "/spec/interfaces/0/bootOrder",
        ),
        ({"interfaces": [_nic("a", mac="53:54:00:00:00:01")]}, "vm-mac-unicast", "/spec/interfaces/0/mac"),
        ({"interfaces": [_nic("a", mac="00:00:00:00:00:00")]}, "vm-mac-unicast", "/spec/interfaces/0/mac"),
        ({"disks": [{"name": f"d{i}", "volume": f"d{i}"} for i in range(21)]}, "vm-disk-count", "/spec/disks/20"),
        (
            {"interfaces": [_nic("a", mac="52:54:00:00:00:01"), _nic("b", mac="52:54:00:00:00:01")]},
            "vm-mac-unique",
            "/spec/interfaces/1/mac",
        ),
        (
            {"interfaces": [_nic("a", bridge="br-with-a-name", vlan=4)]},
            "vm-bridge-name",
            "/spec/interfaces/0/bridge",
        ),
        ({"graphics": {"listen": "1.2.3.400"}}, "vm-listen", "/spec/graphics/listen"),
        ({"autostart": True, "runStrategy": "Halted"}, "vm-autostart-halted", "/spec/autostart"),
    ],
)
def test_a_broken_rule_is_named_with_its_place(spec: dict[str, Any], rule: str, pointer: str) -> None:
    assert _problems(vm("web", **spec)) == [(rule, pointer)]


@pytest.mark.parametrize("name", ["a/b", "-x", "a" * 64, "ä", "a b", ""])
def test_names_that_libvirt_or_a_file_system_would_not_take(name: str) -> None:
    assert _problems(vm(name)) == [("vm-name", "/metadata/name")]


@pytest.mark.parametrize(
    "spec",
    [
        {"disks": [_disk("a", volume=volume)]}
        for volume in ("../x", "local/../../etc/passwd", "local/..", "/etc/passwd", "a/b/c", "", "local/")
    ]
    + [
        {"description": "\x1b[31m"},
        {"description": "\ufffe"},
        {"boot": {"kernel": "relative"}},
        {"boot": {"kernel": "/k", "cmdline": "a\nb"}},
        {"interfaces": [_nic("a", vlan=4095)]},
        {"disks": [_disk("a b")]},
    ],
)
def test_the_schema_lets_nothing_through_that_leaves_its_place(spec: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        vm("web", **spec)


def test_a_good_document_breaks_nothing() -> None:
    nics = [_nic("lan", vlan=101), _nic("wan", bridge="br-WAN")]
    assert _problems(vm("web-01.x", disks=[_disk("a", bootOrder=1), _disk("b")], interfaces=nics)) == []


def test_what_must_be_unique_over_all_vms() -> None:
    one = vm("one", uuid="0b6ff4f0-7d3e-4c7f-9a52-6c1f0a3d9e01", disks=[_disk("a")], interfaces=[_nic("n")])
    mac = str(resolve.default_mac("one", "n"))  # generated for one, written down in two
    two = vm("two", uuid=one.spec.uuid, disks=[_disk("a")], interfaces=[_nic("m", mac=mac)])
    assert _problems(two, one) == [
        ("vm-uuid-unique", "/spec/uuid"),
        ("vm-mac-unique", "/spec/interfaces/0/mac"),
        ("vm-volume-unique", "/spec/disks/0/volume"),
    ]
    message = next(iter(VM.check(two, {d.key: d for d in (one, two)}))).message
    assert "VirtualMachine/one" in message


def test_vlans_do_not_nest() -> None:
    base = document({"kind": "Bridge", "metadata": {"name": "br-VM"}, "spec": {"uplink": "bond-VM", "vlan": 7}})
    assert _problems(vm("web", interfaces=[_nic("a", vlan=101)]), base) == [
        ("vm-vlan-nested", "/spec/interfaces/0/vlan")
    ]


def test_generated_identities_depend_on_names_only() -> None:
    assert resolve.default_uuid("web") == resolve.default_uuid("web") != resolve.default_uuid("web2")
    mac = resolve.default_mac("web", "lan")
    assert mac == resolve.default_mac("web", "lan") != resolve.default_mac("web", "wan")
    assert mac.startswith("52:")
    assert mac.unicast
    assert mac.unicast


def test_of_many_that_share_one_identity_a_few_are_named() -> None:
    docs = [vm(f"vm{i:03}", interfaces=[_nic("n", mac="52:54:00:00:00:01")]) for i in range(300)]
    documents = {doc.key: doc for doc in docs}
    (problem,) = VM.check(docs[1], documents)
    named = "VirtualMachine/vm000, VirtualMachine/vm002, VirtualMachine/vm003 and 296 more"
    assert problem.message == f"MAC 52:54:00:00:00:01 is used by {named} too"
