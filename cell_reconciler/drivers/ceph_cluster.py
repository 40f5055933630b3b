"""The connection to a Ceph cluster: kept while it works, made anew after an error, never waited on for ever.

Two lines of deadlines: librados' own timeouts end each operation; ``Deadline`` gives up on a call that librados does
not bring back at all. Every error of librados and librbd leaves here as one of ours.
"""

from __future__ import annotations

import binascii
import errno
import os
import re
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from cell_reconciler.drivers.pool_deadline import Deadline
from cell_reconciler.errors import CellError, StepFailed, Unreachable
from cell_reconciler.model.storage import PoolTarget

SECONDS = 5  # for one operation of a monitor or an OSD; librados' own default is to wait for ever
LIMIT = 60.0  # for a call that consists of many: it only counts when librados itself hangs

_OPTIONS = {
    "rados_mon_op_timeout": str(SECONDS),
    "rados_osd_op_timeout": str(SECONDS),
    "client_mount_timeout": str(SECONDS),
    "log_to_stderr": "false",
    "err_to_stderr": "false",
}
# The connection itself is of no use any more: a new one may be (a blocklisted client gets a new address so).
_STALE = (errno.ETIMEDOUT, errno.ESHUTDOWN, errno.ENOTCONN, errno.EIO, errno.EACCES, errno.EPERM)

T = TypeVar("T")


class _Connection:
    """One librados handle. It is shut down when it is retired and the last call has left: not under anybody's feet."""

    def __init__(self, handle: Any, key: str) -> None:
        self.handle = handle
        self.key = key
        self.users = 0
        self.retired = False


class Cluster:
    """Serves one pool target; safe to use from several threads."""

    def __init__(self, target: PoolTarget, key: Callable[[], str] | None = None) -> None:
        self._target = target
        self._key = key
        self.source = f"Ceph pool {target.place} ({','.join(target.monitors)})"
        self._deadline = Deadline(self.source)
        self._filling = Deadline(f"{self.source}, or what a volume is made from,")
        self._shared = Deadline(f"{self.source}, or a client that has an image open,")
        self._lock = threading.Lock()
        self._current: _Connection | None = None

    def call(self, work: Callable[[Any], T], seconds: float = LIMIT, sign: Callable[[], float] | None = None) -> T:
        """``work(handle)`` with a connected ``rados.Rados``. Raises Unreachable, or what ``work`` raises of ours.

        ``sign`` as of ``Deadline.call``: of work that reads from elsewhere too. When that hangs, the pool does not.
        """
        deadline = self._deadline if sign is None else self._filling
        return deadline.call(lambda: self._translated(work), seconds, sign)

    def call_with_others(self, work: Callable[[Any], T]) -> T:
        """As ``call``, of work in which the clients that have an image open take part: they may hang."""
        return self._shared.call(lambda: self._translated(work), LIMIT)

    def secret(self) -> str:
        """The cephx key in base64, from its file. Raises Unreachable; the message never holds the content."""
        return read_key(self._target, self.source) if self._key is None else self._key()

    def close(self) -> None:
        with self._lock:
            self._retire()

    def _translated(self, work: Callable[[Any], T]) -> T:
        rados, rbd = libraries(self.source)
        try:
            with self._connected(rados) as handle:
                return work(handle)
        except (rados.Error, rbd.Error) as error:
            number = abs(getattr(error, "errno", 0) or 0)
            if number in _STALE or isinstance(error, rados.RadosStateError):
                self.close()
                raise Unreachable(self.source, self._reason(number, error), self._advice(number)) from error
            if number in (errno.ENOSPC, errno.EDQUOT):
                raise CellError(f"{self.source} is full", "free space in the pool, or raise its quota") from error
            raise StepFailed(f"{self.source}: {error}") from error

    def _reason(self, number: int, error: Exception) -> str:
        if number in (errno.EACCES, errno.EPERM):
            return f"client.{self._target.user} may not: {os.strerror(number)}"
        if number == errno.ETIMEDOUT:
            return f"no answer within {SECONDS} s"
        return str(error)

    def _advice(self, number: int) -> str:
        if number in (errno.EACCES, errno.EPERM):
            return f"check the key, and that `ceph auth get client.{self._target.user}` has `profile rbd` for the pool"
        return f"check the network to the monitors, the key of client.{self._target.user}, and `ceph status`"

    @contextmanager
    def _connected(self, rados: Any) -> Iterator[Any]:
        key = self.secret()
        with self._lock:
            if self._current is not None and self._current.key != key:
                self._retire()
            if self._current is None:
                self._current = _Connection(self._connect(rados, key), key)
            connection = self._current
            connection.users += 1
        try:
            yield connection.handle
        finally:
            with self._lock:
                connection.users -= 1
                _release(connection)

    def _connect(self, rados: Any, key: str) -> Any:
        target = self._target
        options = _OPTIONS | {"mon_host": ",".join(target.monitors)} | ({"key": key} if key else {})
        handle = rados.Rados(rados_id=target.user, conffile=target.conf or None, conf=options)
        try:
            handle.connect(timeout=SECONDS)
        except rados.ObjectNotFound as error:  # librados says ENOENT when the monitors do not know the user
            raise Unreachable(self.source, f"cannot log in as client.{target.user}: {error}") from error
        except rados.TimedOut as error:  # librados also says so of a wrong key, when it tries v1 and v2 on one port
            reason = f"the login of client.{target.user} got no answer within {SECONDS} s"
            raise Unreachable(self.source, reason, self._advice(errno.ETIMEDOUT)) from error
        return handle

    def _retire(self) -> None:
        connection, self._current = self._current, None
        if connection is not None:
            connection.retired = True
            _release(connection)


def _release(connection: _Connection) -> None:
    """Shut it down once nobody uses it; in a thread, since that too may wait for the cluster. Needs the lock."""
    if connection.retired and not connection.users:
        threading.Thread(target=connection.handle.shutdown, name="ceph shutdown", daemon=True).start()


def libraries(source: str) -> tuple[Any, Any]:
    """The modules ``rados`` and ``rbd``, imported when first needed."""
    try:
        import rados
        import rbd
    except ImportError as error:
        raise Unreachable(
            source,
            f"the Python module {error.name} is missing",
            "apt install python3-rbd python3-rados, and a virtual environment with --system-site-packages",
        ) from error
    return rados, rbd


def read_key(target: PoolTarget, source: str) -> str:
    """The key in ``target.secret_file``: bare, as `ceph auth get-key` prints it, or in a keyring.

    Raises Unreachable when the file cannot be read or holds no key: without it nothing is known of the pool.
    """
    path = os.path.expandvars(target.secret_file)
    if path.startswith("$"):
        advice = "add LoadCredential= to the unit, or name a file in `secret`"
        raise Unreachable(source, f"{target.secret_file}: systemd gave no credentials", advice)
    try:
        with open(path, encoding="ascii") as file:
            text = file.read(65536)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise Unreachable(source, f"its key {path} cannot be read: {reason}", _KEY_ADVICE) from None
    section = re.search(rf"^\[client\.{re.escape(target.user)}\]\s*$([^\[]*)", text, re.MULTILINE)
    found = re.search(r"^\s*key\s*=\s*(\S+)\s*$", section[1], re.MULTILINE) if section else None
    key = found[1] if found else text.strip()
    try:
        if len(b64decode(key, validate=True)) < 16:
            raise ValueError
    except (binascii.Error, ValueError):
        raise Unreachable(source, f"{path} holds no key of client.{target.user}", _KEY_ADVICE) from None
    return key


_KEY_ADVICE = "write it there with `ceph auth get-key client.USER`, readable by root only"
