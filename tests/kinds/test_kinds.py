"""The table of kinds: what may be said of a kind without loading its code is what its code says."""

from __future__ import annotations

from cell_reconciler.kinds import KINDS, kind, link_kinds, present
from cell_reconciler.model.live import Domain, Image, Live, Pool, Source
from tests.livelinks import link

DOMAIN = Domain(uuid="u", name="web", state="shutoff", inactive=None, active=None)
EVERYTHING = Live(
    host="h",
    links={"eno1": link("eno1")},
    domains={"web": DOMAIN},
    pools={"p": Pool(name="p", backend="directory", target="/p", exists=True)},
    images={"p/i": Image(pool="p", name="i", size=1)},
)


def test_the_kinds_of_links_are_those_whose_only_source_is_the_kernel() -> None:
    assert link_kinds() == {name for name in KINDS if kind(name).sources == {Source.NETLINK}}


def test_kinds_with_sources_are_looked_for_where_something_was_observed() -> None:
    assert present(EVERYTHING) == tuple(name for name in KINDS if kind(name).sources)
    assert present(Live(host="h")) == ()
    assert present(Live(host="h", links=EVERYTHING.links)) == tuple(name for name in KINDS if name in link_kinds())


def test_what_is_not_present_has_no_objects() -> None:
    assert not [name for name in KINDS if [*kind(name).owned(Live(host="h")), *kind(name).foreign(Live(host="h"))]]
