"""The door to libvirt: domains and secrets of one hypervisor.

libvirt's calls are blocking C calls without a deadline, and one hung guest can stall a connection: five calls that
wait for its monitor fill the server's ``max_client_requests``, while ``isAlive`` and keepalive stay happy. So there
are five *lines*, each a connection of its own with a deadline of ours for each call (``line``):

* ``reads``  never takes a job of a domain: lists, states, XML. Answers in a millisecond even when a guest hangs.
* ``writes`` define, start, stop: at most four in flight, below the server's limit of five.
* ``guests`` what waits for something inside a guest (its agent).
* ``pulse``  questions to the guests, of which some may hang for good (``pulse``).
* ``about``  what the host is and can run, for which libvirtd probes every emulator after it started (``node``).

Handles of domains are looked up for each call: those of a dead connection never recover. libvirtd is never
restarted from here. Names of the counted writing calls are libvirt's own (``libvirt.defineXML``).
"""

from __future__ import annotations

from cell_reconciler.drivers.libvirt.door import LibvirtDoor

__all__ = ["LibvirtDoor"]
