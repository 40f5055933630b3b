"""Compute the newest CPU that every host of a cluster can run, and print the Cluster document to commit.

FILE are snapshots of the other hosts, as 'cellctl observe -o FILE' writes them there; this host is looked at itself.
libvirt computes: its baseline over the CPU that a guest with host-model gets on each host, of features that can
migrate. Nothing is changed. VMs with 'cpu.mode: cluster-baseline' get that CPU once the document is committed, each
when it is restarted. On stderr it is said which host keeps the cluster from which features.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from cell_reconciler.cli import exits
from cell_reconciler.cli.options import add_format, completes
from cell_reconciler.errors import CellError, StepFailed, UsageError

if TYPE_CHECKING:
    from cell_reconciler.drivers.libvirt import LibvirtDoor
    from cell_reconciler.model.node import Cpu, Node

EXITS = (exits.OK, exits.FAILED, exits.USAGE, exits.UNREACHABLE)
EXAMPLES = """
  cellctl cpu-baseline cell-02.json cell-03.json > specs/cluster.yaml
  cellctl cpu-baseline --recorded hosts/*.json --format json | jq .hosts
"""


def configure(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument("files", nargs="*", metavar="FILE", help="a snapshot of another host")
    completes(files, "file")
    parser.add_argument(
        "--recorded", action="store_true", help="only the snapshots count, not this host (its libvirt computes)"
    )
    parser.add_argument(
        "--domain-type", choices=("kvm", "qemu"), default="kvm", help="as the hosts run VMs (default kvm)"
    )
    parser.add_argument("--name", default="cluster", help="of the document (default cluster)")
    add_format(parser, "yaml", "json")


def run(args: argparse.Namespace) -> int:
    from cell_reconciler.cli.session import open_engine

    if args.recorded and not args.files:
        raise UsageError("--recorded needs snapshots", "make them with: cellctl observe -o FILE")
    with open_engine(args, paths=()) as engine:
        door = engine.doors.libvirt
        nodes = _recorded(args.files)
        if not args.recorded:
            nodes[engine.options.host] = _known(door.node(), "libvirt here")  # newer than a snapshot of this host
        cpus = {host: _cpu(node, host, args.domain_type) for host, node in nodes.items()}
        archs = {node.arch for node in nodes.values()}
        if len(archs) > 1:
            raise CellError(f"hosts of different architectures have no CPU in common: {', '.join(sorted(archs))}")
        arch = archs.pop()
        try:
            common = door.baseline(arch, args.domain_type, list(cpus.values()))
            lost = _lost(door, arch, args.domain_type, cpus)
        except StepFailed as error:
            hosts = ", ".join(f"{host} has {cpu.model} {cpu.vendor}".rstrip() for host, cpu in cpus.items())
            raise CellError(f"{error.message} ({hosts})", "make one cluster for each vendor of CPUs") from error
    _print(args, common, cpus, lost)
    return exits.OK


def _recorded(files: list[str]) -> dict[str, Node]:
    """The nodes of the snapshots, by host. Raises UsageError for a file that does not have one, or has it twice."""
    from cell_reconciler.cli.snapshot import read

    found: dict[str, Node] = {}
    for path in files:
        live = read(path)
        if live.host in found:
            raise UsageError(f"{path} is a second snapshot of {live.host}", "name one of them")
        found[live.host] = _known(live.node, path)
    return found


def _known(node: Node | None, where: str) -> Node:
    if node is None:
        raise CellError(f"{where} does not tell what the host is", "take the snapshot anew: cellctl observe -o FILE")
    return node


def _cpu(node: Node, host: str, domain_type: str) -> Cpu:
    offered = node.types.get(domain_type)
    if offered is None or offered.cpu is None:
        raise CellError(
            f"libvirt on {host} offers no host-model CPU with {domain_type}",
            f"it offers {', '.join(sorted(node.types)) or 'nothing'}: see --domain-type",
        )
    return offered.cpu


def _lost(door: LibvirtDoor, arch: str, domain_type: str, cpus: dict[str, Cpu]) -> dict[str, list[str]]:
    """Host → features that it lacks, that another has, and that the cluster goes without."""

    def features(some: list[Cpu]) -> set[str]:
        whole = door.baseline(arch, domain_type, some, whole=True)
        return {name for name, policy in whole.features.items() if policy != "disable"}

    each = {host: features([cpu]) for host, cpu in cpus.items()}
    gone = set().union(*each.values()) - features(list(cpus.values()))
    return {host: sorted(gone - own) for host, own in each.items()}


def _print(args: argparse.Namespace, common: Cpu, cpus: dict[str, Cpu], lost: dict[str, list[str]]) -> None:
    from cell_reconciler.cli.render import json
    from cell_reconciler.load import write

    document = _document(args.name, common)
    if args.format == "json":
        hosts = [{"host": host, "model": cpu.model, "lacks": lost[host]} for host, cpu in cpus.items()]
        json.write({"formatVersion": json.FORMAT_VERSION, "document": document, "hosts": hosts}, sys.stdout)
    else:
        comments = [f"What {', '.join(cpus)} can run, as cellctl cpu-baseline found it."]
        sys.stdout.write(write.document(document, comments))
    if args.quiet:
        return
    for host, features in lost.items():
        if features:
            print(f"{host} ({cpus[host].model}) limits it: it lacks {', '.join(features)}", file=sys.stderr)
    if not any(lost.values()):
        print(
            f"no host limits it: {'all have the same CPU' if len(cpus) > 1 else 'it is the only one'}", file=sys.stderr
        )


def _document(name: str, common: Cpu) -> dict[str, Any]:
    ways = {"require": "require", "force": "require", "optional": "require", "disable": "disable", "forbid": "disable"}
    features: dict[str, list[str]] = {}
    for feature, policy in sorted(common.features.items()):
        features.setdefault(ways[policy], []).append(feature)
    baseline: dict[str, Any] = {"model": common.model}
    if common.vendor:
        baseline["vendor"] = common.vendor
    if features:
        baseline["features"] = features
    return {
        "apiVersion": "cell/v1",
        "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"cpuBaseline": baseline},
    }
