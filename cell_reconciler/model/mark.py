"""The ownership mark: what makes an object ours. It lives on the object itself, never in a state file.

libvirt: ``<metadata>`` element in our namespace. Links: group ``GROUP`` and the alias text. RBD images: image-meta.
An object without it is foreign: never changed, never deleted.
"""

from __future__ import annotations

import msgspec

from cell_reconciler.model.key import Key

NAMESPACE = "https://ablestack.io/cell/v1"  # of the libvirt metadata element
_FLAGS = ("adopted", "derived", "protected")
GROUP = 0xCE11  # IFLA_GROUP of our links: the one property the kernel honours at creation
IFA_PROTO = (
    0xCE  # IFA_PROTO of our addresses (kernels from 5.18; older ones ignore it: such addresses are never removed)
)
RTPROT = 0xCE  # rtm_protocol of our routes and FRA_PROTOCOL of our rules; no daemon of iproute2's rt_protos has it


class Mark(msgspec.Struct, frozen=True):
    """``owner``: the resource; ``digest``: of the spec last applied.

    ``adopted``: it existed before us. ``derived``: no file declares it; it goes when nobody needs it any more.
    ``protected``: it stays, also when its document (which said so) is gone.
    """

    owner: Key
    digest: str
    adopted: bool = False
    derived: bool = False
    protected: bool = False

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(name for name in _FLAGS if getattr(self, name))

    def to_text(self) -> str:
        """``cell/v1;Bridge/br-VM;0123…;adopted``: at most 255 bytes, as an interface alias allows."""
        return ";".join(["cell/v1", str(self.owner), self.digest, *self.flags])

    @classmethod
    def parse(cls, text: str | None) -> Mark | None:
        """None for anything that is not a mark of ours (people write aliases too)."""
        version, _, rest = (text or "").partition(";")
        owner, _, rest = rest.partition(";")
        digest, _, flags = rest.partition(";")
        kind, slash, name = owner.partition("/")
        named = flags.split(";") if flags else []
        if version != "cell/v1" or not (kind and slash and name and digest) or not set(named) <= set(_FLAGS):
            return None
        return cls(Key(kind, name), digest, **dict.fromkeys(named, True))
