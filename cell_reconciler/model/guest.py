"""What a VM needs beside its XML: data for cloud-init, and the password of its console.

Both may be secret, so they travel by reference: a *target* says where the data is, and is made of documents alone; a
*fact* says how the host compares with it, and was made by the driver that read both. Neither holds a secret, nor
anything that a secret could be guessed from: the drivers compare where the secrets are, and tell what came of it.
"""

from __future__ import annotations

import msgspec

SEEDS = "/var/lib/libvirt/images/cell-cloud-init"  # where QEMU may read, and the service may write
USER, META, NETWORK = "user-data", "meta-data", "network-config"  # the files of a NoCloud image


class Text(msgspec.Struct, frozen=True):
    """A text that stands in a document, or in a file of the host (``$CREDENTIALS_DIRECTORY/NAME`` for a credential)."""

    text: str = ""
    file: str = ""


class SeedTarget(msgspec.Struct, frozen=True):
    """What the NoCloud image of a VM has to hold: its files by name."""

    vm: str
    files: dict[str, Text]
    declared: str  # digest of what the document says; not of the files that it refers to


class GuestTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What one VM needs. ``password``: the file that the password of its console is in; empty for none."""

    seed: SeedTarget | None = None
    password: str = ""


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """The NoCloud images that we made for one VM.

    ``images``: path → the files in which it is not as declared; none when it is. ``declared``: of the target that
    they were compared with. ``error``: why that could not be done.
    """

    directory: str = SEEDS
    images: dict[str, tuple[str, ...]] = {}
    declared: str = ""
    error: str = ""
    advice: str = ""


SAME, OTHER, NONE, UNKNOWN = "same", "other", "none", "unknown"


class Password(msgspec.Struct, frozen=True, kw_only=True):
    """How the console's password compares with that of ``file``: SAME, OTHER, NONE (there is no password) or UNKNOWN
    (libvirt does not show it to us). ``running`` is empty when there is no running instance."""

    file: str
    defined: str = UNKNOWN
    running: str = ""
    error: str = ""
    advice: str = ""
