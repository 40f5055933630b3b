"""What no two documents may both have, though they count on different hosts: MAC addresses, UUIDs, shared images.

What counts on one host is judged together there, by the rules of its kinds (``together``). What is unique among all
hosts a kind tells by ``claims``; here the claims of every host that the documents name are held against each other.
Both documents are wrong then, and on each host the last good version of its own stays in force. One document that
counts on several hosts is a warning: each of them makes a VM of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from cell_reconciler.kinds import kind
from cell_reconciler.kinds.contract import Claim, Problem
from cell_reconciler.load.documents import Entry
from cell_reconciler.load.together import Locate, as_diagnostic
from cell_reconciler.model.diagnostic import Diagnostic, Severity
from cell_reconciler.model.document import Document
from cell_reconciler.model.key import Key

_TOLD = 3  # of those who have the same

Clashes = Mapping[Key, Sequence[Diagnostic]]  # of the documents of one host
Counts = Callable[[Entry, str], bool]  # does an entry count on a host?


class _Holder(NamedTuple):
    host: str
    document: Document
    claim: Claim


def clashes(
    entries: Sequence[Entry], hosts: Sequence[str], counts: Counts, locate: Callable[[str], Locate]
) -> dict[str, Clashes]:
    """By host: what is to be said of documents that have the same as those of other hosts.

    ``locate`` tells for a host where a pointer into a document is in its file.
    """
    found: dict[str, dict[Key, list[Diagnostic]]] = defaultdict(lambda: defaultdict(list))
    spread: set[tuple[str, Key]] = set()  # one word for each document, whatever it has
    for holders in _holders(entries, hosts, counts).values():
        for holder in holders if len(holders) > 1 else ():
            host, document, claim = holder
            if others := list(_others(holder, holders)):
                told = as_diagnostic(claim.problem(_named(others)), document, locate(host))
                found[host][document.key].append(told)
            same = [o.host for o in holders if o.document.position == document.position and not o.claim.idle]
            if len(same) > 1 and (host, document.key) not in spread:
                spread.add((host, document.key))
                found[host][document.key].append(as_diagnostic(_spread(claim, same), document, locate(host)))
    return dict(found)


def _named(others: Sequence[_Holder]) -> str:
    more = f" and {len(others) - _TOLD} more" if len(others) > _TOLD else ""
    return ", ".join(f"{o.document.key} on {o.host} ({o.document.position})" for o in others[:_TOLD]) + more


def _others(holder: _Holder, holders: Iterable[_Holder]) -> Iterator[_Holder]:
    """Of other documents and other hosts, each document once."""
    seen = {holder.document.position}
    for other in holders:
        both = holder.claim.shared and other.claim.shared
        if other.host != holder.host and other.document.position not in seen and not both:
            seen.add(other.document.position)
            yield other


def _spread(claim: Claim, hosts: Sequence[str]) -> Problem:
    more = f" and {len(hosts) - _TOLD} more" if len(hosts) > _TOLD else ""
    return Problem(
        pointer="/spec",
        rule="one-host",
        severity=Severity.WARNING,
        message=f"it counts on {', '.join(hosts[:_TOLD])}{more}: each of them makes one, with the same {claim.what}",
        advice="name one host in spec.hosts",
    )


def _holders(entries: Sequence[Entry], hosts: Sequence[str], counts: Counts) -> Mapping[str, list[_Holder]]:
    """By what is claimed."""
    found: dict[str, list[_Holder]] = defaultdict(list)
    for host in hosts:
        here = {entry.key: doc for entry in entries if counts(entry, host) and (doc := entry.document(host))}
        for document in here.values():
            claims = getattr(kind(document.key.kind), "claims", None)  # most kinds have nothing of the sort
            for claim in claims(document, here) if claims is not None else ():
                found[claim.key].append(_Holder(host, document, claim))
    return found
