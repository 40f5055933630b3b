"""Host: what one host is and allows. Settings only; the name is the host's name, the labels are selected by."""

from __future__ import annotations

from cell_reconciler.kinds.host.spec import HostSpec
from cell_reconciler.kinds.settings import SettingsKind


class HostKind(SettingsKind):
    """See ``kinds.contract.Kind``."""

    name = "Host"
    aliases: tuple[str, ...] = ()
    spec = HostSpec


KIND = HostKind()
