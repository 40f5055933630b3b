"""Packet filters in the kernel: one table of ours for each bridge and family, through netfilter's own libnftables.

The theory: rules are data (libnftables-json(5)), never text. A filter is replaced as a whole in one transaction, so
there is no moment with half of it, and it is read back as the kernel holds it. A table is ours by its name, as tables
of firewalld and Docker are theirs; no other table is read beyond its name, and nothing is ever flushed.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from cell_reconciler.errors import StepFailed, Transient, Unreachable
from cell_reconciler.model.firewall import Filter, digest

if TYPE_CHECKING:
    from cell_reconciler.drivers.doors import Writes

PREFIX = "cell-reconciler/"
INSTALL = "apt install python3-nftables"
NETLINK_NETFILTER = 12  # linux/netlink.h; socket.NETLINK_NFLOG has another meaning
_LACKING = (errno.EOPNOTSUPP, errno.ENOENT, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)
_BUSY = (errno.EBUSY, errno.EAGAIN, errno.ENOBUFS, errno.EINTR)
_DENIED = (errno.EPERM, errno.EACCES)
_PLAIN = re.compile(r"[A-Za-z0-9._-]")  # of what a bridge's name may have, what nft's own grammar takes in a name


class NftablesDoor:
    """The ruleset of the network namespace in which it is first used. Safe to use from several threads.

    All methods raise ``Unreachable`` when the library is missing or the kernel does not answer.
    """

    def __init__(self, writes: Writes) -> None:
        self.writes = writes
        self._lock = threading.Lock()
        self._nft: Any = None

    def close(self) -> None:
        with self._lock:
            self._nft = None

    def observe(self) -> dict[str, dict[str, str]]:
        """``{"filters": {bridge: digest}}``: one listing of table names, and one of each table that is ours."""
        tables: dict[str, dict[str, Any]] = defaultdict(dict)
        for table in self._tables():
            tables[table["name"]][table["family"]] = table
        return {"filters": {bridge_of(name): self._digest(name, found) for name, found in tables.items()}}

    def filter(self, bridge: str) -> str | None:
        """The digest of one bridge's filter; None when there is none."""
        return self.observe()["filters"].get(bridge)

    def replace(self, bridge: str, *choices: Filter) -> None:
        """Put the first of ``choices`` that the kernel is able to hold in the place of what is there, at once.

        Raises StepFailed (the kernel refused; its own text is in the message) and Transient (busy).
        """
        name, failure = table_of(bridge), f"cannot set the packet filter of {bridge}"
        there = [table["family"] for table in self._tables() if table["name"] == name]
        self.writes.add("nftables.replace")
        for choice in choices:
            commands: list[dict[str, Any]] = []
            for family in dict.fromkeys((*there, *choice.families)):
                table = {"table": {"family": family, "name": name}}
                commands += [{"add": table}, {"delete": table}]  # deleting what is not there would be an error
                if family in choice.families:
                    commands += [{"add": x} for x in (table, *choice.objects(family, name))]
            said = self._run(commands)[1]
            if not said:
                return
            if not _is(said, _LACKING):
                break
        raise _failed(failure, said)

    def delete(self, bridge: str) -> None:
        """Remove the filter. One that is not there is no error. Raises as ``replace``."""
        name, commands = table_of(bridge), []
        self.writes.add("nftables.delete")
        for table in self._tables():
            if table["name"] == name:
                one = {"table": {"family": table["family"], "name": name}}
                commands += [{"add": one}, {"delete": one}]
        if said := commands and self._run(commands)[1]:
            raise _failed(f"cannot remove the packet filter of {bridge}", said)

    # helpers

    def _tables(self) -> list[dict[str, Any]]:
        """The tables that are ours, of all families."""
        found = (x["table"] for x in self._list({"tables": {}}) if "table" in x)
        return [table for table in found if str(table["name"]).startswith(PREFIX)]

    def _digest(self, name: str, tables: dict[str, dict[str, Any]]) -> str:
        listed: dict[str, dict[str, Any]] = {}
        objects: list[dict[str, Any]] = []
        for family in sorted(tables, key=lambda family: (family != "inet", family)):  # as a Filter has them
            chains: dict[str, list[dict[str, Any]]] = {}
            for item in self._list({"table": {"family": family, "name": name}}):
                ((kind, body),) = item.items()
                if kind == "table":
                    listed[family] = {k: v for k, v in body.items() if k not in ("family", "name", "handle")}
                elif kind != "metainfo":  # a table is listed as all chains, then all rules; we say them chain by chain
                    chains.setdefault(body.get("chain") or body["name"], []).append(item)
            objects += [item for chain in chains.values() for item in chain]
        return digest(listed, objects)

    def _list(self, what: dict[str, Any]) -> list[dict[str, Any]]:
        found, said = self._run([{"list": what}])
        if said and _is(said, (errno.ENOENT,)):
            return []  # gone since its name was listed
        if said:
            raise Unreachable("nftables", said + ("; run it as root" if _is(said, _DENIED) else ""))
        return found

    def _run(self, commands: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
        """One transaction: what it answers, and the error's text (empty: it was done)."""
        with self._lock:
            if self._nft is None:
                self._nft = _library()
            code, output, error = self._nft.json_cmd({"nftables": commands})
        if code == 0:
            return (output or {}).get("nftables", []), ""
        lines = [line.partition("Error: ")[2] or line for line in str(error).splitlines() if line.strip()]
        return [], lines[0] if lines else f"libnftables failed with {code}"


def table_of(bridge: str) -> str:
    """The name of the tables of this bridge; a character that nft's grammar has no place for becomes ``/XX``."""
    return PREFIX + "".join(c if _PLAIN.match(c) else f"/{ord(c):02X}" for c in bridge)


def bridge_of(table: str) -> str:
    """The reverse of ``table_of``."""
    return re.sub(r"/([0-9A-F]{2})", lambda found: chr(int(found[1], 16)), table.removeprefix(PREFIX))


def _library() -> Any:
    """A context of libnftables. Imported here: only hosts with an internal bridge need it."""
    try:
        from nftables import Nftables
    except ImportError as error:
        raise Unreachable("nftables", f"python3-nftables is not installed ({INSTALL})", INSTALL) from error
    try:  # without nfnetlink, libnftables would end the whole process
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER).close()
        nft = Nftables()
    except OSError as error:
        raise Unreachable("nftables", f"{error.strerror or error}: the kernel or libnftables1 is missing") from error
    nft.set_json_output(True)
    return nft


def _is(said: str, codes: tuple[int, ...]) -> bool:
    """libnftables reports an error of the kernel as its text only (strerror, untranslated)."""
    return any(os.strerror(code) in said for code in codes)


def _failed(failure: str, said: str) -> Exception:
    message = f"{failure}: {said}"
    if _is(said, _BUSY):
        return Transient(message, "it is in use; it will be tried again")
    if _is(said, _DENIED):
        return StepFailed(message, "run it as root, or with CAP_NET_ADMIN")
    return StepFailed(message, "the kernel needs nf_tables with the family inet and the expression fib")
