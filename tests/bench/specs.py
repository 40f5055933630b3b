"""Writes many specs: what a large host's directory looks like."""

from __future__ import annotations

from pathlib import Path

HEADER = """apiVersion: cell/v1
kind: Host
metadata: {name: bench}
spec: {domainType: qemu, overcommit: {cpu: 1000, memory: 100, disk: 1000}}
---
apiVersion: cell/v1
kind: StoragePool
metadata: {name: local}
spec:
  directory: {path: /var/lib/libvirt/images/bench}
---
apiVersion: cell/v1
kind: Bridge
metadata: {name: br-bench}
spec: {}
"""

VM = """apiVersion: cell/v1
kind: VirtualMachine
metadata:
  name: vm-{index:05d}
  labels: {{tier: bench, rack: r{rack}}}
spec:
  description: bench guest {index}
  runStrategy: {run}
  cpu: {{sockets: 1, cores: 2, threads: 1}}
  memory: {{guest: 64MiB}}
  interfaces:
    - name: eth0
      bridge: br-bench
      model: virtio
  guestAgent: true
  serialConsole: true
"""


def write(directory: Path, count: int, run: str = "Halted") -> None:
    """The header and ``count`` VM files of one document each."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "host.yaml").write_text(HEADER)
    for index in range(count):
        (directory / f"vm-{index:05d}.yaml").write_text(VM.format(index=index, rack=index % 40, run=run))
