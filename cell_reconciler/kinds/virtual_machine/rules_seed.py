"""What a VM's data for cloud-init may not be, though it fits the schema."""

from __future__ import annotations

from collections.abc import Iterator

from cell_reconciler.kinds.contract import Problem
from cell_reconciler.kinds.secret import SecretRef, check_secret
from cell_reconciler.kinds.virtual_machine.spec import VirtualMachineSpec
from cell_reconciler.kinds.virtual_machine.spec.seed import DRIVE
from cell_reconciler.model.diagnostic import Severity
from cell_reconciler.model.fields import UNSET, UnsetType

_AT = "/spec/cloudInit"
# The first lines by which cloud-init knows what user data is (cloudinit.handlers, INCLUSION_TYPES_MAP), in lower case.
_BEGINNINGS = (
    "#cloud-config",  # also -archive and -jsonp
    "#!",
    "#include",  # also -once
    "#cloud-boothook",
    "#part-handler",
    "## template: jinja",
    "content-type:",
    "mime-version:",
)


def check(spec: VirtualMachineSpec) -> Iterator[Problem]:
    """Every rule that the data breaks."""
    data = spec.cloud_init
    if data is UNSET:
        return
    yield from _one_of(("userData", data.user_data), ("userDataFrom", data.user_data_from))
    yield from _one_of(("networkData", data.network_data), ("networkDataFrom", data.network_data_from))
    names = {f"/spec/disks/{index}": disk.name for index, disk in enumerate(spec.disks)}
    names |= {f"/spec/cdroms/{index}": drive.name for index, drive in enumerate(spec.cdroms)}
    names |= {f"/spec/interfaces/{index}": nic.name for index, nic in enumerate(spec.interfaces)}
    for pointer in (pointer for pointer, name in names.items() if name == DRIVE):
        message = f"{DRIVE!r} is the name of the drive that cloudInit brings"
        yield Problem(pointer=f"{pointer}/name", rule="vm-device-name", message=message, advice="choose another")
    if "instance-id" in data.meta_data:
        message = "the instance id is a field of its own"
        advice = "write it as cloudInit.instanceId"
        yield Problem(pointer=f"{_AT}/metaData", rule="vm-instance-id", message=message, advice=advice)
    if data.user_data is not UNSET and not data.user_data.lstrip().lower().startswith(_BEGINNINGS):
        yield Problem(
            pointer=f"{_AT}/userData",
            rule="vm-user-data",
            message="cloud-init ignores user data that does not begin with one of its headers",
            advice="begin with #cloud-config, #!/bin/sh, ## template: jinja, or a MIME header",
            severity=Severity.WARNING,
        )


def _one_of(text: tuple[str, str | UnsetType], ref: tuple[str, SecretRef | UnsetType]) -> Iterator[Problem]:
    if ref[1] is UNSET:
        return
    pointer = f"{_AT}/{ref[0]}"
    yield from check_secret(ref[1], pointer)
    if text[1] is not UNSET:
        message = f"{text[0]} and {ref[0]} exclude each other"
        yield Problem(pointer=pointer, rule="exactly-one", message=message, advice="keep one of them")
