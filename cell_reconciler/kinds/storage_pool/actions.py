"""What is done for a pool: its directory, and the libvirt secret by which QEMU logs in to Ceph."""

from __future__ import annotations

import hashlib
from typing import cast

import msgspec

from cell_reconciler.drivers import Doors
from cell_reconciler.drivers.ceph import CephDoor
from cell_reconciler.model.live import Secret
from cell_reconciler.model.mark import Mark
from cell_reconciler.model.storage import PoolTarget


class CreateDirectory(msgspec.Struct, frozen=True):
    """Make the directory, with our mark in it."""

    target: PoolTarget
    mark: Mark

    def done(self, doors: Doors) -> bool:
        return doors.pool(self.target).observe()[0].exists

    def do(self, doors: Doors) -> None:
        doors.pool(self.target).create_pool(self.mark)


class DeleteDirectory(msgspec.Struct, frozen=True):
    """Remove the directory that we made; the driver refuses when anything is left in it."""

    target: PoolTarget

    def done(self, doors: Doors) -> bool:
        return not doors.pool(self.target).observe()[0].exists

    def do(self, doors: Doors) -> None:
        doors.pool(self.target).delete_pool()


class KeepSecret(msgspec.Struct, frozen=True):
    """Define the libvirt secret and set its value, which is read here from its file and goes nowhere else."""

    target: PoolTarget
    usage: str
    mark: Mark

    def done(self, doors: Doors) -> bool:
        held = _secret(doors, self.target.secret_uuid)
        wanted = (self.usage, self.mark.to_text(), hashlib.sha256(self._value(doors)).hexdigest())
        return held is not None and (held.usage, held.description, held.digest) == wanted

    def do(self, doors: Doors) -> None:
        value = self._value(doors)
        doors.libvirt.keep_secret(self.target.secret_uuid, self.usage, self.mark.to_text(), value)

    def _value(self, doors: Doors) -> bytes:
        return cast(CephDoor, doors.pool(self.target)).secret()


class DeleteSecret(msgspec.Struct, frozen=True):
    """Undefine the libvirt secret."""

    uuid: str

    def done(self, doors: Doors) -> bool:
        return _secret(doors, self.uuid) is None

    def do(self, doors: Doors) -> None:
        doors.libvirt.delete_secret(self.uuid)


def _secret(doors: Doors, uuid: str) -> Secret | None:
    secrets: dict[str, Secret] = doors.libvirt.observe(())["secrets"]
    return next((secret for secret in secrets.values() if secret.uuid == uuid), None)
