"""What every request to the kernel needs: names and indexes, consistent dumps, counted writes, errors in our words."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from cell_reconciler.drivers.netlink.transport import Interrupted, KernelError, Transport
from cell_reconciler.errors import Refused, StepFailed, Transient, Unreachable

if TYPE_CHECKING:
    from cell_reconciler.drivers.doors import Writes

DUMP_TRIES = 5
GONE = (errno.ESRCH, errno.ENOENT, errno.ENODEV)  # what is to be deleted is not there
_BUSY = (errno.EBUSY, errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)


class Line:
    """A request socket and how it is used."""

    def __init__(self, writes: Writes) -> None:
        self.writes = writes
        self._transport = Transport()
        self._index_of, self._name_of = self._transport.index_of, self._transport.name_of

    def close(self) -> None:
        self._transport.close()

    def _dump(self, payload: bytes, kind: int, family: int = 0) -> list[bytes]:
        """A dump that is consistent; the pause grows by the number of tries, since randomness is not needed here.

        ``family``: the one that is asked for; a kernel without IPv6 has nothing of it.
        """
        for attempt in range(DUMP_TRIES):
            try:
                return self._transport.dump(payload, kind)
            except Interrupted:
                time.sleep(0.01 * (2**attempt))
            except KernelError as error:
                if family != socket.AF_INET6 or error.errno not in (errno.EAFNOSUPPORT, errno.EOPNOTSUPP):
                    raise
                return []
        raise Unreachable("netlink", f"the configuration changed during each of {DUMP_TRIES} dumps")

    def _tolerant(self, payload: bytes, kind: int, flags: int, fine: tuple[int, ...]) -> None:
        """A request of which some errors say that there is nothing to do."""
        try:
            self._transport.request(payload, kind, flags)
        except KernelError as error:
            if error.errno not in fine:
                raise

    def _index(self, name: str) -> int:
        index = self._index_of(name)
        if index is None:
            raise KernelError(errno.ENODEV, f"there is no link {name}")
        return index

    @contextmanager
    def _writing(self, call: str, name: str, failure: str) -> Iterator[None]:
        """Counts a writing call and turns the kernel's errors into ours."""
        if name == "lo":
            raise Refused(f"{failure}: lo belongs to the kernel", "name another link")
        self.writes.add(f"netlink.{call}")
        with reachable():
            try:
                yield
            except KernelError as error:
                raise translated(failure, error) from error
            except PermissionError as error:  # of the sysctl
                raise translated(failure, KernelError(errno.EPERM, "")) from error
            except KeyError as error:
                raise StepFailed(f"{failure}: {error.args[0]}", "this is an error of the reconciler") from error


def wire() -> ModuleType:
    """pyroute2 costs 0.3 s to import, so it is when the first request is made."""
    from cell_reconciler.drivers.netlink import wire

    return wire


@contextmanager
def reachable() -> Iterator[None]:
    """A read that fails says nothing about what is there. Raises Unreachable."""
    try:
        yield
    except OSError as error:
        raise Unreachable("netlink", str(error) or type(error).__name__) from error
    except KernelError as error:
        raise Unreachable("netlink", str(error)) from error


def translated(failure: str, error: KernelError) -> Exception:
    """What to raise for an error of the kernel: its own text, and what to do about it."""
    code = errno.errorcode.get(error.errno, str(error.errno))
    message = f"{failure}: {error} ({code})"
    if error.errno in _BUSY:
        return Transient(message, "it is in use; it will be tried again")
    if error.errno in (errno.EPERM, errno.EACCES):
        return StepFailed(message, "run it as root, or with CAP_NET_ADMIN")
    if error.errno == errno.EOPNOTSUPP:
        return StepFailed(message, "the running kernel lacks this kind of link: load or build its module")
    return StepFailed(message)
