"""Plans made by hand, one for each thing that a reader must be told. Shared by the golden and the property tests."""

from __future__ import annotations

import msgspec

from cell_reconciler.model.change import Cause, Change, FieldChange, Plan, Refusal, Risk, Step, Verb
from cell_reconciler.model.diagnostic import Diagnostic, Position, Severity
from cell_reconciler.model.fields import Effect
from cell_reconciler.model.key import Key


class Nothing(msgspec.Struct, frozen=True):
    """An action that is never run here."""

    def done(self, doors: object) -> bool:
        return True

    def do(self, doors: object) -> None:
        raise AssertionError("rendering runs no step")


BRIDGE, ACCESS = Key("Bridge", "br-VM"), Key("Bridge", "br-VM.101")
WEB, DB, NEW = (Key("VirtualMachine", name) for name in ("web-01", "db-01", "web-03"))
POOL, VOLUME = Key("StoragePool", "glue"), Key("Volume", "web-01-data")


def step(key: Key, op: str, text: str, **more: object) -> Step:
    return Step(key=key, op=op, text=text, action=Nothing(), **more)  # type: ignore[arg-type]


def field(path: str, have: object, want: object, effect: Effect = Effect.LIVE, **more: bool) -> FieldChange:
    return FieldChange(path=path, have=have, want=want, effect=effect, **more)


def plan_of(*changes: Change, **more: object) -> Plan:
    steps = tuple(s for change in changes for s in change.steps)
    edges = tuple((index - 1,) if index else () for index in range(len(steps)))
    facts: dict[str, object] = {
        "host": "cell-01",
        "specs_digest": "sha256:" + "4f1c9e2a" * 8,
        "live_digest": "sha256:" + "07ab33c1" * 8,
        **more,
    }
    return Plan(changes=changes, steps=steps, edges=edges, **facts)  # type: ignore[arg-type]


def in_sync(count: int) -> tuple[Change, ...]:
    return tuple(Change(key=Key("Volume", f"disk-{i:02}"), verb=Verb.NONE) for i in range(count))


EVERYTHING = plan_of(
    Change(
        key=BRIDGE,
        verb=Verb.UPDATE,
        position=Position("specs/cell-01/net.yaml", 1),
        fields=(field("spec.mtu", 1500, 9000), field("spec.stp", None, True), field("spec.ageing", "300s", None)),
        steps=(
            step(BRIDGE, "bridge.set", "set mtu of bridge br-VM", risk=Risk.BLIP, why="carries VirtualMachine/web-01"),
            step(BRIDGE, "bridge.stp", "switch on STP", risk=Risk.DISRUPTIVE, why="30 s until ports forward"),
        ),
    ),
    Change(
        key=ACCESS,
        verb=Verb.CREATE,
        derived_from=(WEB, DB),
        position=Position("specs/cell-01/web.yaml", 30),
        steps=(step(ACCESS, "bridge.create", "create bridge br-VM.101 on bond-VM.101"),),
    ),
    Change(
        key=NEW,
        verb=Verb.CREATE,
        position=Position("specs/cell-01/web.yaml", 80, 3),
        steps=(step(NEW, "vm.define", "define VM web-03"), step(NEW, "vm.start", "start VM web-03")),
    ),
    Change(
        key=WEB,
        verb=Verb.UPDATE,
        position=Position("specs/cell-01/web.yaml", 1),
        fields=(
            field("spec.memory.guest", "4GiB", "8GiB", Effect.RESTART),
            field("spec.disks[data]", None, {"name": "data", "volume": "web-01-data"}, Effect.REPLUG),
            field("spec.cpu.model", "EPYC", "Skylake-Server", Effect.RESTART, ignored=True),
            field("spec.vnc.password", "old secret", "new secret", secret=True),
            field("spec.cpu.cores", 2, 4, Effect.RESTART, pending=True),
        ),
        steps=(
            step(WEB, "vm.redefine", "redefine VM web-01"),
            step(WEB, "vm.restart", "restart VM web-01", risk=Risk.CUTS_VM, why="memory needs it", restart=True),
        ),
        notes=("the guest agent is not connected",),
    ),
    Change(
        key=DB,
        verb=Verb.UPDATE,
        cause=Cause.DRIFT,
        position=Position("specs/cell-01/db.yaml", 1),
        fields=(field("spec.interfaces[net0].vlan", 200, 101, Effect.LIVE),),
        steps=(step(DB, "vm.update", "put net0 of VM db-01 back on vlan 101"),),
    ),
    Change(
        key=POOL,
        verb=Verb.DELETE,
        cause=Cause.PRUNE,
        refused=(Refusal(reason="Protected", message="StoragePool/glue is protected", advice="remove cell/protect"),),
    ),
    Change(
        key=VOLUME,
        verb=Verb.UPDATE,
        position=Position("specs/cell-01/volumes.yaml", 12),
        fields=(field("spec.size", "100GiB", "50GiB", Effect.IMMUTABLE),),
        refused=(Refusal(reason="Shrink", message="would shrink 100GiB to 50GiB", advice="volumes only grow"),),
    ),
    Change(
        key=Key("VirtualMachine", "ci-01"),
        verb=Verb.UPDATE,
        position=Position("specs/cell-01/ci.yaml", 1),
        fields=(field("spec.cpu.cores", 2, 8, Effect.RESTART),),
        refused=(
            Refusal(
                reason="NeedsPermission",
                message="would restart VM ci-01: risk cuts-vm, allowed is blip",
                advice="apply with --allow cuts-vm",
            ),
        ),
    ),
    Change(
        key=Key("VirtualMachine", "lab-01"),
        verb=Verb.UPDATE,
        position=Position("specs/cell-01/lab.yaml", 1),
        fields=(field("spec.cpu.cores", 2, 8, Effect.RESTART),),
        refused=(Refusal(reason="Suspended", message="suspended: INC-123", advice="cellctl resume", waiting=True),),
    ),
    Change(
        key=Key("VirtualMachine", "mail-01"),
        verb=Verb.NONE,
        position=Position("specs/cell-01/mail.yaml", 1),
        fields=(field("spec.memory.guest", "2GiB", "4GiB", Effect.RESTART, pending=True),),
    ),
    Change(
        key=Key("Volume", "old"),
        verb=Verb.NONE,
        cause=Cause.PRUNE,
        notes=("no document declares it any more; it stays, since prune is off",),
    ),
    Change(
        key=Key("Bridge", "br-old"),
        verb=Verb.DELETE,
        cause=Cause.PRUNE,
        steps=(step(Key("Bridge", "br-old"), "bridge.delete", "delete bridge br-old", deletes=True),),
    ),
    *in_sync(37),
    unknown={Key("Volume", "ceph-01"): "ceph is unreachable: no answer in 5 s"},
    foreign=(Key("Bridge", "docker0"), Key("VirtualMachine", "legacy"), Key("VirtualMachine", "test")),
)

NOTHING = plan_of(*in_sync(3))

HOSTILE_TEXT = "\x1b]0;owned\x07\x1b[31m`|%,:\r\n::error::x</script>@all\u202e\x00\udcff]]>"
HOSTILE = plan_of(
    Change(
        key=Key("VirtualMachine", "a|b\x1b[2J"),
        verb=Verb.UPDATE,
        position=Position("specs/a,b:c%\x1b.yaml", 1),
        fields=(
            field("spec.description", None, HOSTILE_TEXT),
            field("spec.x\n", {"k": HOSTILE_TEXT}, ["```", "`````"]),
        ),
        steps=(step(WEB, "x", HOSTILE_TEXT, risk=Risk.CUTS_VM, why=HOSTILE_TEXT),),
        refused=(Refusal(reason="Shrink", message=HOSTILE_TEXT, advice=HOSTILE_TEXT),),
        notes=(HOSTILE_TEXT,),
    ),
    unknown={Key("Volume", HOSTILE_TEXT): HOSTILE_TEXT},
    foreign=(Key("Bridge", HOSTILE_TEXT),),
    host=HOSTILE_TEXT,
)

DIAGNOSTICS = (
    Diagnostic(
        position=Position("specs/cell-01/web.yaml", 18, 14),
        rule="type",
        message='cpu.cores must be an integer, got "four"',
        pointer="/spec/cpu/cores",
    ),
    Diagnostic(
        position=Position("specs/cell-01/web.yaml", 24, 18),
        rule="unknown-field",
        message="'imge' is not a field of rbd; did you mean 'image'?",
        pointer="/spec/disks/0/source/rbd/imge",
    ),
    Diagnostic(
        position=Position("specs/cell-01/net.yaml", 3),
        rule="no-reference",
        message="100% of nothing, as, it: seems",
        severity=Severity.WARNING,
        advice="declare it",
    ),
)

PLANS = {"everything": EVERYTHING, "nothing": NOTHING, "hostile": HOSTILE}
